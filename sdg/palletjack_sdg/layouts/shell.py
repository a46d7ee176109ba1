"""The room's shell: floor, ceiling and walls with their textures, and daylight in the walls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from palletjack_sdg.asset_index import digest, find, is_asset
from palletjack_sdg.frame_plan import LightPlan, Point, SurfacePlan
from palletjack_sdg.layouts.stage import Room
from palletjack_sdg.recipe import LightSection, PlaceSection
from palletjack_sdg.seeding import draw_log_uniform, draw_seed, draw_uniform, draw_weighted
from palletjack_sdg.textures import CEILING_TEXTURES, FLOOR_TEXTURES, WALL_TEXTURES

WallName = Literal["x0", "x1", "y0", "y1"]
WALL_GAP_M = 0.02
"""Lights lie this far before the surface they belong to."""


def draw_surfaces(room: Room, place: PlaceSection, rng: np.random.Generator) -> list[SurfacePlan]:
    """Draw the six surfaces of ``room``. Mostly all walls are alike; sometimes the far one differs."""
    floor, ceiling = _corners(room, "floor"), _corners(room, "ceiling")
    surfaces = [
        SurfacePlan(
            name="floor",
            kind="floor",
            texture=_texture(place.floors, FLOOR_TEXTURES, rng),
            seed=draw_seed(rng),
            corners=floor,
            brightness=round(draw_uniform(rng, (0.7, 1.1)), 3),
        ),
        SurfacePlan(
            name="ceiling",
            kind="ceiling",
            texture=_texture(place.ceilings, CEILING_TEXTURES, rng),
            seed=draw_seed(rng),
            corners=ceiling,
            brightness=round(draw_uniform(rng, (0.55, 1.1)), 3),
        ),
    ]
    texture, seed = _texture(place.walls, WALL_TEXTURES, rng), draw_seed(rng)
    brightness = round(draw_uniform(rng, (0.55, 1.1)), 3)
    for name in ("x0", "x1", "y0", "y1"):
        if name == "x1" and rng.random() < 0.3:
            texture, seed = _texture(place.walls, WALL_TEXTURES, rng), draw_seed(rng)
        surfaces.append(
            SurfacePlan(
                name=f"wall_{name}",
                kind="wall",
                texture=texture,
                seed=seed,
                corners=_corners(room, name),
                brightness=brightness,
            )
        )
    surfaces = [_with_digest(surface) for surface in surfaces]
    if rng.random() < place.wet_floor:
        wet = {
            "brightness": round(0.75 * surfaces[0].brightness, 3),
            "roughness_factor": round(draw_uniform(rng, (0.2, 0.5)), 3),
        }
        surfaces[0] = surfaces[0].model_copy(update=wet)
    return surfaces


def _with_digest(surface: SurfacePlan) -> SurfacePlan:
    if not is_asset(surface.texture):
        return surface
    return surface.model_copy(update={"sha256": digest(find(surface.texture, "picture")[1])})


def _texture(weights: Mapping[str, float], registry: Mapping[str, object], rng: np.random.Generator) -> str:
    return draw_weighted(rng, dict(weights) or dict.fromkeys(sorted(registry), 1.0))


def _corners(room: Room, name: str) -> tuple[Point, Point, Point, Point]:
    """Corners of one surface, counter-clockwise seen from inside; the first edge is the lower one."""
    x0, x1, y0, y1, h = room.x0, room.x1, room.y0, room.y1, room.height
    if name == "floor":
        return (x0, y0, 0.0), (x1, y0, 0.0), (x1, y1, 0.0), (x0, y1, 0.0)
    if name == "ceiling":
        return (x0, y0, h), (x0, y1, h), (x1, y1, h), (x1, y0, h)
    a, b = {
        "x0": ((x0, y0), (x0, y1)),
        "x1": ((x1, y1), (x1, y0)),
        "y0": ((x1, y0), (x0, y0)),
        "y1": ((x0, y1), (x1, y1)),
    }[name]
    return (*a, 0.0), (*b, 0.0), (*b, h), (*a, h)


def temperature_rgb(kelvin: float) -> tuple[float, float, float]:
    """Return the linear RGB colour of a lamp of this colour temperature, green = 1.

    A smooth fit to the black-body locus between 2700 K and 6500 K in linear sRGB, white at 6500 K.
    """
    t = np.clip((6500.0 - kelvin) / 3800.0, 0.0, 1.0)
    return float(1.0 + 1.05 * t**1.15), 1.0, float(1.0 - 0.78 * t**0.9)


@dataclass(frozen=True)
class LampSpot:
    """Where a ceiling lamp hangs, burning or not: its centre, its size, and whether it runs along x."""

    x: float
    y: float
    z: float
    length: float
    width: float
    along_x: bool


def draw_fixtures(
    room: Room, light: LightSection, rng: np.random.Generator, *, most: int = 16
) -> tuple[list[LightPlan], list[LampSpot]]:
    """Draw rows of ceiling lamps along x or y; returns the lights of those that burn, and all lamps."""
    height = room.height - draw_uniform(rng, (0.05, min(1.6, room.height - 2.75)))
    temperature = draw_uniform(rng, light.temperature_k)
    radiance = draw_log_uniform(rng, light.fixture_radiance)
    length, width = draw_uniform(rng, (1.1, 1.6)), draw_uniform(rng, (0.1, 0.4))
    along_x = rng.random() < 0.6
    size_x, size_y = room.x1 - room.x0, room.y1 - room.y0
    gap_along, gap_across = draw_uniform(rng, (1.9, 5.0)), draw_uniform(rng, (2.8, 6.0))
    run, cross = (size_x, size_y) if along_x else (size_y, size_x)
    count_along, count_across = max(1, round(run / gap_along)), max(1, round(cross / gap_across))
    while count_along * count_across > most:
        if count_along / run > count_across / cross:
            count_along -= 1
        else:
            count_across -= 1
    dark = rng.random() < light.dark_hall
    lit = draw_uniform(rng, light.dark_lit if dark else light.lit)
    positions = [(i, j) for i in range(count_along) for j in range(count_across)]
    # Whole rows are switched together as often as single tubes fail.
    burning = {j: rng.random() for j in range(count_across)}
    rowwise = rng.random() < 0.5
    fixtures: list[LightPlan] = []
    spots = []
    for i, j in positions:
        chance = burning[j] if rowwise else rng.random()
        single = rng.random()
        along = (i + 0.5) / count_along * run
        across = (j + 0.5) / count_across * cross
        x, y = (room.x0 + along, room.y0 + across) if along_x else (room.x0 + across, room.y0 + along)
        spots.append(LampSpot(round(x, 4), round(y, 4), round(height, 4), length, width, along_x))
        if chance > lit and not (len(fixtures) == 0 and (i, j) == positions[-1]):
            continue
        half = (length / 2, width / 2) if along_x else (width / 2, length / 2)
        strength = radiance * (0.75 + 0.5 * single)
        color = temperature_rgb(temperature + 250.0 * (single - 0.5))
        fixtures.append(
            LightPlan(
                kind="fixture",
                center=_rounded(x, y, height),
                u=_rounded(half[0], 0.0, 0.0),
                v=_rounded(0.0, -half[1], 0.0),
                radiance=_rounded(*(strength * channel for channel in color)),
            )
        )
    return fixtures, spots


def draw_windows(
    room: Room, wall: WallName, light: LightSection, rng: np.random.Generator
) -> list[LightPlan]:
    """Draw a bright window band of one to four panes in ``wall``, from about 1.8 m up to the ceiling."""
    low = draw_uniform(rng, (1.6, max(1.7, room.height - 1.6)))
    high = min(room.height - 0.15, low + draw_uniform(rng, (0.7, 1.8)))
    panes = int(rng.integers(1, 5))
    radiance = draw_log_uniform(rng, light.daylight_radiance)
    run = _wall_length(room, wall)
    span = run * draw_uniform(rng, (0.4, 0.95))
    start = draw_uniform(rng, (0.0, run - span))
    pane = span / panes
    return [
        _wall_light(room, wall, start + k * pane + 0.06, start + (k + 1) * pane - 0.06, low, high, radiance)
        for k in range(panes)
    ]


def draw_gate(
    room: Room, wall: WallName, along: float, width: float, light: LightSection, rng: np.random.Generator
) -> list[LightPlan]:
    """Draw an open gate, blown out by daylight: ``width`` metres around ``along`` metres along ``wall``."""
    height = min(room.height - 0.3, draw_uniform(rng, (2.4, 4.0)))
    radiance = draw_log_uniform(rng, light.daylight_radiance)
    return [_wall_light(room, wall, along - width / 2, along + width / 2, 0.02, height, radiance)]


def robot_lamp(
    eye: tuple[float, float, float], heading: tuple[float, float], rng: np.random.Generator
) -> LightPlan:
    """Draw a lamp on the robot, just above the camera, shining forward."""
    x, y, z = eye
    hx, hy = heading
    strength = draw_log_uniform(rng, (15.0, 120.0))
    half = draw_uniform(rng, (0.03, 0.08))
    return LightPlan(
        kind="lamp",
        center=_rounded(x - 0.02 * hx, y - 0.02 * hy, z + draw_uniform(rng, (0.1, 0.25))),
        u=_rounded(-hy * half, hx * half, 0.0),
        v=_rounded(0.0, 0.0, half),
        radiance=_rounded(strength, strength, strength * 0.97),
    )


def _wall_length(room: Room, wall: WallName) -> float:
    return room.y1 - room.y0 if wall in ("x0", "x1") else room.x1 - room.x0


def _wall_light(
    room: Room, wall: WallName, start: float, end: float, low: float, high: float, radiance: float
) -> LightPlan:
    """A rectangle on ``wall`` between ``start`` and ``end`` metres along it, that shines into the room."""
    middle, half, level = (start + end) / 2, (end - start) / 2, (low + high) / 2
    center, u = {
        "x0": ((room.x0 + WALL_GAP_M, room.y0 + middle, level), (0.0, half, 0.0)),
        "x1": ((room.x1 - WALL_GAP_M, room.y0 + middle, level), (0.0, -half, 0.0)),
        "y0": ((room.x0 + middle, room.y0 + WALL_GAP_M, level), (-half, 0.0, 0.0)),
        "y1": ((room.x0 + middle, room.y1 - WALL_GAP_M, level), (half, 0.0, 0.0)),
    }[wall]
    return LightPlan(
        kind="daylight",
        center=_rounded(*center),
        u=_rounded(*u),
        v=_rounded(0.0, 0.0, (high - low) / 2),
        radiance=_rounded(radiance, radiance * 1.02, radiance * 1.07),
    )


def _rounded(x: float, y: float, z: float) -> Point:
    return round(x, 4), round(y, 4), round(z, 4)
