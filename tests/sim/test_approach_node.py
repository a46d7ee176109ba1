"""The approach node in a real graph: it drives only when told to, and only for what it can place."""

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
PROBE = Path(__file__).with_name("approach_probe.py")


def test_node_drives_up_to_the_truck_once_enabled(loop_environment: dict[str, str]) -> None:
    ros2 = shutil.which("ros2", path=loop_environment["PATH"]) or "ros2"
    node = subprocess.Popen(
        [ros2, "run", "palletjack_detection", "palletjack_approach", "--ros-args", "-p", "robot_front:=0.4"],
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
        assert node.poll() is None
    finally:
        # Its own session: `ros2 run` alone would leave the node behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGINT)
        node.wait(20)
    outcome = json.loads(done.stdout)
    assert outcome["heard_while_disabled"] == 0
    assert outcome["enabled"] is True
    assert outcome["fastest_for_a_wrong_frame"] == 0.0
    assert 0.3 < outcome["fastest"] <= 0.5
    # 1.5 m before the truck at 4.2 m, which reaches 0.3 m beyond its place; the front is at 0.4 m.
    assert outcome["x"] == pytest.approx(4.2 - 1.5 - 0.3 - 0.4, abs=0.2)
    assert outcome["speed"] == 0.0
