"""Swept bars: a round or rectangular section carried along a polyline with rounded corners."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from palletjack_sdg.geometry import Material, Part, Vec3
from palletjack_sdg.shapes.placement import Points, cross, look_along, unit
from palletjack_sdg.shapes.solids import finish, grid_faces


def pipe(
    points: ArrayLike,
    radius: float,
    material: Material,
    *,
    corner_radius: float = 0.0,
    closed: bool = False,
    segments: int = 10,
    corner_segments: int = 5,
) -> Part:
    """Return a round bar swept along ``points`` (N, 3); corners are rounded by ``corner_radius``."""
    angle = 2.0 * np.pi * np.arange(segments) / segments
    section = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    path = _rounded(np.asarray(points, dtype=np.float64), corner_radius, closed, corner_segments)
    return _sweep(path, section, material, closed, smooth=True, up=None)


def bar(
    points: ArrayLike,
    size: tuple[float, float],
    material: Material,
    *,
    up: Vec3 = (0.0, 0.0, 1.0),
    corner_radius: float = 0.0,
    closed: bool = False,
    corner_segments: int = 5,
) -> Part:
    """Return a rectangular bar swept along ``points`` (N, 3).

    ``size`` is (width, height): height runs along ``up`` as far as the path allows, width across it.
    ``up`` must not be parallel to any stretch of the path.
    """
    half_w, half_h = size[0] / 2.0, size[1] / 2.0
    section = np.array([[-half_w, -half_h], [half_w, -half_h], [half_w, half_h], [-half_w, half_h]])
    path = _rounded(np.asarray(points, dtype=np.float64), corner_radius, closed, corner_segments)
    return _sweep(path, section, material, closed, smooth=False, up=np.asarray(up, dtype=np.float64))


def _rounded(points: Points, radius: float, closed: bool, segments: int) -> Points:
    """Replace the corners of a polyline (N, 3) by tangent arcs of ``radius`` where there is room."""
    if radius <= 0.0:
        return points
    count = len(points)
    path: list[Points] = []
    for i in range(count):
        if not closed and i in (0, count - 1):
            path.append(points[i])
            continue
        before, here, after = points[i - 1], points[i], points[(i + 1) % count]
        path.extend(_corner_arc(before, here, after, radius, segments))
    return np.asarray(path)


def _corner_arc(before: Points, here: Points, after: Points, radius: float, segments: int) -> list[Points]:
    back, ahead = before - here, after - here
    reach = 0.499 * min(float(np.linalg.norm(back)), float(np.linalg.norm(ahead)))
    back, ahead = unit(back), unit(ahead)
    half_angle = 0.5 * float(np.arccos(np.clip(back @ ahead, -1.0, 1.0)))
    if half_angle > np.radians(89.5) or half_angle < np.radians(0.5):
        return [here]
    tangent = min(radius / np.tan(half_angle), reach)
    actual = tangent * np.tan(half_angle)
    center = here + unit(back + ahead) * (actual / np.sin(half_angle))
    first, last = here + back * tangent - center, here + ahead * tangent - center
    sweep = float(np.pi - 2.0 * half_angle)
    fractions = np.linspace(0.0, 1.0, segments + 1)[:, None]
    arc = (np.sin((1 - fractions) * sweep) * first + np.sin(fractions * sweep) * last) / np.sin(sweep)
    return list(center + arc)


def _sweep(
    path: Points, section: Points, material: Material, closed: bool, smooth: bool, up: Points | None
) -> Part:
    """Carry a counter-clockwise section (M, 2) along a path (N, 3), mitred at its corners."""
    edges = np.roll(path, -1, axis=0) - path
    edges = edges / np.maximum(np.linalg.norm(edges, axis=1, keepdims=True), 1e-12)
    into = np.roll(edges, 1, axis=0)
    if not closed:
        into[0], edges[-1] = edges[0], edges[-2]
    tangents = into + edges
    tangents /= np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-12)
    across = _section_axes(tangents, up)
    high = cross(tangents, across)
    rings = section[None, :, :1] * across[:, None] + section[None, :, 1:] * high[:, None]
    # Stretch the mitre along the corner's bisector so that the bar keeps its thickness.
    bend = edges - into
    bisector = bend / np.maximum(np.linalg.norm(bend, axis=1, keepdims=True), 1e-6)
    cosine = np.clip(np.einsum("ij,ij->i", tangents, edges), 0.35, 1.0)
    along = np.einsum("imj,ij->im", rings, bisector) * (1.0 / cosine - 1.0)[:, None]
    rings = path[:, None] + rings + along[..., None] * bisector[:, None]
    return _swept_mesh(rings, material, closed, smooth)


def _section_axes(tangents: Points, up: Points | None) -> Points:
    """The section's first axis at each point (N, 3): level against ``up``, or carried without twist."""
    if up is not None:
        across = cross(up, tangents) * -1.0
        return across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    across = np.empty_like(tangents)
    across[0] = look_along(np.zeros(3), tangents[0])[:3, 0]
    for i in range(1, len(tangents)):
        carried = across[i - 1] - tangents[i] * (across[i - 1] @ tangents[i])
        across[i] = unit(carried)
    return across


def _swept_mesh(rings: Points, material: Material, closed: bool, smooth: bool) -> Part:
    count, size = rings.shape[:2]
    if closed:
        # A closed frame may come back turned: join the last ring to the nearest start of the first.
        gaps = [float(np.sum((np.roll(rings[0], -k, axis=0) - rings[-1]) ** 2)) for k in range(size)]
        shift = int(np.argmin(gaps))
        rings = np.concatenate([rings, np.roll(rings[:1], -shift, axis=1)])
        count += 1
    if smooth:
        vertices = [rings.reshape(-1, 3)]
        faces = [grid_faces(count, size, wrap=True)]
        offset = count * size
    else:
        sides = np.stack([rings, np.roll(rings, -1, axis=1)], axis=2)  # (N, M, 2, 3)
        quads = np.stack([sides[:-1, :, 0], sides[:-1, :, 1], sides[1:, :, 1], sides[1:, :, 0]], axis=2)
        vertices = [quads.reshape(-1, 3)]
        start = 4 * np.arange((count - 1) * size)[:, None, None]
        faces = [(start + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)]
        offset = 4 * (count - 1) * size
    if not closed:
        fan = np.stack([np.zeros(size - 2, int), np.arange(1, size - 1), np.arange(2, size)], axis=1)
        vertices += [rings[0], rings[-1]]
        faces += [fan[:, ::-1] + offset, fan + offset + size]
    return finish(np.concatenate(vertices), np.concatenate(faces), material, smooth, None)
