"""What Isaac Sim's annotators would give for a USD stage, rendered from it by the embedded tracer.

The stage is read back with the real pxr: its camera, meshes, colours and lights, nothing of the plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.geometry import Material, Part, Prop
from palletjack_sdg.render.base import Renderer, RenderSettings
from palletjack_sdg.scene import Camera, Instance, RectLight, Scene

FIRST_ID = 2


class StagePicture:
    """Call it with a stage and a resolution; returns the data of each annotator by its name."""

    def __init__(self, fault: Callable[[], str] = lambda: "", samples: int = 4) -> None:
        self._samples = samples
        self._fault = fault

    @cached_property
    def _renderer(self) -> Renderer:
        """Made for the first picture: a run that ends before it need not wait for Mitsuba."""
        from palletjack_sdg.render.mitsuba_backend import MitsubaRenderer

        samples = self._samples
        settings = RenderSettings(spp=samples, max_depth=samples, denoise=False, variant="cpu", atlas_px=64)
        return MitsubaRenderer(settings)

    def __call__(self, stage: Any, camera: str, width: int, height: int) -> dict[str, Any]:
        """Render ``stage`` from the camera at that path."""
        scene, paths = read_scene(stage, camera, width, height)
        result = self._renderer.render(scene, 0)
        colour = np.concatenate([result.linear, np.ones((height, width, 1), np.float32)], axis=2)
        ids = result.instance_ids.astype(np.uint32)
        fault = self._fault()
        if fault == "black":
            colour[: height // 2] = 0.0
        if fault == "mirrored":
            ids = ids[:, ::-1]
        labels = {"0": "BACKGROUND", "1": "UNLABELLED", **{str(key): value for key, value in paths.items()}}
        return {
            "HdrColor": np.clip(colour, 0.0, 65504.0).astype(np.float16),
            "instance_id_segmentation": {"data": ids, "info": {"idToLabels": labels}},
            "distance_to_image_plane": result.depth,
            "rgb": _flat(scene, result.instance_ids),
        }


def _flat(scene: Scene, ids: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Each mesh in its own colour without light, which a network that knows colours can find (H, W, 4)."""
    table = np.zeros((max(item.instance_id for item in scene.instances) + 1, 4), np.uint8)
    for item in scene.instances:
        table[item.instance_id] = [*(round(255 * v) for v in item.prop.parts[0].material.color), 255]
    return np.asarray(table[ids])


def read_scene(stage: Any, camera_path: str, width: int, height: int) -> tuple[Scene, dict[int, str]]:
    """Return the stage as a scene with one instance for each mesh, and the path of each instance id."""
    from pxr import UsdGeom, UsdLux

    cache = UsdGeom.XformCache()
    instances, lights, paths = [], [], {}
    ambient = (0.0, 0.0, 0.0)
    for prim in stage.Traverse():
        world = np.array(cache.GetLocalToWorldTransform(prim)).T
        if prim.IsA(UsdGeom.Mesh):
            number = FIRST_ID + len(instances)
            paths[number] = str(prim.GetPath())
            instances.append(Instance(number, Prop("mesh", (_part(prim, world),)), np.eye(4)))
        elif prim.IsA(UsdLux.RectLight):
            lights.append(_light(UsdLux.RectLight(prim), world))
        elif prim.IsA(UsdLux.DomeLight):
            ambient = _radiance(UsdLux.DomeLight(prim))
    camera = _camera(UsdGeom.Camera(stage.GetPrimAtPath(camera_path)), cache, width, height)
    return Scene(tuple(instances), (), tuple(lights), camera, ambient), paths


def _part(prim: Any, world: NDArray[np.float64]) -> Part:
    from pxr import UsdGeom, UsdShade

    mesh = UsdGeom.Mesh(prim)
    points = np.array(mesh.GetPointsAttr().Get(), dtype=np.float64)
    faces = np.array(mesh.GetFaceVertexIndicesAttr().Get(), dtype=np.int32).reshape(-1, 3)
    shader = UsdShade.Shader(prim.GetStage().GetPrimAtPath(f"{prim.GetPath()}/material/surface"))
    material = Material()
    if shader:
        opacity = float(shader.GetInput("opacity").Get())
        colour = shader.GetInput("diffuseColor").Get() or (0.5, 0.5, 0.5)
        material = Material(color=(float(colour[0]), float(colour[1]), float(colour[2])), opacity=opacity)
    return Part((points @ world[:3, :3].T + world[:3, 3]).astype(np.float32), faces, material)


def _light(light: Any, world: NDArray[np.float64]) -> RectLight:
    half_u = world[:3, 1] * light.GetHeightAttr().Get() / 2.0
    half_v = world[:3, 0] * light.GetWidthAttr().Get() / 2.0
    centre, u, v = (tuple(float(x) for x in vector) for vector in (world[:3, 3], half_u, half_v))
    return RectLight(centre, u, v, _radiance(light))  # type: ignore[arg-type]


def _radiance(light: Any) -> tuple[float, float, float]:
    r, g, b = (float(light.GetIntensityAttr().Get() * value) for value in light.GetColorAttr().Get())
    return r, g, b


def _camera(node: Any, cache: Any, width: int, height: int) -> Camera:
    pose = np.array(cache.GetLocalToWorldTransform(node.GetPrim())).T @ np.diag([1.0, -1.0, -1.0, 1.0])
    ratio = node.GetHorizontalApertureAttr().Get() / node.GetFocalLengthAttr().Get()
    return Camera(width, height, math.degrees(2.0 * math.atan(ratio / 2.0)), pose)
