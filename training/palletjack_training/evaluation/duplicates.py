"""Objects that are detected more than once: what clustering is there to prevent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_training.evaluation.ground_truth import ImageTruth
from palletjack_training.evaluation.predictions import Row
from palletjack_training.evaluation.scoring import overlap_shares

DUPLICATE_IOU = 0.3
NESTED_SHARE = 0.8


def duplicates(
    images: Mapping[str, ImageTruth], predictions: Mapping[str, list[Row]], threshold: float
) -> dict[str, Any]:
    """Count the objects with more than one detection of at least ``threshold``, difficult ones included.

    A detection belongs to the one object that it overlaps most, if their IoU is 0.3 or more, or if 80 % of
    the smaller of the two boxes lies in the other.
    """
    detected, several = 0, 0
    for name, truth in images.items():
        rows = [row for row in predictions.get(name, []) if (row[4] if len(row) > 4 else 1.0) >= threshold]
        owners = _owners(truth, rows)
        counts = np.bincount(owners[owners >= 0], minlength=len(truth.boxes))
        detected += int((counts > 0).sum())
        several += int((counts > 1).sum())
    return {
        "objects_detected": detected,
        "objects_detected_more_than_once": several,
        "share": several / detected if detected else 0.0,
    }


def _owners(truth: ImageTruth, rows: list[Row]) -> NDArray[np.int64]:
    """The object (index) of each detection, or -1."""
    owners = np.full(len(rows), -1, np.int64)
    best = np.zeros(len(rows))
    boxes = np.array([row[:4] for row in rows], np.float64).reshape(-1, 4)
    for k, item in enumerate(truth.boxes):
        iou, nested = overlap_shares(boxes, np.array(item.extents, np.float64))
        belongs = ((iou >= DUPLICATE_IOU) | (nested >= NESTED_SHARE)).any(axis=1)
        overlap = iou.max(axis=1)
        takes = belongs & (overlap > best)
        owners[takes], best[takes] = k, overlap[takes]
    return owners
