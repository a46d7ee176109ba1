"""Painted metal, film, warning stripes, cloth and signs."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike

from palletjack_sdg.geometry import ByteArray
from palletjack_sdg.textures.noise import (
    blend,
    draw_wrapping,
    grain,
    random_walk,
    tinted,
    to_bytes,
    unit,
    wrapping_noise,
)
from palletjack_sdg.textures.print import made_up_word, write


def painted_metal(
    rng: np.random.Generator, color: ArrayLike, wear: float = 0.4, size: int = 128
) -> ByteArray:
    """Paint of sRGB ``color`` (3,), 0..1, with scratches to bare metal or rust; (size, size, 3)."""
    shape = (size, size)
    base = np.asarray(color, dtype=np.float32) * 255.0
    image = tinted(1.0 + 0.03 * wrapping_noise(rng, shape, 4, 4, 0.6) + 0.012 * grain(rng, shape), base)
    dirt = unit(wrapping_noise(rng, shape, 4, 5, 0.7), 2.2 - 2.2 * wear, 3.2)
    image = blend(image, [52.0, 46.0, 40.0], 0.6 * dirt)
    chips = unit(wrapping_noise(rng, shape, 16, 4, 0.8), 3.2 - 1.9 * wear, 3.5 - 1.6 * wear)
    under = [112.0, 72.0, 48.0] if rng.random() < 0.5 else [120.0, 120.0, 122.0]
    image = blend(image, under, chips)
    mask = np.zeros(shape, dtype=np.uint8)
    for _ in range(int(rng.integers(0, 2 + int(24 * wear)))):
        start, heading = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi)
        draw_wrapping(mask, random_walk(rng, start, heading, 4.0, int(rng.integers(2, 12)), 0.06), 170)
    return to_bytes(blend(image, under, 0.7 * mask.astype(np.float32) / 255.0))


def stretch_film(rng: np.random.Generator, below: ArrayLike, size: int = 256) -> ByteArray:
    """Wrapped goods of sRGB ``below`` (3,), 0..1: pale diagonal folds and highlights; (size, size, 3)."""
    shape = (size, size)
    base = np.asarray(below, dtype=np.float32) * 255.0
    veil = rng.uniform(0.15, 0.6)
    image = np.broadcast_to(base + (205.0 - base) * veil, (*shape, 3)).astype(np.float32)
    folds = wrapping_noise(rng, shape, (32, 4), 4, 0.6)
    image = blend(image, [244.0, 246.0, 248.0], 0.8 * unit(folds, 0.7, 2.4))
    image = blend(image, base * 0.55, 0.5 * unit(-folds, 0.6, 2.6))
    mask = np.zeros(shape, dtype=np.uint8)
    for _ in range(int(rng.integers(8, 26))):
        start, heading = rng.uniform(0, size, 2), rng.normal(0.0, 0.5)
        draw_wrapping(mask, random_walk(rng, start, heading, 9.0, int(rng.integers(5, 26)), 0.12), 200)
    return to_bytes(blend(image, [252.0, 252.0, 252.0], 0.6 * mask.astype(np.float32) / 255.0))


def warning_stripes(
    rng: np.random.Generator, colors: Sequence[ArrayLike] = ((236, 190, 20), (28, 28, 28)), size: int = 64
) -> ByteArray:
    """Diagonal stripes of two sRGB colours (0..255) in 45 degrees, worn; (size, size, 3), it repeats."""
    y, x = np.mgrid[0:size, 0:size]
    phase = ((x + y) * 2 // size) % 2
    pair = np.asarray(colors, dtype=np.float32)
    image = pair[phase] * (1.0 + 0.05 * grain(rng, (size, size)))[..., None]
    worn = unit(wrapping_noise(rng, (size, size), 4, 5, 0.7), 1.0, 2.4)
    return to_bytes(blend(image, [110.0, 104.0, 96.0], 0.7 * worn))


def cloth(rng: np.random.Generator, color: ArrayLike, size: int = 128) -> ByteArray:
    """Woven cloth of sRGB ``color`` (3,), 0..1, faded in large patches and creased; (size, size, 3)."""
    shape = (size, size)
    base = np.asarray(color, dtype=np.float32) * 255.0
    field = 1.0 + 0.06 * wrapping_noise(rng, shape, (2, 4), 3, 0.6) + 0.03 * grain(rng, shape)
    creases = unit(wrapping_noise(rng, shape, (16, 4), 3, 0.6), 0.9, 2.6)
    return to_bytes(tinted(field * (1.0 - 0.35 * creases), base))


def hi_vis_vest(rng: np.random.Generator, color: ArrayLike, size: int = 128) -> ByteArray:
    """Vest of sRGB ``color``, 0..1, u around the body and v down: two bands and two braces of silver."""
    image = cloth(rng, color, size)
    silver = np.array([208, 210, 212], dtype=np.uint8)
    width = max(4, size // 12)
    for center in (0.55, 0.78):
        start = int(center * size)
        image[start : start + width] = silver
    for center in (0.08, 0.33, 0.58, 0.83):
        start = int(center * size)
        image[: int(0.55 * size), start : start + width] = silver
    return image


def sign(rng: np.random.Generator, size: int = 64) -> ByteArray:
    """Square wall sign (size, size, 3): fire, escape, order, ban or warning, or a rack number."""
    kinds = [
        ((190, 24, 30), (245, 245, 245)),
        ((20, 132, 72), (245, 245, 245)),
        ((24, 84, 160), (245, 245, 245)),
        ((240, 196, 20), (20, 20, 20)),
        ((240, 240, 238), (190, 24, 30)),
        ((240, 240, 238), (30, 30, 30)),
    ]
    ground, ink = kinds[int(rng.integers(len(kinds)))]
    image = np.empty((size, size, 3), dtype=np.uint8)
    image[:] = ground
    color = tuple(map(float, ink))
    shape = rng.integers(4)
    if shape == 0:
        cv2.circle(image, (size // 2, size // 2), size // 3, color, max(2, size // 10), cv2.LINE_AA)
        cv2.line(image, (size // 4, size // 4), (3 * size // 4, 3 * size // 4), color, max(2, size // 12))
    elif shape == 1:
        points = np.array(
            [[size // 2, size // 6], [size // 7, 5 * size // 6], [6 * size // 7, 5 * size // 6]]
        )
        cv2.polylines(image, [points.astype(np.int32)], True, color, max(2, size // 14), cv2.LINE_AA)
        cv2.line(image, (size // 2, 2 * size // 5), (size // 2, 7 * size // 10), color, max(2, size // 12))
    elif shape == 2:
        cv2.rectangle(image, (size // 3, size // 6), (2 * size // 3, 5 * size // 6), color, -1)
    else:
        text = made_up_word(rng, 1) if rng.random() < 0.5 else str(rng.integers(100))
        write(image, text, (size // 8, size // 4, 7 * size // 8, 3 * size // 4), ink)
    cv2.rectangle(image, (1, 1), (size - 2, size - 2), color, 1)
    return image
