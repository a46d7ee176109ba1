"""Extruded plans: polygons pulled up along z, with bevelled rims."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palletjack_sdg.geometry import Material, Part
from palletjack_sdg.shapes.placement import Matrix4, Points
from palletjack_sdg.shapes.solids import finish


def extrude(
    polygon: ArrayLike,
    height: float,
    material: Material,
    *,
    bevel: float = 0.0,
    transform: Matrix4 | None = None,
) -> Part:
    """Return a simple ``polygon`` (N, 2) in the xy plane extruded from z = 0 to z = ``height``.

    Either winding is accepted. ``bevel`` cuts the top and bottom rims flat; keep it well below half
    of the narrowest width.

    Raises:
        ValueError: the polygon has fewer than three corners or crosses itself.
    """
    outline = _counter_clockwise(np.asarray(polygon, dtype=np.float64))
    caps = _triangulate(outline)
    inner = _inset(outline, bevel) if bevel > 0.0 else outline
    cut = min(bevel, 0.49 * height)
    levels = [(inner, 0.0), (outline, cut), (outline, height - cut), (inner, height)]
    if bevel <= 0.0:
        levels = [(outline, 0.0), (outline, height)]
    count, following = len(outline), np.roll(np.arange(len(outline)), -1)
    rings = [np.column_stack([ring, np.full(count, z)]) for ring, z in levels]
    vertices = [rings[0], rings[-1]]
    faces = [caps[:, ::-1], caps + count]
    offset = 2 * count
    for below, above in itertools.pairwise(rings):
        quads = np.stack([below, below[following], above[following], above], axis=1)
        vertices.append(quads.reshape(-1, 3))
        start = offset + 4 * np.arange(count)[:, None, None]
        faces.append((start + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3))
        offset += 4 * count
    return finish(np.concatenate(vertices), np.concatenate(faces), material, False, transform)


def rounded_rectangle(width: float, height: float, radius: float, *, corner_segments: int = 4) -> Points:
    """Return the outline (N, 2) of a rectangle around the origin with rounded corners, to extrude."""
    half_w, half_h = width / 2.0, height / 2.0
    radius = min(radius, half_w, half_h)
    angle = np.linspace(0.0, np.pi / 2, corner_segments + 1)
    arc = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    corners, turn = [], np.eye(2)
    for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
        center = np.array([x * (half_w - radius), y * (half_h - radius)])
        corners.append(center + arc @ turn.T)
        turn = quarter @ turn
    return np.concatenate(corners)


def _counter_clockwise(polygon: Points) -> Points:
    if polygon.ndim != 2 or polygon.shape[0] < 3 or polygon.shape[1] != 2:
        raise ValueError(f"polygon: expected at least 3 corners (N, 2), found shape {polygon.shape}")
    following = np.roll(polygon, -1, axis=0)
    area = np.sum(polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1])
    if _crosses_itself(polygon):
        raise ValueError(
            f"polygon: expected a simple outline, found one that crosses itself: {polygon.tolist()}"
        )
    return polygon if area > 0 else polygon[::-1]


def _crosses_itself(polygon: Points) -> bool:
    """Whether two edges that are no neighbours properly cross."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    step = end - start

    def side(point: Points) -> Points:
        """On which side of edge i point j lies, (N, N)."""
        offset = point[None] - start[:, None]
        return step[:, None, 0] * offset[..., 1] - step[:, None, 1] * offset[..., 0]

    apart = side(start) * side(end)
    # Products of two areas: the margin is far below that of any real outline.
    return bool(np.any((apart < -1e-18) & (apart.T < -1e-18)))


def _turn(a: Points, b: Points, c: Points) -> float:
    """Twice the signed area of a triangle; positive for a left turn."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _triangulate(polygon: Points) -> NDArray[np.int64]:
    """Triangles (N - 2, 3) of a counter-clockwise simple polygon, by clipping ears."""
    before, after = np.roll(polygon, 1, axis=0), np.roll(polygon, -1, axis=0)
    a, b = polygon - before, after - polygon
    if np.all(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] >= -1e-15):
        steps = np.arange(1, len(polygon) - 1)
        return np.stack([np.zeros_like(steps), steps, steps + 1], axis=1)
    left = list(range(len(polygon)))
    triangles = []
    while len(left) > 3:
        ear = _find_ear(polygon, left)
        triangles.append((left[ear - 1], left[ear], left[(ear + 1) % len(left)]))
        left.pop(ear)
    triangles.append((left[0], left[1], left[2]))
    return np.asarray(triangles, dtype=np.int64)


def _find_ear(polygon: Points, left: Sequence[int]) -> int:
    ring = polygon[list(left)]
    for i in range(len(left)):
        a, b, c = ring[i - 1], ring[i], ring[(i + 1) % len(left)]
        if _turn(a, b, c) <= -1e-15:
            continue
        edges = ((a, b), (b, c), (c, a))
        inside = np.ones(len(ring), dtype=bool)
        for start, end in edges:
            step, offset = end - start, ring - start
            inside &= step[0] * offset[:, 1] - step[1] * offset[:, 0] > 1e-12
        inside[[i - 1, i, (i + 1) % len(left)]] = False
        if not inside.any():
            return i
    raise ValueError("polygon: expected a simple outline, found one that crosses itself")


def _inset(outline: Points, distance: float) -> Points:
    """Move each edge of a counter-clockwise outline inwards by ``distance``, mitred."""
    into = outline - np.roll(outline, 1, axis=0)
    out = np.roll(outline, -1, axis=0) - outline
    into /= np.maximum(np.linalg.norm(into, axis=1, keepdims=True), 1e-12)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
    normal = np.stack([-into[:, 1] - out[:, 1], into[:, 0] + out[:, 0]], axis=1)
    cosine = np.maximum(1.0 + np.einsum("ij,ij->i", into, out), 0.3)
    return outline + normal * (distance / cosine)[:, None]
