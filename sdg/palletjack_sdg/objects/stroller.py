"""Pushchairs: a leaning handle over small wheels, as a pallet truck has, on something quite different.

Frame: x forward, away from whoever pushes, y left, z up; the origin lies on the floor under the seat.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Part, Prop
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.objects.paint import BLACK_PLASTIC, as_color, sample_fleet_color, skinned
from palletjack_sdg.objects.pallet_truck_params import Color
from palletjack_sdg.objects.wheels import wheel
from palletjack_sdg.textures.metal_and_cloth import cloth

_HALF = 0.25
_SEAT_HALF = 0.17


class StrollerParams(ObjectParams):
    """A folding pushchair. Lengths in metres, colours sRGB in 0..1."""

    handle_height: float = Field(default=1.0, ge=0.9, le=1.15)
    length: float = Field(default=0.75, ge=0.6, le=0.95, description="between the front and rear axle")
    wheel_radius: float = Field(default=0.1, ge=0.07, le=0.15)
    canopy: bool = True
    cloth_color: Color = (0.10, 0.16, 0.34)
    frame_color: Color = (0.55, 0.56, 0.57)


def build_stroller(params: StrollerParams) -> Prop:
    """Build a pushchair; anchors ``handle_top`` and ``top`` (on the seat)."""
    rng = np.random.default_rng(params.seed)
    frame = Material(params.frame_color, roughness=0.4, metallic=0.3)
    fabric = Material(texture=cloth(rng, params.cloth_color), roughness=0.9)
    front, rear, radius = params.length / 2.0, -params.length / 2.0, params.wheel_radius
    handle = (rear - 0.22, params.handle_height)
    parts: list[Part] = []
    for side in (-1.0, 1.0):
        y = side * _HALF
        parts.append(shapes.pipe([(front, y, radius), (handle[0], y, handle[1])], 0.012, frame, segments=8))
        brace = [(rear, y, radius), (front - 0.42, y, 0.62)]
        parts.append(shapes.pipe(brace, 0.011, frame, segments=8))
        parts += wheel((front, side * (_HALF + 0.03), radius), radius, 0.04, hub=BLACK_PLASTIC)
        parts += wheel((rear, side * (_HALF + 0.03), radius), radius, 0.04, hub=BLACK_PLASTIC)
    grip = [(handle[0], -_HALF, handle[1]), (handle[0], _HALF, handle[1])]
    parts.append(shapes.pipe(grip, 0.016, BLACK_PLASTIC, segments=10))
    parts.append(shapes.pipe([(rear, -_HALF, radius), (rear, _HALF, radius)], 0.01, frame, segments=8))
    parts.append(shapes.pipe([(front, -_HALF, radius), (front, _HALF, radius)], 0.01, frame, segments=8))
    parts += _seat(params, fabric)
    return Prop(
        "stroller",
        tuple(shapes.merge(skinned(parts))),
        {"handle_top": (handle[0], 0.0, handle[1]), "top": (0.0, 0.0, 0.42)},
    )


def _seat(params: StrollerParams, fabric: Material) -> list[Part]:
    """Cushion, back, foot rest and canopy; the back leans with the frame."""
    width = 2.0 * _SEAT_HALF + 0.08
    cushion = shapes.box((0.3, width, 0.07), fabric, center=(0.05, 0.0, 0.42), bevel=0.02)
    back = shapes.box((0.06, width, 0.46), fabric, center=(0.0, 0.0, 0.23), bevel=0.02)
    back = shapes.translate(shapes.rotate_y(back, -28.0), -0.10, 0.0, 0.42)
    shin = shapes.box((0.04, width, 0.28), fabric, center=(0.2, 0.0, 0.29), bevel=0.012)
    parts = [cushion, back, shin]
    if params.canopy:
        for k in range(4):
            tilt = -60.0 + 28.0 * k
            panel = shapes.box((0.02, width + 0.04, 0.3), fabric, center=(0.0, 0.0, 0.15), bevel=0.006)
            parts.append(shapes.translate(shapes.rotate_y(panel, tilt), -0.24, 0.0, 0.66))
    return parts


def sample_stroller(rng: np.random.Generator) -> StrollerParams:
    """Draw a pushchair."""
    grey = float(rng.uniform(0.08, 0.7))
    return StrollerParams(
        seed=int(rng.integers(2**31)),
        handle_height=round(rng.uniform(0.95, 1.1), 4),
        length=round(rng.uniform(0.62, 0.85), 4),
        wheel_radius=round(rng.uniform(0.075, 0.14), 4),
        canopy=bool(rng.random() < 0.7),
        cloth_color=sample_fleet_color(rng),
        frame_color=as_color((grey, grey, grey)),
    )


FAMILIES: tuple[ObjectFamily[Any], ...] = (
    ObjectFamily("stroller", StrollerParams, sample_stroller, build_stroller),
)
