"""Triangle meshes with materials: what every object family builds and every renderer reads.

Units are metres. Frames are right-handed with z up. An object stands on the floor plane z = 0 of
its own frame, x points forward and y to the left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
ByteArray = NDArray[np.uint8]
Vec3 = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """Surface of a part, in the terms of a metallic-roughness model.

    ``color`` is sRGB in 0..1. ``texture``, if given, is an sRGB image (H, W, 3) of uint8 that
    replaces ``color`` and is looked up at the part's ``uvs``, v pointing down from the image's top
    row; it does not repeat: uvs lie in 0..1. ``opacity`` below 1 makes a thin sheet see-through
    (stretch film, strip curtains).
    """

    color: Vec3 = (0.5, 0.5, 0.5)
    roughness: float = 0.6
    metallic: float = 0.0
    texture: ByteArray | None = None
    opacity: float = 1.0


@dataclass(frozen=True)
class Part:
    """One mesh of one material: ``vertices`` (V, 3), ``faces`` (F, 3), ``uvs`` (V, 2) or None.

    Faces wind counter-clockwise seen from outside. Vertices that share a position but not a normal
    are separate; ``smooth`` asks the renderer for interpolated vertex normals.
    """

    vertices: FloatArray
    faces: IntArray
    material: Material
    uvs: FloatArray | None = None
    smooth: bool = False


@dataclass(frozen=True)
class Prop:
    """An object in its own frame, ready to be placed.

    ``category`` names the family ("palletjack", "forklift", "pallet", ...). ``anchors`` are named
    points (x, y, z) on which other things stand or hang, such as a pallet truck's ``fork_tip``.
    """

    category: str
    parts: tuple[Part, ...]
    anchors: Mapping[str, Vec3] = field(default_factory=dict)

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return the lower and upper corner (3,) of the object's axis-aligned box, in metres."""
        return self._bounds

    @cached_property
    def _bounds(self) -> tuple[FloatArray, FloatArray]:
        # A plan asks for them at every spot that it tries.
        lows = np.min([part.vertices.min(axis=0) for part in self.parts], axis=0)
        highs = np.max([part.vertices.max(axis=0) for part in self.parts], axis=0)
        corners = lows.astype(np.float32), highs.astype(np.float32)
        for corner in corners:
            corner.setflags(write=False)  # Who asks next gets the same arrays.
        return corners
