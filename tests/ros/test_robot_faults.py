"""Locator and guard with a calibration that is nonsense, without a transform, and without a detector."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ros.environment import isolated, own_domain, ros_python, start_node, wait_until
from tests.ros.fault_probe import FaultProbe
from tests.ros.test_around import running

pytestmark = [pytest.mark.ros, pytest.mark.long]

NONSENSE: list[dict[int, str]] = [{0: "nan"}, {2: "inf"}, {4: "-inf"}, {0: "0"}, {5: "nan"}]


@contextlib.contextmanager
def locator_and_guard(environment: dict[str, str]) -> Iterator[FaultProbe]:
    """Locator and guard in one graph; both must end in order."""
    with own_domain() as domain:
        environment = isolated(environment, domain)
        with (
            running(environment, "palletjack_locator"),
            running(environment, "palletjack_guard"),
            FaultProbe(ros_python(environment), environment) as probe,
        ):
            assert probe.ask("play_detector", listeners=2, timeout=40.0)
            yield probe


@pytest.fixture(scope="module")
def robot(main_ros_environment: dict[str, str]) -> Iterator[FaultProbe]:
    with locator_and_guard(main_ros_environment) as probe:
        yield probe


def drive(robot: FaultProbe, changes: dict[int, str] | None, **words: Any) -> dict[str, Any]:
    words = {"beats": 6, **words}
    result: dict[str, Any] = robot.ask("drive", changes=changes, **words)
    return result


def placed(outcome: dict[str, Any]) -> list[list[float]]:
    return [place for places in outcome["places"] for place in places]


# One story: each test starts from what the one before left behind.


def test_before_any_good_calibration_nothing_is_placed_and_the_robot_stands(robot: FaultProbe) -> None:
    robot.ask("mount")
    for changes in NONSENSE[:3]:
        outcome = drive(robot, changes, beats=3)
        assert outcome["places"], "every message is answered"
        assert not placed(outcome)
        assert outcome["speeds"]
        assert set(outcome["speeds"]) == {0.0}
    for name in ("locator", "guard"):  # not that there is none: it came, and this is wrong with it
        assert "camera_info k: expected 9 finite numbers" in robot.status("k: expected", name=name)["message"]
    assert robot.status("stop", name="guard")["level"] == 2


def test_a_good_calibration_places_the_truck_and_lets_the_robot_drive(robot: FaultProbe) -> None:
    outcome = drive(robot, {}, beats=12)
    x, y = placed(outcome)[-1]
    assert 2.5 < x < 3.8
    assert abs(y) < 0.1
    assert max(outcome["speeds"][-4:]) > 0.0
    assert robot.status("placing detections", name="locator")["level"] == 0


def test_nonsense_after_it_moves_no_box_and_is_told(robot: FaultProbe) -> None:
    for changes in NONSENSE:
        outcome = drive(robot, changes, beats=4)
        for x, y in placed(outcome):
            assert 2.5 < x < 3.8
            assert abs(y) < 0.1
    # Detections that were placed since then do not hide it.
    assert robot.status("camera_info k: expected 9 finite", name="locator")["level"] == 1
    assert robot.status("camera_info k: expected 9 finite", name="guard")["level"] > 0
    drive(robot, {})
    assert robot.status("placing detections", name="locator")["level"] == 0


def test_a_detector_that_falls_silent_stops_the_robot(robot: FaultProbe) -> None:
    assert max(drive(robot, {}, beats=8)["speeds"][-4:]) > 0.0
    outcome = drive(robot, {}, beats=20, detect=False)
    assert outcome["speeds"][-1] == 0.0
    assert robot.status("stop", name="guard")["level"] == 2


def test_without_a_usable_transform_nothing_is_placed_and_the_robot_stands(
    main_ros_environment: dict[str, str],
) -> None:
    with locator_and_guard(main_ros_environment) as probe:
        for height in (None, "nan"):  # None: there is no transform at all
            if height:
                probe.ask("mount", height=height)
            outcome = drive(probe, {})
            assert outcome["places"]
            assert not placed(outcome)
            assert set(outcome["speeds"]) == {0.0}
            for name in ("locator", "guard"):
                assert "no transform from 'camera'" in probe.status("no transform", name=name)["message"]
        probe.ask("mount")
        outcome = drive(probe, {}, beats=12)
        assert placed(outcome)
        assert max(outcome["speeds"][-4:]) > 0.0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_guard_that_is_ended_stops_the_robot(
    graph_environment: dict[str, str], tmp_path: Path, signum: signal.Signals
) -> None:
    """A robot base may lack a timeout of its own, and would go on with the last command."""
    words = ("--ros-args", "-p", "command_timeout:=10.0")
    guard = start_node(graph_environment, tmp_path / "log", "palletjack_guard", *words)
    try:
        with FaultProbe(ros_python(graph_environment), graph_environment) as probe:
            assert probe.ask("play_detector", listeners=1, timeout=40.0), guard.text()
            probe.ask("mount")
            outcome = drive(probe, {}, beats=12)
            assert probe.ask("last_speed") == outcome["speeds"][-1] > 0.0
            assert guard.stop(signum) == 0, guard.text()
            wait_until(lambda: probe.ask("last_speed") == 0.0, 5.0, f"a robot that stands\n{guard.text()}")
    finally:
        guard.stop(signal.SIGKILL)
    assert "Traceback" not in guard.text()
