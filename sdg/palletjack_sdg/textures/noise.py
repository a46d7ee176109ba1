"""Wrapping noise and drawing: the bricks of every procedural texture.

Arrays are float32 of shape (H, W) unless stated. "Wrapping" means that the left edge continues the
right one and the top edge the bottom one, so that the image can repeat without a seam.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from palletjack_sdg.geometry import ByteArray, FloatArray

Shape = tuple[int, int]


def _double(field: FloatArray, axis_mask: tuple[bool, bool]) -> FloatArray:
    """Upsample a wrapping field by 2 along the chosen axes (rows, columns)."""
    pad = 2
    padded = cv2.copyMakeBorder(field, pad, pad, pad, pad, cv2.BORDER_WRAP)
    factor_y, factor_x = (2 if axis_mask[0] else 1), (2 if axis_mask[1] else 1)
    height, width = padded.shape
    grown = cv2.resize(padded, (width * factor_x, height * factor_y), interpolation=cv2.INTER_CUBIC)
    top, left = pad * factor_y, pad * factor_x
    return np.asarray(
        grown[top : top + field.shape[0] * factor_y, left : left + field.shape[1] * factor_x], np.float32
    )


def doubled(field: FloatArray) -> FloatArray:
    """Upsample a wrapping field (H, W) to (2H, 2W), still wrapping."""
    return np.ascontiguousarray(_double(field, (True, True)))


def _require_power_of_two_ratio(shape: Shape, cells: Shape) -> None:
    for length, count in zip(shape, cells, strict=True):
        ratio = length // count if count > 0 else 0
        if ratio < 1 or ratio * count != length or ratio & (ratio - 1):
            raise ValueError(
                f"noise: expected cells that divide the shape into powers of two, "
                f"found shape {shape} and cells {cells}"
            )


def wrapping_noise(
    rng: np.random.Generator, shape: Shape, cells: int | Shape, octaves: int = 4, gain: float = 0.5
) -> FloatArray:
    """Smooth random field (H, W) that wraps, with zero mean and unit standard deviation.

    ``cells`` is the number of random knots of the coarsest octave along (rows, columns); each further
    octave doubles them and is weaker by ``gain``. Raises ValueError if shape / cells is not a power
    of two.
    """
    cells_yx = (cells, cells) if isinstance(cells, int) else cells
    _require_power_of_two_ratio(shape, cells_yx)
    field = rng.standard_normal(cells_yx, dtype=np.float32)
    amplitude = 1.0
    for octave in range(1, 32):
        grow = (field.shape[0] < shape[0], field.shape[1] < shape[1])
        if not any(grow):
            break
        field = _double(field, grow)
        amplitude *= gain
        if octave < octaves:
            field = field + amplitude * rng.standard_normal(field.shape, dtype=np.float32)
    field = field - field.mean()
    return np.asarray(field / max(float(field.std()), 1e-6), dtype=np.float32)


def grain(rng: np.random.Generator, shape: Shape, patch: int = 256) -> FloatArray:
    """Per-pixel white noise (H, W) of unit deviation; a patch that repeats, which no eye sees."""
    tile = rng.standard_normal((min(patch, shape[0]), min(patch, shape[1])), dtype=np.float32)
    if tile.shape == shape:
        return tile
    repeats = (-(-shape[0] // tile.shape[0]), -(-shape[1] // tile.shape[1]))
    return np.asarray(np.tile(tile, repeats)[: shape[0], : shape[1]])


def wrapping_blur(image: NDArray[np.float32], sigma: float) -> FloatArray:
    """Gaussian blur that continues over the edges."""
    pad = min(max(1, int(3 * sigma + 1)), min(image.shape[:2]))
    padded = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_WRAP)
    blurred = cv2.GaussianBlur(padded, (0, 0), sigma)
    return np.asarray(blurred[pad:-pad, pad:-pad], dtype=np.float32)


def draw_wrapping(mask: ByteArray, points: NDArray[np.floating], value: int, thickness: int = 1) -> None:
    """Draw the polyline ``points`` (N, 2), x and y in pixels, into ``mask``; it continues over the edges."""
    height, width = mask.shape[:2]
    low, high = points.min(axis=0), points.max(axis=0)
    shift_bits = 4
    for shift_y in range(int(np.floor(low[1] / height)), int(np.floor(high[1] / height)) + 1):
        for shift_x in range(int(np.floor(low[0] / width)), int(np.floor(high[0] / width)) + 1):
            moved = points - np.array([shift_x * width, shift_y * height])
            fixed = np.round(moved * (1 << shift_bits)).astype(np.int32)
            cv2.polylines(mask, [fixed], False, int(value), thickness, cv2.LINE_AA, shift_bits)


def random_walk(
    rng: np.random.Generator, start: ArrayLike, heading: float, step: float, count: int, wander: float
) -> NDArray[np.float64]:
    """Return (count, 2) points of a walk whose heading (radians) drifts by ``wander`` a step."""
    headings = heading + np.cumsum(rng.normal(0.0, wander, count))
    steps = step * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return np.asarray(start, dtype=np.float64) + np.cumsum(steps, axis=0)


def unit(field: FloatArray, low: float, high: float) -> FloatArray:
    """Map ``low``..``high`` of a field to 0..1, clipped."""
    return np.clip((field - low) / (high - low), 0.0, 1.0).astype(np.float32)


def tinted(level: FloatArray, color: ArrayLike) -> FloatArray:
    """Multiply a grey level (H, W) by a colour (3,), or by one for each row (H, 1, 3), to (H, W, 3)."""
    colors = np.asarray(color, dtype=np.float32)
    image = np.empty((*level.shape, 3), dtype=np.float32)
    for channel in range(3):
        image[..., channel] = level * colors[..., channel]
    return image


def blend(image: FloatArray, color: ArrayLike, weight: FloatArray) -> FloatArray:
    """Lay ``color`` (3,) or (H, W, 3) over ``image`` (H, W, 3) with ``weight`` (H, W) in 0..1."""
    over = np.asarray(color, dtype=np.float32)
    blended = np.empty(image.shape, dtype=np.float32)
    # One channel at a time: passes over small planes beat those over a broadcast array.
    for channel in range(image.shape[-1]):
        below = image[..., channel]
        blended[..., channel] = below + (over[..., channel] - below) * weight
    return blended


def to_bytes(image: FloatArray) -> ByteArray:
    """Round an sRGB image of 0..255 to uint8."""
    lifted = image + 0.5
    return np.clip(lifted, 0.0, 255.0, out=lifted).astype(np.uint8)
