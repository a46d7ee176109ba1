"""Frames that look almost alike, by the difference hash: the signs of the steps of a 17 x 16 thumbnail."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

HASH_SIDE = 16
# Of 256 bits. Frames of the default recipe differ in 60 and more; a recompressed copy in under 6.
NEAR_BITS = 12
ROWS_AT_ONCE = 1024


def difference_hash(pixels: NDArray[np.uint8]) -> bytes:
    """Return the 256-bit hash of a BGR image (H, W, 3)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    small = np.asarray(cv2.resize(grey, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA), np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes()


def near_duplicates(hashes: Sequence[bytes], near_bits: int = NEAR_BITS) -> list[tuple[int, int, int]]:
    """Return pairs (earlier, later, differing bits) of frames at most ``near_bits`` apart."""
    if not hashes:
        return []
    bits = np.unpackbits(np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), -1), axis=1)
    signs = bits.astype(np.float32) * 2.0 - 1.0
    pairs = []
    for start in range(0, len(signs), ROWS_AT_ONCE):
        distance = (signs.shape[1] - signs[start : start + ROWS_AT_ONCE] @ signs.T) / 2.0
        for row, column in zip(*np.nonzero(distance <= near_bits), strict=True):
            if start + row < column:
                pairs.append((int(start + row), int(column), int(distance[row, column])))
    return pairs
