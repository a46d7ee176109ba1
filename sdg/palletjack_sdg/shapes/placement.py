"""Rigid and affine placement of parts: matrices, moving, joining and box-projected uvs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palletjack_sdg.geometry import Part, Vec3

Matrix4 = NDArray[np.float64]
Points = NDArray[np.float64]

_AXES: dict[str, Vec3] = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


def translation(x: float, y: float, z: float) -> Matrix4:
    """Return the (4, 4) matrix that moves by (x, y, z) metres."""
    matrix = np.eye(4)
    matrix[:3, 3] = (x, y, z)
    return matrix


def rotation(axis: str | Vec3, degrees: float, about: Vec3 = (0.0, 0.0, 0.0)) -> Matrix4:
    """Return the (4, 4) right-handed rotation about ``axis`` ("x", "y", "z" or a vector) through ``about``.

    Formula: Rodrigues' rotation.
    """
    x, y, z = unit(np.asarray(_AXES[axis] if isinstance(axis, str) else axis, dtype=np.float64))
    angle = np.radians(degrees)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle) * skew + (1.0 - np.cos(angle)) * skew @ skew
    pivot = np.asarray(about, dtype=np.float64)
    matrix[:3, 3] = pivot - matrix[:3, :3] @ pivot
    return matrix


def scaling(x: float, y: float, z: float) -> Matrix4:
    """Return the (4, 4) matrix that scales each axis; a negative factor mirrors."""
    return np.diag([x, y, z, 1.0])


def look_along(origin: ArrayLike, direction: ArrayLike) -> Matrix4:
    """Return a rigid (4, 4) matrix that takes +z to ``direction`` and the origin to ``origin``."""
    z_axis = unit(np.asarray(direction, dtype=np.float64))
    helper = np.array([0.0, 0.0, 1.0]) if abs(z_axis[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    x_axis = unit(cross(helper, z_axis))
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = x_axis, cross(z_axis, x_axis), z_axis
    matrix[:3, 3] = np.asarray(origin, dtype=np.float64)
    return matrix


def transform(part: Part, matrix: Matrix4) -> Part:
    """Return ``part`` moved by the affine (4, 4) ``matrix``; mirroring keeps the faces outward."""
    vertices = part.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    faces = part.faces[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else part.faces
    return replace(part, vertices=vertices.astype(np.float32), faces=np.ascontiguousarray(faces))


def transform_all(parts: Iterable[Part], matrix: Matrix4) -> list[Part]:
    """Return every part moved by ``matrix`` (4, 4)."""
    return [transform(part, matrix) for part in parts]


def translate(part: Part, x: float, y: float, z: float) -> Part:
    """Return ``part`` moved by (x, y, z) metres."""
    return transform(part, translation(x, y, z))


def rotate_x(part: Part, degrees: float, about: Vec3 = (0.0, 0.0, 0.0)) -> Part:
    """Return ``part`` turned about the line along x through ``about``."""
    return transform(part, rotation("x", degrees, about))


def rotate_y(part: Part, degrees: float, about: Vec3 = (0.0, 0.0, 0.0)) -> Part:
    """Return ``part`` turned about the line along y through ``about``."""
    return transform(part, rotation("y", degrees, about))


def rotate_z(part: Part, degrees: float, about: Vec3 = (0.0, 0.0, 0.0)) -> Part:
    """Return ``part`` turned about the line along z through ``about``."""
    return transform(part, rotation("z", degrees, about))


def mirror_y(part: Part) -> Part:
    """Return the mirror image of ``part`` at the plane y = 0."""
    return transform(part, scaling(1.0, -1.0, 1.0))


def merge(parts: Sequence[Part]) -> list[Part]:
    """Return fewer parts: those of the same material object, smoothness and uv presence are joined.

    Order follows the first part of each group.
    """
    groups: dict[tuple[int, bool, bool], list[Part]] = {}
    for part in parts:
        groups.setdefault((id(part.material), part.smooth, part.uvs is not None), []).append(part)
    return [_joined(group) for group in groups.values()]


def box_projected_uvs(part: Part, *, stretch: bool = True) -> Part:
    """Return ``part`` with uvs (V, 2) in 0..1 projected from the six sides of its bounding box.

    Each face takes the side that it faces most. With ``stretch`` the part's extent fills the image on
    both axes; without it the longest extent fills the image and texels stay square. Image rows run
    downwards on upright faces. Vertices between faces of different sides are duplicated.
    """
    corners = part.vertices[part.faces].astype(np.float64)
    normals = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    side = np.argmax(np.abs(normals), axis=1)
    side = np.where(np.take_along_axis(normals, side[:, None], axis=1)[:, 0] < 0, side + 3, side)
    keys = part.faces.astype(np.int64) * 6 + side[:, None]
    unique, inverse = np.unique(keys, return_inverse=True)
    vertices = part.vertices[unique // 6]
    low, high = part.vertices.min(axis=0), part.vertices.max(axis=0)
    extent = np.maximum(high - low, 1e-9)
    inside = (vertices - low) / (extent if stretch else extent.max())
    uvs = _side_uvs(inside, (unique % 6).astype(np.int64))
    faces = inverse.reshape(-1, 3).astype(np.int32)
    return replace(part, vertices=vertices, faces=faces, uvs=np.clip(uvs, 0.0, 1.0).astype(np.float32))


def cross(a: Points, b: Points) -> Points:
    """Return the cross products of vectors (..., 3); much quicker than numpy's on a handful of them."""
    return np.stack(
        [
            a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
            a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
            a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
        ],
        axis=-1,
    )


def unit(vector: Points) -> Points:
    """Return ``vector`` (3,) scaled to length 1.

    Raises:
        ValueError: its length is zero.
    """
    length = float(np.linalg.norm(vector))
    if length < 1e-12:
        raise ValueError(f"direction: expected a vector of non-zero length, found {vector.tolist()}")
    return vector / length


def _side_uvs(inside: NDArray[np.floating], side: NDArray[np.int64]) -> NDArray[np.floating]:
    """Project points in the unit cube (V, 3) to image coordinates of the side (V,) they lie on."""
    x, y, z = inside[:, 0], inside[:, 1], inside[:, 2]
    across = np.choose(side, [y, 1.0 - x, x, 1.0 - y, x, x])
    down = np.choose(side, [1.0 - z, 1.0 - z, 1.0 - y, 1.0 - z, 1.0 - z, y])
    return np.stack([across, down], axis=1)


def _joined(parts: Sequence[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets, strict=True)])
    uvs = [part.uvs for part in parts if part.uvs is not None]
    return replace(
        parts[0],
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=faces.astype(np.int32),
        uvs=np.concatenate(uvs) if uvs else None,
    )
