"""The driver that knows the route and nothing of what stands on it."""

from __future__ import annotations

import math

import numpy as np

from palletjack_detection.detections import Detections
from palletjack_detection.guard import RobotPose, Velocity
from palletjack_sim.scenario import Pose, Route

LOOK_AHEAD = 1.0
TURN_GAIN = 1.5
TURN_LIMIT = 0.6
# Braking into the goal, m/s2; gentler than any robot's limit.
GOAL_DECELERATION = 0.4


# Beyond this heading error (rad) the robot slows down: it turns into the next leg.
TURNING = 0.3
SLOWEST_TURN = 0.25


class LegRoute:
    """Follows straight legs from the start through the route's points to the goal and comes to rest there."""

    def __init__(self, start: Pose, route: Route) -> None:
        corners = np.array([(start.x, start.y), *route.via, route.goal], dtype=np.float64)
        self._legs = np.diff(corners, axis=0)
        self._lengths = np.linalg.norm(self._legs, axis=1)
        if self._lengths.min() <= route.goal_tolerance:
            index = int(self._lengths.argmin())
            first, second = (tuple(map(float, corners[i])) for i in (index, index + 1))
            raise ValueError(
                f"route: expected points more than goal_tolerance ({route.goal_tolerance} m) apart, "
                f"found {first} and {second}"
            )
        self._corners = corners
        self._directions = self._legs / self._lengths[:, None]
        self._route = route
        self._leg = 0

    @property
    def length(self) -> float:
        """Metres of all legs."""
        return float(self._lengths.sum())

    def reached(self, pose: RobotPose) -> bool:
        """Whether the robot is at the goal, within the route's tolerance along the last leg."""
        return self._leg == len(self._legs) - 1 and self._remaining(pose) <= self._route.goal_tolerance

    def see(self, pose: RobotPose, found: Detections) -> None:
        """Nothing to do: the route knows nothing of what is seen."""

    def command(self, pose: RobotPose) -> Velocity:
        """Velocity that the robot should drive if nothing were in its way."""
        # The corner is cut: the next leg begins where the point looked at would lie beyond this one.
        while self._leg < len(self._legs) - 1 and self._remaining(pose) <= LOOK_AHEAD:
            self._leg += 1
        if self.reached(pose):
            return Velocity()
        remaining = self._remaining(pose)
        ahead = max(float(self._lengths[self._leg]) - remaining, 0.0) + LOOK_AHEAD
        target = self._corners[self._leg] + ahead * self._directions[self._leg]
        heading = math.atan2(target[1] - pose.y, target[0] - pose.x)
        error = math.remainder(heading - pose.yaw, 2.0 * math.pi)
        to_goal = max(remaining, 0.0) + float(self._lengths[self._leg + 1 :].sum())
        linear = min(self._route.speed, math.sqrt(2.0 * GOAL_DECELERATION * to_goal))
        if abs(error) > TURNING:
            linear *= max(SLOWEST_TURN, math.cos(error))
        return Velocity(linear, max(-TURN_LIMIT, min(TURN_LIMIT, TURN_GAIN * error)))

    def _remaining(self, pose: RobotPose) -> float:
        """Metres along the present leg to its end."""
        to_end = self._corners[self._leg + 1] - [pose.x, pose.y]
        return float(to_end @ self._directions[self._leg])
