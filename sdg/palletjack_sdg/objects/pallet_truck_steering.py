"""Pump, steer wheels, tiller and handle of a hand pallet truck: everything that turns together.

Local frame: origin on the floor under the pump's vertical axis, x towards the forks at zero yaw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Part, Vec3
from palletjack_sdg.objects.paint import BLACK_PLASTIC, BLACK_STEEL, CHROME, ZINC, maker_label
from palletjack_sdg.objects.pallet_truck_frame import FrameLayout, TruckFinish
from palletjack_sdg.objects.pallet_truck_params import PalletTruckParams
from palletjack_sdg.objects.wheels import side_plate, wheel

PIVOT: Vec3 = (-0.098, 0.0, 0.235)  # the tiller's hinge in the pump's frame
_HANDLE_HEIGHT = {"d_loop": 0.215, "loop_crossbar": 0.235, "t_bar": 0.15}
_RIM_RADIUS = 0.0145
_LEVER_KNOB = Material((0.55, 0.06, 0.05), roughness=0.4)
# Takes a plan drawn in (x, y) to (y, z), extruded along x.
_FACING_X = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class Steering:
    """Parts in the pump's frame before yaw, with the points that callers anchor things to."""

    parts: list[Part]
    handle_top: Vec3
    hand_left: Vec3
    hand_right: Vec3


def steering(
    params: PalletTruckParams, layout: FrameLayout, finish: TruckFinish, rng: np.random.Generator
) -> Steering:
    """Build pump, wheels and leaning tiller at zero yaw, in the pump's frame."""
    lean = shapes.translation(*PIVOT) @ shapes.rotation("y", -params.tiller_lean_deg)
    tiller, grip = _tiller(params, finish, rng)
    parts = wheel_parts(params, finish) + pump_parts(layout, finish)
    parts += shapes.transform_all(tiller, lean)
    top, left, right = (_moved(point, lean) for point in grip)
    return Steering(parts, top, left, right)


def wheel_parts(params: PalletTruckParams, finish: TruckFinish) -> list[Part]:
    """Return the twin steer wheels, their axle and the casting between them."""
    radius, gap = params.wheel_radius, params.wheel_gap / 2.0
    y = gap + params.wheel_width / 2.0
    parts: list[Part] = []
    for side in (-1.0, 1.0):
        center = (0.0, side * y, radius)
        parts += wheel(
            center,
            radius,
            params.wheel_width,
            tyre=finish.tyre,
            hub=finish.hub,
            hub_fraction=0.66,
            holes=params.hub_holes,
        )
    reach = y + params.wheel_width / 2.0 + 0.006
    parts.append(shapes.cylinder((0, -reach, radius), (0, reach, radius), 0.012, ZINC, segments=12))
    casting = [(-0.045, radius - 0.03), (0.045, radius - 0.03), (0.06, radius + 0.09), (-0.06, radius + 0.09)]
    parts.append(side_plate(casting, 0.0, 1.7 * gap, finish.pump, bevel=0.006))
    return parts


def pump_parts(layout: FrameLayout, finish: TruckFinish) -> list[Part]:
    """Return the hydraulic unit: body, reservoir, chrome piston up to the crosshead, lugs and lever."""
    paint = finish.pump
    body_top = 0.305
    body = [
        (0.0, 0.185),
        (0.052, 0.185),
        (0.056, 0.20),
        (0.056, 0.265),
        (0.046, 0.275),
        (0.046, body_top - 0.006),
    ]
    body += [(0.040, body_top), (0.0, body_top)]
    parts = [shapes.lathe(body, paint, segments=24)]
    shoulder = shapes.extrude(
        shapes.rounded_rectangle(0.15, 0.13, 0.03),
        0.07,
        paint,
        bevel=0.008,
        transform=shapes.translation(-0.02, 0, 0.18),
    )
    parts.append(shoulder)
    # The pumping plunger that the tiller's roller presses down, in front of the hinge.
    parts.append(shapes.cylinder((-0.066, 0, 0.24), (-0.066, 0, 0.285), 0.014, CHROME, segments=14))
    parts.append(shapes.cylinder((-0.066, 0, 0.285), (-0.066, 0, 0.292), 0.021, BLACK_STEEL, segments=14))
    piston_top = layout.crosshead_top - 0.04
    parts.append(shapes.cylinder((0, 0, body_top - 0.01), (0, 0, piston_top), 0.0185, CHROME, segments=18))
    lug = [(-0.05, 0.19), (-0.05, 0.25), (-0.088, 0.262), (-0.113, 0.25), (-0.116, 0.225), (-0.09, 0.19)]
    for y in (-0.05, 0.05):
        parts.append(side_plate(lug, y, 0.014, paint, bevel=0.003))
    parts.append(
        shapes.cylinder((PIVOT[0], -0.068, PIVOT[2]), (PIVOT[0], 0.068, PIVOT[2]), 0.010, ZINC, segments=12)
    )
    # Foot release lever.
    parts.append(
        shapes.pipe(
            [(-0.03, 0.06, 0.2), (-0.06, 0.085, 0.19), (-0.13, 0.085, 0.185)], 0.006, ZINC, segments=8
        )
    )
    parts.append(shapes.box((0.05, 0.035, 0.012), BLACK_STEEL, center=(-0.14, 0.085, 0.186), bevel=0.003))
    return parts


def _tiller(
    params: PalletTruckParams, finish: TruckFinish, rng: np.random.Generator
) -> tuple[list[Part], tuple[Vec3, Vec3, Vec3]]:
    """Build the tiller upright around its hinge and return it with the handle top and both hands."""
    paint, radius = finish.tiller, params.tiller_radius
    tilt = np.radians(params.handle_tilt_deg)
    loop_height = _HANDLE_HEIGHT[params.handle_shape]
    neck = params.handle_height - PIVOT[2] - (loop_height * float(np.cos(tilt)) + _RIM_RADIUS)
    web = [(0.042, -0.03), (0.042, 0.05), (radius + 0.003, 0.27)]
    web += [(-y, z) for y, z in reversed(web)]
    # The foot of the tiller: a broad fork-shaped casting that narrows into the tube (seen along x).
    plate = shapes.extrude(
        web, 0.042, paint, bevel=0.005, transform=shapes.translation(-0.021, 0, 0) @ _FACING_X
    )
    parts = [plate]
    parts.append(shapes.cylinder((0.036, -0.016, 0.045), (0.036, 0.016, 0.045), 0.016, ZINC, segments=14))
    if params.tiller_square:
        column = shapes.box(
            (1.6 * radius, 2.3 * radius, neck - 0.16),
            paint,
            center=(0, 0, 0.16 + (neck - 0.16) / 2),
            bevel=0.006,
        )
        parts.append(column)
    else:
        parts.append(shapes.cylinder((0, 0, 0.16), (0, 0, neck), radius, paint, segments=18))
    parts.append(shapes.pipe([(-0.03, 0.012, 0.0), (-radius - 0.006, 0.012, 0.3)], 0.004, ZINC, segments=6))
    if "tiller_label" in params.stickers:
        parts.append(_tiller_label(radius, neck, rng))
    tilted = shapes.translation(0, 0, neck) @ shapes.rotation("y", -params.handle_tilt_deg)
    handle, hands = _handle(params, finish)
    parts += shapes.transform_all(handle, tilted)
    points = (
        _moved((0.0, 0.0, loop_height + _RIM_RADIUS), tilted),
        *(_moved(hand, tilted) for hand in hands),
    )
    return parts, (points[0], points[1], points[2])


def _handle(params: PalletTruckParams, finish: TruckFinish) -> tuple[list[Part], tuple[Vec3, Vec3]]:
    """Build the handle in the yz plane above its neck; return it with the left and right hand's place."""
    half, top = params.handle_width / 2.0, _HANDLE_HEIGHT[params.handle_shape]
    if params.handle_shape == "t_bar":
        rim = [(0, -half, top), (0, half, top)]
        parts = [shapes.pipe(rim, _RIM_RADIUS + 0.002, BLACK_PLASTIC, segments=12)]
        parts.append(
            shapes.capsule((0, 0, -0.03), (0, 0, top - 0.018), 0.024, BLACK_PLASTIC, end_radius=0.03)
        )
    else:
        low = 0.035 if params.handle_shape == "d_loop" else 0.02
        rim = [(0, -0.03, low), (0, -0.82 * half, 0.42 * top), (0, -half, 0.80 * top), (0, -0.86 * half, top)]
        rim += [(0, -y, z) for _, y, z in reversed(rim)]
        parts = [shapes.pipe(rim, _RIM_RADIUS, BLACK_PLASTIC, corner_radius=0.045, closed=True, segments=10)]
        parts.append(
            shapes.capsule((0, 0, -0.06), (0, 0, 0.045), 1.12 * params.tiller_radius + 0.003, BLACK_PLASTIC)
        )
        if params.handle_shape == "loop_crossbar":
            bar = [(0, -0.80 * half, 0.45 * top), (0, 0.80 * half, 0.45 * top)]
            parts.append(shapes.pipe(bar, 0.011, finish.tiller, segments=8))
            parts.append(shapes.pipe([(0, 0, 0.03), (0, 0, 0.46 * top)], 0.012, finish.tiller, segments=8))
    # The three-position control lever (raise, drive, lower) sits inside the loop, within a thumb's reach.
    lever = [(0.0, 0.016, 0.03), (0.014, 0.028, 0.09), (0.012, 0.032, 0.135)]
    parts.append(shapes.pipe(lever, 0.006, BLACK_STEEL, corner_radius=0.02, segments=8))
    parts.append(
        shapes.capsule((0.012, 0.012, 0.137), (0.012, 0.056, 0.137), 0.009, _LEVER_KNOB, segments=10, rings=2)
    )
    hand = 0.55 * half
    return parts, ((0.0, hand, top), (0.0, -hand, top))


def _tiller_label(radius: float, neck: float, rng: np.random.Generator) -> Part:
    """An upright sticker on the operator's side of the tube."""
    half, x = 0.9 * radius, -radius - 0.003
    low = rng.uniform(0.30, 0.40)
    high = min(low + rng.uniform(0.16, 0.30), neck - 0.08)
    corners = [(x, half, low), (x, -half, low), (x, -half, high), (x, half, high)]
    return shapes.sheet(corners, maker_label(rng, vertical=True), thickness=0.004)


def _moved(point: Vec3, matrix: shapes.Matrix4) -> Vec3:
    x, y, z = (matrix[:3, :3] @ np.asarray(point) + matrix[:3, 3]).tolist()
    return x, y, z
