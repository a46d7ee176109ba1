"""Packing of many small textures into one square image, so that one kernel renders every scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.geometry import ByteArray

GUTTER_PX = 2


@dataclass(frozen=True)
class Atlas:
    """``image`` (S, S, 3) of uint8 and, for each texture, ``tiles`` (N, 4): left, top, width and height
    of its area in uv units, gutter excluded."""

    image: ByteArray
    tiles: NDArray[np.float32]


def pack(textures: Sequence[ByteArray], wanted_px: Sequence[float], side: int) -> Atlas:
    """Pack ``textures`` (H, W, 3) into a square of ``side`` pixels.

    ``wanted_px`` is the longest side that each needs on the image; larger textures are reduced to
    it (which also keeps far ones from shimmering), and all of them further until they fit.

    Raises:
        ValueError: a texture is not (H, W, 3) of uint8, or there are more than can be packed.
    """
    for number, texture in enumerate(textures):
        if texture.ndim != 3 or texture.shape[2] != 3 or texture.dtype != np.uint8 or 0 in texture.shape:
            raise ValueError(
                f"texture {number}: expected (H, W, 3) of uint8, found {texture.shape} of {texture.dtype}"
            )
    wanted_px = [
        min(wanted, max(texture.shape[:2])) for texture, wanted in zip(textures, wanted_px, strict=True)
    ]
    scale = 1.0
    while True:
        sizes = [
            _reduced(texture, wanted * scale) for texture, wanted in zip(textures, wanted_px, strict=True)
        ]
        corners = _shelves(sizes, side)
        if corners is not None:
            break
        scale *= 0.85
        if scale < 0.01:
            raise ValueError(
                f"atlas: expected textures that fit {side} pixels, found {len(textures)} of them"
            )
    image = np.zeros((side, side, 3), dtype=np.uint8)
    tiles = np.zeros((len(textures), 4), dtype=np.float32)
    gutter = GUTTER_PX
    for number, (texture, (width, height), (left, top)) in enumerate(
        zip(textures, sizes, corners, strict=True)
    ):
        if texture.shape[:2] != (height, width):
            texture = np.asarray(cv2.resize(texture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        image[top : top + height + 2 * gutter, left : left + width + 2 * gutter] = cv2.copyMakeBorder(
            texture, gutter, gutter, gutter, gutter, cv2.BORDER_REPLICATE
        )
        tiles[number] = (left + gutter, top + gutter, width, height)
    return Atlas(image, tiles / np.float32(side))


def _reduced(texture: ByteArray, wanted_px: float) -> tuple[int, int]:
    height, width = texture.shape[:2]
    factor = min(1.0, max(wanted_px, 4.0) / max(height, width))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _shelves(sizes: Sequence[tuple[int, int]], side: int) -> list[tuple[int, int]] | None:
    """Return the left top corner of each padded tile in rows of falling height, or None if too many."""
    corners: list[tuple[int, int]] = [(0, 0)] * len(sizes)
    left = top = shelf = 0
    for number in sorted(range(len(sizes)), key=lambda n: (-sizes[n][1], -sizes[n][0], n)):
        width, height = sizes[number][0] + 2 * GUTTER_PX, sizes[number][1] + 2 * GUTTER_PX
        if left + width > side:
            left, top, shelf = 0, top + shelf, 0
        if width > side or top + height > side:
            return None
        corners[number] = (left, top)
        left, shelf = left + width, max(shelf, height)
    return corners
