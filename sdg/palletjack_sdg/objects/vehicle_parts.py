"""Assemblies that industrial trucks share: mast with forks, overhead guard, seat, steering wheel."""

from __future__ import annotations

import numpy as np

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Part
from palletjack_sdg.objects.paint import BLACK_PLASTIC, BLACK_STEEL, CHROME
from palletjack_sdg.objects.wheels import side_plate

# Takes a plan drawn in (x, y) to (y, z), extruded along x.
_FACING_X = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def mast(
    x: float,
    width: float,
    height: float,
    fork_z: float,
    fork_length: float,
    *,
    rail: Material = BLACK_STEEL,
    fork: Material = BLACK_STEEL,
    fork_spread: float = 0.5,
    fork_width: float = 0.11,
    backrest: float = 0.9,
    floor_gap: float = 0.06,
    plate: Material | None = None,
) -> list[Part]:
    """Return a lifting mast whose rails stand at ``x`` with forks pointing along +x.

    ``height`` is the lowered mast's top; where ``fork_z``, the forks' top, passes it the inner mast
    is drawn out. ``backrest`` is the height of the carriage's load guard above the forks; with ``plate``
    the carriage is a low painted frame of plate, wider at its foot, instead of a grid.
    """
    half = width / 2.0
    lifted = max(0.0, fork_z + 0.55 * backrest + 0.1 - height)
    parts: list[Part] = []
    for side in (-1.0, 1.0):
        outer = (0.11, 0.06, height - floor_gap)
        parts.append(
            shapes.box(outer, rail, center=(x, side * half, floor_gap + outer[2] / 2.0), bevel=0.006)
        )
        inner = (0.08, 0.045, height - floor_gap - 0.05)
        center = (x + 0.02, side * (half - 0.055), floor_gap + 0.03 + lifted + inner[2] / 2.0)
        parts.append(shapes.box(inner, rail, center=center, bevel=0.004))
        foot = (x - 0.02, side * (half - 0.10), floor_gap + 0.1)
        tip = (foot[0], foot[1], height - 0.15 + lifted)
        parts.append(shapes.cylinder(foot, (foot[0], foot[1], 0.75 * height), 0.03, rail, segments=14))
        parts.append(shapes.cylinder((foot[0], foot[1], 0.74 * height), tip, 0.019, CHROME, segments=14))
        chain = [(x + 0.03, side * 0.06, fork_z + 0.1), (x + 0.03, side * 0.06, height - 0.1 + lifted)]
        parts.append(shapes.bar(chain, (0.03, 0.012), BLACK_STEEL, up=(1.0, 0.0, 0.0)))
    for z in (floor_gap + 0.2, 0.55 * height, height - 0.06):
        parts.append(shapes.box((0.05, width, 0.09), rail, center=(x - 0.05, 0.0, z), bevel=0.005))
    parts.append(shapes.box((0.05, width - 0.1, 0.07), rail, center=(x + 0.02, 0.0, height - 0.05 + lifted)))
    if plate is not None:
        parts += _plate_carriage(x + 0.10, width / 2.0 + 0.05, fork_z, plate)
        return parts + _blades(x + 0.145, fork_z, fork_length, fork, fork_spread, fork_width, heel=0.2)
    return parts + _carriage(x + 0.10, width, fork_z, fork_length, fork, fork_spread, fork_width, backrest)


def _plate_carriage(x: float, half: float, fork_z: float, paint: Material) -> list[Part]:
    """A frame of plate across the forks' heels with a window in it, narrower at its top."""
    low, sill, lintel, top = fork_z - 0.04, fork_z + 0.14, fork_z + 0.40, fork_z + 0.48
    shoulder = half - 0.09

    def edge(z: float) -> float:
        return half - (half - shoulder) * (z - low) / (top - low)

    outlines = [
        [(-half, low), (half, low), (edge(sill), sill), (-edge(sill), sill)],
        [(-edge(lintel), lintel), (edge(lintel), lintel), (shoulder, top), (-shoulder, top)],
    ]
    for side in (-1.0, 1.0):
        post = [(side * (edge(sill) - 0.1), sill), (side * edge(sill), sill)]
        post += [(side * edge(lintel), lintel), (side * (edge(lintel) - 0.1), lintel)]
        outlines.append(post if side > 0 else post[::-1])
    facing = shapes.translation(x - 0.02, 0.0, 0.0) @ _FACING_X
    return [shapes.extrude(outline, 0.04, paint, bevel=0.004, transform=facing) for outline in outlines]


def _carriage(
    x: float,
    width: float,
    fork_z: float,
    fork_length: float,
    paint: Material,
    spread: float,
    fork_width: float,
    backrest: float,
) -> list[Part]:
    half = width / 2.0 + 0.06
    parts = [
        shapes.box((0.04, 2.0 * half, 0.10), BLACK_STEEL, center=(x, 0.0, fork_z + lift), bevel=0.006)
        for lift in (0.06, 0.42)
    ]
    top = fork_z + max(backrest, 0.5)
    frame = [(x, -half, fork_z + 0.42), (x, -half, top), (x, half, top), (x, half, fork_z + 0.42)]
    parts.append(shapes.pipe(frame, 0.016, BLACK_STEEL, corner_radius=0.04, segments=8))
    for k in range(1, 6):
        y = -half + 2.0 * half * k / 6.0
        tall = top - fork_z - 0.1
        parts.append(shapes.box((0.012, 0.02, tall), BLACK_STEEL, center=(x, y, (top + fork_z) / 2.0)))
    return parts + _blades(x + 0.045, fork_z, fork_length, paint, spread, fork_width, heel=0.5)


def _blades(
    x: float, fork_z: float, length: float, paint: Material, spread: float, width: float, *, heel: float
) -> list[Part]:
    """Two forks with their upright heels at ``x``, ``heel`` metres high."""
    blade = [(x - 0.018, fork_z - 0.04), (x + 0.6 * length, fork_z - 0.04)]
    blade += [(x + length, fork_z - 0.014), (x + length, fork_z), (x + 0.022, fork_z)]
    blade += [(x + 0.022, fork_z + heel), (x - 0.018, fork_z + heel)]
    return [side_plate(blade, side * spread / 2.0, width, paint, bevel=0.003) for side in (-1.0, 1.0)]


def overhead_guard(
    front: tuple[float, float],
    rear: tuple[float, float],
    width: float,
    height: float,
    *,
    material: Material = BLACK_STEEL,
    front_lean: float = 0.2,
    rear_lean: float = 0.1,
    slats: int = 6,
) -> list[Part]:
    """Return a driver's roof on four posts; ``front`` and ``rear`` are the posts' feet (x, z).

    The posts lean inwards by ``front_lean`` and ``rear_lean`` metres up to ``height``.
    """
    half = width / 2.0
    roof_front, roof_rear = front[0] - front_lean, rear[0] + rear_lean
    parts: list[Part] = []
    for side in (-1.0, 1.0):
        y = side * half
        path = [(front[0], y, front[1]), (roof_front, y, height)]
        path += [(roof_rear, y, height), (rear[0], y, rear[1])]
        # The path lies in an xz plane: the y axis is across it everywhere.
        parts.append(shapes.bar(path, (0.055, 0.06), material, up=(0.0, 1.0, 0.0), corner_radius=0.09))
    for k in range(slats + 1):
        x = roof_front - 0.04 + (roof_rear - roof_front + 0.08) * k / slats
        thick = 0.06 if k in (0, slats) else 0.03
        parts.append(shapes.box((thick, width, 0.035), material, center=(x, 0.0, height)))
    return parts


def seat(
    x: float, y: float, z: float, *, yaw_deg: float = 0.0, material: Material = BLACK_PLASTIC
) -> list[Part]:
    """Return a driver's seat with its cushion's underside at ``z``, looking along +x before ``yaw_deg``."""
    cushion = shapes.box((0.46, 0.46, 0.12), material, center=(0.0, 0.0, 0.06), bevel=0.04)
    back = shapes.box((0.12, 0.44, 0.50), material, center=(0.0, 0.0, 0.30), bevel=0.04)
    back = shapes.translate(shapes.rotate_y(back, -12.0), -0.22, 0.0, 0.04)
    matrix = shapes.translation(x, y, z) @ shapes.rotation("z", yaw_deg)
    return shapes.transform_all([cushion, back], matrix)


def steering_wheel(
    foot: tuple[float, float, float], top: tuple[float, float, float], radius: float
) -> list[Part]:
    """Return a column from ``foot`` to ``top`` with a rim of ``radius`` metres across its end."""
    column = shapes.cylinder(foot, top, 0.03, BLACK_PLASTIC, segments=12)
    matrix = shapes.look_along(top, [top[i] - foot[i] for i in range(3)])
    section = [(radius - 0.014, -0.01), (radius, -0.014), (radius + 0.014, 0.0), (radius, 0.014)]
    rim = shapes.lathe(section, BLACK_PLASTIC, closed=True, segments=20, crease_deg=180.0, transform=matrix)
    spoke = shapes.box((2.0 * radius, 0.035, 0.012), BLACK_PLASTIC, transform=matrix)
    return [column, rim, spoke]


def tiller_head(
    foot: tuple[float, float, float], lean_deg: float, length: float, material: Material
) -> list[Part]:
    """Return the drawbar of a powered pedestrian truck: a broad arm with a closed head and wing grips."""
    arm = shapes.box((0.06, 0.09, length), material, center=(0.0, 0.0, length / 2.0), bevel=0.015)
    head = shapes.box((0.08, 0.16, 0.15), BLACK_PLASTIC, center=(0.0, 0.0, length + 0.05), bevel=0.03)
    parts = [arm, head]
    for side in (-1.0, 1.0):
        wing = [
            (0.0, side * 0.06, length),
            (0.0, side * 0.17, length + 0.02),
            (0.0, side * 0.17, length + 0.11),
        ]
        wing.append((0.0, side * 0.06, length + 0.12))
        parts.append(shapes.pipe(wing, 0.016, BLACK_PLASTIC, corner_radius=0.03, segments=8))
    matrix = shapes.translation(*foot) @ shapes.rotation("y", -lean_deg)
    return shapes.transform_all(parts, matrix)
