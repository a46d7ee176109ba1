"""Merging of all objects of a scene into three meshes: solid, textured and see-through.

A path tracer that compiles its kernels (Dr.Jit) does so anew when the number of objects changes.
With everything merged, each scene has the same structure and the first kernel serves them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.geometry import ByteArray, FloatArray, IntArray, Part
from palletjack_sdg.render.atlas import Atlas, pack
from palletjack_sdg.scene import Camera, Instance
from palletjack_sdg.sensor import srgb_decode

TEXELS_PER_PIXEL = 1.5


@dataclass(frozen=True)
class MergedMesh:
    """Triangles of many objects in the world. ``vertices``, ``normals`` (V, 3), ``uvs`` (V, 2),
    ``faces`` (F, 3); per face: ``color`` (F, 3) linear, ``roughness``, ``metallic``, ``opacity`` and
    ``instance_ids`` (F,)."""

    vertices: FloatArray
    normals: FloatArray
    uvs: FloatArray
    faces: NDArray[np.uint32]
    color: FloatArray
    roughness: FloatArray
    metallic: FloatArray
    opacity: FloatArray
    instance_ids: NDArray[np.uint32]


@dataclass(frozen=True)
class MergedScene:
    """The three meshes and the image (S, S, 3) in which the textured one's uvs lie."""

    solid: MergedMesh
    textured: MergedMesh
    sheer: MergedMesh
    atlas: ByteArray


def merge(instances: Iterable[Instance], camera: Camera, atlas_px: int) -> MergedScene:
    """Place every part of every instance in the world and sort it by kind of material.

    Raises:
        ValueError: an instance's id is below 1 or taken twice, or a part's arrays do not fit
            together; the message names the instance and its category.
    """
    placed: dict[str, list[tuple[Instance, Part]]] = {"solid": [], "textured": [], "sheer": []}
    seen: set[int] = set()
    for instance in instances:
        if instance.instance_id < 1 or instance.instance_id in seen:
            raise ValueError(
                f"instance {instance.instance_id} ({instance.prop.category}): expected an id of at least 1 "
                "that no other instance has"
            )
        seen.add(instance.instance_id)
        for part in instance.prop.parts:
            if len(part.faces) == 0:
                continue
            _check(instance, part)
            kind = "sheer" if part.material.opacity < 1.0 else "solid"
            if kind == "solid" and part.material.texture is not None and part.uvs is not None:
                kind = "textured"
            placed[kind].append((instance, part))
    atlas, tile_of_part = _pack_textures(placed["textured"], camera, atlas_px)
    return MergedScene(
        solid=_merge_parts(placed["solid"], None),
        textured=_merge_parts(placed["textured"], atlas.tiles[tile_of_part]),
        sheer=_merge_parts(placed["sheer"], None),
        atlas=atlas.image,
    )


def _check(instance: Instance, part: Part) -> None:
    name = f"instance {instance.instance_id} ({instance.prop.category})"
    if part.faces.min() < 0 or part.faces.max() >= len(part.vertices):
        raise ValueError(
            f"{name}: faces: expected indices of {len(part.vertices)} vertices, found "
            f"{part.faces.min()}..{part.faces.max()}"
        )
    if part.uvs is not None and len(part.uvs) != len(part.vertices):
        raise ValueError(f"{name}: uvs: expected {len(part.vertices)} of them, found {len(part.uvs)}")
    if part.material.texture is not None and part.uvs is None:
        raise ValueError(f"{name}: uvs: expected them for a textured part, found none")


def _pack_textures(
    placed: list[tuple[Instance, Part]], camera: Camera, atlas_px: int
) -> tuple[Atlas, NDArray[np.int64]]:
    """Pack each distinct texture once, at the resolution that its nearest user needs."""
    tiles: dict[int, int] = {}
    textures: list[ByteArray] = []
    wanted: list[float] = []
    owner = np.zeros(len(placed), dtype=np.int64)
    eye = camera.pose[:3, 3]
    for number, (instance, part) in enumerate(placed):
        texture = part.material.texture
        assert texture is not None
        assert part.uvs is not None
        tile = tiles.setdefault(id(texture), len(textures))
        if tile == len(textures):
            textures.append(texture)
            wanted.append(0.0)
        owner[number] = tile
        low, high = part.vertices.min(axis=0), part.vertices.max(axis=0)
        radius = float(np.linalg.norm(high - low)) / 2.0
        center = instance.pose[:3, :3] @ ((low + high) / 2.0) + instance.pose[:3, 3]
        distance = max(float(np.linalg.norm(center - eye)) - radius, 0.2)
        # Pixels that the part spans, over the share of the texture that it shows.
        used = max(float(np.ptp(part.uvs, axis=0).max()), 1e-2)
        need = TEXELS_PER_PIXEL * 2.0 * radius / distance * camera.focal_px / min(used, 1.0)
        wanted[tile] = max(wanted[tile], need)
    return pack(textures, wanted, atlas_px), owner


def _merge_parts(placed: list[tuple[Instance, Part]], tiles: FloatArray | None) -> MergedMesh:
    """Concatenate parts; ``tiles`` (N, 4) are their areas of the atlas."""
    if not placed:
        return _nothing()
    vertices, faces, uvs, smooth, counts = [], [], [], [], []
    offset = 0
    for number, (instance, part) in enumerate(placed):
        rotation = instance.pose[:3, :3].astype(np.float32)
        local = part.vertices if part.smooth else part.vertices[part.faces.reshape(-1)]
        vertices.append(local @ rotation.T + instance.pose[:3, 3].astype(np.float32))
        indices = part.faces if part.smooth else np.arange(len(local), dtype=np.int32).reshape(-1, 3)
        faces.append(indices + offset)
        if tiles is not None:
            assert part.uvs is not None
            uv = part.uvs if part.smooth else part.uvs[part.faces.reshape(-1)]
            uvs.append(tiles[number, :2] + np.clip(uv, 0.0, 1.0) * tiles[number, 2:])
        smooth.append(part.smooth)
        counts.append(len(part.faces))
        offset += len(local)
    points = np.concatenate(vertices).astype(np.float32)
    triangles = np.concatenate(faces)
    normals = _vertex_normals(points, triangles)
    per_part = np.array(counts)
    materials = [part.material for _, part in placed]
    color = srgb_decode(np.array([material.color for material in materials], dtype=np.float32))

    def spread(values: list[float]) -> FloatArray:
        return np.repeat(np.array(values, dtype=np.float32), per_part)

    return MergedMesh(
        vertices=points,
        normals=normals,
        uvs=np.concatenate(uvs).astype(np.float32) if uvs else np.zeros((len(points), 2), np.float32),
        faces=triangles.astype(np.uint32),
        color=np.repeat(color, per_part, axis=0),
        # Below this, highlights of small lamps become fireflies that no denoiser removes.
        roughness=spread([max(material.roughness, 0.08) for material in materials]),
        metallic=spread([material.metallic for material in materials]),
        opacity=spread([material.opacity for material in materials]),
        instance_ids=np.repeat(np.array([i.instance_id for i, _ in placed], dtype=np.uint32), per_part),
    )


def _vertex_normals(vertices: FloatArray, faces: IntArray) -> FloatArray:
    """Area-weighted mean normal of the faces around each vertex; flat where vertices are not shared."""
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = faces.reshape(-1)
    sums = np.stack(
        [
            np.bincount(flat, weights=np.repeat(face_normals[:, axis], 3), minlength=len(vertices))
            for axis in range(3)
        ],
        axis=1,
    )
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    # A degenerate triangle has no normal; any unit vector keeps the renderer from making NaN.
    sums = np.where(lengths > 1e-20, sums / np.maximum(lengths, 1e-20), (0.0, 0.0, 1.0))
    return sums.astype(np.float32)


def _nothing() -> MergedMesh:
    """Two tiny triangles far below the floor: a renderer's mesh may not be empty.

    Two, because Dr.Jit compiles arrays of one entry into other kernels than longer ones.
    """
    corner = np.array([0.0, 0.0, -1000.0], dtype=np.float32)
    vertices = corner + 1e-3 * np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float32)
    return MergedMesh(
        vertices=vertices,
        normals=np.tile(np.array([[0, 0, 1]], dtype=np.float32), (4, 1)),
        uvs=np.zeros((4, 2), dtype=np.float32),
        faces=np.array([[0, 1, 2], [0, 2, 3]], dtype=np.uint32),
        color=np.zeros((2, 3), dtype=np.float32),
        roughness=np.ones(2, dtype=np.float32),
        metallic=np.zeros(2, dtype=np.float32),
        opacity=np.ones(2, dtype=np.float32),
        instance_ids=np.zeros(2, dtype=np.uint32),
    )
