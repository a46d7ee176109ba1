"""NVIDIA's USD assets in place of parametric objects, with their real geometry, so that labels stay true.

Labels are measured against an object's own triangles. An asset is therefore read through USD into the same
kind of mesh, and the stage refers to the file; both are placed by one matrix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from palletjack_sdg.geometry import Material, Part, Prop
from palletjack_sdg.scene import Instance, Scene
from palletjack_sdg.seeding import substream


class AssetError(RuntimeError):
    """An asset that cannot be opened or holds no mesh; the message names its address."""


class Asset(BaseModel):
    """One file: see contract/assets.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    metres_per_unit: float = Field(gt=0.0)
    up_axis: Literal["Y", "Z"]
    yaw_deg: float = 0.0


@dataclass(frozen=True)
class ReferencedProp(Prop):
    """A prop whose look is in a USD file at ``url``; ``parts`` hold its shape, in the object's frame.
    ``to_object`` (4, 4) takes the file's coordinates there."""

    url: str = ""
    to_object: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))


def load_assets() -> dict[str, list[Asset]]:
    """Return the assets of contract/assets.yaml by family."""
    text = (resources.files(__package__) / "contract" / "assets.yaml").read_text(encoding="utf-8")
    return {
        family: [Asset.model_validate(entry) for entry in entries]
        for family, entries in yaml.safe_load(text).items()
    }


class AssetSwap:
    """Puts assets in place of the objects of a family that the table has. ``root`` precedes relative urls."""

    def __init__(self, assets: Mapping[str, Sequence[Asset]], root: str = "") -> None:
        self._assets = assets
        self._root = root
        self._shapes: dict[str, list[NDArray[np.float64]]] = {}

    def __call__(self, scene: Scene) -> Scene:
        """Return ``scene`` with assets, chosen by its seed, index and each object's id.

        Raises:
            AssetError: an asset cannot be opened or holds no mesh.
        """
        return replace(scene, instances=tuple(self._swapped(item, scene) for item in scene.instances))

    def _swapped(self, instance: Instance, scene: Scene) -> Instance:
        choices = self._assets.get(instance.prop.category, ())
        if not choices:
            return instance
        seed, index = int(str(scene.metadata["seed"])), int(str(scene.metadata["index"]))
        stream = substream(seed, index, f"asset of object {instance.instance_id}")
        asset = choices[int(stream.integers(len(choices)))]
        return replace(instance, prop=self._prop(asset, instance.prop))

    def _prop(self, asset: Asset, original: Prop) -> ReferencedProp:
        url = asset.url if "://" in asset.url else self._root + asset.url
        if url not in self._shapes:
            self._shapes[url] = read_triangles(url)
        matrix = _upright(asset)
        triangles = [_moved(mesh, matrix) for mesh in self._shapes[url]]
        every = np.concatenate([mesh.reshape(-1, 3) for mesh in triangles])
        low, high = every.min(axis=0), every.max(axis=0)
        ours_low, ours_high = original.bounds()
        # It stands on the floor where the middle of the original was.
        shift = np.array([*((ours_low + ours_high)[:2] - (low + high)[:2]) / 2.0, -low[2]], dtype=np.float64)
        matrix[:3, 3] += shift
        parts = tuple(_part(mesh + shift) for mesh in triangles)
        return ReferencedProp(original.category, parts, {}, url, matrix)


def read_triangles(url: str) -> list[NDArray[np.float64]]:
    """Return the visible meshes of a USD file, each as triangles (T, 3, 3) in the file's own units.

    Raises:
        AssetError: it cannot be opened, has no default prim or holds no mesh.
    """
    from pxr import Tf, Usd, UsdGeom

    try:
        stage = Usd.Stage.Open(url)
    except Tf.ErrorException:
        raise AssetError(f"{url}: expected a USD file, found none that opens") from None
    root = stage.GetDefaultPrim()
    if not root:
        raise AssetError(f"{url}: expected a default prim, which a reference takes, found none")
    cache = UsdGeom.XformCache()
    found = []
    for prim in Usd.PrimRange(root, Usd.TraverseInstanceProxies()):
        if prim.IsA(UsdGeom.Mesh) and UsdGeom.Imageable(prim).ComputeVisibility() != "invisible":
            mesh = mesh_triangles(UsdGeom.Mesh(prim))
            if len(mesh):
                found.append(_moved(mesh, np.array(cache.GetLocalToWorldTransform(prim)).T))
    if not found:
        raise AssetError(f"{url}: expected a mesh, found none")
    return found


def mesh_triangles(mesh: Any) -> NDArray[np.float64]:
    """Fans of the mesh's polygons, (T, 3, 3) in its own coordinates."""
    points = np.array(mesh.GetPointsAttr().Get() or [], dtype=np.float64).reshape(-1, 3)
    counts = np.array(mesh.GetFaceVertexCountsAttr().Get() or [], dtype=int)
    indices = np.array(mesh.GetFaceVertexIndicesAttr().Get() or [], dtype=int)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else counts
    corners = [
        (indices[start], indices[start + k], indices[start + k + 1])
        for start, count in zip(starts, counts, strict=True)
        for k in range(1, count - 1)
    ]
    return points[np.array(corners, dtype=int).reshape(-1, 3)]


def _upright(asset: Asset) -> NDArray[np.float64]:
    """Units to metres, the file's up axis to z, then the turn."""
    yaw = math.radians(asset.yaw_deg)
    turn = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1.0]])
    up = np.eye(3) if asset.up_axis == "Z" else np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ up * asset.metres_per_unit
    return matrix


def _moved(triangles: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(triangles @ matrix[:3, :3].T + matrix[:3, 3])


def _part(triangles: NDArray[np.float64]) -> Part:
    vertices = triangles.reshape(-1, 3).astype(np.float32)
    faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    return Part(vertices, faces, Material())
