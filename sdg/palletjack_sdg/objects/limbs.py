"""Soft bodies: limbs and trunks lofted through rings, and where a knee or an elbow goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palletjack_sdg.objects.assembly import Assembly

Points = NDArray[np.float64]


def two_bone_joint(start: ArrayLike, end: ArrayLike, upper: float, lower: float, pole: ArrayLike) -> Points:
    """Return the joint (3,) of two bones of lengths ``upper`` and ``lower`` that bends towards ``pole``.

    ``end`` must lie within reach: use ``within_reach`` first. Formula: law of cosines in the plane of
    start, end and pole.
    """
    first, last = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    distance = float(np.linalg.norm(last - first))
    axis = (last - first) / distance
    along = (upper**2 - lower**2 + distance**2) / (2.0 * distance)
    bend = np.sqrt(max(upper**2 - along**2, 0.0))
    direction = np.asarray(pole, dtype=np.float64)
    direction = direction - axis * (direction @ axis)
    direction /= max(float(np.linalg.norm(direction)), 1e-9)
    return np.asarray(first + along * axis + bend * direction)


def within_reach(start: ArrayLike, target: ArrayLike, reach: float) -> Points:
    """Return ``target`` (3,), pulled in to at most ``reach`` metres from ``start``."""
    first = np.asarray(start, dtype=np.float64)
    offset = np.asarray(target, dtype=np.float64) - first
    distance = float(np.linalg.norm(offset))
    return np.asarray(first + offset * min(1.0, reach / max(distance, 1e-9)))


def smooth_path(points: ArrayLike, radii: ArrayLike, count: int) -> tuple[Points, Points]:
    """Resample ``points`` (N, 3) and ``radii`` (N, 2) to ``count`` rings; corners become gentle bends."""
    knots, sizes = np.asarray(points, dtype=np.float64), np.asarray(radii, dtype=np.float64)
    run = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    spots = np.linspace(0.0, run[-1], count)
    path = np.stack([np.interp(spots, run, knots[:, axis]) for axis in range(3)], axis=1)
    path[1:-1] = 0.25 * path[:-2] + 0.5 * path[1:-1] + 0.25 * path[2:]
    rings = np.stack([np.interp(spots, run, sizes[:, axis]) for axis in range(2)], axis=1)
    return path, rings


def add_loft(
    assembly: Assembly,
    material: str,
    path: Points,
    radii: Points,
    side: ArrayLike = (0.0, 1.0, 0.0),
    segments: int = 14,
    folds: Points | None = None,
    floor: bool = False,
) -> None:
    """Add a closed body of elliptic rings around ``path`` (N, 3).

    ``radii`` (N, 2) are half-widths along ``side`` and across it. ``folds`` (N, segments) scales each
    ring's vertices, as cloth creases. With ``floor`` nothing goes below z = 0 of the current frame.
    """
    tangents = np.gradient(path, axis=0)
    tangents /= np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-9)
    reference = np.asarray(side, dtype=np.float64)
    across = reference - tangents * (tangents @ reference)[:, None]
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    other = np.cross(tangents, across)
    angle = 2.0 * np.pi * np.arange(segments) / segments
    scale = np.ones((len(path), segments)) if folds is None else folds
    rings = path[:, None, :] + scale[..., None] * (
        radii[:, None, :1] * np.cos(angle)[None, :, None] * across[:, None, :]
        + radii[:, None, 1:] * np.sin(angle)[None, :, None] * other[:, None, :]
    )
    vertices = np.concatenate([rings.reshape(-1, 3), path[:1], path[-1:]])
    if floor:
        vertices[:, 2] = np.maximum(vertices[:, 2], 0.0)
    u = 1.0 - np.abs(1.0 - angle / np.pi)
    v = 1.0 - np.linspace(0.0, 1.0, len(path))
    uvs = np.stack(np.broadcast_arrays(u[None, :], v[:, None]), axis=2).reshape(-1, 2)
    uvs = np.concatenate([uvs, [[0.5, 1.0], [0.5, 0.0]]])
    assembly.mesh(material, vertices, _loft_faces(len(path), segments), uvs)


def _loft_faces(rings: int, segments: int) -> NDArray[np.int64]:
    """Faces (F, 3) of ``rings`` loops of ``segments`` vertices and two pole vertices after them."""
    here = np.arange(segments)
    after = (here + 1) % segments
    base = (np.arange(rings - 1) * segments)[:, None]
    lower = np.stack([base + here, base + after, base + after + segments], axis=2)
    upper = np.stack([base + here, base + after + segments, base + here + segments], axis=2)
    bottom, top = rings * segments, rings * segments + 1
    last = (rings - 1) * segments
    caps = [
        np.stack([after, here, np.full(segments, bottom)], axis=1),
        np.stack([last + here, last + after, np.full(segments, top)], axis=1),
    ]
    return np.concatenate([lower.reshape(-1, 3), upper.reshape(-1, 3), *caps])
