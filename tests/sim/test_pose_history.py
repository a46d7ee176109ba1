"""The robot's place at the time of an image, at any rate of odometry."""

from __future__ import annotations

import math

import pytest

from palletjack_detection.guard import RobotPose
from palletjack_detection.pose_history import KEPT_POSES, PoseHistory


def driven(rate_hz: float, seconds: float = 4.0, start: float = 100.0) -> PoseHistory:
    """1 m/s along x, turning by 0.5 rad/s."""
    history = PoseHistory()
    for step in range(round(rate_hz * seconds) + 1):
        t = step / rate_hz
        history.add(RobotPose(start + t, t, 0.0, math.remainder(3.0 + 0.5 * t, 2.0 * math.pi), 1.0))
    return history


@pytest.mark.parametrize("rate_hz", [10.0, 50.0, 1000.0])
def test_an_image_of_seconds_ago_is_placed_at_any_rate(rate_hz: float) -> None:
    history = driven(rate_hz)
    for age in (0.0, 0.0107, 0.3, 1.0, 3.33):
        pose = history.at(104.0 - age)
        assert pose.stamp == pytest.approx(104.0 - age, abs=1e-6)
        assert pose.x == pytest.approx(4.0 - age, abs=1e-6)
        assert math.remainder(pose.yaw - 3.0 - 0.5 * (4.0 - age), 2.0 * math.pi) == pytest.approx(
            0.0, abs=1e-6
        )
    newest = history.newest
    assert newest is not None
    assert newest.stamp == pytest.approx(104.0)


def test_memory_is_bounded() -> None:
    history = driven(1000.0, seconds=12.0)
    assert len(history._poses) == KEPT_POSES
    assert history.reaches(107.5, 0.0)
    assert not history.reaches(100.0, 0.0)


def test_an_image_from_before_all_odometry_keeps_its_age() -> None:
    """Else detections of any age would be as new as the oldest odometry that is known."""
    history = driven(1000.0, seconds=12.0)
    assert history.at(101.0).stamp == 101.0
    assert history.at(113.0).stamp == 113.0
    assert history.at(113.0).x == pytest.approx(12.0)


def test_time_that_begins_anew_drops_what_was_before() -> None:
    history = driven(10.0)
    assert history.add(RobotPose(5.0, 7.0, 0.0, 0.0, 0.0))
    assert not history.add(RobotPose(5.1, 8.0, 0.0, 0.0, 0.0))
    assert history.at(5.05).x == pytest.approx(7.5)
    assert not history.reaches(101.0, 0.2)
