"""How hand pallet trucks are drawn: the spread of a real fleet, within what a recipe asks for."""

from __future__ import annotations

import numpy as np

from palletjack_sdg.geometry import Vec3
from palletjack_sdg.objects.paint import FLEET_COLORS, as_color, jitter_color, sample_fleet_color
from palletjack_sdg.objects.pallet_truck_params import PalletTruckParams, Sticker, Variant, WheelKind
from palletjack_sdg.objects.pallet_truck_ranges import TruckRanges
from palletjack_sdg.seeding import draw_uniform, draw_weighted

_WHEEL_COLORS: dict[WheelKind, tuple[Vec3, ...]] = {
    "rubber": ((0.05, 0.05, 0.05),),
    "nylon": ((0.82, 0.80, 0.74), (0.70, 0.67, 0.58)),
    "polyurethane": ((0.78, 0.42, 0.10), (0.74, 0.62, 0.22), (0.55, 0.16, 0.10), (0.30, 0.42, 0.20)),
}


_DEFAULT = TruckRanges()


def sample_pallet_truck(rng: np.random.Generator, ranges: TruckRanges = _DEFAULT) -> PalletTruckParams:
    """Draw a truck as warehouses hold them: mostly standard, mostly parked upright, often worn."""
    variant = draw_weighted(rng, ranges.kinds)
    fields: dict[str, object] = {"variant": variant, "seed": int(rng.integers(2**31))}
    fields.update(_sample_forks(variant, ranges, rng))
    fields.update(_sample_tiller(ranges, rng))
    fields.update(_sample_paint(ranges, rng))
    if variant == "heavy_duty":
        fields.update(rollers="tandem", arm_width=round(rng.uniform(0.08, 0.1), 4), tiller_radius=0.032)
    if variant == "weigh_scale":
        fields.update(back_plate="closed", frame_height=round(rng.uniform(0.44, 0.5), 4))
    return PalletTruckParams.model_validate(fields)


def _sample_forks(variant: Variant, ranges: TruckRanges, rng: np.random.Generator) -> dict[str, object]:
    length = {
        "long": rng.uniform(1.4, 2.0),
        "short": rng.uniform(0.8, 0.98),
    }.get(variant, float(rng.choice([1.0, 1.1, 1.15, 1.15, 1.22])) + rng.uniform(-0.02, 0.02))
    width = float(rng.choice([0.45, 0.52, 0.54, 0.54, 0.55, 0.685])) + rng.uniform(0.0, 0.005)
    height = rng.uniform(0.055, 0.062) if variant == "low_profile" else rng.uniform(0.075, 0.09)
    lifted = rng.random() < 0.4
    return {
        "fork_length": round(float(np.clip(length, *ranges.fork_length_m)), 4),
        "fork_outer_width": round(float(np.clip(width, *ranges.fork_width_m)), 4),
        "blade_width": round(rng.uniform(0.15, 0.18), 4),
        "fork_height": round(height, 4),
        "lift": round(rng.uniform(0.01, 0.12), 4) if lifted else 0.0,
        "frame_height": round(rng.uniform(0.37, 0.46), 4),
        "frame_run": round(rng.uniform(0.13, 0.24), 4),
        "arm_width": round(rng.uniform(0.05, 0.09), 4),
        "back_plate": str(rng.choice(["open", "half", "closed"], p=[0.35, 0.35, 0.30])),
        "rollers": str(rng.choice(["single", "tandem"])),
    }


def _sample_tiller(ranges: TruckRanges, rng: np.random.Generator) -> dict[str, object]:
    upright = rng.random() < 0.6
    straight = rng.random() < 0.45
    yaw = rng.normal(0.0, 8.0) if straight else draw_uniform(rng, ranges.steering_deg)
    return {
        "handle_height": round(rng.uniform(1.12, 1.28), 4),
        "tiller_lean_deg": round(
            rng.uniform(0.0, 12.0) if upright else draw_uniform(rng, ranges.tiller_lean_deg), 2
        ),
        "tiller_yaw_deg": round(float(np.clip(yaw, -90.0, 90.0)), 2),
        "tiller_radius": round(rng.uniform(0.019, 0.033), 4),
        "tiller_square": bool(rng.random() < 0.35),
        "handle_shape": str(rng.choice(["d_loop", "loop_crossbar", "t_bar"], p=[0.55, 0.35, 0.10])),
        "handle_width": round(rng.uniform(0.30, 0.42), 4),
        "handle_tilt_deg": round(rng.uniform(2.0, 26.0), 2),
    }


def _sample_paint(ranges: TruckRanges, rng: np.random.Generator) -> dict[str, object]:
    body = sample_fleet_color(rng, {name: (FLEET_COLORS[name][0], w) for name, w in ranges.paints.items()})
    low, high = ranges.wear
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
        "fork_color": body if rng.random() >= ranges.two_tone else (black if rng.random() < 0.5 else metal),
        "tiller_color": tiller,
        "pump_color": pump,
        "wheel_kind": kind,
        "tyre_color": jitter_color(tyres[int(rng.integers(len(tyres)))], rng, 0.6),
        "hub_color": as_color(hubs[int(rng.choice(4, p=[0.45, 0.3, 0.15, 0.10]))]),
        "wheel_radius": round(rng.uniform(0.09, 0.102), 4),
        "wheel_width": round(rng.uniform(0.045, 0.055), 4),
        "wheel_gap": round(rng.uniform(0.06, 0.11), 4),
        "hub_holes": int(rng.choice([0, 4, 5, 6])),
        "wear": round(low + (high - low) * float(rng.beta(1.6, 2.0)), 3),
        "stickers": tuple(name for name, share in wanted if rng.random() < share),
    }
