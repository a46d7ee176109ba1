"""Objects that move on a fixed path, as a function of time only."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
        legs = np.diff(self.corners, axis=0)
        lengths = np.linalg.norm(legs, axis=1)
        index = 0
        while index < len(legs) - 1 and way > lengths[index]:
            way -= float(lengths[index])
            index += 1
        direction = legs[index] / lengths[index]
        place = self.corners[index] + direction * min(way, float(lengths[index]))
        yaw = math.degrees(math.atan2(direction[1], direction[0]) + self.yaw_offset)
        return pose_matrix(Pose(x=float(place[0]), y=float(place[1]), z=self.z, yaw_deg=yaw))


def pose_matrix(pose: Pose) -> NDArray[np.float64]:
    """Homogeneous transform (4, 4), object to world."""
    sin, cos = np.sin(np.radians(pose.yaw_deg)), np.cos(np.radians(pose.yaw_deg))
    return np.array([[cos, -sin, 0, pose.x], [sin, cos, 0, pose.y], [0, 0, 1, pose.z], [0, 0, 0, 1.0]])
