"""Solid shapes as parts: boxes, round bodies, swept bars, extrusions, and moving them about.

Every maker returns one closed ``Part`` whose faces wind counter-clockwise seen from outside. Lengths
are metres, angles degrees. An optional ``transform`` is a (4, 4) affine matrix applied last. Sharp
edges have duplicated vertices, so a smooth part still shows its creases.
"""

from palletjack_sdg.shapes.extrusion import extrude, rounded_rectangle
from palletjack_sdg.shapes.placement import (
    Matrix4,
    Points,
    box_projected_uvs,
    look_along,
    merge,
    mirror_y,
    rotate_x,
    rotate_y,
    rotate_z,
    rotation,
    scaling,
    transform,
    transform_all,
    translate,
    translation,
)
from palletjack_sdg.shapes.solids import box, capsule, cylinder, lathe, sheet, sphere, tube
from palletjack_sdg.shapes.sweep import bar, pipe

__all__ = [
    "Matrix4",
    "Points",
    "bar",
    "box",
    "box_projected_uvs",
    "capsule",
    "cylinder",
    "extrude",
    "lathe",
    "look_along",
    "merge",
    "mirror_y",
    "pipe",
    "rotate_x",
    "rotate_y",
    "rotate_z",
    "rotation",
    "rounded_rectangle",
    "scaling",
    "sheet",
    "sphere",
    "transform",
    "transform_all",
    "translate",
    "translation",
    "tube",
]
