"""What people hang on a pallet truck's handle: bags and jackets.

Frame: the origin is the hook, the point that hangs on the handle; z up, the bag hangs down; x across its
flat side.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Part, Prop
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.objects.paint import skinned
from palletjack_sdg.objects.pallet_truck_params import Color
from palletjack_sdg.textures.metal_and_cloth import cloth

_COLORS: tuple[Color, ...] = (
    (0.86, 0.86, 0.84),
    (0.10, 0.11, 0.13),
    (0.12, 0.18, 0.36),
    (0.80, 0.66, 0.12),
    (0.86, 0.34, 0.08),
    (0.40, 0.42, 0.40),
)
# Takes a plan drawn in (x, y) to (y, z), extruded along x.
_FACING_X = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


class BagParams(ObjectParams):
    """A bag or a jacket that hangs. Lengths in metres, colour sRGB in 0..1."""

    kind: Literal["bag", "jacket"] = "bag"
    width: float = Field(default=0.3, ge=0.2, le=0.55)
    height: float = Field(default=0.4, ge=0.25, le=0.8)
    depth: float = Field(default=0.12, ge=0.06, le=0.22)
    color: Color = (0.86, 0.86, 0.84)


def build_bag(params: BagParams) -> Prop:
    """Build what hangs; anchor ``hook`` is its origin."""
    rng = np.random.default_rng(params.seed)
    half, low, depth = params.width / 2.0, -params.height, params.depth
    if params.kind == "jacket":
        material = Material(texture=cloth(rng, params.color), roughness=0.9)
        side = [(0.72 * half, low), (half, 0.55 * low), (0.95 * half, 0.2 * low), (0.5 * half, 0.0)]
    else:
        material = Material(params.color, roughness=0.45)
        side = [(0.85 * half, low), (half, 0.75 * low), (0.8 * half, 0.35 * low), (0.35 * half, 0.2 * low)]
    # No bag hangs straight: each point is moved a little.
    left = [(-y * float(rng.uniform(0.85, 1.0)), z) for y, z in reversed(side)]
    outline = side + left
    placed = shapes.translation(-depth / 2.0, 0.0, 0.0) @ _FACING_X
    parts: list[Part] = [
        shapes.extrude(outline, depth, material, bevel=min(0.4 * depth, 0.05), transform=placed)
    ]
    if params.kind == "bag":
        for x in (-0.2 * depth, 0.2 * depth):
            loop = [(x, -0.3 * half, 0.22 * low), (0.0, 0.0, -0.008), (x, 0.3 * half, 0.22 * low)]
            parts.append(shapes.pipe(loop, 0.007, material, segments=6))
    return Prop("bag", tuple(shapes.merge(skinned(parts))), {"hook": (0.0, 0.0, 0.0)})


def sample_bag(rng: np.random.Generator) -> BagParams:
    """Draw a carrier bag or, less often, a jacket."""
    jacket = rng.random() < 0.4
    return BagParams(
        seed=int(rng.integers(2**31)),
        kind="jacket" if jacket else "bag",
        width=round(rng.uniform(0.34, 0.5) if jacket else rng.uniform(0.22, 0.4), 4),
        height=round(rng.uniform(0.5, 0.75) if jacket else rng.uniform(0.3, 0.5), 4),
        depth=round(rng.uniform(0.08, 0.14) if jacket else rng.uniform(0.1, 0.2), 4),
        color=_COLORS[int(rng.integers(len(_COLORS)))],
    )


FAMILIES: tuple[ObjectFamily[Any], ...] = (ObjectFamily("bag", BagParams, sample_bag, build_bag),)
