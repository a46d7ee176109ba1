"""The ROS 2 environment of the closed-loop graph tests; skipped, with a reason, where there is none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ros.environment import REPOSITORY, Launch, isolated, own_domain, sourced, start_launch

StartLoop = Callable[..., Launch]


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


@pytest.fixture
def start_loop(loop_environment: dict[str, str], tmp_path: Path) -> StartLoop:
    """Starts closed_loop.launch.py with its keywords as arguments; the run goes to ``out`` in tmp_path."""

    def start(**words: object) -> Launch:
        given = {"output": tmp_path / "out", **words}
        arguments = [f"{name}:={value}" for name, value in given.items()]
        log = tmp_path / "launch.log"
        return start_launch(
            loop_environment, log, "palletjack_detection", "closed_loop.launch.py", *arguments
        )

    return start
