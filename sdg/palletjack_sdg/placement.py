"""What may stand where: upright boxes on the floor, overlap tests, and the frame's occupancy.

Boxes are oriented rectangles on the floor with a span of heights; that is enough for things which stand
upright, and lets a truck's forks pass under a rack's first beam. Metres, radians, world frame, z up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloorPoints = NDArray[np.float64]

TOLERANCE_M = 0.012
"""Overlap that is accepted: less than a bevel or a bent board, and never seen."""


@dataclass(frozen=True)
class FloorBox:
    """An upright box: centre (x, y), half extents along its own axes, yaw in radians, heights z0..z1."""

    x: float
    y: float
    half_length: float
    half_width: float
    yaw: float = 0.0
    z0: float = 0.0
    z1: float = 2.0

    def corners(self) -> FloorPoints:
        """Return the rectangle's corners (4, 2), counter-clockwise."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        local = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [self.half_length, self.half_width]
        return local @ np.array([[c, s], [-s, c]]) + [self.x, self.y]

    def moved(self, x: float, y: float, yaw: float) -> FloorBox:
        """Return this box carried along when its object's origin moves to (x, y) turned by ``yaw``."""
        c, s = np.cos(yaw), np.sin(yaw)
        return FloorBox(
            x + c * self.x - s * self.y,
            y + s * self.x + c * self.y,
            self.half_length,
            self.half_width,
            self.yaw + yaw,
            self.z0,
            self.z1,
        )

    def grown(self, margin: float) -> FloorBox:
        """Return this box with ``margin`` metres added on each side (not in height)."""
        return FloorBox(
            self.x, self.y, self.half_length + margin, self.half_width + margin, self.yaw, self.z0, self.z1
        )


def box_from_bounds(low: Sequence[float], high: Sequence[float]) -> FloorBox:
    """Return the box of an axis-aligned bound, corners ``low`` and ``high`` (3,)."""
    return FloorBox(
        (float(low[0]) + float(high[0])) / 2,
        (float(low[1]) + float(high[1])) / 2,
        (float(high[0]) - float(low[0])) / 2,
        (float(high[1]) - float(low[1])) / 2,
        0.0,
        float(low[2]),
        float(high[2]),
    )


def overlap_m(a: FloorBox, b: FloorBox) -> float:
    """Return how deep two boxes overlap, in metres; 0 or less means apart.

    Separating axes of the two rectangles (Gottschalk, 1996) and of the height; the least overlap counts.
    """
    depth = min(a.z1, b.z1) - max(a.z0, b.z0)
    if depth <= 0.0:
        return depth
    dx, dy = b.x - a.x, b.y - a.y
    for yaw in (a.yaw, b.yaw):
        for axis_x, axis_y in ((np.cos(yaw), np.sin(yaw)), (-np.sin(yaw), np.cos(yaw))):
            reach = sum(
                box.half_length * abs(axis_x * np.cos(box.yaw) + axis_y * np.sin(box.yaw))
                + box.half_width * abs(-axis_x * np.sin(box.yaw) + axis_y * np.cos(box.yaw))
                for box in (a, b)
            )
            depth = min(depth, reach - abs(axis_x * dx + axis_y * dy))
            if depth <= 0.0:
                return depth
    return depth


@dataclass(frozen=True)
class FloorArea:
    """The room's floor: x0..x1 by y0..y1."""

    x0: float
    x1: float
    y0: float
    y1: float

    def contains(self, box: FloorBox, tolerance: float = TOLERANCE_M) -> bool:
        """Tell whether the whole box stands inside."""
        corners = box.corners()
        low, high = corners.min(axis=0), corners.max(axis=0)
        return bool(
            low[0] >= self.x0 - tolerance
            and high[0] <= self.x1 + tolerance
            and low[1] >= self.y0 - tolerance
            and high[1] <= self.y1 + tolerance
        )


@dataclass
class Occupancy:
    """All boxes placed so far, and a count of what was refused and why.

    ``refused`` maps "what: reason" to a count; it goes into the plan's metadata.
    """

    area: FloorArea
    refused: Counter[str] = field(default_factory=Counter)
    _boxes: list[FloorBox] = field(default_factory=list)
    _opaque: list[FloorBox] = field(default_factory=list)
    _centers: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def opaque(self) -> tuple[FloorBox, ...]:
        """The boxes placed so far that something stands in."""
        return tuple(self._opaque)

    def collides(self, boxes: Iterable[FloorBox]) -> bool:
        """Tell whether any of ``boxes`` cuts into something placed."""
        if not self._boxes:
            return False
        placed = np.array(self._centers)
        for box in boxes:
            radius = float(np.hypot(box.half_length, box.half_width))
            near = np.hypot(placed[:, 0] - box.x, placed[:, 1] - box.y) < placed[:, 2] + radius
            if any(overlap_m(box, self._boxes[i]) > TOLERANCE_M for i in np.flatnonzero(near)):
                return True
        return False

    def try_add(self, what: str, boxes: Sequence[FloorBox]) -> bool:
        """Add ``boxes`` if they stand in the room and free of everything else; count a refusal."""
        if not all(self.area.contains(box) for box in boxes):
            self.refused[f"{what}: outside the room"] += 1
            return False
        if self.collides(boxes):
            self.refused[f"{what}: occupied"] += 1
            return False
        self.add(boxes)
        return True

    def add(self, boxes: Sequence[FloorBox], *, opaque: bool = True) -> None:
        """Add ``boxes`` without a test. Space that is only kept free, like the robot's own, is not opaque."""
        for box in boxes:
            self._boxes.append(box)
            self._centers.append((box.x, box.y, float(np.hypot(box.half_length, box.half_width))))
            if opaque:
                self._opaque.append(box)
