"""A sky over a yard, for what is seen through gates and windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.geometry import FloatArray
from palletjack_sdg.textures.noise import wrapping_noise

HEIGHT_PX = 512


def procedural_sky(seed: int) -> FloatArray:
    """Return a sky over a yard (H, 2H, 3): gradient, clouds, sun, the outline of buildings, the ground."""
    rng = np.random.default_rng(seed)
    height, width = HEIGHT_PX, 2 * HEIGHT_PX
    elevation = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    azimuth = (np.arange(width) + 0.5) / width * 2.0 * np.pi
    haze = np.exp(-np.maximum(elevation, 0.0) / 0.35)[:, None, None]
    zenith, horizon = np.array([0.22, 0.42, 0.85]), np.array([0.85, 0.95, 1.05])
    image = np.broadcast_to(zenith + (horizon - zenith) * haze, (height, width, 3)).astype(np.float32).copy()
    overcast = rng.beta(0.8, 0.8)
    clouds = wrapping_noise(rng, (height, width), (4, 8), octaves=6)
    cover = np.clip((clouds + 3.0 * overcast - 1.2) / 0.8, 0.0, 1.0)[..., None]
    image += cover * ((0.75 + 0.1 * clouds[..., None]) * np.array([1.0, 1.0, 1.02]) - image)
    sun_height, sun_side = rng.uniform(0.15, 1.1), rng.uniform(0.0, 2.0 * np.pi)
    cosine = np.sin(elevation)[:, None] * np.sin(sun_height) + np.cos(elevation)[:, None] * np.cos(
        sun_height
    ) * np.cos(azimuth - sun_side)
    clear = (1.0 - overcast) * (1.0 - cover[..., 0])
    glow = 1.5 * np.exp((cosine - 1.0) * 60.0) * (0.3 + clear) + 400.0 * clear * (cosine > np.cos(0.012))
    image += glow[..., None] * np.array([1.0, 0.93, 0.8])
    _build_up(image, elevation, rng)
    return np.maximum(image, 0.0).astype(np.float32)


def _build_up(image: FloatArray, elevation: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Paint the ground and a row of plain buildings along the horizon."""
    height, width = image.shape[:2]
    ground = rng.uniform(0.12, 0.4) * np.array([1.0, 0.98, 0.94])
    speckle = 1.0 + 0.12 * wrapping_noise(rng, (height, width), (16, 32), octaves=5)
    below = elevation < 0.0
    image[below] = (ground * speckle[below][..., None]).astype(np.float32)
    start = int(rng.integers(width))
    end = start + width
    while start < end:
        span = min(int(rng.integers(20, 140)), end - start)
        if rng.random() < 0.7:
            top = rng.uniform(0.03, 0.22)
            color = rng.uniform(0.08, 0.6) * (1.0 + rng.uniform(-0.12, 0.12, 3))
            rows = np.flatnonzero((elevation < top) & (elevation > -0.01))
            columns = np.arange(start, start + span) % width
            image[np.ix_(rows, columns)] = color.astype(np.float32)
        start += span
