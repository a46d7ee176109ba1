"""Wood: strips of boards for pallets, collars and crates, and chipboard."""

from __future__ import annotations

import cv2
import numpy as np

from palletjack_sdg.geometry import ByteArray, FloatArray
from palletjack_sdg.textures.noise import blend, grain, tinted, to_bytes, unit, wrapping_noise

_FRESH = np.array([205.0, 170.0, 122.0])
_GREY = np.array([128.0, 118.0, 106.0])
_BROWN = np.array([132.0, 96.0, 64.0])


def wood_tone(rng: np.random.Generator, age: float) -> FloatArray:
    """Base sRGB colour (3,), 0..255, of spruce that is fresh (0) to weathered (1)."""
    old = _GREY if rng.random() < 0.5 else _BROWN
    tone = _FRESH + (old - _FRESH) * np.clip(age + rng.normal(0.0, 0.08), 0.0, 1.1)
    return np.asarray(tone * rng.uniform(0.88, 1.08), dtype=np.float32)


def _knots(rng: np.random.Generator, size: int, count: int) -> FloatArray:
    mask = np.zeros((size, size), dtype=np.uint8)
    for _ in range(count):
        center = (int(rng.integers(size)), int(rng.integers(size)))
        axes = (int(rng.integers(2, 6)), int(rng.integers(1, 4)))
        cv2.ellipse(mask, center, axes, 0.0, 0.0, 360.0, 255, -1, cv2.LINE_AA)
    return mask.astype(np.float32) / 255.0


def wood_strips(
    rng: np.random.Generator, size: int = 256, strips: int = 8, age: float | None = None, wrap: bool = False
) -> ByteArray:
    """Image (size, size, 3) of ``strips`` boards lying along u, each of its own tone.

    Board ``i`` fills rows ``i * size / strips`` and on. Grain runs along u; edges are darker so that
    neighbouring boards stay apart. Knots are left out where ``wrap`` asks for a repeating image.
    """
    wear = float(rng.uniform(0.0, 1.0)) if age is None else age
    lines = wrapping_noise(rng, (size, size), (size // 8, 4), 4, 0.7)
    rings = wrapping_noise(rng, (size, size), (size // 16, 2), 2, 0.5)
    rows = np.arange(size)
    board = rows * strips // size
    tones = np.stack([wood_tone(rng, wear) for _ in range(strips)])
    image = tinted(
        1.0 + 0.07 * lines + 0.05 * rings + 0.025 * grain(rng, (size, size)), tones[board][:, None]
    )
    if not wrap:
        image = blend(image, [84.0, 56.0, 36.0], 0.7 * _knots(rng, size, 2 * strips))
    dirt = unit(wrapping_noise(rng, (size, size), 4, 5, 0.6), 0.0, 2.5)
    image = blend(image, [58.0, 50.0, 42.0], 0.55 * wear * dirt)
    pitch = size / strips
    edge = np.minimum(rows % pitch, pitch - 1 - rows % pitch)
    return to_bytes(image * (0.72 + 0.28 * unit(edge.astype(np.float32), 0.0, 2.0))[:, None, None])


def chipboard(rng: np.random.Generator, size: int = 256) -> ByteArray:
    """Oriented-strand or chip board (size, size, 3): flakes of many tones."""
    image = np.empty((size, size, 3), dtype=np.uint8)
    image[:] = (172, 134, 86)
    for tone in rng.uniform(0.68, 1.15, 24):
        count = size // 4
        angle = rng.uniform(0, np.pi, count)
        half = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(2, 7, (count, 1))
        center = rng.uniform(0, size, (count, 2))
        lines = np.round(np.stack([center - half, center + half], axis=1)).astype(np.int32)
        color = tuple(float(min(value * tone, 255.0)) for value in (180, 142, 94))
        cv2.polylines(image, list(lines), False, color, int(rng.integers(1, 4)))
    return to_bytes(image.astype(np.float32) * (1.0 + 0.04 * grain(rng, (size, size)))[..., None])
