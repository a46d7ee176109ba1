"""Cartons: an atlas of four faces that all boxes of one shipment share."""

from __future__ import annotations

import cv2
import numpy as np

from palletjack_sdg.geometry import ByteArray, FloatArray
from palletjack_sdg.textures.noise import grain, tinted, to_bytes, wrapping_noise
from palletjack_sdg.textures.print import draw_carton_marks, paper_label, paste

UvRect = tuple[float, float, float, float]

_BOARDS = [(182, 142, 98), (168, 126, 84), (196, 160, 118), (150, 112, 76), (176, 150, 118), (214, 208, 196)]


def cardboard(rng: np.random.Generator, size: int = 128, color: FloatArray | None = None) -> ByteArray:
    """Plain corrugated board (size, size, 3): faint vertical flutes, stains and fibres."""
    base = cardboard_color(rng) if color is None else color
    flutes = np.sin(np.arange(size) * 2.0 * np.pi / 4.0).astype(np.float32)[None, :]
    field = 0.025 * wrapping_noise(rng, (size, size), 4, 4, 0.6) + 0.012 * grain(rng, (size, size))
    return to_bytes(tinted(1.0 + field + 0.008 * flutes, base))


def cardboard_color(rng: np.random.Generator) -> FloatArray:
    """Base sRGB colour (3,), 0..255, of a board: kraft brown mostly, white at times."""
    index = int(rng.choice(len(_BOARDS), p=[0.28, 0.25, 0.18, 0.12, 0.1, 0.07]))
    return np.asarray(np.array(_BOARDS[index]) * rng.uniform(0.85, 1.08), dtype=np.float32)


def _tape(rng: np.random.Generator, image: ByteArray, horizontal: bool) -> None:
    """Lay a strip of packing tape over the middle seam of a face."""
    size = image.shape[0]
    width = max(4, size // 9)
    tapes = [(150, 104, 56), (196, 170, 128), (222, 216, 204), (110, 78, 46)]
    color = np.array(tapes[int(rng.integers(len(tapes)))], dtype=np.float32)
    start = size // 2 - width // 2
    strip = image[start : start + width] if horizontal else image[:, start : start + width]
    strip[:] = to_bytes(0.35 * strip.astype(np.float32) + 0.65 * color)
    if horizontal:
        cv2.line(image, (0, size // 2), (size, size // 2), (90.0, 66.0, 44.0), 1)
    else:
        cv2.line(image, (size // 2, 0), (size // 2, size), (90.0, 66.0, 44.0), 1)


def _darken_edges(image: ByteArray) -> ByteArray:
    """Shade the rim of a face, as worn edges and the gap to the next carton do."""
    size = image.shape[0]
    ramp = np.minimum(np.arange(size), np.arange(size)[::-1]).astype(np.float32)
    rim = np.clip(np.minimum(ramp[:, None], ramp[None, :]) / 3.0, 0.0, 1.0).astype(np.float32)
    shade = 0.68 + 0.32 * rim
    return np.dstack([to_bytes(channel * shade) for channel in cv2.split(image.astype(np.float32))])


def carton_atlas(rng: np.random.Generator, cell: int = 128) -> ByteArray:
    """Atlas (2 * cell, 2 * cell, 3) of one shipper: plain side, marked side, labelled side, top.

    The faces lie where ``CARTON_SIDES`` and ``CARTON_TOP`` say.
    """
    base = cardboard_color(rng)
    inks = [(40, 34, 30), (40, 34, 30), (28, 58, 120), (150, 34, 30), (30, 90, 52)]
    ink = inks[int(rng.integers(len(inks)))]
    faces = [cardboard(rng, cell, base) for _ in range(4)]
    if rng.random() < 0.5:
        _tape(rng, faces[0], horizontal=False)
    draw_carton_marks(rng, faces[1], ink)
    draw_carton_marks(rng, faces[2], ink)
    width = int(cell * rng.uniform(0.22, 0.5))
    label = paper_label(rng, width, int(width * rng.uniform(0.6, 1.4)))
    paste(faces[2], label, int(rng.integers(4, cell - width)), int(cell * rng.uniform(0.06, 0.4)))
    _tape(rng, faces[3], horizontal=True)
    faces = [_darken_edges(face) for face in faces]
    return np.vstack([np.hstack(faces[:2]), np.hstack(faces[2:])])


def atlas_cell(column: int, row: int, columns: int, rows: int, inset: float = 0.004) -> UvRect:
    """UV rectangle (u0, v0, u1, v1) of a cell of a regular atlas, drawn in a little against bleeding."""
    width, height = 1.0 / columns, 1.0 / rows
    return (
        column * width + inset,
        row * height + inset,
        (column + 1) * width - inset,
        (row + 1) * height - inset,
    )


CARTON_SIDES: tuple[UvRect, ...] = (atlas_cell(0, 0, 2, 2), atlas_cell(1, 0, 2, 2), atlas_cell(0, 1, 2, 2))
CARTON_TOP: UvRect = atlas_cell(1, 1, 2, 2)
