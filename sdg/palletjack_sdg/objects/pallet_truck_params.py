"""Parameters of the hand pallet truck family and how they are drawn."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from palletjack_sdg.geometry import Vec3
from palletjack_sdg.objects.family import ObjectParams
from palletjack_sdg.objects.paint import as_color, jitter_color, sample_fleet_color

Variant = Literal[
    "standard", "long", "short", "low_profile", "heavy_duty", "weigh_scale", "quick_lift", "semi_electric"
]
HandleShape = Literal["d_loop", "loop_crossbar", "t_bar"]
WheelKind = Literal["rubber", "nylon", "polyurethane"]
Roller = Literal["single", "tandem"]
BackPlate = Literal["open", "half", "closed"]
Sticker = Literal["tiller_label", "arm_label", "plate_label", "hazard_stripes"]
Channel = Annotated[float, Field(ge=0.0, le=1.0)]
Color = tuple[Channel, Channel, Channel]

_VARIANT_WEIGHTS: dict[Variant, float] = {
    "standard": 0.60,
    "long": 0.06,
    "short": 0.07,
    "low_profile": 0.04,
    "heavy_duty": 0.06,
    "weigh_scale": 0.07,
    "quick_lift": 0.04,
    "semi_electric": 0.06,
}
_WHEEL_COLORS: dict[WheelKind, tuple[Vec3, ...]] = {
    "rubber": ((0.05, 0.05, 0.05),),
    "nylon": ((0.82, 0.80, 0.74), (0.70, 0.67, 0.58)),
    "polyurethane": ((0.78, 0.42, 0.10), (0.74, 0.62, 0.22), (0.55, 0.16, 0.10), (0.30, 0.42, 0.20)),
}


class PalletTruckParams(ObjectParams):
    """One hand pallet truck. Lengths in metres, colours sRGB in 0..1.

    ``fork_length`` runs from the back plate to the tips. ``lift`` raises forks and frame above
    ``fork_height``, the lowered height of the forks' top. ``handle_height`` is the handle's top when
    the tiller is upright. ``tiller_lean_deg`` leans it towards the operator (-x at zero yaw) and
    ``tiller_yaw_deg`` turns tiller, pump and steer wheels together about the vertical pump axis.
    ``frame_height`` is the crosshead's top with lowered forks and ``frame_run`` how far the sloping
    arms run back from the fork heel to the crosshead. ``wheel_gap`` is the room between the steer wheels;
    a ``tiller_square`` tiller is a flat box column, ``tiller_radius`` its half depth.
    """

    variant: Variant = "standard"
    fork_length: float = Field(default=1.15, ge=0.8, le=2.0)
    fork_outer_width: float = Field(default=0.54, ge=0.45, le=0.69)
    blade_width: float = Field(default=0.16, ge=0.14, le=0.19)
    fork_height: float = Field(default=0.085, ge=0.055, le=0.09)
    lift: float = Field(default=0.0, ge=0.0, le=0.12)
    frame_height: float = Field(default=0.41, ge=0.36, le=0.50)
    frame_run: float = Field(default=0.18, ge=0.12, le=0.24)
    arm_width: float = Field(default=0.07, ge=0.045, le=0.10)
    back_plate: BackPlate = "half"
    handle_height: float = Field(default=1.2, ge=1.05, le=1.3)
    tiller_lean_deg: float = Field(default=0.0, ge=0.0, le=80.0)
    tiller_yaw_deg: float = Field(default=0.0, ge=-90.0, le=90.0)
    tiller_radius: float = Field(default=0.025, ge=0.016, le=0.036)
    tiller_square: bool = False
    handle_shape: HandleShape = "d_loop"
    handle_width: float = Field(default=0.36, ge=0.26, le=0.44)
    handle_tilt_deg: float = Field(default=14.0, ge=0.0, le=30.0)
    wheel_kind: WheelKind = "rubber"
    wheel_radius: float = Field(default=0.1, ge=0.085, le=0.105)
    wheel_width: float = Field(default=0.05, ge=0.04, le=0.06)
    wheel_gap: float = Field(default=0.08, ge=0.05, le=0.12)
    hub_holes: int = Field(default=5, ge=0, le=8)
    rollers: Roller = "tandem"
    body_color: Color = (0.70, 0.09, 0.07)
    fork_color: Color = (0.70, 0.09, 0.07)
    tiller_color: Color = (0.075, 0.075, 0.08)
    pump_color: Color = (0.075, 0.075, 0.08)
    tyre_color: Color = (0.05, 0.05, 0.05)
    hub_color: Color = (0.6, 0.6, 0.6)
    wear: float = Field(default=0.3, ge=0.0, le=1.0)
    stickers: tuple[Sticker, ...] = ("tiller_label",)


def sample_pallet_truck(rng: np.random.Generator) -> PalletTruckParams:
    """Draw a truck as warehouses hold them: mostly standard, mostly parked upright, often worn."""
    variants = list(_VARIANT_WEIGHTS)
    variant = variants[int(rng.choice(len(variants), p=list(_VARIANT_WEIGHTS.values())))]
    fields: dict[str, object] = {"variant": variant, "seed": int(rng.integers(2**31))}
    fields.update(_sample_forks(variant, rng))
    fields.update(_sample_tiller(rng))
    fields.update(_sample_paint(rng))
    if variant == "heavy_duty":
        fields.update(rollers="tandem", arm_width=round(rng.uniform(0.08, 0.1), 4), tiller_radius=0.032)
    if variant == "weigh_scale":
        fields.update(back_plate="closed", frame_height=round(rng.uniform(0.44, 0.5), 4))
    return PalletTruckParams.model_validate(fields)


def _sample_forks(variant: Variant, rng: np.random.Generator) -> dict[str, object]:
    length = {
        "long": rng.uniform(1.4, 2.0),
        "short": rng.uniform(0.8, 0.98),
    }.get(variant, float(rng.choice([1.0, 1.1, 1.15, 1.15, 1.22])) + rng.uniform(-0.02, 0.02))
    width = float(rng.choice([0.45, 0.52, 0.54, 0.54, 0.55, 0.685])) + rng.uniform(0.0, 0.005)
    height = rng.uniform(0.055, 0.062) if variant == "low_profile" else rng.uniform(0.075, 0.09)
    lifted = rng.random() < 0.4
    return {
        "fork_length": round(length, 4),
        "fork_outer_width": round(width, 4),
        "blade_width": round(rng.uniform(0.15, 0.18), 4),
        "fork_height": round(height, 4),
        "lift": round(rng.uniform(0.01, 0.12), 4) if lifted else 0.0,
        "frame_height": round(rng.uniform(0.37, 0.46), 4),
        "frame_run": round(rng.uniform(0.13, 0.24), 4),
        "arm_width": round(rng.uniform(0.05, 0.09), 4),
        "back_plate": str(rng.choice(["open", "half", "closed"], p=[0.35, 0.35, 0.30])),
        "rollers": str(rng.choice(["single", "tandem"])),
    }


def _sample_tiller(rng: np.random.Generator) -> dict[str, object]:
    upright = rng.random() < 0.6
    straight = rng.random() < 0.45
    yaw = rng.normal(0.0, 8.0) if straight else rng.uniform(-90.0, 90.0)
    return {
        "handle_height": round(rng.uniform(1.12, 1.28), 4),
        "tiller_lean_deg": round(rng.uniform(0.0, 12.0) if upright else rng.uniform(12.0, 78.0), 2),
        "tiller_yaw_deg": round(float(np.clip(yaw, -90.0, 90.0)), 2),
        "tiller_radius": round(rng.uniform(0.019, 0.033), 4),
        "tiller_square": bool(rng.random() < 0.35),
        "handle_shape": str(rng.choice(["d_loop", "loop_crossbar", "t_bar"], p=[0.55, 0.35, 0.10])),
        "handle_width": round(rng.uniform(0.30, 0.42), 4),
        "handle_tilt_deg": round(rng.uniform(2.0, 26.0), 2),
    }


def _sample_paint(rng: np.random.Generator) -> dict[str, object]:
    body = sample_fleet_color(rng)
    black = jitter_color((0.08, 0.08, 0.085), rng)
    metal = jitter_color((0.50, 0.51, 0.52), rng)
    tiller = (body, black, metal)[int(rng.choice(3, p=[0.30, 0.55, 0.15]))]
    pump = (body, black, metal)[int(rng.choice(3, p=[0.40, 0.40, 0.20]))]
    kinds: list[WheelKind] = ["rubber", "nylon", "polyurethane"]
    kind = kinds[int(rng.choice(3, p=[0.55, 0.2, 0.25]))]
    tyres = _WHEEL_COLORS[kind]
    hubs = ((0.62, 0.62, 0.62), (0.80, 0.80, 0.78), (0.12, 0.12, 0.12), body)
    wanted: tuple[tuple[Sticker, float], ...] = (
        ("tiller_label", 0.35),
        ("arm_label", 0.35),
        ("plate_label", 0.3),
        ("hazard_stripes", 0.08),
    )
    return {
        "body_color": body,
        "fork_color": body if rng.random() < 0.85 else (black if rng.random() < 0.5 else metal),
        "tiller_color": tiller,
        "pump_color": pump,
        "wheel_kind": kind,
        "tyre_color": jitter_color(tyres[int(rng.integers(len(tyres)))], rng, 0.6),
        "hub_color": as_color(hubs[int(rng.choice(4, p=[0.45, 0.3, 0.15, 0.10]))]),
        "wheel_radius": round(rng.uniform(0.09, 0.102), 4),
        "wheel_width": round(rng.uniform(0.045, 0.055), 4),
        "wheel_gap": round(rng.uniform(0.06, 0.11), 4),
        "hub_holes": int(rng.choice([0, 4, 5, 6])),
        "wear": round(float(rng.beta(1.6, 2.0)), 3),
        "stickers": tuple(name for name, share in wanted if rng.random() < share),
    }
