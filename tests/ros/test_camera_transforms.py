"""Where TF has the camera, asked in a real ROS environment: by when, how old, and after a clock set back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ros.environment import probe_answers

pytestmark = pytest.mark.ros
PROBE = Path(__file__).with_name("camera_transforms_probe.py")


def test_transforms_are_believed_while_they_can_be_true(graph_environment: dict[str, str]) -> None:
    answers = probe_answers(graph_environment, PROBE, timeout=60)
    assert "no transform from 'camera' to 'base_link'" in answers.pop("missing")
    assert "is 6.10 s old" in answers.pop("too old")
    assert "s newer than the image" in answers.pop("of another time")
    assert "no transform from 'camera' to 'base_link'" in answers.pop("forgotten")
    assert answers == {
        "between": 1.45,
        "newest": 1.9,
        "static has no age": 0.5,
        "static stays": 0.5,
        "anew": 2.0,
        "still there": 2.0,
    }
