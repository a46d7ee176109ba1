"""The guard node in a real graph, with a robot that has every fault in turn."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.ros.environment import ros_python

pytestmark = [pytest.mark.ros, pytest.mark.long]
PROBE = Path(__file__).with_name("guard_probe.py")
PARAMETERS = (
    "stop_margin:=1.0",
    "robot_front:=0.4",
    "source_timeout:=0.4",
    "memory_time:=0.3",
    "clear_time:=0.3",
    "overhang:=0.0",
    "range_sigmas:=0.0",
)


@pytest.fixture
def outcome(loop_environment: dict[str, str]) -> dict:
    """What the probe saw, phase by phase."""
    ros2 = shutil.which("ros2", path=loop_environment["PATH"]) or "ros2"
    words = [word for value in PARAMETERS for word in ("-p", value)]
    guard = subprocess.Popen(
        [ros2, "run", "palletjack_detection", "palletjack_guard", "--ros-args", *words],
        env=loop_environment,
        start_new_session=True,
    )
    try:
        done = subprocess.run(
            [ros_python(loop_environment), str(PROBE)],
            env=loop_environment,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert guard.poll() is None, "the guard lives through all of it"
    finally:
        # Its own session: `ros2 run` alone would leave the node behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(guard.pid, signal.SIGINT)
        code = guard.wait(20)
    assert code == 0, "an interrupted guard ends in order"
    return json.loads(done.stdout)


def test_guard_node_fails_safe(outcome: dict) -> None:
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

    assert outcome["not_finite"]["speed"] == 0.0
    assert "cmd_vel_raw is not finite" in outcome["not_finite"]["state"]

    # The last good calibration stays in use, and the state says what is wrong.
    assert outcome["bad_camera"]["speed"] == 0.5
    assert "camera_info k" in outcome["bad_camera"]["state"]

    assert outcome["silence"]["speed"] == 0.0
    assert outcome["silence"]["count"] == 1, "one zero command, not a stream"
