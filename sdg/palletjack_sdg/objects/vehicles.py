"""Powered industrial trucks: hard negatives that share colours, forks and wheels with pallet trucks.

Frame of every vehicle: x towards its forks (tow tractor: the way it drives), y left, z up; the origin
lies on the floor under the middle of the chassis.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Part, Prop, Vec3
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.objects.paint import (
    BLACK_PLASTIC,
    BLACK_STEEL,
    RUBBER,
    ZINC,
    maker_label,
    sample_fleet_color,
    skinned,
    worn_paint,
)
from palletjack_sdg.objects.pallet_truck_params import Color
from palletjack_sdg.objects.vehicle_parts import mast, overhead_guard, seat, steering_wheel, tiller_head
from palletjack_sdg.objects.wheels import side_plate, wheel

VEHICLE_COLORS: dict[str, tuple[Vec3, float]] = {
    "red": ((0.68, 0.08, 0.07), 0.32),
    "orange": ((0.86, 0.32, 0.06), 0.24),
    "yellow": ((0.87, 0.65, 0.08), 0.24),
    "grey": ((0.40, 0.41, 0.42), 0.10),
    "green": ((0.10, 0.36, 0.18), 0.05),
    "white": ((0.80, 0.80, 0.78), 0.05),
}
_GLOW = Material((0.95, 0.55, 0.08), roughness=0.3)
_LAMP = Material((0.88, 0.88, 0.84), roughness=0.2)
_TAIL_LAMP = Material((0.55, 0.04, 0.04), roughness=0.25)


class ForkliftParams(ObjectParams):
    """A counterbalanced forklift. Lengths in metres, colours sRGB in 0..1."""

    length: float = Field(default=1.9, ge=1.5, le=2.6, description="chassis without mast and forks")
    width: float = Field(default=1.1, ge=0.95, le=1.35)
    guard_height: float = Field(default=2.1, ge=1.9, le=2.3)
    mast_height: float = Field(default=2.1, ge=1.8, le=2.6)
    fork_z: float = Field(default=0.08, ge=0.05, le=3.0)
    fork_length: float = Field(default=1.1, ge=0.8, le=1.3)
    three_wheels: bool = True
    body_color: Color = (0.68, 0.08, 0.07)
    weight_color: Color = (0.68, 0.08, 0.07)
    wear: float = Field(default=0.4, ge=0.0, le=1.0)


class ReachTruckParams(ObjectParams):
    """A reach truck: driver across the truck, mast between two wheel arms. Metres, sRGB in 0..1."""

    length: float = Field(default=1.2, ge=1.1, le=1.4, description="driver's cell without the wheel arms")
    width: float = Field(default=1.2, ge=1.05, le=1.3)
    guard_height: float = Field(default=2.15, ge=2.0, le=2.3)
    mast_height: float = Field(default=2.4, ge=2.0, le=3.2)
    fork_z: float = Field(default=0.12, ge=0.08, le=4.0)
    fork_length: float = Field(default=1.1, ge=0.8, le=1.2)
    body_color: Color = (0.70, 0.10, 0.07)
    wear: float = Field(default=0.4, ge=0.0, le=1.0)


class StackerParams(ObjectParams):
    """A pedestrian electric stacker: low motor hood, slim mast, drawbar. Metres, sRGB in 0..1.

    A "plate" carriage is a low painted frame; seen from the forks it looks much like a pallet truck's head.
    """

    width: float = Field(default=0.8, ge=0.7, le=0.9)
    hood_height: float = Field(default=0.82, ge=0.7, le=0.95)
    mast_height: float = Field(default=1.95, ge=1.5, le=2.4)
    fork_z: float = Field(default=0.09, ge=0.085, le=2.5)
    fork_length: float = Field(default=1.15, ge=1.0, le=1.2)
    tiller_lean_deg: float = Field(default=10.0, ge=0.0, le=75.0)
    carriage: Literal["grid", "plate"] = "grid"
    bare_forks: bool = False
    body_color: Color = (0.86, 0.32, 0.06)
    wear: float = Field(default=0.3, ge=0.0, le=1.0)


class TowTractorParams(ObjectParams):
    """A stand-on tow tractor with a backrest and a tall front. Metres, sRGB in 0..1."""

    length: float = Field(default=1.5, ge=1.2, le=1.8)
    width: float = Field(default=0.8, ge=0.7, le=0.95)
    front_height: float = Field(default=1.25, ge=1.0, le=1.4)
    body_color: Color = (0.68, 0.08, 0.07)
    wear: float = Field(default=0.3, ge=0.0, le=1.0)


def build_forklift(params: ForkliftParams) -> Prop:
    """Build a forklift; anchors ``fork_tip``, ``load_center`` and ``seat``."""
    rng = np.random.default_rng(params.seed)
    paint = worn_paint(params.body_color, params.wear, rng)
    weight = worn_paint(params.weight_color, params.wear, rng)
    nose, tail, width = params.length / 2.0, -params.length / 2.0, params.width
    parts: list[Part] = []
    hull = [(nose - 0.1, 0.14), (nose, 0.30), (nose, 0.62), (nose - 0.28, 0.66), (nose - 0.34, 0.36)]
    hull += [(-0.02, 0.36), (-0.10, 0.92), (tail + 0.42, 0.98), (tail + 0.42, 0.14)]
    parts.append(side_plate(hull, 0.0, width - 0.08, paint, bevel=0.03))
    block = [(tail + 0.44, 0.16), (tail + 0.44, 1.0), (tail + 0.16, 1.0), (tail + 0.02, 0.90)]
    block += [(tail, 0.55), (tail + 0.05, 0.30), (tail + 0.16, 0.16)]
    parts.append(side_plate(block, 0.0, width, weight, bevel=0.10))
    parts += _forklift_rear(params, tail, rng)
    parts += _forklift_wheels(params, nose, tail)
    parts += overhead_guard((nose - 0.12, 0.6), (tail + 0.26, 0.98), width - 0.16, params.guard_height)
    parts += seat(-0.30, 0.0, 0.97)
    parts += steering_wheel((nose - 0.28, 0.0, 0.62), (nose - 0.46, 0.0, 0.98), 0.16)
    parts += mast(nose + 0.12, 0.62, params.mast_height, params.fork_z, params.fork_length)
    for side in (-1.0, 1.0):
        y = side * (width / 2.0 - 0.14)
        parts.append(
            shapes.cylinder((nose - 0.16, y, 1.25), (nose - 0.07, y, 1.25), 0.065, _LAMP, segments=14)
        )
        parts.append(shapes.box((0.02, 0.06, 0.14), _TAIL_LAMP, center=(tail + 0.07, y, 0.94), bevel=0.004))
    parts.append(_beacon(tail + 0.4, 0.2, params.guard_height + 0.02))
    parts.append(_side_label(maker_label(rng), tail + 0.16, 0.62, 0.42, 0.10, width / 2.0 + 0.001))
    tip = nose + 0.12 + 0.145 + params.fork_length
    return _prop("forklift", parts, tip, params.fork_z, params.fork_length, (-0.30, 0.0, 1.09))


def build_reach_truck(params: ReachTruckParams) -> Prop:
    """Build a reach truck; anchors ``fork_tip``, ``load_center`` and ``seat``."""
    rng = np.random.default_rng(params.seed)
    paint = worn_paint(params.body_color, params.wear, rng)
    nose, tail, width = params.length / 2.0, -params.length / 2.0, params.width
    parts: list[Part] = []
    hull = [(nose, 0.08), (nose, 0.85), (nose - 0.25, 0.88), (nose - 0.32, 0.50), (tail + 0.42, 0.50)]
    hull += [(tail + 0.36, 1.05), (tail + 0.08, 1.12), (tail, 0.95), (tail, 0.20), (tail + 0.10, 0.08)]
    parts.append(side_plate(hull, 0.0, width - 0.06, paint, bevel=0.05))
    panel = [
        (tail + 0.02, 0.5),
        (nose - 0.3, 0.5),
        (nose - 0.45, 0.72),
        (tail + 0.3, 0.92),
        (tail + 0.02, 0.92),
    ]
    parts.append(side_plate(panel, -(width / 2.0 - 0.06), 0.05, paint, bevel=0.01))
    arm_reach = nose + 0.95
    for side in (-1.0, 1.0):
        arm_y = side * (width / 2.0 - 0.09)
        outline = [(nose - 0.1, 0.10), (arm_reach, 0.10), (arm_reach + 0.1, 0.18), (arm_reach + 0.08, 0.30)]
        outline += [(arm_reach - 0.1, 0.36), (nose - 0.1, 0.36)]
        parts.append(side_plate(outline, arm_y, 0.13, paint, bevel=0.012))
        parts += wheel((arm_reach - 0.06, arm_y, 0.15), 0.15, 0.10, tyre=_polyurethane(rng), hub_fraction=0.7)
    parts += wheel((tail + 0.28, 0.25, 0.17), 0.17, 0.09)
    parts += wheel((tail + 0.28, -0.25, 0.17), 0.17, 0.09)
    parts += overhead_guard(
        (nose - 0.08, 0.85),
        (tail + 0.10, 1.08),
        width - 0.16,
        params.guard_height,
        front_lean=0.02,
        rear_lean=0.04,
    )
    parts += seat(tail + 0.62, 0.20, 0.52, yaw_deg=-90.0)
    parts += steering_wheel((nose - 0.2, 0.12, 0.82), (nose - 0.3, 0.12, 1.02), 0.11)
    rails = nose + 0.28
    parts += mast(
        rails, 0.66, params.mast_height, params.fork_z, params.fork_length, backrest=0.7, floor_gap=0.12
    )
    parts.append(_side_label(maker_label(rng), tail + 0.14, 0.28, 0.50, 0.12, width / 2.0 - 0.029))
    parts.append(_beacon(tail + 0.25, 0.3, params.guard_height + 0.02))
    tip = rails + 0.145 + params.fork_length
    return _prop("reach_truck", parts, tip, params.fork_z, params.fork_length, (tail + 0.62, 0.20, 0.64))


def build_stacker(params: StackerParams) -> Prop:
    """Build a pedestrian stacker; anchors ``fork_tip``, ``load_center`` and ``handle_top``."""
    rng = np.random.default_rng(params.seed)
    paint = worn_paint(params.body_color, params.wear, rng)
    grey = worn_paint((0.16, 0.16, 0.17), params.wear, rng)
    steel = worn_paint((0.46, 0.46, 0.45), params.wear, rng) if params.bare_forks else paint
    parts: list[Part] = []
    hood = [
        (-0.34, 0.12),
        (0.20, 0.12),
        (0.20, params.hood_height),
        (-0.12, params.hood_height),
        (-0.30, 0.55),
    ]
    parts.append(side_plate(hood, 0.0, params.width - 0.06, paint, bevel=0.04))
    skirt = shapes.box((0.60, params.width, 0.14), grey, center=(-0.08, 0.0, 0.13), bevel=0.03)
    parts.append(skirt)
    parts += wheel((-0.20, 0.0, 0.115), 0.115, 0.075, tyre=_polyurethane(rng))
    for side in (-1.0, 1.0):
        y = side * 0.19
        parts += wheel((-0.12, side * (params.width / 2.0 - 0.09), 0.065), 0.065, 0.05)
        leg = (params.fork_length + 0.05, 0.14, 0.045)
        parts.append(shapes.box(leg, BLACK_STEEL, center=(0.20 + leg[0] / 2.0, y, 0.0425), bevel=0.008))
        parts += wheel((0.18 + params.fork_length, y, 0.04), 0.04, 0.08, tyre=_polyurethane(rng), segments=16)
    parts += mast(
        0.26,
        0.56,
        params.mast_height,
        params.fork_z,
        params.fork_length,
        rail=grey,
        fork=steel,
        fork_spread=0.38,
        fork_width=0.16,
        backrest=0.5,
        floor_gap=0.1,
        plate=paint if params.carriage == "plate" else None,
    )
    guard = shapes.box((0.008, 0.46, params.mast_height - 0.95), Material((0.1, 0.1, 0.1), opacity=0.35))
    parts.append(shapes.translate(guard, 0.20, 0.0, 0.5 * (params.mast_height + 0.95)))
    length = 0.85
    foot = (-0.30, 0.0, 0.36)
    parts += tiller_head(foot, params.tiller_lean_deg, length, grey)
    parts.append(_back_label(maker_label(rng), -0.302, 0.30, 0.44, 0.14))
    lean = np.radians(params.tiller_lean_deg)
    reach = length + 0.12
    top = (foot[0] - reach * float(np.sin(lean)), 0.0, foot[2] + reach * float(np.cos(lean)))
    tip = 0.26 + 0.145 + params.fork_length
    prop = _prop("stacker", parts, tip, params.fork_z, params.fork_length, top)
    anchors = {**prop.anchors, "handle_top": top}
    anchors.pop("seat")
    return Prop("stacker", prop.parts, anchors)


def build_tow_tractor(params: TowTractorParams) -> Prop:
    """Build a tow tractor; anchors ``hitch`` and ``seat`` (the standing place)."""
    rng = np.random.default_rng(params.seed)
    paint = worn_paint(params.body_color, params.wear, rng)
    nose, tail, top = params.length / 2.0, -params.length / 2.0, params.front_height
    hull = [
        (nose, 0.14),
        (nose, 0.55),
        (nose - 0.22, top - 0.1),
        (nose - 0.38, top),
        (nose - 0.55, top - 0.02),
    ]
    hull += [(nose - 0.5, 0.22), (tail + 0.45, 0.22), (tail + 0.42, 0.80), (tail + 0.06, 0.82), (tail, 0.70)]
    hull += [(tail, 0.14)]
    parts = [side_plate(hull, 0.0, params.width, paint, bevel=0.04)]
    parts += wheel((nose - 0.18, 0.0, 0.14), 0.14, 0.10)
    for side in (-1.0, 1.0):
        parts += wheel((tail + 0.26, side * (params.width / 2.0 - 0.02), 0.15), 0.15, 0.10)
    parts.append(
        shapes.box((0.10, params.width - 0.1, 0.34), BLACK_PLASTIC, center=(tail + 0.38, 0, 1.0), bevel=0.03)
    )
    for side in (-1.0, 1.0):
        y = side * 0.25
        post = [(tail + 0.30, y, 0.78), (tail + 0.36, y, 1.1)]
        parts.append(shapes.pipe(post, 0.02, BLACK_STEEL, segments=8))
    parts += steering_wheel((nose - 0.5, 0.0, top - 0.1), (nose - 0.56, 0.0, top + 0.06), 0.15)
    parts.append(shapes.box((0.12, 0.08, 0.12), BLACK_STEEL, center=(tail - 0.05, 0.0, 0.32), bevel=0.01))
    parts.append(shapes.box((0.02, 0.2, 0.08), _LAMP, center=(nose - 0.03, 0.0, 0.62), bevel=0.005))
    parts.append(_side_label(maker_label(rng), nose - 0.45, 0.60, 0.35, 0.09, params.width / 2.0 + 0.001))
    anchors: dict[str, Vec3] = {"hitch": (tail - 0.11, 0.0, 0.32), "seat": (0.0, 0.0, 0.22)}
    return Prop("tow_tractor", tuple(shapes.merge(skinned(parts))), anchors)


def sample_forklift(rng: np.random.Generator) -> ForkliftParams:
    """Draw a forklift; forks are near the floor three times out of four."""
    body = sample_fleet_color(rng, VEHICLE_COLORS)
    plain = rng.random() < 0.6
    return _sampled(
        ForkliftParams,
        rng,
        length=rng.uniform(1.7, 2.3),
        width=rng.uniform(1.0, 1.25),
        guard_height=rng.uniform(2.0, 2.2),
        mast_height=rng.uniform(1.95, 2.4),
        fork_z=_fork_z(rng, 2.4),
        fork_length=rng.uniform(0.95, 1.2),
        three_wheels=bool(rng.random() < 0.6),
        body_color=body,
        weight_color=body if plain else (0.16, 0.16, 0.17),
    )


def sample_reach_truck(rng: np.random.Generator) -> ReachTruckParams:
    """Draw a reach truck."""
    return _sampled(
        ReachTruckParams,
        rng,
        length=rng.uniform(1.12, 1.35),
        width=rng.uniform(1.1, 1.28),
        guard_height=rng.uniform(2.05, 2.25),
        mast_height=rng.uniform(2.1, 3.0),
        fork_z=_fork_z(rng, 3.0),
        body_color=sample_fleet_color(rng, VEHICLE_COLORS),
    )


def sample_stacker(rng: np.random.Generator) -> StackerParams:
    """Draw a pedestrian stacker, its drawbar mostly upright as when parked."""
    parked = rng.random() < 0.7
    return _sampled(
        StackerParams,
        rng,
        width=rng.uniform(0.72, 0.88),
        hood_height=rng.uniform(0.72, 0.92),
        mast_height=rng.uniform(1.6, 2.3),
        fork_z=_fork_z(rng, 1.6),
        tiller_lean_deg=rng.uniform(0.0, 12.0) if parked else rng.uniform(12.0, 70.0),
        carriage="plate" if rng.random() < 0.6 else "grid",
        bare_forks=bool(rng.random() < 0.5),
        body_color=sample_fleet_color(rng, VEHICLE_COLORS),
    )


def sample_tow_tractor(rng: np.random.Generator) -> TowTractorParams:
    """Draw a tow tractor."""
    return _sampled(
        TowTractorParams,
        rng,
        length=rng.uniform(1.25, 1.75),
        width=rng.uniform(0.72, 0.92),
        front_height=rng.uniform(1.05, 1.35),
        body_color=sample_fleet_color(rng, VEHICLE_COLORS),
    )


def _sampled(kind: type[Any], rng: np.random.Generator, **fields: Any) -> Any:
    """Make parameters of ``kind`` with rounded lengths, a drawn wear and a seed."""
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in fields.items()}
    wear = round(float(rng.beta(1.6, 2.0)), 3)
    return kind(seed=int(rng.integers(2**31)), wear=wear, **rounded)


def _fork_z(rng: np.random.Generator, highest: float) -> float:
    return float(rng.uniform(0.09, 0.25) if rng.random() < 0.75 else rng.uniform(0.25, highest))


def _forklift_rear(params: ForkliftParams, tail: float, rng: np.random.Generator) -> list[Part]:
    """What a camera behind a forklift sees on its counterweight: grille, wheel arch, maker's name, cover."""
    parts = [shapes.box((0.03, 0.5, 0.10), BLACK_STEEL, center=(tail + 0.015, 0.0, 0.56), bevel=0.01)]
    if params.three_wheels:
        arch = (0.20, 0.46, 0.40)
        parts.append(shapes.box(arch, BLACK_STEEL, center=(tail + 0.096, 0.0, 0.28), bevel=0.05))
    parts.append(_back_label(maker_label(rng), tail - 0.003, 0.34, 0.68, 0.09))
    cover = [(tail + 0.46, 0.94), (tail + 0.46, 1.14), (tail + 0.20, 1.10), (tail + 0.10, 0.96)]
    parts.append(side_plate(cover, 0.0, params.width - 0.16, BLACK_PLASTIC, bevel=0.03))
    return parts


def _forklift_wheels(params: ForkliftParams, nose: float, tail: float) -> list[Part]:
    parts: list[Part] = []
    for side in (-1.0, 1.0):
        front = (nose - 0.14, side * (params.width / 2.0 - 0.09), 0.29)
        parts += wheel(front, 0.29, 0.19, tyre=RUBBER, hub=ZINC, hub_fraction=0.55, holes=6)
        y = side * (0.11 if params.three_wheels else params.width / 2.0 - 0.10)
        back = 0.20 if params.three_wheels else 0.30
        parts += wheel((tail + back, y, 0.22), 0.22, 0.16, hub_fraction=0.55, holes=5)
    return parts


def _polyurethane(rng: np.random.Generator) -> Material:
    color: Vec3 = (0.62, 0.34, 0.10) if rng.random() < 0.5 else (0.09, 0.09, 0.09)
    return Material(color, roughness=0.6)


def _beacon(x: float, y: float, z: float) -> Part:
    return shapes.cylinder((x, y, z), (x, y, z + 0.10), 0.05, _GLOW, end_radius=0.04, bevel=0.01, segments=14)


def _side_label(print_: Material, x: float, z: float, width: float, height: float, y: float) -> Part:
    """A print on the right-hand flank (-y), readable from there."""
    corners = [(x, -y, z), (x + width, -y, z), (x + width, -y, z + height), (x, -y, z + height)]
    return shapes.sheet(corners, print_, thickness=0.002)


def _back_label(print_: Material, x: float, width: float, z: float, height: float) -> Part:
    """A print that faces the operator (-x)."""
    half = width / 2.0
    corners = [(x, half, z), (x, -half, z), (x, -half, z + height), (x, half, z + height)]
    return shapes.sheet(corners, print_, thickness=0.002)


def _prop(
    category: str, parts: list[Part], tip: float, fork_z: float, fork_length: float, place: Vec3
) -> Prop:
    anchors: dict[str, Vec3] = {
        "fork_tip": (tip, 0.0, fork_z),
        "load_center": (tip - fork_length / 2.0, 0.0, fork_z),
        "seat": place,
    }
    return Prop(category, tuple(shapes.merge(skinned(parts))), anchors)


FAMILIES: tuple[ObjectFamily[Any], ...] = (
    ObjectFamily("forklift", ForkliftParams, sample_forklift, build_forklift),
    ObjectFamily("reach_truck", ReachTruckParams, sample_reach_truck, build_reach_truck),
    ObjectFamily("stacker", StackerParams, sample_stacker, build_stacker),
    ObjectFamily("tow_tractor", TowTractorParams, sample_tow_tractor, build_tow_tractor),
)
