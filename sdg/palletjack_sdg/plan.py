"""(recipe, seed, frame index) to the complete plan of one frame. Pure, and each frame by itself."""

from __future__ import annotations

import math

import numpy as np

from palletjack_sdg.camera_plan import CameraPlan, sample_optics
from palletjack_sdg.environment_maps import PLAIN, environment_digest
from palletjack_sdg.frame_plan import EnvironmentPlan, FramePlan, LightPlan, ObjectPlan, SunPlan, SurfacePlan
from palletjack_sdg.layouts import fittings, goods, occluders, shell, trucks, zones
from palletjack_sdg.layouts.stage import Stage, area_of
from palletjack_sdg.placement import FloorBox, Occupancy
from palletjack_sdg.recipe import Recipe, ZoneName
from palletjack_sdg.seeding import draw_log_uniform, draw_seed, draw_uniform, draw_weighted, substream
from palletjack_sdg.sensor import sample_sensor

__all__ = ["FramePlan", "ObjectPlan", "SurfacePlan", "plan_frame"]

CAMERA_TRIES = 60
# Degrees that the sun stands to the side of the opening it looks in at.
MOST_ASIDE = 60.0


def plan_frame(recipe: Recipe, seed: int, index: int) -> FramePlan:
    """Return the plan of frame ``index`` of the data set that ``recipe`` and ``seed`` make.

    Raises ValueError for a negative seed or index.
    """

    def stream(name: str) -> np.random.Generator:
        return substream(seed, index, name)

    zone: ZoneName = draw_weighted(stream("zone"), recipe.place.zones)
    room = zones.draw_room(zone, recipe.place, stream("room"))
    low, high = recipe.distractors.instances
    budget_rng = stream("budget")
    stage = Stage(
        recipe=recipe,
        zone=zone,
        room=room,
        occupancy=Occupancy(area_of(room)),
        optics=sample_optics(recipe.image, recipe.camera, stream("optics")),
        # Skewed to the upper end: a real hall is full.
        budget=round(low + (high - low) * float(budget_rng.beta(2.2, 1.3))),
    )
    stage.close_ups = int(stream("close-ups").random() < recipe.distractors.close_up)
    zones.ZONES[zone](stage, stream("zone layout"))
    fittings.mark_floor(stage, stream("floor marking"))
    stage.surfaces += shell.draw_surfaces(room, recipe.place, stream("surfaces"))
    _place_camera(stage, stream("camera"))
    trucks.place_trucks(stage, stream("trucks"))
    occluders.occlude_truck(stage, stream("occluders"))
    goods.park_vehicles(stage, stream("vehicles"))
    goods.place_people(stage, stream("people"))
    goods.fill_rows(stage, stream("goods"))
    goods.top_up(stage, stream("top-up"))
    goods.scatter_clutter(stage, stream("clutter"))
    _light(stage, stream("light"))
    environment = _environment(recipe, stream("environment"))
    return FramePlan(
        recipe=recipe.name,
        seed=seed,
        index=index,
        zone=zone,
        camera=stage.optics,
        sensor=sample_sensor(recipe.sensor, stream("sensor")),
        objects=tuple(stage.objects),
        surfaces=tuple(stage.surfaces),
        lights=tuple(stage.lights),
        ambient=_ambient(recipe, stream("ambient")),
        environment=environment,
        sun=_sun(recipe, stage.lights, environment, stream("sun")),
        metadata=_metadata(stage),
    )


def _place_camera(stage: Stage, rng: np.random.Generator) -> None:
    """Put the camera at one of the zone's viewpoints, where the robot's body fits and something is ahead."""
    height = stage.optics.position[2]
    for attempt in range(CAMERA_TRIES):
        view = stage.viewpoints[int(rng.integers(len(stage.viewpoints)))]
        x = float(np.clip(draw_uniform(rng, view.x), stage.room.x0 + 0.4, stage.room.x1 - 1.0))
        y = float(np.clip(draw_uniform(rng, view.y), stage.room.y0 + 0.4, stage.room.y1 - 0.4))
        yaw = view.yaw_deg + draw_uniform(rng, (-view.spread_deg, view.spread_deg))
        optics = stage.optics.model_copy(
            update={"position": (round(x, 4), round(y, 4), height), "yaw_deg": round(yaw % 360.0, 4)}
        )
        body = trucks.clearance(optics.position, optics.heading)
        free = not stage.occupancy.collides((*body, *_free_view(optics)))
        if free or attempt == CAMERA_TRIES - 1:
            stage.optics = optics
            stage.camera = optics.camera()
            stage.occupancy.add(body, opaque=False)
            stage.notes["camera_free"] = free
            return
        stage.occupancy.refused["camera: occupied"] += 1


def _free_view(optics: CameraPlan) -> tuple[FloorBox, ...]:
    """Return the floor ahead of the camera, which no rack or pillar may fill."""
    x, y, _ = optics.position
    hx, hy = optics.heading
    yaw = math.atan2(hy, hx)
    return (
        FloorBox(x + 0.9 * hx, y + 0.9 * hy, 0.7, 0.35, yaw, 0.0, 2.0),
        FloorBox(x + 1.9 * hx, y + 1.9 * hy, 0.5, 0.8, yaw, 0.0, 2.0),
    )


def _light(stage: Stage, rng: np.random.Generator) -> None:
    lights, lamps = shell.draw_fixtures(stage.room, stage.recipe.light, rng)
    stage.lights += lights
    fittings.hang_lamps(stage, lamps, rng)
    if rng.random() < stage.recipe.light.robot_lamp:
        stage.lights.append(shell.robot_lamp(stage.eye(), stage.optics.heading, rng))


def _ambient(recipe: Recipe, rng: np.random.Generator) -> tuple[float, float, float]:
    level = draw_log_uniform(rng, recipe.light.ambient)
    tint = draw_uniform(rng, (-0.12, 0.12))
    return round(level * (1 + tint), 6), round(level, 6), round(level * (1 - tint), 6)


def _environment(recipe: Recipe, rng: np.random.Generator) -> EnvironmentPlan | None:
    if not recipe.light.environments:
        return None
    name = draw_weighted(rng, recipe.light.environments)
    if name == PLAIN:
        return None
    return EnvironmentPlan(
        name=name,
        seed=draw_seed(rng),
        sha256=environment_digest(name),
        rotation_deg=round(draw_uniform(rng, (0.0, 360.0)), 3),
        radiance=round(draw_log_uniform(rng, recipe.light.environment_radiance), 4),
    )


def _sun(
    recipe: Recipe, lights: list[LightPlan], environment: EnvironmentPlan | None, rng: np.random.Generator
) -> SunPlan | None:
    """Draw a sun that looks in through one of the openings."""
    openings = [light for light in lights if light.kind == "daylight"]
    if rng.random() >= recipe.light.sun or not openings:
        return None
    opening = openings[int(rng.integers(len(openings)))]
    outward = -np.cross(opening.u, opening.v)
    azimuth = math.degrees(math.atan2(outward[1], outward[0])) + draw_uniform(rng, (-MOST_ASIDE, MOST_ASIDE))
    elevation = draw_uniform(rng, recipe.light.sun_elevation_deg)
    level = opening.radiance[1] if environment is None else environment.radiance
    level *= draw_log_uniform(rng, recipe.light.sun_strength)
    # The lower the sun, the redder.
    warmth = 0.35 * math.exp(-elevation / 15.0)
    color = (1.05 + 0.5 * warmth, 1.0, 0.92 - warmth)
    red, green, blue = (round(level * channel, 4) for channel in color)
    return SunPlan(
        azimuth_deg=round(azimuth % 360.0, 3),
        elevation_deg=round(elevation, 3),
        irradiance=(red, green, blue),
    )


def _metadata(stage: Stage) -> dict[str, object]:
    """Counts of refused placements, and how each truck was meant to be seen."""
    return {
        **stage.notes,
        "refused": dict(sorted(stage.occupancy.refused.items())),
        "triangles": stage.triangles,
        "trucks": [
            {
                "id": truck.object_id,
                "state": truck.state,
                "distance_m": round(truck.distance, 3),
                "box_px": [round(value, 1) for value in truck.box],
                "hidden_estimate": round(truck.hidden, 3),
            }
            for truck in stage.trucks
        ],
    }
