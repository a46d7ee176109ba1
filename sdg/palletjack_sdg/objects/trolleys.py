"""Things on wheels that people push: trolleys, hand trucks, roll cages, tool cabinets, wheelbarrows.

Frame: x forward, away from whoever pushes, y left, z up; the origin lies on the floor under the middle
of the deck (hand truck: under the axle).
"""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
from pydantic import Field

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Part, Prop, Vec3
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.objects.paint import (
    BLACK_PLASTIC,
    ZINC,
    faded,
    jitter_color,
    plywood,
    sample_fleet_color,
    skinned,
    worn_paint,
)
from palletjack_sdg.objects.pallet_truck_params import Color
from palletjack_sdg.objects.wheels import castor, wheel

TROLLEY_COLORS: dict[str, tuple[Vec3, float]] = {
    "blue": ((0.06, 0.24, 0.60), 0.50),
    "grey": ((0.45, 0.46, 0.47), 0.18),
    "red": ((0.66, 0.09, 0.08), 0.12),
    "green": ((0.12, 0.38, 0.22), 0.08),
    "yellow": ((0.86, 0.66, 0.10), 0.07),
    "black": ((0.08, 0.08, 0.09), 0.05),
}
_CARTON = Material((0.55, 0.40, 0.26), roughness=0.85)


class PlatformTrolleyParams(ObjectParams):
    """A tube-framed trolley with one to four wooden decks. Metres, sRGB in 0..1."""

    length: float = Field(default=1.2, ge=0.7, le=2.0)
    width: float = Field(default=0.7, ge=0.45, le=0.9)
    deck_height: float = Field(default=0.26, ge=0.16, le=0.4)
    handle_height: float = Field(default=1.05, ge=0.85, le=1.9)
    decks: int = Field(default=1, ge=1, le=4)
    handles: Literal["one", "both"] = "one"
    bars: int = Field(default=2, ge=0, le=6, description="cross tubes in each end frame")
    wheel_radius: float = Field(default=0.09, ge=0.05, le=0.13)
    color: Color = (0.06, 0.24, 0.60)
    wear: float = Field(default=0.3, ge=0.0, le=1.0)


class HandTruckParams(ObjectParams):
    """A sack truck: two wheels, a toe plate and a tall ladder frame that leans back. Metres, degrees."""

    height: float = Field(default=1.2, ge=0.95, le=1.4)
    width: float = Field(default=0.46, ge=0.34, le=0.6)
    lean_deg: float = Field(default=8.0, ge=0.0, le=65.0)
    wheel_radius: float = Field(default=0.13, ge=0.08, le=0.16)
    loop_handle: bool = False
    color: Color = (0.66, 0.09, 0.08)
    wheel_color: Color = (0.05, 0.05, 0.05)


class RollCageParams(ObjectParams):
    """A wire roll container with two to four walls, empty or with cartons. Metres."""

    length: float = Field(default=0.82, ge=0.65, le=1.0)
    width: float = Field(default=0.72, ge=0.6, le=0.85)
    height: float = Field(default=1.68, ge=1.3, le=1.9)
    walls: int = Field(default=3, ge=2, le=4)
    filled: float = Field(
        default=0.0, ge=0.0, le=0.9, description="share of the inner height that cartons fill"
    )
    color: Color = (0.58, 0.59, 0.60)


class ToolTrolleyParams(ObjectParams):
    """A workshop cabinet on castors with drawers. Metres, sRGB in 0..1."""

    length: float = Field(default=0.7, ge=0.5, le=1.0)
    width: float = Field(default=0.45, ge=0.35, le=0.6)
    height: float = Field(default=0.95, ge=0.8, le=1.1)
    drawers: int = Field(default=6, ge=3, le=8)
    color: Color = (0.66, 0.09, 0.08)
    wear: float = Field(default=0.3, ge=0.0, le=1.0)


class WheelbarrowParams(ObjectParams):
    """A one-wheeled barrow with a pressed tray. Metres, sRGB in 0..1."""

    tray_length: float = Field(default=0.85, ge=0.7, le=1.0)
    tray_width: float = Field(default=0.62, ge=0.5, le=0.75)
    color: Color = (0.12, 0.38, 0.22)
    wear: float = Field(default=0.5, ge=0.0, le=1.0)


def build_platform_trolley(params: PlatformTrolleyParams) -> Prop:
    """Build a trolley; anchors ``top`` (middle of the lowest deck), ``handle_top``, ``deck_0``, ..."""
    rng = np.random.default_rng(params.seed)
    tube = worn_paint(params.color, params.wear, rng, size=96)
    steel = Material(faded(params.color, params.wear), roughness=0.5)
    deck = plywood(rng)
    half_l, half_w, low = params.length / 2.0, params.width / 2.0, params.deck_height
    top = params.handle_height
    parts: list[Part] = []
    levels = [low + (top - 0.12 - low) * k / max(params.decks - 0.35, 1.0) for k in range(params.decks)]
    for z in levels:
        board = shapes.box((params.length, params.width, 0.018), deck, center=(0, 0, z - 0.009), bevel=0.002)
        parts.append(shapes.box_projected_uvs(board))
        rim = [(-half_l, -half_w, z - 0.03), (half_l, -half_w, z - 0.03), (half_l, half_w, z - 0.03)]
        rim.append((-half_l, half_w, z - 0.03))
        parts.append(shapes.bar(rim, (0.03, 0.04), steel, closed=True))
    ends = (-1.0, 1.0) if params.handles == "both" or params.decks > 1 else (-1.0,)
    for end in ends:
        parts += _end_frame(params, end * half_l, tube)
    castors = params.deck_height - 0.05
    radius = min(params.wheel_radius, 0.42 * castors)
    for sx in (-1.0, 1.0):
        for sy in (-1.0, 1.0):
            place = (sx * (half_l - 0.12), sy * (half_w - 0.07), castors)
            turn = float(rng.uniform(-180.0, 180.0)) if sx < 0 else 0.0
            parts += castor(place, radius, 0.04, yaw_deg=turn, swivel=sx < 0)
    anchors: dict[str, Vec3] = {"top": (0.0, 0.0, low), "handle_top": (-half_l, 0.0, top)}
    anchors.update({f"deck_{k}": (0.0, 0.0, z) for k, z in enumerate(levels)})
    return Prop("platform_trolley", tuple(shapes.merge(skinned(parts))), anchors)


def build_hand_truck(params: HandTruckParams) -> Prop:
    """Build a hand truck; anchors ``toe`` and ``handle_top``."""
    steel = Material(params.color, roughness=0.45)
    tyre = Material(params.wheel_color, roughness=0.8)
    half, radius, height = params.width / 2.0, params.wheel_radius, params.height
    rail = half - 0.06
    parts: list[Part] = []
    if params.loop_handle:
        hoop = [(0, -rail, 0.02), (0, -rail, height), (0, rail, height), (0, rail, 0.02)]
        parts.append(shapes.pipe(hoop, 0.015, steel, corner_radius=0.12))
    else:
        for side in (-1.0, 1.0):
            y = side * rail
            path = [(0, y, 0.02), (0, y, height - 0.10), (-0.07, y, height), (-0.18, y, height)]
            parts.append(shapes.pipe(path, 0.015, steel, corner_radius=0.06))
            grip = (-0.08, y, height), (-0.20, y, height)
            parts.append(shapes.cylinder(*grip, 0.019, BLACK_PLASTIC, segments=12))
    for share in (0.12, 0.34, 0.56, 0.78):
        z = share * height
        parts.append(shapes.pipe([(0, -rail, z), (-0.03, 0, z), (0, rail, z)], 0.011, steel, segments=8))
    parts.append(shapes.box((0.24, params.width - 0.1, 0.006), steel, center=(0.11, 0.0, 0.003)))
    # The whole frame leans back about the axle, which keeps its height over the floor.
    axle = (-0.10, 0.0, radius)
    lean = shapes.rotation("y", -params.lean_deg, axle)
    for side in (-1.0, 1.0):
        stay = [(0, side * rail, 0.42 * height), (-0.10, side * rail, radius), (0, side * rail, 0.05)]
        parts.append(shapes.pipe(stay, 0.011, steel, segments=8))
    parts = shapes.transform_all(parts, lean)
    for side in (-1.0, 1.0):
        parts += wheel((axle[0], side * (half - 0.005), radius), radius, 0.05, tyre=tyre, hub_fraction=0.5)
    parts.append(shapes.cylinder((axle[0], -half, radius), (axle[0], half, radius), 0.01, ZINC, segments=10))
    to_axle = shapes.translation(-axle[0], 0.0, 0.0)
    parts = shapes.transform_all(parts, to_axle)
    handle = to_axle @ lean @ np.array([0.0 if params.loop_handle else -0.14, 0.0, height, 1.0])
    toe = to_axle @ lean @ np.array([0.23, 0.0, 0.006, 1.0])
    anchors: dict[str, Vec3] = {
        "handle_top": (float(handle[0]), 0.0, float(handle[2])),
        "toe": (float(toe[0]), 0.0, float(toe[2])),
    }
    return Prop("hand_truck", tuple(shapes.merge(skinned(parts))), anchors)


def build_roll_cage(params: RollCageParams) -> Prop:
    """Build a roll cage; anchor ``top`` is the middle of its floor grid."""
    rng = np.random.default_rng(params.seed)
    wire = Material(params.color, roughness=0.4, metallic=0.6)
    half_l, half_w, floor, top = params.length / 2.0, params.width / 2.0, 0.19, params.height
    parts: list[Part] = []
    for y in np.linspace(-half_w, half_w, 6):
        parts.append(shapes.box((params.length, 0.025, 0.02), wire, center=(0.0, float(y), floor - 0.01)))
    for x in (-half_l, half_l):
        parts.append(shapes.box((0.03, params.width, 0.03), wire, center=(x, 0.0, floor - 0.015)))
    corner = {
        "left": [(-half_l, half_w), (half_l, half_w)],
        "right": [(half_l, -half_w), (-half_l, -half_w)],
        "back": [(-half_l, -half_w), (-half_l, half_w)],
        "front": [(half_l, half_w), (half_l, -half_w)],
    }
    for name in ("left", "right", "back", "front")[: params.walls]:
        parts += _wire_wall(corner[name][0], corner[name][1], floor, top, wire)
    for sx in (-1.0, 1.0):
        for sy in (-1.0, 1.0):
            place = (sx * (half_l - 0.08), sy * (half_w - 0.07), floor - 0.02)
            parts += castor(place, 0.0625, 0.035, yaw_deg=float(rng.uniform(-180, 180)), swivel=sx < 0)
    parts += _cartons(params, floor, rng)
    return Prop("roll_cage", tuple(shapes.merge(skinned(parts))), {"top": (0.0, 0.0, floor)})


def build_tool_trolley(params: ToolTrolleyParams) -> Prop:
    """Build a tool cabinet; its drawers open towards +y. Anchor ``top``."""
    rng = np.random.default_rng(params.seed)
    paint = worn_paint(params.color, params.wear, rng, size=128)
    low = 0.13
    tall = params.height - low - 0.03
    body = (params.length, params.width, tall)
    cabinet = shapes.box(body, paint, center=(0.0, 0.0, low + tall / 2.0), bevel=0.008)
    parts = [cabinet]
    lid = (params.length + 0.03, params.width + 0.03, 0.03)
    parts.append(shapes.box(lid, BLACK_PLASTIC, center=(0.0, 0.0, params.height - 0.015), bevel=0.008))
    edges = low + 0.03 + (tall - 0.06) * np.linspace(0.0, 1.0, params.drawers + 1) ** 0.8
    face = params.width / 2.0
    for bottom, top in itertools.pairwise(edges):
        size = (params.length - 0.05, 0.012, float(top - bottom) - 0.008)
        front = shapes.box(size, paint, center=(0.0, face + 0.004, float(top + bottom) / 2.0), bevel=0.003)
        parts.append(front)
        grip = (params.length - 0.12, 0.014, 0.014)
        parts.append(shapes.box(grip, ZINC, center=(0.0, face + 0.016, float(top) - 0.018), bevel=0.003))
    end = -params.length / 2.0
    push = [(end, -0.15, params.height - 0.12), (end - 0.07, -0.15, params.height - 0.10)]
    push += [(end - 0.07, 0.15, params.height - 0.10), (end, 0.15, params.height - 0.12)]
    parts.append(shapes.pipe(push, 0.012, ZINC, corner_radius=0.03, segments=8))
    for sx in (-1.0, 1.0):
        for sy in (-1.0, 1.0):
            place = (sx * (params.length / 2.0 - 0.07), sy * (params.width / 2.0 - 0.06), low)
            parts += castor(place, 0.05, 0.03, yaw_deg=float(rng.uniform(-180, 180)), swivel=sx < 0)
    return Prop("tool_trolley", tuple(shapes.merge(skinned(parts))), {"top": (0.0, 0.0, params.height)})


def build_wheelbarrow(params: WheelbarrowParams) -> Prop:
    """Build a wheelbarrow standing on its legs; anchors ``top`` (in the tray) and ``handle_top``."""
    rng = np.random.default_rng(params.seed)
    paint = worn_paint(params.color, params.wear, rng, size=128)
    half_l, half_w = params.tray_length / 2.0, params.tray_width / 2.0
    parts = _tray(half_l, half_w, 0.36, 0.62, paint)
    steel = Material((0.10, 0.10, 0.11), roughness=0.5)
    radius, axle_x = 0.19, half_l + 0.16
    for side in (-1.0, 1.0):
        rail = [(axle_x + 0.05, side * 0.07, radius), (half_l - 0.1, side * 0.14, 0.35)]
        rail += [(-half_l, side * 0.24, 0.40), (-half_l - 0.55, side * 0.29, 0.62)]
        parts.append(shapes.pipe(rail, 0.017, steel, corner_radius=0.10))
        grip = [(-half_l - 0.55, side * 0.29, 0.62), (-half_l - 0.67, side * 0.302, 0.668)]
        parts.append(shapes.pipe(grip, 0.02, BLACK_PLASTIC))
        leg = [(-0.10, side * 0.20, 0.38), (-half_l + 0.10, side * 0.22, 0.015), (-half_l, side * 0.24, 0.40)]
        parts.append(shapes.pipe(leg, 0.015, steel, corner_radius=0.05))
    parts += wheel((axle_x, 0.0, radius), radius, 0.08, hub_fraction=0.5)
    parts.append(shapes.cylinder((axle_x, -0.085, radius), (axle_x, 0.085, radius), 0.01, ZINC, segments=10))
    anchors: dict[str, Vec3] = {"top": (0.0, 0.0, 0.37), "handle_top": (-half_l - 0.6, 0.0, 0.65)}
    return Prop("wheelbarrow", tuple(shapes.merge(skinned(parts))), anchors)


def sample_platform_trolley(rng: np.random.Generator) -> PlatformTrolleyParams:
    """Draw a trolley: half of them single decks, the rest shelf trolleys of tubes."""
    decks = int(rng.choice([1, 2, 3, 4], p=[0.5, 0.25, 0.17, 0.08]))
    height = rng.uniform(0.9, 1.15) if decks == 1 else rng.uniform(1.0 + 0.15 * decks, 1.8)
    return PlatformTrolleyParams(
        seed=int(rng.integers(2**31)),
        length=round(rng.uniform(0.85, 1.7), 4),
        width=round(rng.uniform(0.5, 0.85), 4),
        deck_height=round(rng.uniform(0.18, 0.36), 4),
        handle_height=round(height, 4),
        decks=decks,
        handles="both" if rng.random() < 0.45 else "one",
        bars=int(rng.integers(0, 6)),
        wheel_radius=round(rng.uniform(0.06, 0.12), 4),
        color=sample_fleet_color(rng, TROLLEY_COLORS),
        wear=round(float(rng.beta(1.6, 2.0)), 3),
    )


def sample_hand_truck(rng: np.random.Generator) -> HandTruckParams:
    """Draw a hand truck, mostly parked nearly upright."""
    color = jitter_color((0.68, 0.69, 0.70), rng) if rng.random() < 0.25 else sample_fleet_color(rng)
    return HandTruckParams(
        seed=int(rng.integers(2**31)),
        height=round(rng.uniform(1.02, 1.35), 4),
        width=round(rng.uniform(0.38, 0.56), 4),
        lean_deg=round(rng.uniform(0.0, 14.0) if rng.random() < 0.75 else rng.uniform(14.0, 60.0), 2),
        wheel_radius=round(rng.uniform(0.1, 0.15), 4),
        loop_handle=bool(rng.random() < 0.4),
        color=color,
        wheel_color=(0.05, 0.05, 0.05) if rng.random() < 0.8 else (0.42, 0.44, 0.46),
    )


def sample_roll_cage(rng: np.random.Generator) -> RollCageParams:
    """Draw a roll cage, empty every other time."""
    blue = rng.random() < 0.2
    return RollCageParams(
        seed=int(rng.integers(2**31)),
        length=round(rng.uniform(0.7, 0.9), 4),
        width=round(rng.uniform(0.62, 0.82), 4),
        height=round(rng.uniform(1.45, 1.85), 4),
        walls=int(rng.integers(2, 5)),
        filled=0.0 if rng.random() < 0.5 else round(rng.uniform(0.2, 0.85), 3),
        color=jitter_color((0.10, 0.28, 0.60) if blue else (0.58, 0.59, 0.60), rng, 0.5),
    )


def sample_tool_trolley(rng: np.random.Generator) -> ToolTrolleyParams:
    """Draw a tool cabinet."""
    return ToolTrolleyParams(
        seed=int(rng.integers(2**31)),
        length=round(rng.uniform(0.6, 0.9), 4),
        width=round(rng.uniform(0.4, 0.55), 4),
        height=round(rng.uniform(0.85, 1.05), 4),
        drawers=int(rng.integers(4, 8)),
        color=sample_fleet_color(rng),
        wear=round(float(rng.beta(1.6, 2.0)), 3),
    )


def sample_wheelbarrow(rng: np.random.Generator) -> WheelbarrowParams:
    """Draw a wheelbarrow."""
    return WheelbarrowParams(
        seed=int(rng.integers(2**31)),
        tray_length=round(rng.uniform(0.75, 0.95), 4),
        tray_width=round(rng.uniform(0.55, 0.7), 4),
        color=sample_fleet_color(rng),
        wear=round(float(rng.beta(2.0, 1.5)), 3),
    )


def _end_frame(params: PlatformTrolleyParams, x: float, tube: Material) -> list[Part]:
    """A hoop of tube across the trolley at ``x`` with level cross tubes."""
    half, low, top = params.width / 2.0, params.deck_height - 0.03, params.handle_height - 0.016
    hoop = [(x, -half, low), (x, -half, top), (x, half, top), (x, half, low)]
    parts = [shapes.pipe(hoop, 0.016, tube, corner_radius=0.08)]
    for k in range(params.bars):
        z = low + (top - low) * (k + 1) / (params.bars + 1)
        parts.append(shapes.pipe([(x, -half, z), (x, half, z)], 0.011, tube, segments=8))
    return parts


def _wire_wall(
    start: tuple[float, float], end: tuple[float, float], low: float, top: float, wire: Material
) -> list[Part]:
    """A framed grid between two corners (x, y); wires are square bars, which are cheap and read as wires."""
    first, last = np.array(start), np.array(end)

    def at(share: float, z: float) -> tuple[float, float, float]:
        x, y = (first + (last - first) * share).tolist()
        return x, y, z

    hoop = [at(0.0, low), at(0.0, top), at(1.0, top), at(1.0, low)]
    parts = [shapes.pipe(hoop, 0.012, wire, corner_radius=0.05, segments=8)]
    for share in np.linspace(0.0, 1.0, 11)[1:-1].tolist():
        upright = [at(share, low), at(share, top)]
        parts.append(shapes.bar(upright, (0.006, 0.006), wire, up=(0.6, 0.8, 0.0)))
    for z in np.linspace(low, top, 8)[1:-1].tolist():
        parts.append(shapes.bar([at(0.0, z), at(1.0, z)], (0.007, 0.007), wire))
    return parts


def _cartons(params: RollCageParams, floor: float, rng: np.random.Generator) -> list[Part]:
    """Cartons in two columns up to the filled height."""
    parts: list[Part] = []
    limit = floor + params.filled * (params.height - floor)
    for side in (-1.0, 1.0):
        z = floor
        while z < limit - 0.15:
            tall = min(float(rng.uniform(0.18, 0.42)), limit - z)
            size = (params.length * 0.88 * float(rng.uniform(0.8, 1.0)), params.width * 0.43, tall - 0.004)
            tone = jitter_color(_CARTON.color, rng, 0.4)
            center = (0.0, side * params.width * 0.225, z + tall / 2.0)
            parts.append(shapes.box(size, Material(tone, roughness=0.85), center=center, bevel=0.006))
            z += tall
    return parts


def _tray(half_l: float, half_w: float, low: float, top: float, paint: Material) -> list[Part]:
    """A pressed tray: a floor and four walls that flare outwards."""
    floor = [(-0.75 * half_l, -0.62 * half_w, low), (0.6 * half_l, -0.62 * half_w, low)]
    floor += [(0.6 * half_l, 0.62 * half_w, low), (-0.75 * half_l, 0.62 * half_w, low)]
    rim = [(-half_l, -half_w, top - 0.04), (half_l, -half_w, top)]
    rim += [(half_l, half_w, top), (-half_l, half_w, top - 0.04)]
    parts = [shapes.sheet(floor, paint, thickness=0.004)]
    for k in range(4):
        following = (k + 1) % 4
        wall = [floor[following], floor[k], rim[k], rim[following]]
        parts.append(shapes.sheet(wall, paint, thickness=0.004))
    parts.append(shapes.pipe(rim, 0.010, paint, closed=True, corner_radius=0.06, segments=8))
    return parts


FAMILIES: tuple[ObjectFamily[Any], ...] = (
    ObjectFamily("platform_trolley", PlatformTrolleyParams, sample_platform_trolley, build_platform_trolley),
    ObjectFamily("hand_truck", HandTruckParams, sample_hand_truck, build_hand_truck),
    ObjectFamily("roll_cage", RollCageParams, sample_roll_cage, build_roll_cage),
    ObjectFamily("tool_trolley", ToolTrolleyParams, sample_tool_trolley, build_tool_trolley),
    ObjectFamily("wheelbarrow", WheelbarrowParams, sample_wheelbarrow, build_wheelbarrow),
)
