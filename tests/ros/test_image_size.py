"""Boxes of images whose size camera_info does not state: detector, locator and guard in one graph."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ros.environment import isolated, own_domain, ros_python, wait_until
from tests.ros.fault_probe import FaultProbe
from tests.ros.test_around import running

pytestmark = [pytest.mark.ros, pytest.mark.long]
# In 640x360 of a level camera 0.6 m high, f = 380: what stands 3 m ahead has its lower edge in row 256.
AHEAD = [280, 136, 360, 256]
FULL: dict[str, Any] = {"enlarged": 2}
RECTIFIED = ("__node:=rectified_locator", "detections_3d:=rectified_3d", "rectified:=true")


@pytest.fixture(scope="module")
def robot(ros_environment: dict[str, str], tiny_model: Path) -> Iterator[FaultProbe]:
    with own_domain() as domain:
        environment = isolated(ros_environment, domain)
        with (
            running(environment, "palletjack_locator"),
            running(environment, "palletjack_locator", *RECTIFIED),
            running(environment, "palletjack_guard"),
            running(environment, "palletjack_detector", f"model_dir:={tiny_model}", "reliability:=reliable"),
            FaultProbe(ros_python(environment), environment) as probe,
        ):
            for name in ("palletjack_guard", "palletjack_locator", "rectified_locator"):
                probe.status("", name=name, timeout=40.0)
            wait_until(lambda: probe.ask("listeners") == 1, 40.0, "a detector that listens")
            probe.ask("mount")
            yield probe


def look(robot: FaultProbe, width: int, height: int, calibration: dict[str, Any]) -> list[list[float]]:
    """Where the truck is placed that stands 3 m ahead, if the image shows the same as one of 640x360."""
    box = [round(value * width / 640) for value in AHEAD]
    found = robot.ask("look", width=width, height=height, box=box, calibration=calibration)
    assert found is not None, "every image is answered"
    places: list[list[float]] = found
    return places


@pytest.mark.parametrize(
    ("size", "calibration"),
    [
        ((640, 360), {}),
        ((640, 360), FULL),
        ((1280, 720), {}),
        ((640, 360), {**FULL, "binning": 2}),
        ((1280, 720), {**FULL, "binning": 2}),
    ],
    ids=["as stated", "of the full sensor", "enlarged", "binned", "binned says camera_info, and is not"],
)
def test_a_resized_or_binned_image_is_placed_as_the_whole_one(
    robot: FaultProbe, size: tuple[int, int], calibration: dict[str, Any]
) -> None:
    ((x, y),) = look(robot, *size, calibration)
    assert x == pytest.approx(3.25, abs=0.1)
    assert abs(y) < 0.05
    assert robot.status("placing detections", name="palletjack_locator")["level"] == 0


def test_a_cut_image_is_placed_by_the_roi(robot: FaultProbe) -> None:
    """The sensor is one of 1280x720, and the truck is up and to the left in what is shown of it."""
    box = [2 * AHEAD[0] - 400, 2 * AHEAD[1] - 200, 2 * AHEAD[2] - 400, 2 * AHEAD[3] - 200]
    calibration = {**FULL, "roi": (400, 200, 880, 520)}
    ((x, y),) = robot.ask("look", width=880, height=520, box=box, calibration=calibration)
    assert x == pytest.approx(3.25, abs=0.1)
    assert abs(y) < 0.05


@pytest.mark.parametrize("calibration", [{}, FULL], ids=["as stated", "of the full sensor"])
def test_a_rectified_image_is_placed_by_the_projection(
    robot: FaultProbe, calibration: dict[str, Any]
) -> None:
    """One camera_info, with the lens of the raw images, is published with both."""
    lens = {**calibration, "lens": True}
    ((x, y),) = robot.ask("look", width=640, height=360, box=AHEAD, calibration=lens, rectified=True)
    assert x == pytest.approx(3.25, abs=0.1)
    assert abs(y) < 0.05
    ((raw, _),) = look(robot, 640, 360, lens)
    assert raw > 3.5, "the same box in a raw image is of a truck farther away"


def test_an_image_of_another_shape_is_not_placed_and_all_are_told(robot: FaultProbe) -> None:
    assert look(robot, 640, 480, FULL) == []
    said = "camera_info is of images of 1280x720, boxes are of images of 640x480, which have another shape"
    assert robot.status(said, name="palletjack_locator")["level"] == 1
    assert robot.status(said, name="palletjack_guard")["level"] > 0
    ((x, _),) = look(robot, 640, 360, FULL)
    assert x == pytest.approx(3.25, abs=0.1)
    assert "another shape" not in robot.status("placing detections", name="palletjack_locator")["message"]
