"""DetectNet_v2's output grid to candidate boxes.

A cell (X, Y) of class c holds four distances from the point (stride * X + offset, stride * Y + offset)
to the edges of its box, divided by ``box_scale``: left, top, right, bottom in channels 4c to 4c + 3
(the rule of NVIDIA's TAO 5.0, objectives/bbox_objective.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """Hot cells: ``boxes`` (N, 4) xyxy in network pixels, ``coverage`` (N,) 0..1, ``class_ids`` (N,)."""

    boxes: FloatArray
    coverage: FloatArray
    class_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.coverage)


def decode_grid(boxes: FloatArray, *, stride: int, box_scale: float, box_offset: float) -> FloatArray:
    """Decode a whole grid of box distances (4C, h, w) into boxes (C, h, w, 4) xyxy, network pixels.

    Nothing is clipped; a cell far from any object may give a box of no use, even an inverted one.
    """
    channels, rows, columns = boxes.shape
    distances = boxes.reshape(channels // 4, 4, rows, columns).transpose(0, 2, 3, 1)
    x = np.arange(columns, dtype=np.float32) * stride + np.float32(box_offset)
    y = np.arange(rows, dtype=np.float32)[:, None] * stride + np.float32(box_offset)
    result = np.empty(distances.shape, np.float32)
    scaled = distances * np.float32(box_scale)
    result[..., 0] = x - scaled[..., 0]
    result[..., 1] = y - scaled[..., 1]
    result[..., 2] = x + scaled[..., 2]
    result[..., 3] = y + scaled[..., 3]
    return result


def decode_hot_cells(
    coverage: FloatArray,
    boxes: FloatArray,
    *,
    coverage_threshold: float,
    stride: int,
    box_scale: float,
    box_offset: float,
) -> Candidates:
    """Decode only the cells whose coverage is above ``coverage_threshold``.

    ``coverage`` is (C, h, w), ``boxes`` (4C, h, w). Cells whose box is inverted, empty or not finite
    are left out: they can overlap nothing, so no clustering would use them. Order: class, row, column.
    """
    class_ids, rows, columns = np.nonzero(coverage > coverage_threshold)
    grid = boxes.reshape(coverage.shape[0], 4, *coverage.shape[1:])
    scaled = grid[class_ids, :, rows, columns] * np.float32(box_scale)
    x = columns.astype(np.float32) * stride + np.float32(box_offset)
    y = rows.astype(np.float32) * stride + np.float32(box_offset)
    decoded = np.stack([x - scaled[:, 0], y - scaled[:, 1], x + scaled[:, 2], y + scaled[:, 3]], axis=1)
    scores = coverage[class_ids, rows, columns]
    with np.errstate(invalid="ignore"):
        usable = (
            np.isfinite(decoded).all(axis=1)
            & np.isfinite(scores)
            & (decoded[:, 2] > decoded[:, 0])
            & (decoded[:, 3] > decoded[:, 1])
        )
    return Candidates(decoded[usable], scores[usable], class_ids[usable].astype(np.int64))
