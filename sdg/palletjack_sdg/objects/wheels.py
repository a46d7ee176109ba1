"""Wheels and castors of trucks, trolleys and vehicles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Part, Vec3
from palletjack_sdg.objects.paint import DARK_HOLE, RUBBER, ZINC


def wheel(
    center: Vec3,
    radius: float,
    width: float,
    *,
    axis: Vec3 = (0.0, 1.0, 0.0),
    tyre: Material = RUBBER,
    hub: Material = ZINC,
    hub_fraction: float = 0.6,
    holes: int = 0,
    segments: int = 28,
) -> list[Part]:
    """Return a wheel that turns about ``axis`` through ``center``.

    ``hub_fraction`` is the hub's radius over the wheel's; ``holes`` dark openings are set into both
    faces of the hub. Lengths in metres.
    """
    hub_radius, half, edge = hub_fraction * radius, width / 2.0, 0.16 * width
    tread = [(hub_radius, -half), (radius - edge, -half), (radius - 0.3 * edge, -half + 0.3 * edge)]
    tread += [(radius, -half + edge), (radius, half - edge), (radius - 0.3 * edge, half - 0.3 * edge)]
    tread += [(radius - edge, half), (hub_radius, half)]
    boss, face = 0.28 * radius, 0.62 * half
    disc = [(0.0, -0.96 * half), (0.8 * boss, -0.96 * half), (boss, -face), (hub_radius, -face)]
    disc += [(hub_radius, face), (boss, face), (0.8 * boss, 0.96 * half), (0.0, 0.96 * half)]
    matrix = shapes.look_along(center, axis)
    parts = [
        shapes.lathe(tread, tyre, closed=True, segments=segments, transform=matrix),
        shapes.lathe(disc, hub, segments=max(12, segments // 2), transform=matrix),
    ]
    ring = 0.5 * (boss + hub_radius)
    for k in range(holes):
        angle = 2.0 * np.pi * k / holes
        x, y = ring * np.cos(angle), ring * np.sin(angle)
        size = min(0.32 * (hub_radius - boss) + 0.004, 0.8 * ring * np.pi / holes)
        hole = shapes.cylinder((x, y, -face - 0.001), (x, y, face + 0.001), size, DARK_HOLE, segments=8)
        parts.append(shapes.transform(hole, matrix))
    return parts


def castor(
    top: Vec3,
    radius: float,
    width: float,
    *,
    yaw_deg: float = 0.0,
    swivel: bool = True,
    tyre: Material = RUBBER,
    hub: Material = ZINC,
    bracket: Material = ZINC,
) -> list[Part]:
    """Return a castor whose mounting plate is at ``top`` and whose wheel stands on z = 0.

    A swivel castor trails its wheel behind the plate (towards -x before ``yaw_deg``).
    """
    height = top[2]
    trail = -0.45 * radius if swivel else 0.0
    parts = wheel((trail, 0.0, radius), radius, width, tyre=tyre, hub=hub, segments=24)
    plate = 0.55 * radius
    parts.append(shapes.box((2.2 * plate, 1.9 * plate, 0.005), bracket, center=(0.0, 0.0, height - 0.0025)))
    parts.append(
        shapes.cylinder(
            (0.0, 0.0, height - 0.02), (0.0, 0.0, height - 0.004), 0.9 * plate, bracket, segments=14
        )
    )
    side = 0.5 * width + 0.006
    fork = [(-plate, height - 0.018), (plate, height - 0.018), (trail + 0.3 * radius, 0.8 * radius)]
    fork += [(trail - 0.3 * radius, 0.8 * radius)]
    for y in (-side, side):
        parts.append(side_plate(fork, y, 0.005, bracket))
    matrix = shapes.translation(top[0], top[1], 0.0) @ shapes.rotation("z", yaw_deg)
    return shapes.transform_all(parts, matrix)


def side_plate(
    outline: Sequence[tuple[float, float]],
    y: float,
    thickness: float,
    material: Material,
    *,
    bevel: float = 0.0,
) -> Part:
    """Return a plate with the side view ``outline`` of (x, z) points, centred on the plane at ``y``."""
    # Extruding along z and turning by 90 degrees about x takes the plan's y to z and the height to -y.
    matrix = shapes.translation(0.0, y + thickness / 2.0, 0.0) @ shapes.rotation("x", 90.0)
    return shapes.extrude(outline, thickness, material, bevel=bevel, transform=matrix)
