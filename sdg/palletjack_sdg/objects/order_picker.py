"""Low-level order pickers: ride-on trucks whose long forks look like a pallet truck's, without a tiller.

Frame as of every vehicle: x towards the forks, y left, z up; the origin lies on the floor under the middle
of the operator's platform.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Part, Prop, Vec3
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.objects.paint import (
    BLACK_PLASTIC,
    BLACK_STEEL,
    ZINC,
    maker_label,
    sample_fleet_color,
    skinned,
    worn_paint,
)
from palletjack_sdg.objects.pallet_truck_params import Color
from palletjack_sdg.objects.wheels import side_plate, wheel

_PLATFORM_HALF = 0.25
_BACKREST = 0.16


class OrderPickerParams(ObjectParams):
    """A low-level order picker. Lengths in metres, colours sRGB in 0..1.

    ``drive_length`` is that of the motor unit before the platform, ``column_height`` the backrest's top.
    """

    width: float = Field(default=0.78, ge=0.7, le=0.85)
    drive_length: float = Field(default=0.75, ge=0.55, le=0.95)
    hood_height: float = Field(default=0.85, ge=0.7, le=1.0)
    column_height: float = Field(default=1.25, ge=1.0, le=1.6)
    fork_z: float = Field(default=0.09, ge=0.085, le=0.22)
    fork_length: float = Field(default=2.2, ge=1.1, le=2.6)
    body_color: Color = (0.86, 0.32, 0.06)
    bare_forks: bool = False
    wear: float = Field(default=0.3, ge=0.0, le=1.0)


def build_order_picker(params: OrderPickerParams) -> Prop:
    """Build an order picker; anchors ``fork_tip``, ``load_center`` and ``stand``."""
    rng = np.random.default_rng(params.seed)
    paint = worn_paint(params.body_color, params.wear, rng)
    grey = worn_paint((0.15, 0.15, 0.16), params.wear, rng)
    steel = worn_paint((0.46, 0.46, 0.45), params.wear, rng) if params.bare_forks else paint
    parts = _drive_unit(params, paint, grey, rng)
    deck = (2.0 * _PLATFORM_HALF, params.width - 0.06, 0.05)
    parts.append(shapes.box(deck, grey, center=(0.0, 0.0, 0.14), bevel=0.012))
    parts += _column(params, paint, grey)
    parts += _forks(params, steel)
    heel = _PLATFORM_HALF + _BACKREST
    tip = heel + params.fork_length
    anchors: dict[str, Vec3] = {
        "fork_tip": (tip, 0.0, params.fork_z),
        "load_center": (heel + params.fork_length / 2.0, 0.0, params.fork_z),
        "stand": (0.0, 0.0, 0.165),
    }
    return Prop("order_picker", tuple(shapes.merge(skinned(parts))), anchors)


def _drive_unit(
    params: OrderPickerParams, paint: Material, grey: Material, rng: np.random.Generator
) -> list[Part]:
    """Motor hood with a bumper, the drive wheel, a console and a steering bow on it."""
    rear, front = -_PLATFORM_HALF, -_PLATFORM_HALF - params.drive_length
    hood = [(rear, 0.10), (rear, params.hood_height), (front + 0.22, params.hood_height)]
    hood += [(front + 0.04, 0.62 * params.hood_height), (front, 0.10)]
    parts = [side_plate(hood, 0.0, params.width - 0.05, paint, bevel=0.05)]
    skirt = (params.drive_length + 0.03, params.width, 0.16)
    parts.append(shapes.box(skirt, grey, center=((rear + front) / 2.0 - 0.01, 0.0, 0.15), bevel=0.03))
    parts += wheel((front + 0.22, 0.0, 0.115), 0.115, 0.08)
    for side in (-1.0, 1.0):
        parts += wheel((front + 0.3, side * (params.width / 2.0 - 0.1), 0.075), 0.075, 0.05)
    console = [(rear, params.hood_height - 0.02), (rear - 0.05, params.hood_height + 0.26)]
    console += [(rear - 0.24, params.hood_height + 0.20), (rear - 0.30, params.hood_height - 0.02)]
    parts.append(side_plate(console, 0.0, 0.4, BLACK_PLASTIC, bevel=0.02))
    top = params.hood_height + 0.3
    bow = [(rear - 0.14, -0.15, top - 0.09), (rear + 0.02, -0.16, top), (rear + 0.02, 0.16, top)]
    bow.append((rear - 0.14, 0.15, top - 0.09))
    parts.append(shapes.pipe(bow, 0.017, BLACK_PLASTIC, corner_radius=0.05, segments=8))
    y, low = -(params.width / 2.0 - 0.022), 0.42 * params.hood_height
    corners = [(front + 0.2, y, low), (rear - 0.1, y, low), (rear - 0.1, y, low + 0.12)]
    corners.append((front + 0.2, y, low + 0.12))
    parts.append(shapes.sheet(corners, maker_label(rng), thickness=0.002))
    return parts


def _column(params: OrderPickerParams, paint: Material, grey: Material) -> list[Part]:
    """The backrest between the platform and the forks, with a rail around its top."""
    x0, x1 = _PLATFORM_HALF, _PLATFORM_HALF + _BACKREST
    shell = [(x0, 0.09), (x1, 0.09), (x1, 0.75 * params.column_height), (x0 + 0.05, params.column_height)]
    shell.append((x0, params.column_height))
    parts = [side_plate(shell, 0.0, 0.62 * params.width, paint, bevel=0.02)]
    pad = (0.05, 0.5 * params.width, 0.3)
    parts.append(shapes.box(pad, BLACK_PLASTIC, center=(x0 - 0.02, 0.0, 0.98), bevel=0.02))
    rail_y, top = params.width / 2.0 - 0.03, params.column_height + 0.08
    rail = [(x1 - 0.02, -rail_y, 0.2), (x1 - 0.02, -rail_y, top), (x1 - 0.02, rail_y, top)]
    rail.append((x1 - 0.02, rail_y, 0.2))
    parts.append(shapes.pipe(rail, 0.016, BLACK_STEEL, corner_radius=0.06, segments=8))
    parts.append(shapes.box((0.1, params.width - 0.04, 0.1), grey, center=(x1 - 0.05, 0.0, 0.14), bevel=0.01))
    return parts


def _forks(params: OrderPickerParams, steel: Material) -> list[Part]:
    heel, top = _PLATFORM_HALF + _BACKREST - 0.02, params.fork_z
    tip = heel + 0.02 + params.fork_length
    blade = [(heel, top - 0.055), (tip - 0.12, top - 0.055), (tip, top - 0.02), (tip, top), (heel, top)]
    parts: list[Part] = []
    for side in (-1.0, 1.0):
        y = side * 0.185
        parts.append(side_plate(blade, y, 0.17, steel, bevel=0.008))
        roller = (tip - 0.25, y, 0.04)
        parts += wheel(roller, 0.04, 0.09, hub=ZINC, segments=16)
        # Where the forks are lifted, a push rod holds the roller down.
        rod = [(tip - 0.45, y, top - 0.045), roller]
        parts.append(shapes.bar(rod, (0.05, 0.03), BLACK_STEEL, up=(0.0, 1.0, 0.0)))
    return parts


def sample_order_picker(rng: np.random.Generator) -> OrderPickerParams:
    """Draw an order picker, its forks on the floor or raised to travel."""
    raised = rng.random() < 0.3
    return OrderPickerParams(
        seed=int(rng.integers(2**31)),
        width=round(rng.uniform(0.74, 0.82), 4),
        drive_length=round(rng.uniform(0.6, 0.9), 4),
        hood_height=round(rng.uniform(0.74, 0.98), 4),
        column_height=round(rng.uniform(1.05, 1.5), 4),
        fork_z=round(rng.uniform(0.12, 0.2) if raised else 0.09, 4),
        fork_length=round(float(rng.choice([1.2, 1.6, 2.2, 2.4])), 4),
        body_color=sample_fleet_color(rng),
        bare_forks=bool(rng.random() < 0.5),
        wear=round(float(rng.beta(1.6, 2.0)), 3),
    )


FAMILIES: tuple[ObjectFamily[Any], ...] = (
    ObjectFamily("order_picker", OrderPickerParams, sample_order_picker, build_order_picker),
)
