"""The guard node in a real graph, with a robot that has every fault in turn."""

from __future__ import annotations

import re

import pytest

from tests.sim.beside_a_node import outcome_beside

pytestmark = [pytest.mark.ros, pytest.mark.long]
PARAMETERS = (
    "stop_margin:=1.0",
    "robot_front:=0.4",
    "source_timeout:=0.4",
    "memory_time:=0.3",
    "clear_time:=0.3",
    "overhang:=0.0",
    "range_sigmas:=0.0",
)


def test_guard_node_fails_safe(loop_environment: dict[str, str]) -> None:
    outcome = outcome_beside(loop_environment, "palletjack_guard", PARAMETERS, "guard_probe.py", "sources")
    assert outcome["no_transform"]["speed"] == 0.0
    assert "no detections yet" in outcome["no_transform"]["state"]
    assert "no transform from 'camera' to 'base_link'" in outcome["no_transform"]["state"]

    assert outcome["clear"]["speed"] == 0.5
    assert outcome["clear"]["state"].startswith("go: way is clear")

    assert outcome["ahead"]["speed"] == 0.0
    # 1.6 m from base_link, the front is at 0.4 m.
    assert "pallet truck 1.2" in outcome["ahead"]["state"] or "pallet truck 1.1" in outcome["ahead"]["state"]

    assert outcome["no_detections"]["speed"] == 0.0
    assert "no detections for" in outcome["no_detections"]["state"]

    assert outcome["no_odometry"]["speed"] == 0.0
    assert "stop: no " in outcome["no_odometry"]["state"]
    assert (
        "odometry for" in outcome["no_odometry"]["state"] or "detections" in outcome["no_odometry"]["state"]
    )

    # Published again and again, as of a mast that moves, a transform must not grow old.
    assert outcome["on_a_mast"]["speed"] == 0.5
    assert outcome["transform_lost"]["speed"] == 0.0
    assert "the transform from 'mast' to 'base_link' is" in outcome["transform_lost"]["state"]

    assert outcome["not_finite"]["speed"] == 0.0
    assert "cmd_vel_raw is not finite" in outcome["not_finite"]["state"]

    # The last good calibration stays in use, and the state says what is wrong.
    assert outcome["bad_camera"]["speed"] == 0.5
    assert "camera_info k" in outcome["bad_camera"]["state"]

    assert outcome["silence"]["speed"] == 0.0
    assert outcome["silence"]["count"] == 1, "one zero command, not a stream"


def test_clock_that_stands_still_stops_the_robot(loop_environment: dict[str, str]) -> None:
    """No message grows old then: only the machine's own clock tells."""
    parameters = (*PARAMETERS, "use_sim_time:=true", "clock_timeout:=0.5")
    outcome = outcome_beside(loop_environment, "palletjack_guard", parameters, "guard_probe.py", "clock")
    assert outcome["runs"]["speed"] == 0.5
    assert outcome["stopped"]["speed"] == 0.0
    # A busy machine gives it fewer than the 24 beats of a phase.
    (stopped_at,) = re.findall(r"the clock stands still at ([\d.]+) s", outcome["stopped"]["state"])
    assert 100.3 < float(stopped_at) < 101.3
    assert outcome["runs_again"]["speed"] == 0.5
    assert outcome["stopped_in_silence"]["speed"] == 0.0
    assert outcome["stopped_in_silence"]["count"] == 1
    assert "the clock stands still" in outcome["stopped_in_silence"]["state"]


def test_clock_that_is_set_back_makes_nothing_fresh(loop_environment: dict[str, str]) -> None:
    parameters = (*PARAMETERS, "use_sim_time:=true", "clock_timeout:=5.0")
    outcome = outcome_beside(loop_environment, "palletjack_guard", parameters, "guard_probe.py", "set_back")
    assert outcome["runs"]["speed"] == 0.5
    assert outcome["no_detections"]["speed"] == 0.0
    assert "detections are stamped" in outcome["no_detections"]["state"]
    assert outcome["runs_again"]["speed"] == 0.5
    assert outcome["no_command"]["speed"] == 0.0
    assert "no cmd_vel_raw any more" in outcome["no_command"]["state"]
