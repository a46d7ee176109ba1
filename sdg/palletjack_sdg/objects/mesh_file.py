"""Objects of mesh files: a user's own, placed like any other family under the name ``assets:PACK/OBJECT``."""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from palletjack_sdg.asset_index import AssetError, digest, find
from palletjack_sdg.geometry import FloatArray, Material, Part, Prop
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.objects.file_mesh import DEFAULT_ROUGHNESS, FileMesh, MeshFile, textured
from palletjack_sdg.objects.usd_reader import SUFFIXES as USD_SUFFIXES
from palletjack_sdg.objects.usd_reader import read_usd, usd_digest

MAX_TRIANGLES = 200_000
TRIMESH_GREY = (102, 102, 102)


class MeshFileParams(ObjectParams):
    """One object of a pack. ``sha256`` is that of the mesh file, for USD of all
    that it refers to: a plan is not rebuilt from another one."""

    asset: str
    sha256: str
    scale: float
    up: str
    yaw_deg: float
    class_name: str | None = None


@lru_cache(maxsize=256)
def mesh_family(family: str) -> ObjectFamily[MeshFileParams]:
    """Return the family of one mesh file.

    Raises:
        AssetError: there is no such pack or object.
    """
    pack, path = find(family)
    params = MeshFileParams(
        asset=family,
        sha256=_digest(path),
        scale=pack.scale,
        up=pack.up,
        yaw_deg=pack.yaw_deg,
        class_name=pack.label,
    )
    return ObjectFamily(family, MeshFileParams, lambda rng: params, build_mesh)


def build_mesh(params: MeshFileParams) -> Prop:
    """Read the file; turn, scale and put it on the floor, its middle over the origin.

    Raises:
        AssetError: the file is another one than the plan's, or cannot be read.
    """
    _, path = find(params.asset)
    if _digest(path) != params.sha256:
        raise AssetError(f"{path}: expected the file with SHA-256 {params.sha256}, found another")
    return read_mesh(path, params.scale, params.up, params.yaw_deg, params.asset)


def read_mesh(path: Path, scale: float, up: str, yaw_deg: float, category: str) -> Prop:
    """Return the mesh file as a prop in metres, z up, standing on z = 0.

    A USD file says its unit and its axis itself: ``scale`` then multiplies, ``up`` is not asked.

    Raises:
        AssetError: the file cannot be read, or holds no or too many triangles.
    """
    file = read_usd(path) if path.suffix.lower() in USD_SUFFIXES else MeshFile(_load(path))
    meshes, scale, up = file.meshes, scale * file.unit, file.up or up
    count = sum(len(mesh.faces) for mesh in meshes)
    if not 1 <= count <= MAX_TRIANGLES:
        raise AssetError(f"{path}: expected 1 to {MAX_TRIANGLES} triangles, found {count}")
    turn = np.radians(yaw_deg)
    about_z = np.array(
        [[np.cos(turn), -np.sin(turn), 0.0], [np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]]
    )
    upright = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]) if up == "y" else np.eye(3)
    placed = [mesh.vertices @ (scale * about_z @ upright).T for mesh in meshes]
    corners = np.concatenate(
        [points[mesh.faces.ravel()] for points, mesh in zip(placed, meshes, strict=True)]
    )
    if not np.isfinite(corners).all():
        raise AssetError(f"{path}: expected finite vertices, found NaN or infinity")
    low, high = corners.min(axis=0), corners.max(axis=0)
    shift = np.array([(low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0, low[2]])
    parts = [
        Part((points - shift).astype(np.float32), mesh.faces, mesh.material, mesh.uvs)
        for points, mesh in zip(placed, meshes, strict=True)
    ]
    return Prop(category, tuple(parts))


def _load(path: Path) -> tuple[FileMesh, ...]:
    try:
        trimesh = importlib.import_module("trimesh")
    except ImportError:
        raise AssetError(f"{path}: reading mesh files needs trimesh: install 'palletjack[assets]'") from None
    try:
        scene = trimesh.load_scene(str(path))
        meshes = [mesh for mesh in scene.dump() if isinstance(mesh, trimesh.Trimesh)]
    except Exception as error:  # trimesh's readers raise whatever their format's parser does
        raise AssetError(f"{path}: expected a mesh file, found: {type(error).__name__}: {error}") from None
    return tuple(
        FileMesh(np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int32), *_surface(mesh))
        for mesh in meshes
    )


def _surface(mesh: Any) -> tuple[Material, FloatArray | None]:
    """Material and texture coordinates of a mesh, v pointing down."""
    material = getattr(mesh.visual, "material", None)
    # A .mtl file with a picture and no Kd means the picture as it is; trimesh fills in its own dark grey.
    undyed = getattr(material, "image", None) is not None and _is_default(getattr(material, "diffuse", ()))
    if material is not None and hasattr(material, "to_pbr"):
        material = material.to_pbr()
    roughness = getattr(material, "roughnessFactor", None)
    metallic = getattr(material, "metallicFactor", None)
    plain = Material(
        (1.0, 1.0, 1.0) if undyed else _color(mesh, material),
        DEFAULT_ROUGHNESS if roughness is None else float(roughness),
        0.0 if metallic is None else float(metallic),
    )
    image, uvs = getattr(material, "baseColorTexture", None), getattr(mesh.visual, "uv", None)
    if image is None or uvs is None:
        return plain, None
    return textured(plain, np.asarray(image.convert("RGB"), dtype=np.uint8), uvs)


def _is_default(diffuse: Any) -> bool:
    return tuple(int(value) for value in np.asarray(diffuse)[:3]) == TRIMESH_GREY


def _color(mesh: Any, material: Any) -> tuple[float, float, float]:
    factor = getattr(material, "baseColorFactor", None)
    if factor is None and getattr(mesh.visual, "kind", None) in ("face", "vertex"):
        factor = mesh.visual.main_color
    if factor is None:
        return (1.0, 1.0, 1.0) if material is not None else (0.5, 0.5, 0.5)
    values = np.asarray(factor, dtype=float)[:3]
    values = values / 255.0 if values.max() > 1.0 or np.asarray(factor).dtype == np.uint8 else values
    return float(values[0]), float(values[1]), float(values[2])


def _digest(path: Path) -> str:
    if path.suffix.lower() in USD_SUFFIXES:
        return usd_digest(path)
    return digest(path)
