"""The container of the Isaac ROS graph dies, over a component or when full: the launch fills the next one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ros.environment import Launch, ros_python, runs, start_launch, wait_until
from tests.ros.launch_probe import with_packages
from tests.ros.test_launch_matrix import ISAAC_PACKAGES

pytestmark = [pytest.mark.ros, pytest.mark.long]
STAND_IN = Path(__file__).with_name("stand_in_container.py")
# The delay of a respawn is 12 s; then Python, discovery and the requests.
NEXT_LIFE_S = 80.0


def with_stand_in(environment: dict[str, str], prefix: Path, log: Path) -> dict[str, str]:
    """Return ``environment`` in which Isaac ROS is known, and the container is the stand-in."""
    known = with_packages(
        environment, prefix, {**dict.fromkeys(ISAAC_PACKAGES, "4.5.1"), "rclcpp_components": "1"}
    )
    executable = prefix / "lib" / "rclcpp_components" / "component_container_mt"
    executable.parent.mkdir(parents=True)
    executable.write_text(f'#!/bin/sh\nexec "{ros_python(environment)}" "{STAND_IN}" "$@"\n')
    executable.chmod(executable.stat().st_mode | stat.S_IXUSR)
    return {**known, "STAND_IN_LOG": str(log)}


class Lives:
    """What the stand-in wrote down, by process."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def all(self) -> list[tuple[int, list[str]]]:
        """The process id of each life, and what was loaded in it, in order."""
        lives: dict[int, list[str]] = {}
        for line in self._log.read_text().splitlines() if self._log.exists() else ():
            event: dict[str, Any] = json.loads(line)
            loaded = lives.setdefault(event["pid"], [])
            if event["event"] == "loaded":
                loaded.append(event["what"])
        return list(lives.items())


@pytest.fixture
def launch(
    graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> Iterator[tuple[Launch, Lives]]:
    environment = with_stand_in(graph_environment, tmp_path / "prefix", tmp_path / "lives")
    (tmp_path / "engine.plan").write_bytes(b"")
    words = ("backend:=isaac_ros", "image_width:=1280", "image_height:=720")
    words += (f"engine:={tmp_path / 'engine.plan'}", f"model:={tiny_model}")
    started = start_launch(environment, tmp_path / "log", "palletjack_detection", "detect.launch.py", *words)
    try:
        yield started, Lives(tmp_path / "lives")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.process.pid, signal.SIGKILL)  # its own session: see start_launch
        started.process.wait(10)


def test_every_container_is_filled_however_the_one_before_it_ended(launch: tuple[Launch, Lives]) -> None:
    started, lives = launch

    def filled(life: int) -> bool:
        """Whether the last component of the graph is in it."""
        found = lives.all()
        return len(found) > life and any("detectnet_decoder" in what for what in found[life][1])

    wait_until(
        lambda: filled(1), 2 * NEXT_LIFE_S, f"a second container with its components\n{started.text()}"
    )
    (_, first), (second, components) = lives.all()
    assert len(first) == 2, "the first one died over the third component"
    assert components[:2] == first
    assert len(components) == len(set(components)) >= 4
    assert all(what.startswith("/palletjack_graph/") for what in components)

    os.kill(second, signal.SIGKILL)
    wait_until(lambda: filled(2), NEXT_LIFE_S, f"a third container with its components\n{started.text()}")
    third, again = lives.all()[2]
    assert again == components
    children = started.children()
    assert started.stop() == 0, started.text()
    wait_until(lambda: not any(map(runs, [*children, third])), 10.0, "the end of all of them")
    assert "Traceback" not in started.text(), started.text()
