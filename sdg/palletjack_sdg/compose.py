"""A frame plan becomes a scene: props are built, surfaces get their textures, lights their place.

Pure: equal plans give equal scenes, whatever was built before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from palletjack_sdg.frame_plan import FramePlan, ObjectPlan, SurfacePlan
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


def build_scene(plan: FramePlan) -> Scene:
    """Return the scene of ``plan``.

    Raises ValueError naming the object or surface whose family, parameters or texture do not exist.
    """
    return Scene(
        instances=tuple(_instance(entry) for entry in plan.objects),
        surfaces=tuple(_surfaces(plan)),
        lights=tuple(RectLight(light.center, light.u, light.v, light.radiance) for light in plan.lights),
        camera=plan.camera.camera(),
        ambient=plan.ambient,
        metadata={"recipe": plan.recipe, "seed": plan.seed, "index": plan.index, "zone": plan.zone},
    )


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
    registry = _REGISTRIES[entry.kind]
    if entry.texture not in registry:
        known = ", ".join(sorted(registry))
        raise ValueError(
            f"surface {entry.name}: no {entry.kind} texture {entry.texture!r}; expected one of {known}"
        )
    return registry[entry.texture](np.random.default_rng(entry.seed))


def _brightened(texture: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(texture.astype(np.float32) * factor, 0, 255).astype(np.uint8)
