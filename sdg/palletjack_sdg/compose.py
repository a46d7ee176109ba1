"""A frame plan becomes a scene: props are built, surfaces get their textures, lights their place.

Pure: equal plans give equal scenes, whatever was built before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np

from palletjack_sdg.asset_index import AssetError, digest, find, is_asset
from palletjack_sdg.environment import Environment, Sun
from palletjack_sdg.environment_maps import make_environment
from palletjack_sdg.frame_plan import FramePlan, LightPlan, ObjectPlan, SunPlan, SurfacePlan
from palletjack_sdg.objects import catalog
from palletjack_sdg.scene import Instance, Matrix4, RectLight, Scene, Surface
from palletjack_sdg.textures import (
    CEILING_TEXTURES,
    FLOOR_TEXTURES,
    WALL_TEXTURES,
    SurfaceMaker,
    SurfaceTexture,
)

_REGISTRIES: Mapping[str, Mapping[str, SurfaceMaker]] = {
    "floor": FLOOR_TEXTURES,
    "wall": WALL_TEXTURES,
    "ceiling": CEILING_TEXTURES,
}
LEAST_ROUGHNESS = 0.08
# Of a map whose brightest pixel lies on the ground.
LOWEST_SUN = math.radians(5.0)
# A picture says nothing of its shine.
PICTURE_ROUGHNESS = {"floor": 0.55, "wall": 0.8, "ceiling": 0.9}


def build_scene(plan: FramePlan) -> Scene:
    """Return the scene of ``plan``.

    Raises ValueError naming the object or surface whose family, parameters or texture do not exist.
    """
    environment = None if plan.environment is None else make_environment(plan.environment)
    sun = None
    if plan.sun is not None:
        environment, sun = _aligned(plan.sun, environment)
    return Scene(
        instances=tuple(_instance(entry) for entry in plan.objects),
        surfaces=tuple(_surfaces(plan)),
        lights=tuple(_light(light, environment) for light in plan.lights),
        camera=plan.camera.camera(),
        ambient=plan.ambient,
        metadata={"recipe": plan.recipe, "seed": plan.seed, "index": plan.index, "zone": plan.zone},
        environment=environment,
        sun=sun,
    )


def _aligned(plan: SunPlan, environment: Environment | None) -> tuple[Environment | None, Sun]:
    """The sun, and the map turned so that its own sun stands there, at the map's elevation."""
    azimuth, elevation = math.radians(plan.azimuth_deg), math.radians(plan.elevation_deg)
    if environment is not None:
        where, height = environment.brightest()
        environment = replace(environment, rotation=environment.rotation + azimuth - where)
        elevation = max(height, LOWEST_SUN)
    flat = math.cos(elevation)
    direction = (flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation))
    return environment, Sun(direction, plan.irradiance)


def _light(light: LightPlan, environment: Environment | None) -> RectLight:
    opening = light.kind == "daylight"
    radiance = light.radiance
    if opening and environment is not None:
        outward = -np.cross(light.u, light.v)
        radiance = environment.through(outward / np.linalg.norm(outward))
    return RectLight(light.center, light.u, light.v, radiance, opening)


def object_pose(entry: ObjectPlan) -> Matrix4:
    """Return the matrix (4, 4) from the object's frame to the world: yaw, then pitch, then roll."""
    yaw, pitch, roll = (math.radians(v) for v in (entry.yaw_deg, entry.pitch_deg, entry.roll_deg))
    cy, sy, cp, sp, cr, sr = (f(v) for v in (yaw, pitch, roll) for f in (math.cos, math.sin))
    turn_z = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    turn_y = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    turn_x = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    pose = np.eye(4)
    pose[:3, :3] = turn_z @ turn_y @ turn_x
    pose[:3, 3] = entry.position
    return pose


def _instance(entry: ObjectPlan) -> Instance:
    try:
        prop = catalog.build(entry.family, catalog.parse(entry.family, entry.params))
    except ValueError as error:
        raise ValueError(f"object {entry.id}: {error}") from error
    return Instance(entry.id, prop, object_pose(entry), entry.label)


def _surfaces(plan: FramePlan) -> list[Surface]:
    made: dict[tuple[str, str, int], SurfaceTexture] = {}
    surfaces = []
    for entry in plan.surfaces:
        key = (entry.kind, entry.texture, entry.seed)
        if key not in made:
            made[key] = _make_texture(entry)
        texture = made[key]
        surfaces.append(
            Surface(
                name=entry.name,
                corners=np.array(entry.corners, dtype=np.float64),
                texture=_brightened(texture.texture, entry.brightness),
                tile_m=texture.tile_m,
                roughness=max(LEAST_ROUGHNESS, texture.roughness * entry.roughness_factor),
            )
        )
    return surfaces


def _make_texture(entry: SurfacePlan) -> SurfaceTexture:
    if is_asset(entry.texture):
        return _picture(entry)
    registry = _REGISTRIES[entry.kind]
    if entry.texture not in registry:
        known = ", ".join(sorted(registry))
        raise ValueError(
            f"surface {entry.name}: no {entry.kind} texture {entry.texture!r}; expected one of {known}"
        )
    return registry[entry.texture](np.random.default_rng(entry.seed))


def _picture(entry: SurfacePlan) -> SurfaceTexture:
    pack, path = find(entry.texture, "picture")
    if digest(path) != entry.sha256:
        raise AssetError(f"{path}: expected the file with SHA-256 {entry.sha256}, found another")
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise AssetError(f"{path}: expected a picture, found one that does not decode")
    texture = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    height, width = texture.shape[:2]
    return SurfaceTexture(texture, (pack.tile_m, pack.tile_m * height / width), PICTURE_ROUGHNESS[entry.kind])


def _brightened(texture: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(texture.astype(np.float32) * factor, 0, 255).astype(np.uint8)
