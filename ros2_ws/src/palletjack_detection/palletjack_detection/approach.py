"""Drives up to a pallet truck and stops before it. No ROS in here.

The truck that was seen first, and nearest, is kept as the target, in the odometry frame. The robot turns
towards it and comes to rest a set distance before it. The guard stays behind this: what comes out is a wish.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.finite_settings import check_finite
from palletjack_detection.guard import RobotPose, Velocity

SEARCHING, DRIVING, ARRIVED = "searching", "driving", "arrived"

TURN_GAIN = 1.2
# Beyond this bearing (rad) the robot slows down to turn first.
TURNING = 0.3
# Of a place seen anew, this share enters the target.
WEIGHT = 0.4


@dataclass(frozen=True)
class ApproachConfig:
    """Metres, seconds, m/s, rad/s, m/s2.

    ``distance`` is from the robot's front to the truck, which reaches ``overhang`` beyond the place where it
    meets the floor. ``gate``: a detection within it of the target is the target. ``target_timeout``: the
    target is given up when unseen for so long.
    """

    distance: float = 1.5
    tolerance: float = 0.1
    speed: float = 0.5
    turn_rate: float = 0.5
    deceleration: float = 0.3
    robot_front: float = 0.45
    overhang: float = 0.3
    gate: float = 1.0
    target_timeout: float = 2.0

    def __post_init__(self) -> None:
        above_zero = ("tolerance", "speed", "deceleration", "gate", "target_timeout")
        check_finite(self, "approach", above_zero=above_zero)


@dataclass
class Approach:
    """Feed it with ``observe``, ask it with ``command``."""

    config: ApproachConfig = field(default_factory=ApproachConfig)
    target: NDArray[np.float64] | None = None
    last_seen: float = -math.inf
    state: str = SEARCHING

    def observe(self, pose: RobotPose, places: Sequence[tuple[float, float]]) -> None:
        """Take in where trucks meet the floor: points (x, y) of base_link when the robot was at ``pose``."""
        points = pose.to_odom(np.asarray(places, dtype=np.float64).reshape(-1, 2))
        points = points[np.all(np.isfinite(points), axis=1)]
        if len(points) == 0:
            return
        anchor = np.array([pose.x, pose.y]) if self.target is None else self.target
        distances = np.linalg.norm(points - anchor, axis=1)
        nearest = points[int(distances.argmin())]
        if self.target is None:
            self.target = nearest
        elif distances.min() <= self.config.gate:
            self.target = self.target + WEIGHT * (nearest - self.target)
        else:
            return
        self.last_seen = pose.stamp

    def command(self, now: float, pose: RobotPose) -> Velocity:
        """The velocity wished for at time ``now`` (s); zero while there is no target, and once arrived."""
        if self.target is not None and now - self.last_seen > self.config.target_timeout:
            self.target = None
        if self.target is None:
            self.state = SEARCHING
            return Velocity()
        x, y = pose.to_base(self.target[None])[0]
        keep = self.config.distance + self.config.robot_front + self.config.overhang
        remaining = math.hypot(x, y) - keep
        bearing = math.atan2(y, x)
        # What has arrived stays, until the target is clearly farther away.
        slack = self.config.tolerance * (2.0 if self.state == ARRIVED else 1.0)
        if remaining <= slack and abs(bearing) < TURNING:
            self.state = ARRIVED
            return Velocity()
        self.state = DRIVING
        angular = max(-self.config.turn_rate, min(self.config.turn_rate, TURN_GAIN * bearing))
        linear = min(self.config.speed, math.sqrt(2.0 * self.config.deceleration * max(remaining, 0.0)))
        if abs(bearing) > TURNING:
            linear *= max(0.0, math.cos(bearing)) ** 2
        return Velocity(linear, angular)
