"""What the simulator knows and the detector has to find out: boxes and distances of pallet trucks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.detections import Detections
from palletjack_detection.guard import RobotPose
from palletjack_sim.world import TRUCK_LABEL, World

# A truck of which less is seen is not asked for, in pixels.
SMALLEST_VISIBLE_AREA = 60
SMALLEST_VISIBLE_HEIGHT = 20
# Parts below this height (m) are where a truck meets the floor.
FLOOR_LAYER = 0.25
MATCHING_IOU = 0.5


@dataclass(frozen=True)
class Match:
    """A detection that lies on a truck: its index, the truck's instance id and their overlap."""

    detection: int
    instance_id: int
    iou: float


@dataclass(frozen=True)
class TruckBox:
    """The box around a truck: ``size`` (3,) along its axes, ``pose`` (4, 4) of its centre in the world."""

    instance_id: int
    size: NDArray[np.float64]
    pose: NDArray[np.float64]


class GroundTruth:
    """Boxes of the trucks in a frame and their distances on the floor."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._trucks = {item.instance_id: item for item in world.trucks}
        self._floor_points = {
            item.instance_id: _floor_points(item.prop.parts, item.pose[2, 3]) for item in world.trucks
        }
        self._corners = {item.instance_id: _corners(item.prop.parts) for item in world.trucks}

    @property
    def truck_ids(self) -> set[int]:
        """Instance ids of all pallet trucks."""
        return set(self._floor_points)

    def boxes(self, instance_ids: NDArray[np.int32]) -> tuple[Detections, list[int]]:
        """Boxes around each truck's visible pixels, in image edges, and the instance id of each.

        ``instance_ids`` (H, W) as in Frame. Trucks of which next to nothing is seen have no box.
        """
        boxes, owners = [], []
        for owner in sorted(self._floor_points):
            rows, columns = np.nonzero(instance_ids == owner)
            if len(rows) < SMALLEST_VISIBLE_AREA or np.ptp(rows) + 1 < SMALLEST_VISIBLE_HEIGHT:
                continue
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            owners.append(owner)
        count = len(boxes)
        detections = Detections(
            np.asarray(boxes, dtype=np.float32).reshape(count, 4),
            np.ones(count, dtype=np.float32),
            np.zeros(count, dtype=np.int64),
            (TRUCK_LABEL,),
        )
        return detections, owners

    def boxes_3d(self, stamp: float) -> list[TruckBox]:
        """Boxes of all trucks, seen or not, at ``stamp`` (s)."""
        found = []
        for owner, (low, high) in sorted(self._corners.items()):
            pose = self._world.pose_at(self._trucks[owner], stamp).copy()
            pose[:3, 3] += pose[:3, :3] @ (0.5 * (low + high))
            found.append(TruckBox(owner, high - low, pose))
        return found

    def floor_range(self, instance_id: int, pose: RobotPose) -> float:
        """Least distance on the floor from base_link's origin to where the truck meets the floor, metres."""
        placed = self._world.pose_at(self._trucks[instance_id], pose.stamp)
        points = self._floor_points[instance_id] @ placed[:2, :2].T + placed[:2, 3] - [pose.x, pose.y]
        return float(np.linalg.norm(points, axis=1).min())


def match(found: Detections, truth: Detections, owners: list[int]) -> list[Match]:
    """Pair detections with trucks, best score first; each truck is matched at most once."""
    free = set(range(len(truth)))
    matches = []
    for index in np.argsort(-found.scores, kind="stable"):
        overlaps = {other: box_iou(found.boxes[index], truth.boxes[other]) for other in free}
        best = max(overlaps, key=lambda other: overlaps[other], default=None)
        if best is not None and overlaps[best] >= MATCHING_IOU:
            free.remove(best)
            matches.append(Match(int(index), owners[best], overlaps[best]))
    return matches


def box_iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes (xmin, ymin, xmax, ymax)."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = float(np.prod(np.clip(high - low, 0.0, None)))
    total = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])) - shared
    return shared / total if total > 0.0 else 0.0


def _corners(parts: tuple) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest coordinates (3,) of the object in its own frame."""
    vertices = np.concatenate([part.vertices for part in parts]).astype(np.float64)
    return vertices.min(axis=0), vertices.max(axis=0)


def _floor_points(parts: tuple, z: float) -> NDArray[np.float64]:
    """Points (N, 2) of the object's own frame near the floor; objects only turn about z."""
    vertices = np.concatenate([part.vertices for part in parts]).astype(np.float64)
    low = vertices[vertices[:, 2] + z < FLOOR_LAYER, :2]
    return low if len(low) else vertices[:, :2]
