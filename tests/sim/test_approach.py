"""Driving up to a truck: the controller against a simple robot."""

from __future__ import annotations

import math

import pytest

from palletjack_detection.approach import ARRIVED, DRIVING, SEARCHING, Approach, ApproachConfig
from palletjack_detection.guard import RobotPose

PERIOD = 0.05
CONFIG = ApproachConfig(distance=1.5, robot_front=0.5, overhang=0.3)


def drive(
    approach: Approach, truck: tuple[float, float], seconds: float, *, seen_until: float = 99.0
) -> RobotPose:
    """A robot that does what it is asked to, and sees ``truck`` (world) at 5 Hz."""
    x = y = yaw = speed = 0.0
    pose = RobotPose(0.0, x, y, yaw, speed)
    for step in range(round(seconds / PERIOD)):
        pose = RobotPose(step * PERIOD, x, y, yaw, speed)
        if step % 4 == 0 and pose.stamp <= seen_until:
            sin, cos = math.sin(yaw), math.cos(yaw)
            dx, dy = truck[0] - x, truck[1] - y
            approach.observe(pose, [(dx * cos + dy * sin, dy * cos - dx * sin)])
        wish = approach.command(pose.stamp, pose)
        speed, yaw = wish.linear, yaw + PERIOD * wish.angular
        x, y = x + PERIOD * speed * math.cos(yaw), y + PERIOD * speed * math.sin(yaw)
    return pose


@pytest.mark.parametrize("truck", [(6.0, 0.0), (5.0, 2.5), (4.0, -3.0)])
def test_robot_stands_the_set_distance_before_the_truck_and_faces_it(truck: tuple[float, float]) -> None:
    approach = Approach(CONFIG)
    end = drive(approach, truck, 40.0)
    assert approach.state == ARRIVED
    assert end.speed == 0.0
    assert math.hypot(truck[0] - end.x, truck[1] - end.y) == pytest.approx(1.5 + 0.5 + 0.3, abs=0.11)
    bearing = math.atan2(truck[1] - end.y, truck[0] - end.x) - end.yaw
    assert abs(bearing) < 0.3


def test_truck_that_is_lost_from_view_ends_the_motion() -> None:
    approach = Approach(CONFIG)
    end = drive(approach, (8.0, 0.0), 8.0, seen_until=2.0)
    assert approach.state == SEARCHING
    assert end.speed == 0.0
    assert end.x < 0.5 * (2.0 + CONFIG.target_timeout) + 0.2


def test_second_truck_does_not_take_the_target_over() -> None:
    approach = Approach(CONFIG)
    here = RobotPose(0.0, 0.0, 0.0, 0.0, 0.0)
    approach.observe(here, [(6.0, 0.0), (9.0, 2.0)])
    approach.observe(RobotPose(0.2, 0.0, 0.0, 0.0, 0.0), [(3.0, 2.5), (6.1, 0.1)])
    approach.observe(RobotPose(0.4, 0.0, 0.0, 0.0, 0.0), [(3.0, 2.5), (math.nan, 0.0)])
    assert approach.target == pytest.approx([6.04, 0.04])
    approach.command(0.4, here)
    assert approach.state == DRIVING


def test_wrong_numbers_are_named() -> None:
    with pytest.raises(ValueError, match="approach speed: expected more than 0, found 0"):
        ApproachConfig(speed=0.0)
    with pytest.raises(ValueError, match="approach distance: expected a finite number"):
        ApproachConfig(distance=math.nan)
