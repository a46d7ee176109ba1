"""Distance on the floor from the robot's outline to what stands in the hall.

Isaac Sim moves the robot; how near it came is judged here, by one rule whatever the colliders are.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.guard import RobotPose
from palletjack_sdg.scene import Instance
from palletjack_sim.scenario import Robot
from palletjack_sim.world import World

# Edges are sampled this densely; distances are true to half of it.
SAMPLE_M = 0.02
FARTHEST_M = 50.0
# Those of objects begin with 1.
ENVIRONMENT_ID = 0


class Clearance:
    """Distances from the robot's rectangle, as long and wide as the scenario says, to each object.

    ``outline``: points (N, 2) of what else stands there, counted as one object with the id ENVIRONMENT_ID.
    """

    def __init__(self, world: World, robot: Robot, outline: NDArray[np.float64] | None = None) -> None:
        self._world = world
        self._half = np.array([robot.length, robot.width]) / 2.0
        self._points = {
            item.instance_id: points
            for item in world.instances
            if len(points := _edge_points(item, robot.height))
        }
        if outline is not None and len(outline):
            self._points[ENVIRONMENT_ID] = outline
        self._first = {item.instance_id: item.pose for item in world.instances}

    def to(self, instance_ids: Iterable[int], pose: RobotPose) -> float:
        """Least distance in metres to the given objects; 0 where they overlap, 50 at most."""
        return min(
            (self._distance(key, pose) for key in instance_ids if key in self._points), default=FARTHEST_M
        )

    def touched(self, pose: RobotPose) -> set[int]:
        """Instance ids of the objects that the rectangle overlaps."""
        return {key for key in self._points if self._distance(key, pose) <= 0.0}

    def _distance(self, instance_id: int, pose: RobotPose) -> float:
        sin, cos = np.sin(pose.yaw), np.cos(pose.yaw)
        points = self._points_at(instance_id, pose.stamp)
        local = (points - [pose.x, pose.y]) @ np.array([[cos, -sin], [sin, cos]])
        outside = np.clip(np.abs(local) - self._half, 0.0, None)
        return float(min(np.hypot(outside[:, 0], outside[:, 1]).min(), FARTHEST_M))

    def _points_at(self, instance_id: int, stamp: float) -> NDArray[np.float64]:
        """The object's points where it is at ``stamp`` (s); a path is on the floor."""
        points = self._points[instance_id]
        if (motion := self._world.motions.get(instance_id)) is None:
            return points
        moved = motion.pose_at(stamp) @ np.linalg.inv(self._first[instance_id])
        return np.asarray(points @ moved[:2, :2].T + moved[:2, 3])


def _edge_points(instance: Instance, height: float) -> NDArray[np.float64]:
    """Points (N, 2) on all triangle edges that lie lower than the robot is high."""
    placed = [
        (part.vertices[part.faces].reshape(-1, 3) @ instance.pose[:3, :3].T + instance.pose[:3, 3])
        for part in instance.prop.parts
        if len(part.faces)
    ]
    triangles = np.concatenate(placed).reshape(-1, 3, 3)
    starts = triangles[:, [0, 1, 2]].reshape(-1, 3)
    ends = triangles[:, [1, 2, 0]].reshape(-1, 3)
    low = np.minimum(starts[:, 2], ends[:, 2]) <= height
    starts, ends = starts[low], ends[low]
    points = sample_edges(starts, ends)
    points = points[points[:, 2] <= height]
    # Many edges share their points.
    return np.unique(np.round(points[:, :2] / (SAMPLE_M / 4.0)), axis=0) * (SAMPLE_M / 4.0)


def sample_edges(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (N, D) along the straight edges from ``starts`` to ``ends``, SAMPLE_M apart at most."""
    counts = np.ceil(np.linalg.norm(ends - starts, axis=1) / SAMPLE_M).astype(int) + 1
    edge = np.repeat(np.arange(len(counts)), counts)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else counts
    share = (np.arange(len(edge)) - np.repeat(first, counts)) / np.maximum(counts[edge] - 1, 1)
    return np.asarray(starts[edge] + share[:, None] * (ends[edge] - starts[edge]))
