"""Meshes of a USD file, read with usd-core: transforms, instances, materials, unit and axis.

Taken are meshes that a renderer would show (visible, purpose default or render), at their first time.
Subdivision surfaces are taken as their control meshes; both sides of every face show, as everywhere here.
A material is its UsdPreviewSurface: diffuse colour or picture, roughness, metalness, opacity. Without one,
the display colour stands in.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.asset_index import AssetError
from palletjack_sdg.geometry import ByteArray, Material
from palletjack_sdg.objects.file_mesh import DEFAULT_ROUGHNESS, FileMesh, MeshFile, textured
from palletjack_sdg.sensor import srgb_encode

SUFFIXES = (".usd", ".usda", ".usdc", ".usdz")
SHOWN = ("default", "render")
GREY = 0.18


def read_usd(path: Path) -> MeshFile:
    """Return the file's meshes in its own unit, with the unit and the axis that points up.

    Raises:
        AssetError: it is not USD, names files that are missing, or shows something that is not a mesh.
    """
    return _Reader(path).read()


def usd_digest(path: Path) -> str:
    """Return the SHA-256 over the file and all that it refers to, in the order of their names.

    Raises:
        AssetError: a file that it refers to is missing.
    """
    content = hashlib.sha256()
    for file in _dependencies(_pxr(path), path):
        content.update(file.read_bytes())
    return content.hexdigest()


def _pxr(path: Path) -> Any:
    """The modules of USD as one object."""
    try:
        for name in ("Usd", "UsdGeom", "UsdShade", "UsdUtils", "Ar", "Tf", "Gf"):
            importlib.import_module(f"pxr.{name}")
    except ImportError:
        raise AssetError(f"{path}: reading USD needs usd-core: install 'palletjack[assets]'") from None
    return importlib.import_module("pxr")


def _dependencies(pxr: Any, path: Path) -> list[Path]:
    """The file, then what it refers to; what lies in a .usdz is part of it."""
    layers, assets, missing = pxr.UsdUtils.ComputeAllDependencies(str(path))
    if missing:
        raise AssetError(f"{path}: expected the files that it names, did not find {sorted(missing)[0]}")
    named = [layer.realPath for layer in layers] + [str(asset) for asset in assets]
    others = {Path(name.partition("[")[0]).resolve() for name in named if name} - {path.resolve()}
    return [path, *sorted(others)]


class _Reader:
    def __init__(self, path: Path) -> None:
        self._pxr = _pxr(path)
        self._path = path
        try:
            self._stage = self._pxr.Usd.Stage.Open(str(path))
        except self._pxr.Tf.ErrorException as error:
            said = " ".join(str(error).split())
            raise AssetError(f"{path}: expected a USD file, found: {said}") from None
        _dependencies(self._pxr, path)
        self._time = self._pxr.Usd.TimeCode.EarliestTime()
        self._pictures: dict[str, ByteArray] = {}

    def read(self) -> MeshFile:
        geom = self._pxr.UsdGeom
        meshes = [mesh for mesh in self._below(self._stage.GetPseudoRoot(), np.eye(4)) if len(mesh.faces)]
        up = str(geom.GetStageUpAxis(self._stage)).lower()
        return MeshFile(tuple(meshes), float(geom.GetStageMetersPerUnit(self._stage)), up)

    def _below(self, root: Any, onward: NDArray[np.float64], relative: bool = False) -> Iterator[FileMesh]:
        """Meshes below ``root``, in the world, or with ``relative`` in the frame of ``root``, then moved by
        ``onward`` (4, 4), which multiplies row vectors from the right as USD's matrices do."""
        usd, geom = self._pxr.Usd, self._pxr.UsdGeom
        cache = geom.XformCache(self._time)
        back = _matrix(cache.GetLocalToWorldTransform(root).GetInverse()) if relative else np.eye(4)
        prims = iter(usd.PrimRange(root, usd.TraverseInstanceProxies(usd.PrimDefaultPredicate)))
        for prim in prims:
            pose = _matrix(cache.GetLocalToWorldTransform(prim)) @ back @ onward
            if prim.IsA(geom.PointInstancer):
                prims.PruneChildren()
                if self._shown(prim):
                    yield from self._scattered(geom.PointInstancer(prim), pose)
            elif prim.IsA(geom.Mesh) and self._shown(prim):
                yield from self._mesh(geom.Mesh(prim), pose)
            elif prim.IsA(geom.Gprim) and self._shown(prim):
                kind = prim.GetTypeName()
                raise AssetError(f"{self._path}: {prim.GetPath()}: expected a Mesh, found a {kind}")

    def _shown(self, prim: Any) -> bool:
        image = self._pxr.UsdGeom.Imageable(prim)
        return image.ComputeVisibility(self._time) != "invisible" and image.ComputePurpose() in SHOWN

    def _scattered(self, instancer: Any, pose: NDArray[np.float64]) -> Iterator[FileMesh]:
        places = instancer.ComputeInstanceTransformsAtTime(self._time, self._time)
        indices = instancer.GetProtoIndicesAttr().Get(self._time)
        mask = instancer.ComputeMaskAtTime(self._time)
        kept = [index for number, index in enumerate(indices) if not mask or mask[number]]
        prototypes = [
            self._stage.GetPrimAtPath(p) for p in instancer.GetPrototypesRel().GetForwardedTargets()
        ]
        for place, index in zip(places, kept, strict=True):
            # The place holds the prototype's own transform: what lies below is taken relative to it.
            yield from self._below(prototypes[index], _matrix(place) @ pose, relative=True)

    def _mesh(self, mesh: Any, pose: NDArray[np.float64]) -> Iterator[FileMesh]:
        """One mesh for each material; every corner of a face becomes a vertex of its own."""
        points = np.asarray(mesh.GetPointsAttr().Get(self._time) or [], dtype=np.float64).reshape(-1, 3)
        counts = np.asarray(mesh.GetFaceVertexCountsAttr().Get(self._time) or [], dtype=np.int64)
        indices = np.asarray(mesh.GetFaceVertexIndicesAttr().Get(self._time) or [], dtype=np.int64)
        if counts.sum() != len(indices) or (
            len(indices) and not 0 <= indices.min() <= indices.max() < len(points)
        ):
            raise AssetError(f"{self._path}: {mesh.GetPath()}: expected faces over {len(points)} points")
        triangles, owner = _fans(counts)
        holes = np.asarray(mesh.GetHoleIndicesAttr().Get(self._time) or [], dtype=np.int64)
        shown = ~np.isin(owner, holes)
        triangles, owner = triangles[shown], owner[shown]
        mirrored = np.linalg.det(pose[:3, :3]) < 0.0
        if mirrored != (mesh.GetOrientationAttr().Get() == "leftHanded"):
            triangles = triangles[:, ::-1]
        world = points @ pose[:3, :3] + pose[3, :3]
        for faces, bound in self._by_material(mesh, owner, len(counts)):
            for chosen, material, uvs in self._surfaces(mesh, bound, indices, owner, faces):
                corners = triangles[chosen]
                used, local = np.unique(corners, return_inverse=True)
                yield FileMesh(
                    world[indices[used]],
                    local.reshape(-1, 3).astype(np.int32),
                    material,
                    None if uvs is None else uvs[used],
                )

    def _by_material(
        self, mesh: Any, owner: NDArray[np.int64], count: int
    ) -> Iterator[tuple[NDArray[np.bool_], Any]]:
        """Which triangles each bound material covers: subsets first, the mesh's own for the rest."""
        shade = self._pxr.UsdShade
        binding = shade.MaterialBindingAPI(mesh)
        left = np.ones(count, dtype=bool)
        for subset in binding.GetMaterialBindSubsets():
            mine = np.zeros(count, dtype=bool)
            mine[np.asarray(subset.GetIndicesAttr().Get(self._time) or [], dtype=np.int64)] = True
            mine &= left
            left &= ~mine
            yield mine[owner], shade.MaterialBindingAPI(subset).ComputeBoundMaterial()[0]
        yield left[owner], binding.ComputeBoundMaterial()[0]

    def _surfaces(
        self,
        mesh: Any,
        bound: Any,
        indices: NDArray[np.int64],
        owner: NDArray[np.int64],
        faces: NDArray[np.bool_],
    ) -> Iterator[tuple[NDArray[np.bool_], Material, NDArray[np.float32] | None]]:
        """Triangles with their material, and texture coordinates of every corner of the mesh."""
        if not faces.any():
            return
        surface = bound.ComputeSurfaceSource()[0] if bound else None
        if surface and surface.GetIdAttr().Get() == "UsdPreviewSurface":
            yield faces, *self._preview_surface(mesh, surface, indices)
            return
        plain = Material((0.0, 0.0, 0.0), DEFAULT_ROUGHNESS, 0.0)
        primvar = mesh.GetDisplayColorPrimvar()
        colors = np.asarray(primvar.ComputeFlattened(self._time) or [], dtype=np.float64).reshape(-1, 3)
        if primvar.GetInterpolation() == "uniform" and len(colors) > owner.max():
            for color in np.unique(colors[owner[faces]], axis=0):
                same = faces & (colors[owner] == color).all(axis=1)
                yield same, replace(plain, color=_srgb(color)), None
            return
        mean = colors.mean(axis=0) if len(colors) else np.full(3, GREY)
        yield faces, replace(plain, color=_srgb(mean)), None

    def _preview_surface(
        self, mesh: Any, shader: Any, indices: NDArray[np.int64]
    ) -> tuple[Material, NDArray[np.float32] | None]:
        values = {"roughness": 0.5, "metallic": 0.0, "opacity": 1.0}
        for name in values:
            found = shader.GetInput(name)
            value = found.Get(self._time) if found and not found.HasConnectedSource() else None
            values[name] = values[name] if value is None else float(value)
        diffuse = shader.GetInput("diffuseColor")
        color = diffuse.Get(self._time) if diffuse else None
        plain = Material(
            _srgb(np.full(3, GREY) if color is None else np.array(color)),
            values["roughness"],
            values["metallic"],
            opacity=values["opacity"],
        )
        if not diffuse or not diffuse.HasConnectedSource():
            return plain, None
        texture = self._pxr.UsdShade.Shader(diffuse.GetConnectedSources()[0][0].source.GetPrim())
        file = texture.GetInput("file")
        if texture.GetIdAttr().Get() != "UsdUVTexture" or not file or file.Get(self._time) is None:
            return plain, None
        picture = self._picture(str(file.Get(self._time).resolvedPath))
        uvs = self._coordinates(mesh, texture, indices)
        white = replace(plain, color=(1.0, 1.0, 1.0))
        # Coordinates that are moved or computed on the way are not followed: the mean colour then stands in.
        return textured(white, picture, np.full((1, 2), 2.0) if uvs is None else uvs)

    def _coordinates(self, mesh: Any, texture: Any, indices: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Texture coordinates (corners, 2) that the texture reads, or None."""
        st = texture.GetInput("st")
        if not st or not st.HasConnectedSource():
            return None
        reader = self._pxr.UsdShade.Shader(st.GetConnectedSources()[0][0].source.GetPrim())
        if reader.GetIdAttr().Get() != "UsdPrimvarReader_float2":
            return None
        varname = reader.GetInput("varname")
        attributes = varname.GetValueProducingAttributes() if varname else []
        if not attributes:
            return None
        primvar = self._pxr.UsdGeom.PrimvarsAPI(mesh).FindPrimvarWithInheritance(str(attributes[0].Get()))
        values = np.asarray(primvar.ComputeFlattened(self._time) or [], dtype=np.float32).reshape(-1, 2)
        if len(values) == len(indices) and primvar.GetInterpolation() == "faceVarying":
            return values
        if (
            primvar.GetInterpolation() in ("vertex", "varying")
            and len(indices)
            and len(values) > indices.max()
        ):
            return np.asarray(values[indices], dtype=np.float32)
        return None

    def _picture(self, name: str) -> ByteArray:
        if name not in self._pictures:
            asset = self._pxr.Ar.GetResolver().OpenAsset(self._pxr.Ar.ResolvedPath(name)) if name else None
            data = b"" if asset is None else bytes(asset.GetBuffer())
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
            if pixels is None:
                raise AssetError(f"{self._path}: {name or 'texture'}: expected a picture that decodes")
            self._pictures[name] = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
        return self._pictures[name]


def _fans(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles (T, 3) as numbers of corners, fanned from each face's first, and each one's face (T,)."""
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else counts
    per_face = np.maximum(counts - 2, 0)
    owner = np.repeat(np.arange(len(counts)), per_face)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(per_face) - per_face, per_face)
    first = starts[owner]
    return np.stack([first, first + step + 1, first + step + 2], axis=1).astype(np.int64), owner


def _matrix(value: Any) -> NDArray[np.float64]:
    return np.array(value, dtype=np.float64)


def _srgb(linear: NDArray[np.floating]) -> tuple[float, float, float]:
    red, green, blue = np.clip(srgb_encode(np.clip(linear, 0.0, 1.0).astype(np.float32)), 0.0, 1.0)
    return float(red), float(green), float(blue)
