"""Plain boxes as object families: the closed loop's own tests need shapes whose sizes are known exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from palletjack_sdg.geometry import Material, Part, Prop
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams


class BoxParams(ObjectParams):
    """A box of ``size`` (x, y, z) metres that stands on the floor around its origin."""

    size: tuple[float, float, float] = (0.6, 0.6, 1.2)
    color: tuple[float, float, float] = (0.9, 0.05, 0.05)


def box_part(size: tuple[float, float, float], color: tuple[float, float, float]) -> Part:
    """A closed box with outward faces and separate corners, so that it is lit flat."""
    quads = []
    half = np.array(size) / 2.0
    for axis in range(3):
        for sign in (-1.0, 1.0):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            ring = np.zeros((4, 3))
            ring[:, axis] = sign
            ring[:, u] = np.array([-1, 1, 1, -1]) * sign
            ring[:, v] = [-1, -1, 1, 1]
            quads.append(ring)
    vertices = np.concatenate(quads) * half + [0.0, 0.0, half[2]]
    faces = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * i for i in range(6)])
    return Part(vertices.astype(np.float32), faces.astype(np.int32), Material(color=color))


def _family(name: str, category: str, default: BoxParams) -> ObjectFamily[BoxParams]:
    sample: Callable[[np.random.Generator], BoxParams] = lambda rng: default  # noqa: E731
    return ObjectFamily(
        name, BoxParams, sample, lambda params: Prop(category, (box_part(params.size, params.color),))
    )


CATALOG = {
    "red_truck": _family("red_truck", "palletjack", BoxParams()),
    "carton": _family("carton", "carton", BoxParams(size=(0.5, 0.5, 0.5), color=(0.6, 0.5, 0.3))),
}
