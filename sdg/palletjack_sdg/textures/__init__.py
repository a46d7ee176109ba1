"""Procedural textures: seeded makers of sRGB images, pure numpy and OpenCV.

``FLOOR_TEXTURES``, ``WALL_TEXTURES`` and ``CEILING_TEXTURES`` map a name to a maker that takes a
generator and returns ``SurfaceTexture(texture, tile_m, roughness)``; their images repeat without a
seam.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from palletjack_sdg.textures.floors import (
    SurfaceTexture,
    asphalt_floor,
    concrete_floor,
    epoxy_floor,
    slab_floor,
    steel_floor,
    tile_floor,
)
from palletjack_sdg.textures.walls import (
    brick_wall,
    concrete_wall,
    corrugated_wall,
    deck_ceiling,
    plank_wall,
    plaster_wall,
    sandwich_wall,
    slab_ceiling,
)

SurfaceMaker = Callable[[np.random.Generator], SurfaceTexture]

FLOOR_TEXTURES: Mapping[str, SurfaceMaker] = MappingProxyType(
    {
        "concrete": concrete_floor,
        "epoxy": epoxy_floor,
        "asphalt": asphalt_floor,
        "slabs": slab_floor,
        "tiles": tile_floor,
        "steel": steel_floor,
    }
)
WALL_TEXTURES: Mapping[str, SurfaceMaker] = MappingProxyType(
    {
        "brick": brick_wall,
        "plaster": plaster_wall,
        "concrete": concrete_wall,
        "corrugated": corrugated_wall,
        "sandwich": sandwich_wall,
        "planks": plank_wall,
    }
)
CEILING_TEXTURES: Mapping[str, SurfaceMaker] = MappingProxyType(
    {"deck": deck_ceiling, "slab": slab_ceiling, "concrete": concrete_wall, "plaster": plaster_wall}
)

__all__ = ["CEILING_TEXTURES", "FLOOR_TEXTURES", "WALL_TEXTURES", "SurfaceMaker", "SurfaceTexture"]
