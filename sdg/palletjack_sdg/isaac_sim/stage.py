"""A scene as a USD stage: metres, z up, one mesh for each part, the numbers of the plan and no others.

Needs ``pxr`` (Isaac Sim brings it; elsewhere the package usd-core). Radiance is written as UsdLux
intensity times colour, unscaled: the sensor stage meters each frame, so only ratios matter. The camera
is a pinhole; distortion is added after the render (see ``lens``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pxr import Gf, Sdf, Usd, UsdGeom, UsdLux, UsdShade, Vt

from palletjack_sdg.geometry import Material, Part
from palletjack_sdg.isaac_sim.assets import ReferencedProp
from palletjack_sdg.isaac_sim.lens import NO_ENVIRONMENT, NO_SUN, pinhole_around
from palletjack_sdg.isaac_sim.releases import Semantics
from palletjack_sdg.isaac_sim.surroundings import Surroundings
from palletjack_sdg.isaac_sim.usd_environment import ENVIRONMENT_PATH
from palletjack_sdg.render.base import RenderError
from palletjack_sdg.scene import Camera, Instance, RectLight, Scene, Surface
from palletjack_sdg.sensor import srgb_decode

APERTURE_MM = 20.955
CLIPPING_M = (0.1, 1000.0)
CLASS_TAXONOMY = "class"
INSTANCE_TAXONOMY = "palletjack_instance"
ROOT_PATH, CAMERA_PATH = "/World", "/World/Camera"
# From OpenCV's axes (y down, z forward) to USD's (y up, looking along -z).
OPTICAL_TO_USD = np.diag([1.0, -1.0, -1.0, 1.0])


def write_stage(
    scene: Scene,
    path: Path,
    semantics: Semantics = "labels",
    *,
    instance_labels: bool = True,
    surroundings: Surroundings | None = None,
    placed: bool = True,
) -> StageSettings:
    """Write ``scene`` to ``path`` (.usda or .usdc) and its textures to a folder beside it.

    ``semantics``: labels by UsdSemantics (Isaac Sim 5.0 and newer), or by the SemanticsAPI of 4.5.
    ``instance_labels``: label every object with the plan's id too, not only with its class.
    ``surroundings``: refer to an environment's file, placed around the frame. ``placed``: without it, the
    file holds shapes and materials only, and what is returned has still to be set.

    Raises:
        DistortionError: the camera's distortion folds back inside the image.
        RenderError: the scene has an environment map or a sun.
        OSError: a texture cannot be written.
    """
    if scene.environment is not None:
        raise RenderError(NO_ENVIRONMENT)
    if scene.sun is not None:
        raise RenderError(NO_SUN)
    textures = path.with_name(path.stem + "_textures")
    textures.mkdir(parents=True, exist_ok=True)
    stage = _new_stage(path)
    settings = StageSettings()
    for instance in scene.instances:
        _add_instance(stage, settings, instance, textures, semantics, instance_labels)
    for number, surface in enumerate(scene.surfaces):
        _add_surface(stage, settings, f"/World/Room/surface_{number:02d}", surface, textures)
    for number, light in enumerate(scene.lights):
        _add_light(stage, settings, f"/World/Lights/light_{number:03d}", light)
    if max(scene.ambient) > 0.0:
        sky = UsdLux.DomeLight.Define(stage, "/World/Lights/sky")
        _emit(settings, str(sky.GetPath()), scene.ambient)
    _add_camera(stage, settings, pinhole_around(scene.camera))
    if surroundings is not None:
        add_surroundings(stage, surroundings)
        settings.poses[ENVIRONMENT_PATH] = surroundings.pose(scene)
    if placed:
        set_in_usd(stage, settings)
    stage.GetRootLayer().Save()
    return settings


@dataclass(frozen=True)
class StageSettings:
    """What the plan sets on the prims of a frame's stage: rigid poses (4, 4) in metres, attributes by path
    and name, and the material of each mesh."""

    poses: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    attributes: dict[tuple[str, str], float | tuple[float, ...]] = field(default_factory=dict)
    bindings: dict[str, str] = field(default_factory=dict)


def instance_path(instance_id: int) -> str:
    """Path of an instance's prim."""
    return f"/World/Objects/object_{instance_id:05d}"


def _add_instance(
    stage: Any,
    settings: StageSettings,
    instance: Instance,
    textures: Path,
    semantics: Semantics,
    instance_labels: bool,
) -> None:
    root = UsdGeom.Xform.Define(stage, instance_path(instance.instance_id))
    settings.poses[str(root.GetPath())] = instance.pose
    label = _label if semantics == "labels" else _label_by_semantics_api
    if instance_labels:
        label(root.GetPrim(), INSTANCE_TAXONOMY, str(instance.instance_id))
    if instance.label is not None:
        label(root.GetPrim(), CLASS_TAXONOMY, instance.label)
    if isinstance(instance.prop, ReferencedProp):
        asset = UsdGeom.Xform.Define(stage, f"{root.GetPath()}/asset")
        _place(asset, instance.prop.to_object)
        # A prim below: the asset's own root may carry transforms, which a reference's prim would replace.
        stage.DefinePrim(f"{asset.GetPath()}/model").GetReferences().AddReference(instance.prop.url)
        return
    for number, part in enumerate(instance.prop.parts):
        if len(part.faces):
            _add_part(stage, settings, f"{root.GetPath()}/part_{number:03d}", part, textures)


def _add_part(stage: Any, settings: StageSettings, path: str, part: Part, textures: Path) -> None:
    mesh = _mesh(stage, path, part.vertices, part.faces)
    if part.uvs is not None:
        _set_uvs(mesh, part.uvs)
    _material(stage, f"{path}/material", part.material, textures, "clamp")
    settings.bindings[path] = f"{path}/material"


def _add_surface(stage: Any, settings: StageSettings, path: str, surface: Surface, textures: Path) -> None:
    corners = np.asarray(surface.corners, dtype=np.float64)
    mesh = _mesh(stage, path, corners.astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    across = np.linalg.norm(corners[1] - corners[0]) / surface.tile_m[0]
    up = np.linalg.norm(corners[3] - corners[0]) / surface.tile_m[1]
    _set_uvs(mesh, np.array([[0, 1], [across, 1], [across, 1 - up], [0, 1 - up]], dtype=np.float32))
    material = Material(roughness=surface.roughness, metallic=surface.metallic, texture=surface.texture)
    _material(stage, f"{path}/material", material, textures, "repeat")
    settings.bindings[path] = f"{path}/material"


def _mesh(stage: Any, path: str, vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> Any:
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(vertices, np.float32)))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(faces.reshape(-1), np.int32)))
    # Without this, a renderer would round every box into a pebble.
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateDoubleSidedAttr(True)
    return mesh


def _set_uvs(mesh: Any, uvs: NDArray[np.float32]) -> None:
    """USD counts v from the image's bottom row, we from its top row."""
    flipped = np.stack([uvs[:, 0], 1.0 - uvs[:, 1]], axis=1).astype(np.float32)
    primvar = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
        "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex
    )
    primvar.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(flipped)))


def _material(stage: Any, path: str, material: Material, textures: Path, wrap: str) -> None:
    node = UsdShade.Material.Define(stage, path)
    shader = UsdShade.Shader.Define(stage, f"{path}/surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    for name in ("roughness", "metallic", "opacity"):
        shader.CreateInput(name, Sdf.ValueTypeNames.Float).Set(float(getattr(material, name)))
    diffuse = shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f)
    if material.texture is None:
        linear = srgb_decode(np.array(material.color, dtype=np.float32))
        diffuse.Set(Gf.Vec3f(*(float(value) for value in linear)))
    else:
        file = textures / (path.strip("/").replace("/", "_") + ".png")
        if not cv2.imwrite(str(file), cv2.cvtColor(material.texture, cv2.COLOR_RGB2BGR)):
            raise OSError(f"{file}: the texture could not be written")
        reader = UsdShade.Shader.Define(stage, f"{path}/st")
        reader.CreateIdAttr("UsdPrimvarReader_float2")
        reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
        image = UsdShade.Shader.Define(stage, f"{path}/texture")
        image.CreateIdAttr("UsdUVTexture")
        asset = Sdf.AssetPath(f"./{textures.name}/{file.name}")
        image.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(asset)
        image.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
        for axis in ("wrapS", "wrapT"):
            image.CreateInput(axis, Sdf.ValueTypeNames.Token).Set(wrap)
        st = reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
        image.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(st)
        diffuse.ConnectToSource(image.CreateOutput("rgb", Sdf.ValueTypeNames.Float3))
    node.CreateSurfaceOutput().ConnectToSource(shader.CreateOutput("surface", Sdf.ValueTypeNames.Token))


def _add_light(stage: Any, settings: StageSettings, path: str, light: RectLight) -> None:
    """A UsdLux rectangle shines along its -z: with x along v and y along u that is u cross v."""
    u, v = np.array(light.u, dtype=float), np.array(light.v, dtype=float)
    half_u, half_v = float(np.linalg.norm(u)), float(np.linalg.norm(v))
    UsdLux.RectLight.Define(stage, path)
    settings.attributes[path, "inputs:width"] = 2.0 * half_v
    settings.attributes[path, "inputs:height"] = 2.0 * half_u
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1] = v / half_v, u / half_u
    pose[:3, 2] = np.cross(pose[:3, 0], pose[:3, 1])
    pose[:3, 3] = light.center
    settings.poses[path] = pose
    _emit(settings, path, light.radiance)


def _emit(settings: StageSettings, path: str, radiance: tuple[float, float, float]) -> None:
    peak = float(max(*radiance, 1e-9))
    settings.attributes[path, "inputs:intensity"] = peak
    red, green, blue = (float(value) / peak for value in radiance)
    settings.attributes[path, "inputs:color"] = (red, green, blue)


def _add_camera(stage: Any, settings: StageSettings, camera: Camera) -> None:
    UsdGeom.Camera.Define(stage, CAMERA_PATH)
    settings.attributes[CAMERA_PATH, "horizontalAperture"] = APERTURE_MM
    settings.attributes[CAMERA_PATH, "verticalAperture"] = APERTURE_MM * camera.height / camera.width
    settings.attributes[CAMERA_PATH, "focalLength"] = APERTURE_MM * camera.focal_px / camera.width
    settings.attributes[CAMERA_PATH, "clippingRange"] = CLIPPING_M
    settings.poses[CAMERA_PATH] = camera.pose @ OPTICAL_TO_USD


def write_empty_stage(path: Path, surroundings: Surroundings | None) -> None:
    """Write the stage that frames are referred to from, with the environment's file, to ``path``."""
    stage = _new_stage(path)
    if surroundings is not None:
        add_surroundings(stage, surroundings)
    stage.GetRootLayer().Save()


def _new_stage(path: Path) -> Any:
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, ROOT_PATH).GetPrim())
    return stage


def add_surroundings(stage: Any, surroundings: Surroundings) -> None:
    """Refer to the environment's file below a prim that has still to be placed."""
    UsdGeom.Xform.Define(stage, ENVIRONMENT_PATH)
    inside = UsdGeom.Xform.Define(stage, f"{ENVIRONMENT_PATH}/inside")
    _place(inside, surroundings.to_frame)
    # A prim below: the file's own root may carry transforms, which a reference's prim would replace.
    stage.DefinePrim(f"{inside.GetPath()}/model").GetReferences().AddReference(surroundings.url)


def set_in_usd(stage: Any, settings: StageSettings) -> None:
    """Write ``settings`` into ``stage``: the way for releases without Replicator's functional API."""
    for path, pose in settings.poses.items():
        _place(UsdGeom.Xformable(stage.GetPrimAtPath(path)), pose)
    for (path, name), value in settings.attributes.items():
        vector = {2: Gf.Vec2f, 3: Gf.Vec3f}
        typed = vector[len(value)](*value) if isinstance(value, tuple) else value
        stage.GetPrimAtPath(path).GetAttribute(name).Set(typed)
    for path, material in settings.bindings.items():
        bound = UsdShade.Material(stage.GetPrimAtPath(material))
        UsdShade.MaterialBindingAPI.Apply(stage.GetPrimAtPath(path)).Bind(bound)


def _place(node: Any, pose: NDArray[np.float64]) -> None:
    # USD multiplies row vectors from the left: its matrix is the transpose of ours.
    node.AddTransformOp().Set(Gf.Matrix4d(np.asarray(pose, dtype=float).T.tolist()))


def _label(prim: Any, taxonomy: str, value: str) -> None:
    from pxr import UsdSemantics

    UsdSemantics.LabelsAPI.Apply(prim, taxonomy).CreateLabelsAttr().Set(Vt.TokenArray([value]))


def _label_by_semantics_api(prim: Any, taxonomy: str, value: str) -> None:
    """Isaac Sim 4.5 reads a schema of its own, which usd-core does not know: written by its names."""
    name = f"Semantics_{taxonomy}"
    prim.AddAppliedSchema(f"SemanticsAPI:{name}")
    for parameter, text in (("semanticType", taxonomy), ("semanticData", value)):
        prim.CreateAttribute(f"semantic:{name}:params:{parameter}", Sdf.ValueTypeNames.String).Set(text)
