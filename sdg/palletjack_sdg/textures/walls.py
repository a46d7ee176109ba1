"""Walls and ceilings: images that wrap, with the size in metres that one image covers."""

from __future__ import annotations

import cv2
import numpy as np

from palletjack_sdg.geometry import FloatArray
from palletjack_sdg.textures.floors import SurfaceTexture
from palletjack_sdg.textures.noise import (
    blend,
    draw_wrapping,
    grain,
    random_walk,
    tinted,
    to_bytes,
    unit,
    wrapping_blur,
    wrapping_noise,
)

_WALL_PAINTS = [(226, 224, 216), (205, 206, 204), (214, 206, 186), (176, 180, 182), (150, 156, 160)]


def _paint(rng: np.random.Generator) -> FloatArray:
    color = np.array(_WALL_PAINTS[int(rng.integers(len(_WALL_PAINTS)))], dtype=np.float32)
    return np.asarray(color * rng.uniform(0.7, 1.05), dtype=np.float32)


def _grime(rng: np.random.Generator, image: FloatArray, amount: float) -> FloatArray:
    """Dirt, runs and scratches over a clean wall image (H, W, 3)."""
    shape = (image.shape[0], image.shape[1])
    dirt = unit(wrapping_noise(rng, shape, 4, 6, 0.6), 0.2, 2.8)
    image = blend(image, [72.0, 66.0, 58.0], 0.4 * amount * dirt)
    runs = unit(wrapping_noise(rng, shape, (2, 64), 2, 0.5), 1.0, 3.0)
    image = blend(image, [84.0, 76.0, 66.0], 0.35 * amount * runs)
    mask = np.zeros(shape, dtype=np.uint8)
    for _ in range(int(rng.integers(0, 3 + int(10 * amount)))):
        start, heading = rng.uniform(0, shape[1], 2), rng.normal(0.0, 0.3)
        draw_wrapping(mask, random_walk(rng, start, heading, 5.0, int(rng.integers(4, 20)), 0.05), 180)
    return blend(image, [60.0, 56.0, 52.0], 0.5 * mask.astype(np.float32) / 255.0)


def _courses(
    rng: np.random.Generator, size: int, columns: int, rows: int, joint: float
) -> tuple[FloatArray, FloatArray]:
    """Running-bond masonry: mortar mask (H, W) in 0..1 and a tone (H, W) for each brick.

    ``rows`` must be even so that the bond wraps. ``joint`` is the mortar width in pixels.
    """
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    brick_h, brick_w = size / rows, size / columns
    row = np.floor(y / brick_h).astype(np.int32)
    along = (x + (row % 2) * 0.5 * brick_w) % size
    column = np.floor(along / brick_w).astype(np.int32) % columns
    edge_x = np.minimum(along % brick_w, brick_w - along % brick_w)
    edge_y = np.minimum(y % brick_h, brick_h - y % brick_h)
    mortar = 1.0 - unit(np.minimum(edge_x, edge_y), 0.5 * joint - 0.5, 0.5 * joint + 0.7)
    tones = rng.standard_normal((rows, columns)).astype(np.float32)
    return mortar.astype(np.float32), tones[row % rows, column]


def brick_wall(rng: np.random.Generator, size: int = 512) -> SurfaceTexture:
    """Brick or block masonry, bare red or yellow, or painted over."""
    rows = int(rng.choice([8, 16, 24]))
    columns = rows // 2 if rows < 16 else rows // 3
    course_m = float(rng.choice([0.083, 0.125, 0.25]))
    mortar, tone = _courses(rng, size, columns, rows, rng.uniform(2.0, 4.0))
    grit = 0.05 * wrapping_noise(rng, (size, size), 16, 5, 0.7)
    if rng.random() < 0.72:
        paint = _paint(rng)
        image = tinted(1.0 + 0.012 * tone + 0.4 * grit - rng.uniform(0.06, 0.25) * mortar, paint)
    else:
        bases = [(138, 88, 72), (154, 134, 106), (138, 134, 128), (116, 80, 70)]
        base = np.array(bases[int(rng.integers(len(bases)))], dtype=np.float32)
        image = tinted(1.0 + 0.07 * tone + grit, base)
        image = blend(image, [168.0, 162.0, 152.0], mortar * rng.uniform(0.5, 1.0))
    height = rows * course_m
    width = columns * course_m * (2.0 if course_m > 0.2 else 3.2)
    image = _grime(rng, image, rng.uniform(0.1, 0.8))
    return SurfaceTexture(to_bytes(image), (width, height), float(rng.uniform(0.6, 0.95)))


def plaster_wall(rng: np.random.Generator, size: int = 512) -> SurfaceTexture:
    """Rendered or painted smooth wall, sometimes with a darker plinth-coloured cast."""
    field = 1.0 + 0.02 * wrapping_noise(rng, (size, size), 4, 7, 0.6) + 0.015 * grain(rng, (size, size))
    image = _grime(rng, tinted(field, _paint(rng)), rng.uniform(0.1, 0.9))
    return SurfaceTexture(to_bytes(image), (3.0, 3.0), float(rng.uniform(0.5, 0.95)))


def concrete_wall(rng: np.random.Generator, size: int = 512) -> SurfaceTexture:
    """Bare concrete with formwork panels and tie holes."""
    level = rng.uniform(105.0, 185.0)
    image = tinted(level * (1.0 + 0.06 * wrapping_noise(rng, (size, size), 4, 7, 0.6)), (1.0, 0.99, 0.96))
    lines = np.zeros((size, size), dtype=np.float32)
    half = size // 2
    lines[:, :2], lines[:, half : half + 2], lines[:2, :] = 1.0, 1.0, 1.0
    image = blend(image, [70.0, 68.0, 66.0], 0.5 * lines)
    holes = np.zeros((size, size), dtype=np.uint8)
    for x in (half // 2, half + half // 2):
        for y in (size // 5, size // 2, size - size // 5):
            cv2.circle(holes, (x, y), max(2, size // 100), 255, -1, cv2.LINE_AA)
    image = blend(image, [50.0, 49.0, 48.0], holes.astype(np.float32) / 255.0)
    return SurfaceTexture(to_bytes(_grime(rng, image, rng.uniform(0.2, 0.8))), (3.0, 2.7), 0.9)


def _trapezoid_profile(size: int, waves: int, phase: float = 0.0) -> FloatArray:
    """Shade (size,) of a trapezoidal sheet lit from one side: flats, a light and a dark flank."""
    t = ((np.arange(size) / size * waves + phase) % 1.0).astype(np.float32)
    shade = np.where(t < 0.38, 1.0, np.where(t < 0.5, 0.72, np.where(t < 0.88, 0.9, 1.1)))
    smooth = cv2.GaussianBlur(np.tile(shade.astype(np.float32), 3)[None, :], (0, 0), 1.0)
    return np.asarray(smooth[0, size : 2 * size], dtype=np.float32)


def corrugated_wall(rng: np.random.Generator, size: int = 512) -> SurfaceTexture:
    """Trapezoidal metal sheet with vertical ribs, painted or galvanized."""
    waves = int(rng.integers(6, 13))
    shade = np.broadcast_to(_trapezoid_profile(size, waves)[None, :], (size, size))
    paints = [(210, 212, 210), (160, 168, 172), (126, 142, 150), (190, 184, 168), (96, 116, 138)]
    color = np.array(paints[int(rng.integers(len(paints)))], dtype=np.float32) * rng.uniform(0.7, 1.05)
    image = tinted(shade * (1.0 + 0.015 * grain(rng, (size, size))), color)
    image = _grime(rng, image, rng.uniform(0.1, 0.7))
    return SurfaceTexture(to_bytes(image), (waves * 0.25, 2.5), float(rng.uniform(0.35, 0.7)))


def sandwich_wall(rng: np.random.Generator, size: int = 512) -> SurfaceTexture:
    """Insulated sandwich panels: flat sheets with micro-ribs and a joint every metre."""
    ribs = 1.0 + 0.03 * np.cos(np.arange(size) / size * 2 * np.pi * 40)
    joint = np.zeros(size, dtype=np.float32)
    half = size // 2
    for start in (0, half):
        joint[start : start + max(2, size // 128)] = 1.0
    shade = (ribs * (1.0 - 0.45 * joint)).astype(np.float32)
    horizontal = rng.random() < 0.5
    field = np.broadcast_to(shade[:, None] if horizontal else shade[None, :], (size, size))
    image = tinted(field * (1.0 + 0.01 * grain(rng, (size, size))), _paint(rng))
    return SurfaceTexture(to_bytes(_grime(rng, image, rng.uniform(0.05, 0.5))), (2.0, 2.0), 0.5)


def plank_wall(rng: np.random.Generator, size: int = 512) -> SurfaceTexture:
    """Wooden boards or plywood sheets nailed to a frame."""
    from palletjack_sdg.textures.wood import wood_strips

    boards = int(rng.choice([4, 8, 16]))
    image = wood_strips(rng, size, boards, wrap=True).astype(np.float32)
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image.transpose(1, 0, 2))
    return SurfaceTexture(to_bytes(_grime(rng, image, rng.uniform(0.1, 0.6))), (boards * 0.16, 2.4), 0.8)


def deck_ceiling(rng: np.random.Generator, size: int = 512) -> SurfaceTexture:
    """Trapezoidal roof deck seen from below."""
    waves = int(rng.integers(6, 11))
    shade = np.broadcast_to(_trapezoid_profile(size, waves)[None, :], (size, size))
    level = rng.uniform(120.0, 235.0)
    image = tinted(shade * (1.0 + 0.02 * wrapping_noise(rng, (size, size), 4, 5)), np.full(3, level))
    return SurfaceTexture(to_bytes(_grime(rng, image, 0.3)), (waves * 0.28, 3.0), 0.6)


def slab_ceiling(rng: np.random.Generator, size: int = 512) -> SurfaceTexture:
    """Flat concrete or wood-wool ceiling, painted white or left grey, with board joints."""
    field = 1.0 + 0.03 * wrapping_noise(rng, (size, size), 8, 6, 0.65)
    image = tinted(field, np.full(3, rng.uniform(120.0, 230.0)) * np.array([1.0, 0.99, 0.96]))
    lines = np.zeros((size, size), dtype=np.float32)
    lines[::128, :] = 1.0
    lines[:, ::256] = 1.0
    image = blend(image, [95.0, 92.0, 88.0], 0.4 * wrapping_blur(lines, 0.8))
    return SurfaceTexture(to_bytes(_grime(rng, image, rng.uniform(0.05, 0.5))), (4.0, 4.0), 0.9)
