"""Objects that move on a fixed path, as a function of time only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from palletjack_sim.scenario import ObjectPath, Pose


@dataclass(frozen=True)
class Motion:
    """Straight legs between ``corners`` (N, 2) in metres, driven at ``speed`` m/s from ``start`` s on.

    ``yaw_offset`` (rad) is the object's heading against the direction of the leg.
    """

    corners: NDArray[np.float64]
    speed: float
    start: float
    yaw_offset: float
    z: float

    @classmethod
    def along(cls, path: ObjectPath, written: Pose, placed: Pose) -> Motion:
        """``path`` of an object that the scenario has at ``written`` and this run at ``placed``."""
        corners = np.array([(written.x, written.y), *path.points], dtype=np.float64)
        first = corners[1] - corners[0]
        heading = math.atan2(first[1], first[0])
        moved = corners + np.array([placed.x - written.x, placed.y - written.y])
        return cls(moved, path.speed, path.start, math.radians(placed.yaw_deg) - heading, placed.z)

    def pose_at(self, stamp: float) -> NDArray[np.float64]:
        """Object to world (4, 4) at ``stamp`` (s)."""
        way = self.speed * max(stamp - self.start, 0.0)
        index = 0
        while index < len(self._lengths) - 1 and way > self._lengths[index]:
            way -= self._lengths[index]
            index += 1
        if index not in self._turned:
            self._turned[index] = self._turn_along(index)
        direction, turned = self._turned[index]
        pose = turned.copy()
        pose[:2, 3] = self.corners[index] + direction * min(way, self._lengths[index])
        return pose

    @cached_property
    def _lengths(self) -> list[float]:
        return [float(length) for length in np.linalg.norm(np.diff(self.corners, axis=0), axis=1)]

    @cached_property
    def _turned(self) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """What ``_turn_along`` gave for the legs so far: the physics asks for a pose in each of its steps."""
        return {}

    def _turn_along(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The direction of a leg, and the object turned along it (4, 4), not yet in its place."""
        direction = (self.corners[index + 1] - self.corners[index]) / self._lengths[index]
        yaw = math.degrees(math.atan2(direction[1], direction[0]) + self.yaw_offset)
        return direction, pose_matrix(Pose(x=0.0, y=0.0, z=self.z, yaw_deg=yaw))


def pose_matrix(pose: Pose) -> NDArray[np.float64]:
    """Homogeneous transform (4, 4), object to world."""
    sin, cos = np.sin(np.radians(pose.yaw_deg)), np.cos(np.radians(pose.yaw_deg))
    return np.array([[cos, -sin, 0, pose.x], [sin, cos, 0, pose.y], [0, 0, 1, pose.z], [0, 0, 0, 1.0]])
