"""A Mitsuba scene of fixed structure whose slots are refilled for every frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.geometry import ByteArray
from palletjack_sdg.render.lights import LightSlot
from palletjack_sdg.render.merge import MergedMesh, MergedScene
from palletjack_sdg.scene import Surface
from palletjack_sdg.sensor import srgb_decode

MESHES = ("solid", "textured", "sheer")
SURFACE_SLOTS = 8
LIGHT_SLOTS = 24
SURFACE_TEXTURE_PX = 1024
SKY_SHARE = 0.15
SRGB_TO_LINEAR = srgb_decode(np.arange(256, dtype=np.float32) / 255.0)
# Smoother than this, mirror images of lamps become fireflies.
BYTE_TO_ROUGHNESS = np.maximum(np.arange(256, dtype=np.float32) / 255.0, np.float32(0.05))
HIDDEN = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]) * 1e-3 - np.array([0.0, 0.0, 1000.0])
FACE_ATTRIBUTES = {
    "solid": {"face_color": 3, "face_roughness": 1, "face_metallic": 1},
    "textured": {"face_roughness": 1, "face_metallic": 1},
    "sheer": {"face_color": 3, "face_roughness": 1, "face_opacity": 1},
}


class SlotScene:
    """Owns the Mitsuba scene ``scene`` and refills it. ``mi`` is Mitsuba with its variant set."""

    light_slots = LIGHT_SLOTS

    def __init__(self, mi: Any, atlas_px: int, surfaces: int) -> None:
        self._mi = mi
        self.surface_slots = max(SURFACE_SLOTS, -(-surfaces // 4) * 4)
        shapes: dict[str, Any] = {name: self._mesh(name, _bsdf(mi, name, atlas_px)) for name in MESHES}
        for slot in range(self.surface_slots):
            name = f"surface{slot}"
            shapes[name] = self._mesh(name, _surface_bsdf(mi))
        for slot in range(self.light_slots):
            name = f"light{slot}"
            # The weights differ from each other so that Mitsuba does not choose uniform sampling.
            emitter = {
                "type": "area",
                "radiance": {"type": "rgb", "value": [0.0, 0.0, 0.0]},
                "sampling_weight": 1.0 + slot,
            }
            back = {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.6, 0.6, 0.6]}}
            shapes[name] = self._mesh(name, back, emitter)
        self._shapes = shapes
        sky = {"type": "constant", "radiance": {"type": "rgb", "value": [0.0, 0.0, 0.0]}}
        # Without optimize=False the loader merges meshes that look alike, lights included.
        self.scene = mi.load_dict({"type": "scene", **shapes, "sky": sky}, optimize=False)
        self._params = mi.traverse(self.scene)
        self.opacity = self.floats(np.ones(2))

    def floats(self, values: NDArray[np.floating]) -> Any:
        """Return ``values`` as a flat array of the device, placed so that every frame's kernels are equal."""
        return self._mi.Float(aligned(values, np.float32).reshape(-1))

    def indices(self, values: NDArray[np.integer]) -> Any:
        """Like ``floats`` for unsigned 32-bit numbers."""
        return self._mi.UInt32(aligned(values, np.uint32).reshape(-1))

    def pointer(self, name: str) -> Any:
        """Return the shape of that name as the kernels compare it."""
        return self._mi.ShapePtr(self._shapes[name])

    def update(
        self,
        merged: MergedScene,
        surfaces: Sequence[Surface],
        lights: Sequence[LightSlot],
        ambient: tuple[float, float, float],
    ) -> None:
        """Refill every slot; those without content shrink to a speck far below the floor."""
        for name in MESHES:
            self._fill_mesh(name, getattr(merged, name))
        self._params["textured.bsdf.brdf_0.base_color.data"] = self._tensor(SRGB_TO_LINEAR, merged.atlas)
        self.opacity = self.floats(merged.sheer.opacity)
        for slot in range(self.surface_slots):
            self._fill_surface(f"surface{slot}", surfaces[slot] if slot < len(surfaces) else None)
        total = sum(light.weight for light in lights)
        for slot in range(self.light_slots):
            self._fill_light(f"light{slot}", lights[slot] if slot < len(lights) else None, total)
        self._params["sky.radiance.value"] = self._mi.Color3f(*[float(value) for value in ambient])
        sky_share = SKY_SHARE if max(ambient) > 0.0 else 0.0
        self._params["sky.sampling_weight"] = sky_share if total > 0.0 else 1.0
        self._params.update()

    def _mesh(self, name: str, bsdf: dict[str, Any], emitter: dict[str, Any] | None = None) -> Any:
        mi = self._mi
        props = mi.Properties()
        props["bsdf"] = mi.load_dict(bsdf)
        if emitter is not None:
            props["emitter"] = mi.load_dict(emitter)
        mesh = mi.Mesh(name, 4, 2, props, has_vertex_normals=True, has_vertex_texcoords=True)
        for attribute, size in FACE_ATTRIBUTES.get(name, {}).items():
            mesh.add_attribute(attribute, size, [0.5] * (2 * size))
        params = mi.traverse(mesh)
        params["vertex_positions"] = self.floats(HIDDEN)
        params["vertex_normals"] = self.floats(np.tile([0.0, 0.0, 1.0], 4))
        params["vertex_texcoords"] = self.floats(np.zeros(8))
        params["faces"] = self.indices(np.array([0, 1, 2, 0, 2, 3]))
        params.update()
        return mesh

    def _tensor(self, table: NDArray[np.float32], image: ByteArray) -> Any:
        """Return ``table[image]`` as a texture's data."""
        values = aligned_empty(image.shape, np.float32)
        np.copyto(values, np.reshape(cv2.LUT(image, table), image.shape))
        return self._mi.TensorXf(values)

    def _fill_mesh(self, name: str, mesh: MergedMesh) -> None:
        self._set_geometry(name, mesh.vertices, mesh.normals, mesh.uvs, mesh.faces)
        values = {
            "face_color": mesh.color,
            "face_roughness": mesh.roughness,
            "face_metallic": mesh.metallic,
            "face_opacity": mesh.opacity,
        }
        for attribute in FACE_ATTRIBUTES[name]:
            self._params[f"{name}.{attribute}"] = self.floats(values[attribute])

    def _fill_surface(self, name: str, surface: Surface | None) -> None:
        if surface is None:
            self._set_rectangles(name, HIDDEN[None], np.zeros((4, 2)))
            return
        corners = np.asarray(surface.corners, dtype=float)
        if corners.shape != (4, 3) or min(surface.tile_m) <= 0:
            raise ValueError(
                f"surface {surface.name}: expected corners (4, 3) and tile_m above 0, found corners "
                f"{corners.shape} and tile_m {surface.tile_m}"
            )
        across = np.linalg.norm(corners[1] - corners[0]) / surface.tile_m[0]
        up = np.linalg.norm(corners[3] - corners[0]) / surface.tile_m[1]
        # The texture's bottom row lies along the first edge; whole tiles keep v positive.
        foot = np.ceil(up)
        self._set_rectangles(
            name, corners[None], np.array([[0, foot], [across, foot], [across, foot - up], [0, foot - up]])
        )
        rough = surface.roughness_texture
        if rough is None:
            rough = np.full((2, 2), round(255 * float(np.clip(surface.roughness, 0.05, 1.0))), dtype=np.uint8)
        prefix = f"{name}.bsdf.brdf_0"
        color = self._tensor(SRGB_TO_LINEAR, _fit(surface.texture, SURFACE_TEXTURE_PX))
        roughness = self._tensor(BYTE_TO_ROUGHNESS, _fit(rough, SURFACE_TEXTURE_PX)[..., None])
        self._params[f"{prefix}.base_color.data"] = color
        self._params[f"{prefix}.roughness.data"] = roughness
        self._params[f"{prefix}.metallic.value"] = float(surface.metallic)

    def _fill_light(self, name: str, light: LightSlot | None, total: float) -> None:
        corners = HIDDEN[None] if light is None else light.corners
        radiance = (0.0, 0.0, 0.0) if light is None else tuple(float(value) for value in light.radiance)
        self._set_rectangles(name, corners, np.zeros((4, 2)))
        self._params[f"{name}.emitter.radiance.value"] = self._mi.Color3f(*radiance)
        self._params[f"{name}.emitter.sampling_weight"] = 0.0 if light is None else light.weight / total

    def _set_rectangles(self, name: str, corners: NDArray[np.float64], uvs: NDArray[np.float64]) -> None:
        """Give the mesh ``name`` the rectangles ``corners`` (R, 4, 3), each with ``uvs`` (4, 2)."""
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        first = 4 * np.arange(len(corners), dtype=np.uint32)[:, None]
        faces = (first + np.array([[0, 1, 2, 0, 2, 3]], np.uint32)).reshape(-1, 3)
        self._set_geometry(
            name,
            corners.reshape(-1, 3).astype(np.float32),
            np.repeat(normals, 4, axis=0).astype(np.float32),
            np.tile(uvs, (len(corners), 1)).astype(np.float32),
            faces,
        )

    def _set_geometry(
        self,
        name: str,
        vertices: NDArray[np.float32],
        normals: NDArray[np.float32],
        uvs: NDArray[np.float32],
        faces: NDArray[np.uint32],
    ) -> None:
        self._params[f"{name}.vertex_positions"] = self.floats(vertices)
        self._params[f"{name}.vertex_normals"] = self.floats(normals)
        self._params[f"{name}.vertex_texcoords"] = self.floats(uvs)
        self._params[f"{name}.faces"] = self.indices(faces)


def aligned(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return a copy of ``values`` in memory of ``aligned_empty``."""
    result = aligned_empty(values.shape, dtype)
    result[...] = values
    return result


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return an array that begins at a multiple of 64 bytes.

    On the CPU, Dr.Jit works on NumPy's own memory and compiles other code where it is less aligned,
    which depends on the allocator's mood: now and then a frame would wait for the compiler.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = np.empty(size + 64, dtype=np.uint8)
    start = -buffer.ctypes.data % 64
    return np.asarray(buffer[start : start + size].view(dtype).reshape(shape))


def _attribute(name: str) -> dict[str, str]:
    return {"type": "mesh_attribute", "name": name}


def _bitmap(mi: Any, shape: tuple[int, int, int], value: float, wrap_mode: str) -> dict[str, Any]:
    return {
        "type": "bitmap",
        "bitmap": mi.Bitmap(np.full(shape, value, dtype=np.float32)),
        "raw": True,
        "wrap_mode": wrap_mode,
    }


def _bsdf(mi: Any, name: str, atlas_px: int) -> dict[str, Any]:
    color = _attribute("face_color")
    if name == "textured":
        color = _bitmap(mi, (atlas_px, atlas_px, 3), 0.5, "clamp")
    principled = {"type": "principled", "base_color": color, "roughness": _attribute("face_roughness")}
    if name != "sheer":
        principled["metallic"] = _attribute("face_metallic")
    both_sides = {"type": "twosided", "nested": principled}
    if name != "sheer":
        return both_sides
    return {"type": "mask", "opacity": _attribute("face_opacity"), "nested": both_sides}


def _surface_bsdf(mi: Any) -> dict[str, Any]:
    return {
        "type": "twosided",
        "nested": {
            "type": "principled",
            "base_color": _bitmap(mi, (2, 2, 3), 0.5, "repeat"),
            "roughness": _bitmap(mi, (2, 2, 1), 0.8, "repeat"),
            "metallic": {"type": "uniform", "value": 0.01},
        },
    }


def _fit(texture: ByteArray, side: int) -> ByteArray:
    height, width = texture.shape[:2]
    factor = min(1.0, side / max(height, width))
    # Mitsuba takes no texture of less than 2 pixels.
    size = (max(2, round(width * factor)), max(2, round(height * factor)))
    if size == (width, height):
        return texture
    return np.asarray(cv2.resize(texture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
