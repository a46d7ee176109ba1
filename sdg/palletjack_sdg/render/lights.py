"""Fitting a scene's lights into a fixed pool, with how often each is worth sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.scene import Camera, RectLight


@dataclass(frozen=True)
class LightSlot:
    """One emitter of the pool: rectangles ``corners`` (R, 4, 3) of one ``radiance`` (3,), sampled in
    proportion to ``weight``; ``opening``: the camera sees the environment in its place."""

    corners: NDArray[np.float64]
    radiance: NDArray[np.float64]
    weight: float
    opening: bool = False


def fill_pool(lights: Sequence[RectLight], camera: Camera, slots: int) -> list[LightSlot]:
    """Return at most ``slots`` emitters for ``lights``.

    Lights are ranked by power over squared distance to the camera. Where there are more than
    slots, the weakest share the last one at their area-weighted mean radiance, which keeps their
    total power.
    """
    lit = [light for light in lights if max(light.radiance) > 0.0]
    ranked = sorted(lit, key=lambda light: -importance(light, camera))
    single, shared = (ranked, []) if len(ranked) <= slots else (ranked[: slots - 1], ranked[slots - 1 :])
    pool = [
        LightSlot(
            _corners(light)[None],
            np.array(light.radiance, float),
            importance(light, camera),
            light.opening,
        )
        for light in single
    ]
    if shared:
        areas = np.array([_area(light) for light in shared])
        radiance = areas @ np.array([light.radiance for light in shared]) / areas.sum()
        weight = sum(importance(light, camera) for light in shared)
        pool.append(LightSlot(np.stack([_corners(light) for light in shared]), radiance, weight))
    return pool


def importance(light: RectLight, camera: Camera) -> float:
    """Power over squared distance to the camera (at least a metre), in arbitrary units."""
    distance2 = float(np.sum((np.array(light.center) - camera.pose[:3, 3]) ** 2))
    return _area(light) * float(np.mean(light.radiance)) / max(distance2, 1.0)


def _area(light: RectLight) -> float:
    return 4.0 * float(np.linalg.norm(np.cross(light.u, light.v)))


def _corners(light: RectLight) -> NDArray[np.float64]:
    center, u, v = (np.array(value, dtype=float) for value in (light.center, light.u, light.v))
    return np.stack([center - u - v, center + u - v, center + u + v, center - u + v])
