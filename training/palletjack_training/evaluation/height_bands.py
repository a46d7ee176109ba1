"""Average precision of small, medium and large objects, by their height in pixels of the image.

As with COCO's areas: objects of other heights count neither way, nor do false alarms of other heights, and
a prediction prefers an object of the band to one outside of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from palletjack_training.evaluation.ground_truth import ImageTruth
from palletjack_training.evaluation.predictions import Row
from palletjack_training.evaluation.scoring import (
    FALSE_ALARM,
    IGNORED,
    Outcomes,
    at_threshold,
    average_precision,
    match,
)

Band = tuple[float, float]
# A pallet truck is about 1.2 m high: at 500 px of focal length these are 15 m and 5 m away.
BANDS: dict[str, Band] = {"small": (0.0, 40.0), "medium": (40.0, 120.0), "large": (120.0, math.inf)}


def by_height(
    images: Mapping[str, ImageTruth], predictions: Mapping[str, list[Row]], threshold: float
) -> dict[str, dict[str, Any]]:
    """AP50, and recall and precision at ``threshold``, of each band that has objects or false alarms."""
    results = {}
    for name, band in BANDS.items():
        outcomes = match_band(images, predictions, band)
        counts = at_threshold(outcomes, threshold)
        results[name] = {
            "height_px": [band[0], None if math.isinf(band[1]) else band[1]],
            "boxes": int(outcomes.positives.sum()),
            "ap50": average_precision(outcomes) if outcomes.positives.sum() else None,
            **{key: counts[key] for key in ("tp", "fp", "fn")},
        }
    return results


def match_band(
    images: Mapping[str, ImageTruth],
    predictions: Mapping[str, list[Row]],
    band: Band,
    iou_threshold: float = 0.5,
) -> Outcomes:
    """Match at one IoU threshold, counting only what is of a height of ``band``, low end included."""
    limited = {name: _only_band(truth, band) for name, truth in images.items()}
    outcomes = match(limited, predictions, iou_threshold, counted_first=True)
    names = list(images)
    rows = zip(outcomes.images, outcomes.rows, strict=True)
    boxes = [predictions[names[image]][row] for image, row in rows]
    outside = np.array([not _within(box[3] - box[1], band) for box in boxes], bool)
    results = np.where(outside & (outcomes.results == FALSE_ALARM), IGNORED, outcomes.results)
    return replace(outcomes, results=results)


def _only_band(truth: ImageTruth, band: Band) -> ImageTruth:
    boxes = tuple(
        replace(box, difficult=box.difficult or not _within(box.extents[0][3] - box.extents[0][1], band))
        for box in truth.boxes
    )
    return replace(truth, boxes=boxes)


def _within(height: float, band: Band) -> bool:
    return band[0] <= height < band[1]
