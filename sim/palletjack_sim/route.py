"""The driver that knows the route and nothing of what stands on it."""

from __future__ import annotations

import math

from palletjack_detection.guard import RobotPose, Velocity
from palletjack_sim.scenario import Pose, Route

LOOK_AHEAD = 1.0
TURN_GAIN = 1.5
TURN_LIMIT = 0.6
# Braking into the goal, m/s2; gentler than any robot's limit.
GOAL_DECELERATION = 0.4


class StraightRoute:
    """Follows the line from the start to the goal and comes to rest there."""

    def __init__(self, start: Pose, route: Route) -> None:
        self._start = (start.x, start.y)
        self._route = route
        across = (route.goal[0] - start.x, route.goal[1] - start.y)
        self.length = math.hypot(*across)
        if self.length <= route.goal_tolerance:
            raise ValueError(f"route.goal {route.goal}: expected a point away from robot.start {self._start}")
        self._direction = (across[0] / self.length, across[1] / self.length)

    def progress(self, pose: RobotPose) -> float:
        """Metres along the line, from the start."""
        return (pose.x - self._start[0]) * self._direction[0] + (pose.y - self._start[1]) * self._direction[1]

    def reached(self, pose: RobotPose) -> bool:
        """Whether the robot is at the goal, within the route's tolerance along the line."""
        return self.progress(pose) >= self.length - self._route.goal_tolerance

    def command(self, pose: RobotPose) -> Velocity:
        """Velocity that the robot should drive if nothing were in its way."""
        if self.reached(pose):
            return Velocity()
        ahead = min(self.progress(pose) + LOOK_AHEAD, self.length + LOOK_AHEAD)
        target = (
            self._start[0] + ahead * self._direction[0],
            self._start[1] + ahead * self._direction[1],
        )
        heading = math.atan2(target[1] - pose.y, target[0] - pose.x)
        error = math.remainder(heading - pose.yaw, 2.0 * math.pi)
        remaining = self.length - self.progress(pose)
        linear = min(self._route.speed, math.sqrt(2.0 * GOAL_DECELERATION * remaining))
        return Velocity(linear, max(-TURN_LIMIT, min(TURN_LIMIT, TURN_GAIN * error)))
