"""Floors: square images that wrap, with the size in metres that one image covers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from palletjack_sdg.geometry import ByteArray, FloatArray
from palletjack_sdg.textures.noise import (
    doubled,
    draw_wrapping,
    grain,
    random_walk,
    tinted,
    to_bytes,
    unit,
    wrapping_blur,
    wrapping_noise,
)


class SurfaceTexture(NamedTuple):
    """A repeating sRGB image (H, W, 3), the (width, height) in metres it covers, and a roughness."""

    texture: ByteArray
    tile_m: tuple[float, float]
    roughness: float


def _tint(rng: np.random.Generator, spread: float = 0.018) -> FloatArray:
    """Colour cast of a grey floor: (3,) factors around 1."""
    warm = rng.normal(0.0, spread)
    return np.array([1.0 + warm, 1.0 + 0.2 * rng.normal(0.0, spread), 1.0 - warm], dtype=np.float32)


def _tyre_marks(rng: np.random.Generator, size: int, tile_m: float, count: int) -> FloatArray:
    """Dark rubber (H, W) in 0..1: pairs of long arcs as trucks leave when they turn or brake."""
    mask = np.zeros((size, size), dtype=np.uint8)
    px = size / tile_m
    for _ in range(count):
        walk = random_walk(
            rng, rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi), 0.12 * px, int(rng.integers(8, 45)), 0.03
        )
        bend = np.linspace(0.0, rng.normal(0.0, 1.2), len(walk))
        turned = np.stack(
            [
                walk[0, 0] + np.cumsum(np.diff(walk[:, 0], prepend=walk[0, 0]) * np.cos(bend)),
                walk[0, 1] + np.cumsum(np.diff(walk[:, 1], prepend=walk[0, 1]) + 0.12 * px * np.sin(bend)),
            ],
            axis=1,
        )
        gauge = rng.choice([0.16, 0.55, 0.95]) * px
        across = np.gradient(turned, axis=0)[:, ::-1] * np.array([1.0, -1.0])
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
        width = max(1, int(rng.uniform(0.03, 0.13) * px))
        strength = int(rng.integers(20, 130))
        draw_wrapping(mask, turned, strength, width)
        if rng.random() < 0.7:
            draw_wrapping(mask, turned + gauge * across, strength, width)
    return wrapping_blur(mask.astype(np.float32) / 255.0, rng.uniform(0.8, 2.0))


def _cracks(rng: np.random.Generator, size: int, count: int) -> FloatArray:
    mask = np.zeros((size, size), dtype=np.uint8)
    for _ in range(count):
        start, heading = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi)
        steps = int(rng.integers(10, 60))
        draw_wrapping(mask, random_walk(rng, start, heading, size / 90, steps, 0.35), 210)
    return mask.astype(np.float32) / 255.0


def _spots(rng: np.random.Generator, size: int, count: int, largest: float) -> FloatArray:
    """Small round stains, chips and bits of dirt, (H, W) in 0..1."""
    mask = np.zeros((size, size), dtype=np.uint8)
    for _ in range(count):
        point = rng.uniform(0, size, 2)
        step = rng.normal(0.0, 1.5, 2)
        thickness = 1 + int(largest * rng.random() ** 4)
        draw_wrapping(mask, np.stack([point, point + step]), int(rng.integers(60, 256)), thickness)
    return mask.astype(np.float32) / 255.0


def _wear(rng: np.random.Generator, size: int, tile_m: float, amount: float) -> FloatArray:
    """Brightness factor (H, W) of use and age: stains, tyre marks, polished lanes, cracks and spots."""
    coarse = (size // 2, size // 2)
    stains = 0.5 * amount * unit(wrapping_noise(rng, coarse, 4, 6, 0.6), rng.uniform(0.4, 1.4), 2.8)
    polish = rng.uniform(0.05, 0.3) * amount * unit(wrapping_noise(rng, coarse, 8, 5, 0.65), 0.9, 2.8)
    level = doubled((1.0 - stains) * (1.0 + polish))
    level *= 1.0 - 0.6 * _tyre_marks(rng, size, tile_m, int(rng.integers(0, 4 + int(9 * amount))))
    level *= 1.0 - 0.5 * amount * _cracks(rng, size, int(rng.integers(0, 5)))
    level *= 1.0 - 0.5 * _spots(rng, size, int(rng.integers(5, 60)), 5.0)
    level *= 1.0 + rng.uniform(0.1, 0.5) * _spots(rng, size, int(rng.integers(0, 30)), 3.0)
    return level


def _joints(rng: np.random.Generator, size: int, columns: int, rows: int, width: int) -> FloatArray:
    mask = np.zeros((size, size), dtype=np.float32)
    for index in range(columns):
        start = index * size // columns
        mask[:, start : start + width] = 1.0
    for index in range(rows):
        start = index * size // rows
        mask[start : start + width, :] = 1.0
    return np.clip(mask * (0.75 + 0.25 * grain(rng, (size, size))), 0.0, 1.0).astype(np.float32)


def concrete_floor(rng: np.random.Generator, size: int = 1024) -> SurfaceTexture:
    """Worn grey concrete with stains, tyre marks, cracks and sawn joints."""
    tile_m = float(rng.uniform(6.0, 9.0))
    shape = (size, size)
    contrast = float(rng.uniform(0.03, 0.1))
    field = 1.0 + contrast * (0.7 * wrapping_noise(rng, shape, 4, 8, 0.62) + 0.3 * grain(rng, shape))
    if rng.random() < 0.45:
        # Pallets and wheels polish the lanes lengthwise.
        cells = (8, 64) if rng.random() < 0.5 else (64, 8)
        field *= 1.0 + 0.025 * doubled(wrapping_noise(rng, (size // 2, size // 2), cells, 2, 0.5))
    if rng.random() < 0.5:
        rows, columns, width = int(rng.integers(1, 3)), int(rng.integers(0, 3)), int(rng.integers(1, 4))
        field *= 1.0 - 0.5 * _joints(rng, size, columns, rows, width)
    field *= _wear(rng, size, tile_m, rng.uniform(0.2, 1.0))
    image = tinted(np.asarray(field, np.float32), rng.uniform(62.0, 178.0) * _tint(rng))
    return SurfaceTexture(to_bytes(image), (tile_m, tile_m), float(rng.uniform(0.45, 0.95)))


def epoxy_floor(rng: np.random.Generator, size: int = 1024) -> SurfaceTexture:
    """Coated industrial floor: even colour, shiny, with scuffs."""
    tile_m = float(rng.uniform(6.0, 9.0))
    colors = [(132, 136, 138), (96, 101, 105), (168, 168, 162), (88, 106, 100), (112, 86, 77), (96, 105, 118)]
    index = int(rng.choice(len(colors), p=[0.3, 0.25, 0.25, 0.08, 0.06, 0.06]))
    color = np.array(colors[index], dtype=np.float32) * rng.uniform(0.75, 1.15)
    field = 1.0 + 0.02 * wrapping_noise(rng, (size, size), 4, 6, 0.5) + 0.012 * grain(rng, (size, size))
    image = tinted(field * _wear(rng, size, tile_m, rng.uniform(0.1, 0.6)), color)
    return SurfaceTexture(to_bytes(image), (tile_m, tile_m), float(rng.uniform(0.22, 0.55)))


def asphalt_floor(rng: np.random.Generator, size: int = 1024) -> SurfaceTexture:
    """Mastic asphalt: dark, speckled, patched."""
    tile_m = float(rng.uniform(5.0, 7.0))
    shape = (size, size)
    field = 0.05 * wrapping_noise(rng, shape, 4, 6, 0.6) + rng.uniform(0.05, 0.14) * grain(rng, shape)
    patch = doubled(unit(wrapping_noise(rng, (size // 2, size // 2), 2, 3, 0.4), 0.7, 0.75))
    field = (1.0 + field) * (1.0 + rng.uniform(-0.2, 0.25) * patch)
    field *= _wear(rng, size, tile_m, rng.uniform(0.1, 0.7))
    image = tinted(field, rng.uniform(48.0, 92.0) * _tint(rng, 0.015))
    return SurfaceTexture(to_bytes(image), (tile_m, tile_m), float(rng.uniform(0.6, 0.98)))


def slab_floor(rng: np.random.Generator, size: int = 1024) -> SurfaceTexture:
    """Stone or concrete slabs with joints, each of its own tone."""
    count = int(rng.choice([4, 8]))
    tile_m = count * float(rng.uniform(0.4, 0.9))
    tones = 1.0 + rng.normal(0.0, rng.uniform(0.01, 0.05), (count, count))
    field = np.kron(tones, np.ones((size // count, size // count))).astype(np.float32)
    field = field + 0.04 * wrapping_noise(rng, (size, size), 8, 7, 0.6)
    field *= 1.0 - rng.uniform(0.2, 0.6) * _joints(rng, size, count, count, max(2, size // 256))
    field *= _wear(rng, size, tile_m, rng.uniform(0.2, 0.9))
    image = tinted(field, rng.uniform(80.0, 165.0) * _tint(rng))
    return SurfaceTexture(to_bytes(image), (tile_m, tile_m), float(rng.uniform(0.4, 0.9)))


def tile_floor(rng: np.random.Generator, size: int = 1024) -> SurfaceTexture:
    """Ceramic or quarry tiles of 15 to 33 cm with pale or dark grout."""
    edge_m = float(rng.uniform(0.15, 0.33))
    # A pattern that repeats within a few metres would be seen.
    count = 16 if edge_m > 0.22 else 32
    tile_m = count * edge_m
    tones = 1.0 + rng.normal(0.0, rng.uniform(0.01, 0.04), (count, count))
    field = np.kron(tones, np.ones((size // count, size // count))).astype(np.float32)
    field = field + 0.02 * wrapping_noise(rng, (size, size), 8, 6, 0.6)
    grout = _joints(rng, size, count, count, max(2, size // 320))
    field *= 1.0 + rng.uniform(-0.45, 0.25) * grout
    field *= _wear(rng, size, tile_m, rng.uniform(0.1, 0.7))
    colors = [(150, 148, 142), (176, 172, 160), (118, 74, 58), (104, 108, 110), (92, 84, 78)]
    color = np.array(colors[int(rng.integers(len(colors)))], dtype=np.float32) * rng.uniform(0.75, 1.1)
    return SurfaceTexture(to_bytes(tinted(field, color)), (tile_m, tile_m), float(rng.uniform(0.2, 0.6)))


def steel_floor(rng: np.random.Generator, size: int = 1024) -> SurfaceTexture:
    """Tread plate in sheets: rows of short raised bars, alternately turned, polished where people walk."""
    tile_m = float(rng.uniform(3.2, 4.8))
    cells = 64
    cell = size // cells
    v, u = np.mgrid[:cell, :cell].astype(np.float32) / cell - 0.5
    bars = []
    for turn in (np.pi / 4, -np.pi / 4):
        along, across = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
        bars.append(np.clip(1.0 - np.hypot(np.maximum(np.abs(along) - 0.27, 0.0), across) / 0.1, 0.0, 1.0))
    pair = np.block([[bars[0], bars[1]], [bars[1], bars[0]]]).astype(np.float32)
    lugs = np.tile(pair, (cells // 2, cells // 2))
    field = 1.0 + 0.05 * wrapping_noise(rng, (size, size), 4, 6, 0.6)
    field += rng.uniform(0.15, 0.5) * lugs - 0.12 * np.roll(lugs, cell // 8, axis=0)
    field *= 1.0 - 0.6 * _joints(rng, size, 2, 1, max(2, size // 400))
    field *= _wear(rng, size, tile_m, rng.uniform(0.1, 0.5))
    image = tinted(np.asarray(field, np.float32), rng.uniform(70.0, 135.0) * _tint(rng, 0.01))
    return SurfaceTexture(to_bytes(image), (tile_m, tile_m), float(rng.uniform(0.25, 0.55)))
