"""What is told to end twice ends once: a second Ctrl-C, or one that comes while a launch ends by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ros.environment import Launch, runs, start_launch, wait_until
from tests.ros.test_launch import DETECT, write_folder

pytestmark = [pytest.mark.ros, pytest.mark.long]
AROUND = ("track:=true", "locate:=true", "visualize:=true", "record:=true")


@contextlib.contextmanager
def launched(environment: dict[str, str], log: Path, *words: str) -> Iterator[Launch]:
    """A launch, of which nothing is left afterwards, whatever the test found."""
    launch = start_launch(environment, log, *DETECT, *words)
    try:
        yield launch
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(launch.process.pid, signal.SIGKILL)  # its own session: see start_launch
        launch.process.wait(10)


def interrupt(launch: Launch, whole_group: bool) -> None:
    """Ctrl-C as a terminal sends it, to all processes, or as ``kill`` does, to the launch alone."""
    if launch.process.poll() is None:
        (os.killpg if whole_group else os.kill)(launch.process.pid, signal.SIGINT)


def ended_in_order(launch: Launch, children: list[int]) -> None:
    assert launch.wait() == 0, launch.text()
    wait_until(lambda: not any(map(runs, children)), 10.0, f"the end of {children}\n{launch.text()}")
    assert "Traceback" not in launch.text(), launch.text()
    assert "process has died" not in launch.text(), launch.text()
    assert launch.text().count("process has finished cleanly") == len(children), launch.text()


@pytest.mark.parametrize("whole_group", [False, True], ids=["kill", "terminal"])
@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_a_second_interrupt_leaves_no_process_and_no_traceback(
    graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path, pause: float, whole_group: bool
) -> None:
    images, bag = write_folder(tmp_path / "images"), tmp_path / "bag"
    words = ("camera:=images", f"image_dir:={images}", "loop:=true", "rate:=20", f"model:={tiny_model}")
    with launched(graph_environment, tmp_path / "log", *words, *AROUND, f"record_to:={bag}") as launch:
        children = launch.wait_for_children(6, timeout=90.0)
        wait_until(lambda: "recording /detections_3d" in launch.text(), 90.0, f"a bag\n{launch.text()}")
        for _ in range(3):
            interrupt(launch, whole_group)
            time.sleep(pause)
        ended_in_order(launch, children)
    assert (bag / "metadata.yaml").is_file(), "the bag is closed"


def test_an_interrupt_while_a_launch_ends_by_itself_changes_nothing(
    graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    images, output = write_folder(tmp_path / "images"), tmp_path / "output"
    words = ("camera:=images", f"image_dir:={images}", f"model:={tiny_model}", f"output:={output}")
    with launched(graph_environment, tmp_path / "log", *words, "visualize:=true") as launch:
        children = launch.wait_for_children(3, timeout=90.0)
        wait_until(lambda: "has finished" in launch.text(), 90.0, f"the last image\n{launch.text()}")
        for _ in range(2):
            interrupt(launch, whole_group=True)
            time.sleep(0.1)
        ended_in_order(launch, children)
    assert (output / "predictions.json").is_file()
