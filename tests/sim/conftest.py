"""The ROS 2 environment of the closed-loop graph tests; skipped, with a reason, where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ros.environment import REPOSITORY, isolated, own_domain, sourced


@pytest.fixture
def loop_environment() -> Iterator[dict[str, str]]:
    """The environment of a shell that sourced the built workspace, with a ROS domain of its own."""
    workspace = REPOSITORY / "ros2_ws" / "install"
    launch_file = Path("palletjack_detection/share/palletjack_detection/launch/closed_loop.launch.py")
    if not (workspace / launch_file).exists():
        pytest.skip("ros2_ws is not built, or without closed_loop.launch.py: run bootstrap/ros_workspace.sh")
    environment = sourced(workspace / "setup.bash")
    # The simulator of this checkout, also where another one is installed.
    sources = os.pathsep.join(str(REPOSITORY / name) for name in ("sim", "sdg"))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (sources, environment.get("PYTHONPATH"))))
    with own_domain() as domain:
        yield isolated(environment, domain)
