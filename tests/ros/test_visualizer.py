"""The visualizer: whose distance it writes on a box, and how much memory its images take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.ros.environment import isolated, own_domain, probe_answers

pytestmark = [pytest.mark.ros, pytest.mark.long]
PROBE = Path(__file__).with_name("visualizer_probe.py")


@pytest.fixture(scope="module")
def answers(main_ros_environment: dict[str, str]) -> dict[str, Any]:
    """What the probe saw."""
    with own_domain() as domain:
        # Whole images go back to the system as soon as they are freed, not when glibc thinks fit.
        environment = {**isolated(main_ros_environment, domain), "MALLOC_MMAP_THRESHOLD_": "1000000"}
        return probe_answers(environment, PROBE, timeout=200)


def test_two_boxes_of_one_score_have_each_its_own_distance(answers: dict[str, Any]) -> None:
    assert answers["told_apart"]


def test_no_image_is_kept_where_nobody_listens(answers: dict[str, Any]) -> None:
    assert answers["unseen"] < 4 * answers["image"]
    assert answers["freed"] > 50_000_000, "what was kept is given back once the listener is gone"


def test_few_images_are_kept_for_detections_that_never_come(answers: dict[str, Any]) -> None:
    """100 MB at most, not 30 images, which would be 187 MB."""
    assert answers["watched"] < 100_000_000 + 4 * answers["image"]
    assert (answers["newest"], answers["oldest"]) == (1, 0), "the newest are those that are kept"
