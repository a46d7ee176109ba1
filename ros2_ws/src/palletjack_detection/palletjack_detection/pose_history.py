"""Where the robot was when an image was taken: its odometry of the last seconds. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import replace

from palletjack_detection.guard import RobotPose

KEPT_POSES = 200
# Odometry may come a thousand times a second. Of three poses that are kept, the outer ones are as far apart
# as this (s), so that all of them together reach back for five seconds, whatever the rate.
SPACING_S = 0.05
# Stamps travel as whole nanoseconds: this is "the same time".
SAME_TIME_S = 1e-6


class PoseHistory:
    """Poses in the order of their stamps; the newest one is always there."""

    def __init__(self) -> None:
        self._poses: deque[RobotPose] = deque(maxlen=KEPT_POSES)

    @property
    def newest(self) -> RobotPose | None:
        """The last pose; None where there is none yet."""
        return self._poses[-1] if self._poses else None

    def add(self, pose: RobotPose) -> bool:
        """Keep ``pose``; return whether time began anew, as of a simulation, and all else was dropped."""
        anew = bool(self._poses) and pose.stamp < self._poses[-1].stamp
        if anew:
            self._poses.clear()
        if len(self._poses) > 1 and pose.stamp - self._poses[-2].stamp < SPACING_S:
            self._poses.pop()
        self._poses.append(pose)
        return anew

    def reaches(self, stamp: float, slack: float) -> bool:
        """Whether ``stamp`` (s) lies among the poses, or within ``slack`` (s) of them."""
        return bool(self._poses) and (self._poses[0].stamp - slack <= stamp <= self._poses[-1].stamp + slack)

    def at(self, stamp: float) -> RobotPose:
        """The pose at ``stamp`` (s), interpolated; beyond all poses the nearest one's place, at ``stamp``.

        Never with another stamp than asked for: an old image would count as a new one. Raises IndexError
        where there is no pose.
        """
        stamps = [pose.stamp for pose in self._poses]
        index = bisect_left(stamps, stamp - SAME_TIME_S)
        after = self._poses[min(index, len(stamps) - 1)]
        if abs(after.stamp - stamp) <= SAME_TIME_S:
            return after
        if index in (0, len(stamps)):
            return replace(after, stamp=stamp)
        before = self._poses[index - 1]
        share = (stamp - before.stamp) / (after.stamp - before.stamp)
        turn = math.remainder(after.yaw - before.yaw, 2.0 * math.pi)
        return RobotPose(
            stamp,
            before.x + share * (after.x - before.x),
            before.y + share * (after.y - before.y),
            before.yaw + share * turn,
            before.speed + share * (after.speed - before.speed),
        )
