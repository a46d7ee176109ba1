"""From a scenario and a seed to placed objects: the one world that physics and all cameras share."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.scene import Instance, RectLight, Surface
from palletjack_sdg.seeding import draw_seed, substream
from palletjack_sdg.textures import (
    CEILING_TEXTURES,
    FLOOR_TEXTURES,
    WALL_TEXTURES,
    SurfaceMaker,
    SurfaceTexture,
)
from palletjack_sim.motion import Motion, pose_matrix
from palletjack_sim.scenario import CameraSpec, ObjectSpec, Pose, Room, Scenario, ScenarioError, Window

TRUCK_LABEL = "palletjack"

Catalog = Mapping[str, ObjectFamily[Any]]


@dataclass(frozen=True)
class World:
    """Everything but the robot. ``names[instance_id]`` is the object's name in the scenario.

    ``instances`` stand where they are at 0 s; ``motions[instance_id]`` says how one of them moves.
    """

    instances: tuple[Instance, ...]
    names: Mapping[int, str]
    surfaces: tuple[Surface, ...]
    lights: tuple[RectLight, ...]
    ambient: tuple[float, float, float]
    motions: Mapping[int, Motion] = field(default_factory=dict)

    def pose_at(self, instance: Instance, stamp: float) -> NDArray[np.float64]:
        """Object to world (4, 4) at ``stamp`` (s)."""
        motion = self.motions.get(instance.instance_id)
        return instance.pose if motion is None else motion.pose_at(stamp)

    def instances_at(self, stamp: float) -> tuple[Instance, ...]:
        """All instances where they are at ``stamp`` (s)."""
        return tuple(replace(item, pose=self.pose_at(item, stamp)) for item in self.instances)

    def delayed(self, seconds: float) -> World:
        """The world for a clock that shows ``seconds`` when the run begins."""
        later = {key: replace(motion, start=motion.start + seconds) for key, motion in self.motions.items()}
        return replace(self, motions=later)

    @property
    def trucks(self) -> tuple[Instance, ...]:
        """The instances that the detector should find."""
        return tuple(item for item in self.instances if item.label == TRUCK_LABEL)


def build_world(scenario: Scenario, seed: int, catalog: Catalog | None = None) -> World:
    """Build every object of ``scenario`` as run ``seed`` has it.

    Raises ScenarioError for a family or parameter that does not exist.
    """
    if catalog is None:
        from palletjack_sdg.objects.catalog import FAMILIES

        catalog = FAMILIES
    instances, names, motions = [], {}, {}
    for index, item in enumerate(scenario.objects, start=1):
        rng = substream(seed, 0, f"{scenario.name}/{item.group or item.name}")
        family = _family(item, catalog)
        params = _params(item, family, rng)
        prop = family.build(params)
        label = TRUCK_LABEL if prop.category == TRUCK_LABEL else None
        pose = _varied(item, rng)
        instances.append(Instance(index, prop, pose_matrix(pose), label))
        if item.path is not None:
            motions[index] = Motion.along(item.path, item.pose, pose)
        names[index] = item.name
    surfaces = _room_surfaces(scenario.room, substream(seed, 0, f"{scenario.name}/room"))
    lights = (*_ceiling_lights(scenario), *(window_light(item) for item in scenario.light.windows))
    return World(tuple(instances), names, surfaces, lights, scenario.light.ambient, motions)


def camera_mount_matrix(spec: CameraSpec) -> NDArray[np.float64]:
    """Optical frame to base_link (4, 4) of the robot's camera."""
    sin, cos = np.sin(np.radians(spec.pitch_down_deg)), np.cos(np.radians(spec.pitch_down_deg))
    matrix = np.eye(4)
    matrix[:3, :3] = [[0, -sin, cos], [-1, 0, 0], [0, -cos, -sin]]
    matrix[:3, 3] = [spec.forward, 0.0, spec.height]
    return matrix


def _family(item: ObjectSpec, families: Catalog) -> ObjectFamily[Any]:
    if item.family in families:
        return families[item.family]
    near = difflib.get_close_matches(item.family, list(families), n=1)
    hint = f", did you mean {near[0]}?" if near else f", known are {', '.join(sorted(families))}"
    raise ScenarioError(f"object {item.name}: unknown family {item.family!r}{hint}")


def _params(item: ObjectSpec, family: ObjectFamily[Any], rng: np.random.Generator) -> ObjectParams:
    """Draw the family's parameters and set the given ones over them."""
    drawn_from = rng if item.vary.resample else np.random.default_rng(item.seed)
    drawn = family.sample(drawn_from)
    unknown = sorted(set(item.params) - set(family.params_type.model_fields))
    if unknown:
        known = list(family.params_type.model_fields)
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f", did you mean {near[0]}?" if near else f", known are {', '.join(known)}"
        raise ScenarioError(f"object {item.name}: params.{unknown[0]}: unknown for {item.family}{hint}")
    try:
        return family.params_type.model_validate({**drawn.model_dump(), **item.params})
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise ScenarioError(
            f"object {item.name}: params.{path}: {first['msg']}, found {first['input']!r}"
        ) from error


def _varied(item: ObjectSpec, rng: np.random.Generator) -> Pose:
    dx, dy = rng.uniform(-1.0, 1.0, size=2) * item.vary.position
    turn = float(rng.uniform(-1.0, 1.0)) * item.vary.yaw_deg
    pose = item.pose
    return Pose(x=pose.x + float(dx), y=pose.y + float(dy), z=pose.z, yaw_deg=pose.yaw_deg + turn)


def _room_surfaces(room: Room, rng: np.random.Generator) -> tuple[Surface, ...]:
    """Six surfaces, wound counter-clockwise seen from inside."""
    (x0, y0), (x1, y1), h = room.low, room.high, room.height
    floor = _texture(FLOOR_TEXTURES, room.floor, "room.floor", rng)
    wall = _texture(WALL_TEXTURES, room.wall, "room.wall", rng)
    ceiling = _texture(CEILING_TEXTURES, room.ceiling, "room.ceiling", rng)
    corners = {
        "floor": [(x0, y0, 0), (x1, y0, 0), (x1, y1, 0), (x0, y1, 0)],
        "ceiling": [(x0, y1, h), (x1, y1, h), (x1, y0, h), (x0, y0, h)],
        "wall_x0": [(x0, y0, 0), (x0, y1, 0), (x0, y1, h), (x0, y0, h)],
        "wall_x1": [(x1, y1, 0), (x1, y0, 0), (x1, y0, h), (x1, y1, h)],
        "wall_y0": [(x1, y0, 0), (x0, y0, 0), (x0, y0, h), (x1, y0, h)],
        "wall_y1": [(x0, y1, 0), (x1, y1, 0), (x1, y1, h), (x0, y1, h)],
    }
    made = {"floor": floor, "ceiling": ceiling}
    surfaces = []
    for name, points in corners.items():
        texture, tile_m, roughness = made.get(name, wall)
        surfaces.append(Surface(name, np.array(points, dtype=np.float64), texture, tile_m, roughness))
    return tuple(surfaces)


def _texture(
    registry: Mapping[str, SurfaceMaker], name: str, field: str, rng: np.random.Generator
) -> SurfaceTexture:
    if name not in registry:
        raise ScenarioError(f"{field}: unknown texture {name!r}, known are {', '.join(sorted(registry))}")
    return registry[name](np.random.default_rng(draw_seed(rng)))


def window_light(window: Window) -> RectLight:
    """The window as an emitter; u x v points to where it faces."""
    sin, cos = np.sin(np.radians(window.facing_deg)), np.cos(np.radians(window.facing_deg))
    half_width = (float(-sin) * window.size[0] / 2.0, float(cos) * window.size[0] / 2.0, 0.0)
    return RectLight(window.center, half_width, (0.0, 0.0, window.size[1] / 2.0), window.radiance)


def _ceiling_lights(scenario: Scenario) -> tuple[RectLight, ...]:
    """Rows of rectangular fixtures just below the ceiling, shining down."""
    room, light = scenario.room, scenario.light
    (x0, y0), (x1, y1) = room.low, room.high
    xs = x0 + (x1 - x0) * (np.arange(light.fixtures_per_row) + 0.5) / light.fixtures_per_row
    ys = y0 + (y1 - y0) * (np.arange(light.rows) + 0.5) / light.rows
    # u x v points to the side that shines: x cross -y is down.
    half_length = (light.length / 2.0, 0.0, 0.0)
    half_width = (0.0, -light.width / 2.0, 0.0)
    return tuple(
        RectLight((float(x), float(y), room.height - 0.1), half_length, half_width, light.radiance)
        for y in ys
        for x in xs
    )
