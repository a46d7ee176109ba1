"""Forks, sloping frame and load rollers of a hand pallet truck.

Frame of the truck: x towards the fork tips, y left, z up, origin on the floor under the fork heel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Part, Vec3
from palletjack_sdg.objects.paint import (
    BLACK_PLASTIC,
    BLACK_STEEL,
    ZINC,
    hazard_stripes,
    maker_label,
    worn_paint,
)
from palletjack_sdg.objects.pallet_truck_params import PalletTruckParams
from palletjack_sdg.objects.wheels import side_plate, wheel

_ENTRY_LENGTH = 0.16


@dataclass(frozen=True)
class TruckFinish:
    """Materials shared by the parts of one truck."""

    body: Material
    fork: Material
    tiller: Material
    pump: Material
    tyre: Material
    hub: Material
    roller: Material

    @classmethod
    def of(cls, params: PalletTruckParams, rng: np.random.Generator) -> TruckFinish:
        """Paint a truck: textures of wear are drawn from ``rng``."""
        grime = 1.0 - 0.35 * params.wear
        tyre: Vec3 = tuple(channel * grime for channel in params.tyre_color)  # type: ignore[assignment]
        hub: Vec3 = tuple(channel * grime for channel in params.hub_color)  # type: ignore[assignment]
        nylon = params.wheel_kind == "nylon"
        return cls(
            body=worn_paint(params.body_color, params.wear, rng),
            fork=worn_paint(params.fork_color, min(1.0, 1.25 * params.wear), rng, along=True),
            tiller=worn_paint(params.tiller_color, 0.7 * params.wear, rng, size=96),
            pump=worn_paint(params.pump_color, 0.8 * params.wear, rng, size=96),
            tyre=Material(tyre, roughness=0.45 if nylon else 0.8),
            hub=Material(hub, roughness=0.5),
            roller=Material(tyre, roughness=0.6),
        )


@dataclass(frozen=True)
class FrameLayout:
    """Where the frame's corners lie, in metres."""

    fork_top: float
    lift: float
    fork_y: float
    arm_y: float
    crosshead_x: float
    crosshead_top: float
    crosshead_y: float

    @classmethod
    def of(cls, params: PalletTruckParams) -> FrameLayout:
        """Derive the corners from the parameters; the frame rises with the forks."""
        half = params.fork_outer_width / 2.0
        return cls(
            fork_top=params.fork_height + params.lift,
            lift=params.lift,
            fork_y=half - params.blade_width / 2.0,
            arm_y=half - params.arm_width / 2.0 - 0.012,
            crosshead_x=-params.frame_run,
            crosshead_top=params.frame_height + params.lift,
            crosshead_y=0.035 + params.arm_width / 2.0,
        )


def fork_parts(params: PalletTruckParams, layout: FrameLayout, finish: TruckFinish) -> list[Part]:
    """Return both fork blades: inverted channels with tapered, rounded tips."""
    parts = []
    for side in (-1.0, 1.0):
        blade = _blade(params, layout, finish.fork)
        parts += shapes.transform_all(blade, shapes.translation(0.0, side * layout.fork_y, 0.0))
    return parts


def roller_parts(params: PalletTruckParams, layout: FrameLayout, finish: TruckFinish) -> list[Part]:
    """Return the load rollers, their swinging brackets and the push rods under both forks."""
    radius = 0.5 * params.fork_height - 0.006
    width = params.blade_width - 0.065
    x_roller = params.fork_length - _ENTRY_LENGTH - 0.07
    centers = (
        [x_roller] if params.rollers == "single" else [x_roller - 1.05 * radius, x_roller + 1.05 * radius]
    )
    pivot = (x_roller + 0.5 * layout.lift - 0.10, layout.fork_top - 0.030)
    parts: list[Part] = []
    for side in (-1.0, 1.0):
        y = side * layout.fork_y
        for x in centers:
            parts += wheel((x, y, radius), radius, width, tyre=finish.roller, hub_fraction=0.45, segments=20)
        for edge in (-1.0, 1.0):
            cheek_y = y + edge * (width / 2.0 + 0.006)
            points = [(pivot[0], cheek_y, pivot[1]), (centers[-1], cheek_y, radius)]
            parts.append(shapes.bar(points, (0.006, 0.032), BLACK_STEEL))
            tail = [(pivot[0] - 0.012, cheek_y, pivot[1] - 0.008), (centers[0], cheek_y, radius)]
            parts.append(shapes.bar(tail, (0.006, 0.024), BLACK_STEEL))
        rod_z = max(0.022, min(0.5 * layout.fork_top, layout.fork_top - 0.045))
        parts.append(
            shapes.pipe(
                [(-0.07, y, rod_z), (pivot[0], y, max(pivot[1] - 0.012, 0.02))],
                0.009,
                BLACK_STEEL,
                segments=8,
            )
        )
    return parts


def frame_parts(
    params: PalletTruckParams, layout: FrameLayout, finish: TruckFinish, rng: np.random.Generator
) -> list[Part]:
    """Return the welded A-frame: sloping arms, crosshead, back plate, torsion tube and cranks."""
    parts: list[Part] = []
    for side in (-1.0, 1.0):
        parts += _arm(params, layout, finish.body, side, rng)
    parts += _crosshead(params, layout, finish.body)
    parts += _back_plate(params, layout, finish.body)
    parts += _torsion_tube(params, layout)
    if "plate_label" in params.stickers:
        parts += _plate_label(layout, rng)
    return parts


def scale_parts(params: PalletTruckParams, layout: FrameLayout, finish: TruckFinish) -> list[Part]:
    """Return the indicator housing of a weighing truck: a sloped box on the frame with a display."""
    x0, z0 = layout.crosshead_x + 0.005, layout.crosshead_top - 0.06
    # Side view: a neck on the crosshead that widens into a box whose face looks up at the operator.
    outline = [(x0 + 0.01, z0), (x0 + 0.11, z0), (x0 + 0.11, z0 + 0.10), (x0 + 0.17, z0 + 0.17)]
    outline += [
        (x0 + 0.17, z0 + 0.30),
        (x0 + 0.13, z0 + 0.32),
        (x0 - 0.02, z0 + 0.19),
        (x0 - 0.02, z0 + 0.14),
    ]
    width = 0.27
    housing = side_plate(outline, 0.0, width, finish.body, bevel=0.008)
    upper, lower = np.array([x0 + 0.125, z0 + 0.317]), np.array([x0 - 0.015, z0 + 0.196])
    normal = np.array([lower[1] - upper[1], upper[0] - lower[0]])
    normal /= np.linalg.norm(normal)
    parts = [housing]
    for low, high, half, lift, material in (
        (0.10, 0.92, 0.115, 0.003, Material((0.78, 0.79, 0.80), roughness=0.4)),
        (0.50, 0.86, 0.08, 0.006, Material((0.10, 0.13, 0.10), roughness=0.15)),
        (0.18, 0.40, 0.09, 0.006, BLACK_PLASTIC),
    ):
        a = lower + (upper - lower) * low + normal * lift
        b = lower + (upper - lower) * high + normal * lift
        corners = [(a[0], half, a[1]), (a[0], -half, a[1]), (b[0], -half, b[1]), (b[0], half, b[1])]
        parts.append(shapes.sheet(corners, material, thickness=0.004))
    return parts


def battery_parts(layout: FrameLayout, finish: TruckFinish, rng: np.random.Generator) -> list[Part]:
    """Return the motor cover and the battery pack of a semi-electric truck."""
    x0, z0 = layout.crosshead_x, 0.16 + layout.lift
    height = layout.crosshead_top + 0.10 - z0
    outline = [(x0 + 0.02, z0), (-0.015, z0), (-0.015, z0 + 0.62 * height), (x0 + 0.10, z0 + height)]
    outline += [(x0 + 0.02, z0 + height)]
    cover = side_plate(outline, 0.0, 0.40, BLACK_PLASTIC if rng.random() < 0.5 else finish.body, bevel=0.02)
    pack = shapes.box(
        (0.075, 0.24, 0.16), BLACK_STEEL, center=(x0 + 0.06, 0.0, z0 + height + 0.05), bevel=0.012
    )
    grip = [(x0 + 0.06, -0.07, z0 + height + 0.125), (x0 + 0.06, -0.07, z0 + height + 0.16)]
    grip += [(x0 + 0.06, 0.07, z0 + height + 0.16), (x0 + 0.06, 0.07, z0 + height + 0.125)]
    handle = shapes.pipe(grip, 0.009, BLACK_PLASTIC, corner_radius=0.02, segments=8)
    return [cover, pack, handle]


def _blade(params: PalletTruckParams, layout: FrameLayout, paint: Material) -> list[Part]:
    """One fork around y = 0: top plate, two skirts and a wedge-shaped tip."""
    length, half, top = params.fork_length, params.blade_width / 2.0, layout.fork_top
    depth = min(0.052, 0.66 * params.fork_height)
    shoulder, tip_half = length - _ENTRY_LENGTH, 0.62 * half
    plan = [(-0.05, -half), (shoulder, -half), (length - 0.05, -tip_half), (length - 0.012, -0.7 * tip_half)]
    plan += [(length, -0.3 * tip_half), (length, 0.3 * tip_half), (length - 0.012, 0.7 * tip_half)]
    plan += [(length - 0.05, tip_half), (shoulder, half), (-0.05, half)]
    plate = shapes.extrude(plan, 0.008, paint, bevel=0.003, transform=shapes.translation(0, 0, top - 0.008))
    parts = [shapes.box_projected_uvs(plate)]
    skirt = [(-0.05, top - depth), (shoulder - 0.06, top - depth), (shoulder + 0.02, top - 0.65 * depth)]
    skirt += [(shoulder + 0.02, top - 0.004), (-0.05, top - 0.004)]
    for edge in (-1.0, 1.0):
        piece = side_plate(skirt, edge * (half - 0.004), 0.007, paint)
        parts.append(shapes.box_projected_uvs(piece))
    wedge = [(x, y) for x, y in plan if x > shoulder - 1e-6]
    nose = shapes.extrude(wedge, 0.026, paint, bevel=0.006, transform=shapes.translation(0, 0, top - 0.030))
    parts.append(shapes.box_projected_uvs(nose))
    return parts


def _arm_shear(layout: FrameLayout, side: float) -> shapes.Matrix4:
    """Lean an arm built at y = 0 inwards, from above the fork to the crosshead."""
    slope = (layout.arm_y - layout.crosshead_y) / (layout.crosshead_top - layout.fork_top)
    matrix = np.eye(4)
    matrix[1, 2] = -side * slope
    matrix[1, 3] = side * (layout.arm_y + slope * layout.fork_top)
    return matrix


def _arm(
    params: PalletTruckParams, layout: FrameLayout, paint: Material, side: float, rng: np.random.Generator
) -> list[Part]:
    top, x1, z1 = layout.fork_top, layout.crosshead_x, layout.crosshead_top
    depth = 0.055
    # Side view of an arm: deep and wedge-shaped at the fork heel, slim at the crosshead.
    outline = [(0.0, top - 0.045), (0.0, top + 0.035), (x1 + 0.055, z1 - 0.012), (x1 + 0.035, z1)]
    outline += [
        (x1 - 0.03, z1),
        (x1 - 0.035, z1 - 0.05),
        (-depth - 0.05, top + 0.06),
        (-depth - 0.05, top - 0.045),
    ]
    shear = _arm_shear(layout, side)
    solid = side_plate(outline, 0.0, params.arm_width, paint, bevel=0.006)
    parts = [shapes.transform(solid, shear)]
    foot = shapes.box(
        (depth + 0.05, params.blade_width, 0.05),
        paint,
        center=(-(depth + 0.05) / 2, side * layout.fork_y, top - 0.02),
    )
    parts.append(foot)
    # Labels lie on the outer face, along the slope.
    outer = side * (params.arm_width / 2.0 + 0.0015)
    low = np.array([-0.03, top + 0.055])
    high = np.array([x1 + 0.02, z1 - 0.07])
    across = np.array([0.045 if abs(x1) > 0.15 else 0.035, 0.0])
    if "arm_label" in params.stickers:
        parts.append(_arm_sheet(low, high, across, outer, side, maker_label(rng), shear))
    if "hazard_stripes" in params.stickers:
        parts.append(_arm_front_stripes(params, layout, shear, hazard_stripes(rng)))
    return parts


def _arm_sheet(
    low: np.ndarray,
    high: np.ndarray,
    across: np.ndarray,
    y: float,
    side: float,
    print_: Material,
    shear: np.ndarray,
) -> Part:
    """A sticker on an arm's outer face whose text runs along the slope."""
    back = [high - across, low - across] if side < 0 else [low - across, high - across]
    front = [low, high] if side < 0 else [high, low]
    corners = [(x, y, z) for x, z in (*back, *front)]
    return shapes.transform(shapes.sheet(corners, print_, thickness=0.002), shear)


def _arm_front_stripes(
    params: PalletTruckParams, layout: FrameLayout, shear: np.ndarray, print_: Material
) -> Part:
    """Hazard stripes on the slope that faces the forks."""
    low, high = (0.002, layout.fork_top + 0.05), (layout.crosshead_x + 0.075, layout.crosshead_top - 0.03)
    half = 0.42 * params.arm_width
    corners = [
        (low[0], -half, low[1]),
        (low[0], half, low[1]),
        (high[0], half, high[1]),
        (high[0], -half, high[1]),
    ]
    return shapes.transform(shapes.sheet(corners, print_, thickness=0.004), shear)


def _crosshead(params: PalletTruckParams, layout: FrameLayout, paint: Material) -> list[Part]:
    x, z = layout.crosshead_x, layout.crosshead_top
    width = 2.0 * layout.crosshead_y + params.arm_width
    block = shapes.box((0.085, width, 0.055), paint, center=(x + 0.002, 0.0, z - 0.0275), bevel=0.01)
    cap = shapes.cylinder((x, 0.0, z - 0.002), (x, 0.0, z + 0.012), 0.026, ZINC, bevel=0.004, segments=18)
    parts = [block, cap]
    if params.variant == "quick_lift":
        for y in (-0.045, 0.045):
            parts.append(
                shapes.cylinder((x + 0.06, y, 0.14), (x + 0.06, y, z - 0.03), 0.018, ZINC, segments=14)
            )
    return parts


def _back_plate(params: PalletTruckParams, layout: FrameLayout, paint: Material) -> list[Part]:
    """The sheet between the arms on the load side, and the low bridge that ties the fork heels."""
    bottom, top = layout.fork_top - 0.035, layout.fork_top + 0.045
    bridge = shapes.box(
        (0.03, 2.0 * layout.arm_y, top - bottom),
        paint,
        center=(-0.016, 0.0, (top + bottom) / 2.0),
        bevel=0.004,
    )
    parts = [bridge]
    reach = {"open": 0.0, "half": 0.5, "closed": 0.97}[params.back_plate]
    if reach > 0.0:
        start = np.array([-0.008, top - 0.012])
        end = np.array([layout.crosshead_x + 0.047, layout.crosshead_top - 0.012])
        upper = start + reach * (end - start)
        half_low = layout.arm_y
        half_high = layout.arm_y + (layout.crosshead_y - layout.arm_y) * reach
        corners = [(start[0], -half_low, start[1]), (start[0], half_low, start[1])]
        corners += [(upper[0], half_high, upper[1]), (upper[0], -half_high, upper[1])]
        parts.append(shapes.sheet(corners, paint, thickness=0.007))
    return parts


def _torsion_tube(params: PalletTruckParams, layout: FrameLayout) -> list[Part]:
    """The lifting shaft behind the fork heels and the cranks that tie it to the pump's foot."""
    x, z = -0.075, max(0.07, layout.fork_top - 0.02)
    reach = params.fork_outer_width / 2.0 - 0.02
    parts = [shapes.cylinder((x, -reach, z), (x, reach, z), 0.021, BLACK_STEEL, segments=14)]
    foot = (layout.crosshead_x + 0.02, 0.105)
    for y in (-0.075, 0.075):
        parts.append(shapes.bar([(x, y, z), (foot[0], y, foot[1])], (0.016, 0.045), BLACK_STEEL))
    for y in (-layout.fork_y, layout.fork_y):
        parts.append(
            shapes.bar(
                [(x, y, z), (x + 0.01, y, max(0.03, z - 0.045))], (0.018, 0.03), BLACK_STEEL, up=(1, 0, 0)
            )
        )
    return parts


def _plate_label(layout: FrameLayout, rng: np.random.Generator) -> list[Part]:
    """A label on the bridge between the fork heels, one on the load side and one on the operator's."""
    z, half = layout.fork_top + 0.005, 0.06
    print_ = maker_label(rng)
    load_side = [
        (0.001, -half, z - 0.016),
        (0.001, half, z - 0.016),
        (0.001, half, z + 0.016),
        (0.001, -half, z + 0.016),
    ]
    x = layout.crosshead_x - 0.042
    top = layout.crosshead_top - 0.012
    wide = 0.045
    operator = [(x, wide, top - 0.026), (x, -wide, top - 0.026), (x, -wide, top), (x, wide, top)]
    return [shapes.sheet(load_side, print_, thickness=0.002), shapes.sheet(operator, print_, thickness=0.002)]
