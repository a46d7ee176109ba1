"""Closed solids: boxes, sheets, cylinders, turned profiles, spheres and capsules."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palletjack_sdg.geometry import IntArray, Material, Part, Vec3
from palletjack_sdg.shapes.placement import Matrix4, Points, cross, look_along, scaling, translation, unit
from palletjack_sdg.shapes.placement import transform as moved

_CUBE_QUADS = np.array(
    [[0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]]
)  # corner index = x + 2 y + 4 z; sides -x, +x, -y, +y, -z, +z


def box(
    size: Vec3,
    material: Material,
    *,
    center: Vec3 = (0.0, 0.0, 0.0),
    bevel: float = 0.0,
    transform: Matrix4 | None = None,
) -> Part:
    """Return a box of full edge lengths ``size`` around ``center``.

    ``bevel`` cuts all twelve edges flat by that length (at most 49 % of the shortest edge is used).
    """
    half = np.asarray(size, dtype=np.float64) / 2.0
    bevel = min(bevel, 0.98 * float(half.min()))
    vertices, faces = _box_mesh(half) if bevel <= 0.0 else _bevelled_box_mesh(half, bevel)
    return finish(vertices + np.asarray(center), faces, material, smooth=False, matrix=transform)


def sheet(corners: ArrayLike, material: Material, *, thickness: float = 0.001) -> Part:
    """Return a thin flat slab on ``corners`` (4, 3), which run counter-clockwise seen from its front.

    The slab grows ``thickness`` backwards. Its uvs map the image upright onto the front: corner 0 is
    the bottom left, corner 2 the top right; the other faces repeat the image's border.
    """
    front = np.asarray(corners, dtype=np.float64)
    normal = unit(cross(front[1] - front[0], front[3] - front[0]))
    back = front - normal * thickness
    quads = [front, back[::-1]]
    quads += [np.array([front[j], front[i], back[i], back[j]]) for i, j in ((0, 1), (1, 2), (2, 3), (3, 0))]
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], dtype=np.float32)
    edges = [uv[[j, i, i, j]] for i, j in ((0, 1), (1, 2), (2, 3), (3, 0))]
    uvs = np.concatenate([uv, uv[::-1], *edges])
    faces = (np.arange(6)[:, None, None] * 4 + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
    part = finish(np.concatenate(quads), faces, material, smooth=False, matrix=None)
    return replace(part, uvs=uvs)


def cylinder(
    start: ArrayLike,
    end: ArrayLike,
    radius: float,
    material: Material,
    *,
    end_radius: float | None = None,
    bevel: float = 0.0,
    segments: int = 20,
) -> Part:
    """Return a capped cylinder, or a cone frustum, between two points; a short one is a disc."""
    first, axis = np.asarray(start, dtype=np.float64), np.subtract(end, start, dtype=np.float64)
    length = float(np.linalg.norm(axis))
    last_radius = radius if end_radius is None else end_radius
    if bevel > 0.0:
        cut = min(bevel, 0.49 * length, 0.9 * min(radius, last_radius))
        profile = [(0.0, 0.0), (radius - cut, 0.0), (radius, cut), (last_radius, length - cut)]
        profile += [(last_radius - cut, length), (0.0, length)]
    else:
        profile = [(0.0, 0.0), (radius, 0.0), (last_radius, length), (0.0, length)]
    return lathe(profile, material, segments=segments, transform=look_along(first, axis))


def tube(
    start: ArrayLike,
    end: ArrayLike,
    outer_radius: float,
    inner_radius: float,
    material: Material,
    *,
    segments: int = 20,
) -> Part:
    """Return a hollow cylinder (a ring, if short) between two points, open along its axis."""
    first, axis = np.asarray(start, dtype=np.float64), np.subtract(end, start, dtype=np.float64)
    length = float(np.linalg.norm(axis))
    profile = [(inner_radius, 0.0), (outer_radius, 0.0), (outer_radius, length), (inner_radius, length)]
    return lathe(profile, material, closed=True, segments=segments, transform=look_along(first, axis))


def lathe(
    profile: Sequence[tuple[float, float]],
    material: Material,
    *,
    closed: bool = False,
    segments: int = 20,
    crease_deg: float = 35.0,
    transform: Matrix4 | None = None,
) -> Part:
    """Return ``profile``, points (radius, z), revolved about the z axis.

    The profile runs counter-clockwise in the (radius, z) plane: along the bottom outwards, up the
    outside, along the top inwards. An open profile should start and end at radius 0; a ``closed`` one
    makes a ring. Corners sharper than ``crease_deg`` get hard edges.
    """
    key = tuple((float(radius), float(z)) for radius, z in profile)
    vertices, faces = _turned_mesh(key, closed, segments, crease_deg)
    return finish(vertices, faces, material, True, transform)


def sphere(
    center: Vec3,
    radius: float | Vec3,
    material: Material,
    *,
    segments: int = 16,
    rings: int = 10,
) -> Part:
    """Return a sphere, or an ellipsoid where ``radius`` is (rx, ry, rz)."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, rings + 1)
    profile = [(max(float(np.cos(a)), 0.0), float(np.sin(a))) for a in angle]
    profile[0], profile[-1] = (0.0, -1.0), (0.0, 1.0)
    radii = (radius, radius, radius) if isinstance(radius, int | float) else radius
    matrix = translation(*center) @ scaling(*radii)
    return lathe(profile, material, segments=segments, crease_deg=180.0, transform=matrix)


def capsule(
    start: ArrayLike,
    end: ArrayLike,
    radius: float,
    material: Material,
    *,
    end_radius: float | None = None,
    segments: int = 14,
    rings: int = 4,
) -> Part:
    """Return a limb: a cylinder or cone between two points with half spheres centred on them."""
    first, axis = np.asarray(start, dtype=np.float64), np.subtract(end, start, dtype=np.float64)
    length = float(np.linalg.norm(axis))
    last = radius if end_radius is None else end_radius
    quarter = np.linspace(0.0, np.pi / 2, rings + 1)
    profile = [(radius * float(np.sin(a)), -radius * float(np.cos(a))) for a in quarter]
    profile += [(last * float(np.cos(a)), length + last * float(np.sin(a))) for a in quarter]
    profile[0], profile[-1] = (0.0, -radius), (0.0, length + last)
    matrix = look_along(first, axis)
    return lathe(profile, material, segments=segments, crease_deg=180.0, transform=matrix)


def finish(
    vertices: Points, faces: NDArray[np.integer], material: Material, smooth: bool, matrix: Matrix4 | None
) -> Part:
    """Make a part of float32 vertices (V, 3), moved by ``matrix`` (4, 4) where given."""
    part = Part(vertices.astype(np.float32), faces.astype(np.int32), material, smooth=smooth)
    return part if matrix is None else moved(part, matrix)


@functools.lru_cache(maxsize=256)
def grid_faces(rows: int, columns: int, *, wrap: bool) -> NDArray[np.int64]:
    """Return the triangles (F, 3) of a row-major grid; ``wrap`` joins the last column to the first.

    The array is kept for the next call: do not write to it.
    """
    row = np.arange(rows - 1)[:, None]
    column = np.arange(columns if wrap else columns - 1)[None, :]
    following = (column + 1) % columns
    a, b = row * columns + column, row * columns + following
    c, d = (row + 1) * columns + following, (row + 1) * columns + column
    return np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)


def _box_mesh(half: Points) -> tuple[Points, IntArray]:
    index = np.arange(8)
    signs = np.stack([index & 1, (index >> 1) & 1, index >> 2], axis=1) * 2.0 - 1.0
    vertices = (signs * half)[_CUBE_QUADS].reshape(-1, 3)
    faces = (np.arange(6)[:, None, None] * 4 + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
    return vertices, faces.astype(np.int32)


@functools.lru_cache(maxsize=1)
def _bevelled_cube() -> tuple[Points, Points, IntArray]:
    """A bevelled box as signs (V, 3) of the half edges, shares (V, 3) of the bevel, and faces.

    Six faces, twelve edge strips and eight corner triangles, each with its own vertices.
    """
    polygons: list[tuple[Points, Points]] = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for sign in (-1.0, 1.0):
            corner = np.zeros((4, 3))
            corner[:, axis] = sign
            corner[:, u], corner[:, v] = [-1, 1, 1, -1], [-1, -1, 1, 1]
            cut = np.ones((4, 3))
            cut[:, axis] = 0.0
            polygons.append((corner, cut))
        for su, sv in itertools.product((-1.0, 1.0), repeat=2):
            corner = np.zeros((4, 3))
            corner[:, axis], corner[:, u], corner[:, v] = [-1, 1, 1, -1], su, sv
            cut = np.ones((4, 3))
            cut[:, u], cut[:, v] = [0, 0, 1, 1], [1, 1, 0, 0]
            polygons.append((corner, cut))
    for signs in itertools.product((-1.0, 1.0), repeat=3):
        polygons.append((np.tile(signs, (3, 1)), 1.0 - np.eye(3)))
    corners, cuts, faces, offset = [], [], [], 0
    for corner, cut in polygons:
        # Every polygon of a convex body that holds the origin faces away from the origin.
        shape = corner * (1.0 - 0.1 * cut)
        normal = cross(shape[1] - shape[0], shape[2] - shape[0])
        order = slice(None) if normal @ shape.mean(axis=0) > 0 else slice(None, None, -1)
        corners.append(corner[order])
        cuts.append(cut[order])
        faces += [[offset, offset + k, offset + k + 1] for k in range(1, len(corner) - 1)]
        offset += len(corner)
    return np.concatenate(corners), np.concatenate(cuts), np.asarray(faces, dtype=np.int32)


def _bevelled_box_mesh(half: Points, bevel: float) -> tuple[Points, IntArray]:
    corners, cuts, faces = _bevelled_cube()
    return corners * (half - bevel * cuts), faces


@functools.lru_cache(maxsize=256)
def _turned_mesh(
    profile: tuple[tuple[float, float], ...], closed: bool, segments: int, crease_deg: float
) -> tuple[Points, NDArray[np.int64]]:
    """Vertices and faces of a turned profile; kept, as wheels and bolts repeat. Do not write to them."""
    strips = _smooth_runs(np.asarray(profile), closed, crease_deg)
    angle = 2.0 * np.pi * np.arange(segments) / segments
    vertices, faces, offset = [], [], 0
    for strip in strips:
        ring = np.empty((len(strip), segments, 3))
        ring[..., 0] = strip[:, None, 0] * np.cos(angle)
        ring[..., 1] = strip[:, None, 0] * np.sin(angle)
        ring[..., 2] = strip[:, None, 1]
        vertices.append(ring.reshape(-1, 3))
        faces.append(grid_faces(len(strip), segments, wrap=True) + offset)
        offset += len(strip) * segments
    merged = np.concatenate(vertices)
    return merged, _without_slivers(merged, np.concatenate(faces))


def _smooth_runs(points: Points, closed: bool, crease_deg: float) -> list[Points]:
    """Split a profile at its hard corners into runs that share normals."""
    if closed:
        points = np.concatenate([points, points[:1]])
    step = np.diff(points, axis=0)
    direction = step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12)
    cosine = np.einsum("ij,ij->i", direction[:-1], direction[1:])
    hard = np.flatnonzero(cosine < np.cos(np.radians(crease_deg))) + 1
    bounds = [0, *hard.tolist(), len(points) - 1]
    return [points[a : b + 1] for a, b in itertools.pairwise(bounds)]


def _without_slivers(vertices: Points, faces: NDArray[np.int64]) -> NDArray[np.int64]:
    corners = vertices[faces]
    area = np.linalg.norm(cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return faces[area > 1e-14]
