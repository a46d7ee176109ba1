"""Props made of many small pieces: collect boxes, quads and rods by material, then mesh them at once.

A loaded pallet has hundreds of boards and cartons, and a renderer wants few meshes with few textures.
An ``Assembly`` gathers the pieces of one material, each with its own rectangle of that material's
texture (an atlas), and makes one ``Part`` of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palletjack_sdg.geometry import Material, Part, Prop, Vec3

UvRect = tuple[float, float, float, float]
FloatMatrix = NDArray[np.float64]
FULL: UvRect = (0.0, 0.0, 1.0, 1.0)

# Corners of a unit box's sides +x, -x, +y, -y, +z, -z, each counter-clockwise seen from outside,
# beginning at the image's lower left.
_SIDES = 0.5 * np.array(
    [
        [[1, -1, -1], [1, 1, -1], [1, 1, 1], [1, -1, 1]],
        [[-1, 1, -1], [-1, -1, -1], [-1, -1, 1], [-1, 1, 1]],
        [[1, 1, -1], [-1, 1, -1], [-1, 1, 1], [1, 1, 1]],
        [[-1, -1, -1], [1, -1, -1], [1, -1, 1], [-1, -1, 1]],
        [[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]],
        [[-1, 1, -1], [1, 1, -1], [1, -1, -1], [-1, -1, -1]],
    ],
    dtype=np.float64,
)
_QUAD = np.array([[0, 1, 2], [0, 2, 3]])


def turn(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> FloatMatrix:
    """Rotation (3, 3) by roll about x, then pitch about y, then yaw about z, in radians."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_z = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    about_y = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    return np.asarray(about_z @ about_y @ about_x)


@dataclass
class _Pieces:
    """What has been collected for one material."""

    box_axes: list[FloatMatrix] = field(default_factory=list)
    box_centers: list[FloatMatrix] = field(default_factory=list)
    box_uvs: list[Sequence[UvRect]] = field(default_factory=list)
    vertices: list[FloatMatrix] = field(default_factory=list)
    uvs: list[FloatMatrix] = field(default_factory=list)
    faces: list[NDArray[np.int64]] = field(default_factory=list)


class Assembly:
    """Collects pieces by material name. ``smooth`` names the materials with interpolated normals."""

    def __init__(self, materials: Mapping[str, Material], smooth: Sequence[str] = ()) -> None:
        self._materials = dict(materials)
        self._smooth = frozenset(smooth)
        self._pieces: dict[str, _Pieces] = {}
        self._rotation: FloatMatrix = np.eye(3)
        self._origin: FloatMatrix = np.zeros(3)

    @contextmanager
    def placed(
        self, x: float = 0.0, y: float = 0.0, z: float = 0.0, rotation: FloatMatrix | None = None
    ) -> Iterator[None]:
        """Add what follows in a frame at (x, y, z), turned by ``rotation`` (3, 3). Frames nest."""
        before = self._rotation, self._origin
        self._origin = self._origin + self._rotation @ np.array([x, y, z])
        if rotation is not None:
            self._rotation = self._rotation @ rotation
        try:
            yield
        finally:
            self._rotation, self._origin = before

    def point(self, x: float, y: float, z: float) -> Vec3:
        """Return a point of the current frame in the prop's frame."""
        moved = self._origin + self._rotation @ np.array([x, y, z])
        return (float(moved[0]), float(moved[1]), float(moved[2]))

    def box(
        self,
        material: str,
        size: Vec3,
        center: Vec3,
        uv: UvRect | Sequence[UvRect] = FULL,
        rotation: FloatMatrix | None = None,
    ) -> None:
        """Add a box. ``uv`` is one rectangle for all sides or six, for +x, -x, +y, -y, +z, -z."""
        pieces = self._of(material)
        turned = self._rotation if rotation is None else self._rotation @ rotation
        pieces.box_axes.append(turned * np.asarray(size))
        pieces.box_centers.append(self._origin + self._rotation @ np.asarray(center))
        pieces.box_uvs.append((uv,) * 6 if isinstance(uv[0], float | int) else uv)  # type: ignore[arg-type]

    def beam(
        self, material: str, start: Vec3, end: Vec3, width: float, height: float, uv: UvRect = FULL
    ) -> None:
        """Add a rectangular bar between two points; ``height`` is measured as upright as can be."""
        first, last = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
        length = float(np.linalg.norm(last - first))
        axis = (last - first) / length
        helper = np.array([0.0, 0.0, 1.0]) if abs(axis[2]) < 0.99 else np.array([1.0, 0.0, 0.0])
        side = np.cross(helper, axis)
        side /= np.linalg.norm(side)
        frame = np.stack([axis, side, np.cross(axis, side)], axis=1)
        middle = (first + last) / 2.0
        center = (float(middle[0]), float(middle[1]), float(middle[2]))
        self.box(material, (length, width, height), center, uv, frame)

    def quad(self, material: str, corners: ArrayLike, uv: UvRect = FULL) -> None:
        """Add a flat face (4, 3), counter-clockwise from the image's lower left; one-sided."""
        u0, v0, u1, v1 = uv
        self.mesh(
            material,
            np.asarray(corners, dtype=np.float64),
            _QUAD,
            np.array([[u0, v1], [u1, v1], [u1, v0], [u0, v0]]),
        )

    def rods(self, material: str, starts: ArrayLike, ends: ArrayLike, radius: float, sides: int = 3) -> None:
        """Add thin open prisms between ``starts`` and ``ends`` (N, 3): wires, cheap in triangles."""
        first = np.asarray(starts, dtype=np.float64).reshape(-1, 3)
        last = np.asarray(ends, dtype=np.float64).reshape(-1, 3)
        axis = last - first
        axis = axis / np.linalg.norm(axis, axis=1, keepdims=True)
        helper = np.where(
            np.abs(axis[:, 2:3]) < 0.9, np.array([[0.0, 0.0, 1.0]]), np.array([[1.0, 0.0, 0.0]])
        )
        side = np.cross(helper, axis)
        side = side / np.linalg.norm(side, axis=1, keepdims=True)
        other = np.cross(axis, side)
        angle = 2.0 * np.pi * np.arange(sides) / sides
        ring = radius * (
            side[:, None, :] * np.cos(angle)[None, :, None] + other[:, None, :] * np.sin(angle)[None, :, None]
        )
        vertices = np.concatenate([first[:, None, :] + ring, last[:, None, :] + ring], axis=1).reshape(-1, 3)
        here, after = np.arange(sides), (np.arange(sides) + 1) % sides
        prism = np.stack(
            [
                np.stack([here, after, after + sides], axis=1),
                np.stack([here, after + sides, here + sides], axis=1),
            ],
            axis=1,
        ).reshape(-1, 3)
        faces = (np.arange(len(first))[:, None, None] * 2 * sides + prism).reshape(-1, 3)
        self.mesh(material, vertices, faces)

    def wire_grid(
        self, material: str, corner: Vec3, along: Vec3, up: Vec3, pitch: float, radius: float, sides: int = 3
    ) -> None:
        """Add wires about ``pitch`` metres apart over a rectangle that two edges span from ``corner``."""
        base = np.asarray(corner, dtype=np.float64)
        for span, other in ((along, up), (up, along)):
            run, step = np.asarray(span, dtype=np.float64), np.asarray(other, dtype=np.float64)
            count = max(2, round(float(np.linalg.norm(step)) / pitch))
            starts = base + step * (np.arange(1, count) / count)[:, None]
            self.rods(material, starts, starts + run, radius, sides)

    def add_part(self, material: str, part: Part) -> None:
        """Add a finished part in the current frame; its own material is replaced by the named one."""
        uvs = None if part.uvs is None else part.uvs.astype(np.float64)
        self.mesh(material, part.vertices.astype(np.float64), part.faces.astype(np.int64), uvs)

    def mesh(
        self, material: str, vertices: FloatMatrix, faces: NDArray[np.int64], uvs: FloatMatrix | None = None
    ) -> None:
        """Add triangles ``faces`` (F, 3) over ``vertices`` (V, 3); without ``uvs`` (V, 2) texels at 0.5."""
        pieces = self._of(material)
        pieces.vertices.append(vertices @ self._rotation.T + self._origin)
        pieces.faces.append(faces)
        pieces.uvs.append(np.full((len(vertices), 2), 0.5) if uvs is None else uvs)

    def parts(self) -> tuple[Part, ...]:
        """Return one part for every material that has pieces."""
        return tuple(
            self._finish(pieces, self._materials[name], name in self._smooth)
            for name, pieces in self._pieces.items()
        )

    def prop(self, category: str, anchors: Mapping[str, Vec3] | None = None) -> Prop:
        """Return all that was collected as a prop."""
        return Prop(category, self.parts(), dict(anchors or {}))

    def _of(self, material: str) -> _Pieces:
        if material not in self._materials:
            raise KeyError(f"assembly: expected a material of {sorted(self._materials)}, found {material!r}")
        return self._pieces.setdefault(material, _Pieces())

    @staticmethod
    def _finish(pieces: _Pieces, material: Material, smooth: bool) -> Part:
        vertices, faces, uvs = list(pieces.vertices), [], list(pieces.uvs)
        offset = 0
        for block, local in zip(pieces.vertices, pieces.faces, strict=True):
            faces.append(local + offset)
            offset += len(block)
        if pieces.box_axes:
            axes, centers = np.stack(pieces.box_axes), np.stack(pieces.box_centers)
            corners = np.einsum("nij,skj->nski", axes, _SIDES) + centers[:, None, None, :]
            rects = np.asarray(pieces.box_uvs, dtype=np.float64)
            vertices.append(corners.reshape(-1, 3))
            uvs.append(rects[:, :, [[0, 3], [2, 3], [2, 1], [0, 1]]].reshape(-1, 2))
            quads = np.arange(len(axes) * 6)[:, None, None] * 4 + _QUAD + offset
            faces.append(quads.reshape(-1, 3))
        return Part(
            vertices=np.concatenate(vertices).astype(np.float32),
            faces=np.concatenate(faces).astype(np.int32),
            material=material,
            uvs=np.clip(np.concatenate(uvs), 0.0, 1.0).astype(np.float32)
            if material.texture is not None
            else None,
            smooth=smooth,
        )


def draw_seed(rng: np.random.Generator) -> int:
    """Draw the seed that a family's parameters carry."""
    return int(rng.integers(2**31))
