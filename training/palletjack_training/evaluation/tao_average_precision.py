"""TAO's two average precisions (detectnet_v2 evaluation/compute_metrics.py), as they are and as meant.

As they are: boxes are rounded to whole pixels and an IoU counts the border pixel; what is smaller or larger
than the limits is dropped, objects and detections alike; a detection goes to the object that it overlaps
most even if that one is taken; SAMPLE is the mean precision at eleven recalls; INTEGRATE leaves out one step
of recall, so that a perfect detector of N objects scores (N - 1) / N.

As meant ("corrected"): exact boxes, objects outside the limits count neither way, the free object that is
overlapped most is taken, and INTEGRATE is the whole area under the interpolated curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from palletjack_training.evaluation.ground_truth import ImageTruth
from palletjack_training.evaluation.predictions import Row
from palletjack_training.evaluation.scoring import average_precision, match, precision_recall_curve

FloatArray = NDArray[np.float64]
_RECALLS = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class BoxLimits:
    """TAO's evaluation_box_config: what is of another size in pixels is not evaluated."""

    minimum_width: float = 25
    maximum_width: float = 9999
    minimum_height: float = 25
    maximum_height: float = 9999

    def hold(self, box: tuple[float, ...] | Row) -> bool:
        """Whether a box xyxy is within the limits, both ends included."""
        width, height = box[2] - box[0], box[3] - box[1]
        return (
            self.minimum_width <= width <= self.maximum_width
            and self.minimum_height <= height <= self.maximum_height
        )


# What TAO's specs for this network have; its evaluation is not defined without any.
TAO_LIMITS = BoxLimits()


def tao_average_precisions(
    images: Mapping[str, ImageTruth],
    predictions: Mapping[str, list[Row]],
    *,
    limits: BoxLimits = TAO_LIMITS,
    iou_threshold: float = 0.5,
) -> dict[str, float]:
    """Return "sample" and "integrate" as TAO has them, and both "..._corrected"."""
    hits, count = _match_as_tao(images, predictions, limits, iou_threshold)
    recall = np.cumsum(hits) / max(count, 1)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    sized = {name: _within(truth, limits) for name, truth in images.items()}
    found = {name: [row for row in rows if limits.hold(row)] for name, rows in predictions.items()}
    outcomes = match(sized, found, iou_threshold, counted_first=True)
    exact_recall, exact_precision, _ = precision_recall_curve(outcomes)
    return {
        "sample": _sampled(recall, precision),
        "integrate": _integrated_without_the_last_step(recall, precision),
        "sample_corrected": _sampled(exact_recall, exact_precision),
        "integrate_corrected": average_precision(outcomes),
    }


def _match_as_tao(
    images: Mapping[str, ImageTruth],
    predictions: Mapping[str, list[Row]],
    limits: BoxLimits,
    iou_threshold: float,
) -> tuple[NDArray[np.int64], int]:
    """Hits (1) and false alarms (0), best score first, and the number of objects."""
    objects = {
        name: _rounded([b.extents[0] for b in _counted(truth, limits)]) for name, truth in images.items()
    }
    detections = [
        (row[4] if len(row) > 4 else 1.0, name, row[:4])
        for name in images
        for row in predictions.get(name, [])
        if limits.hold(row)
    ]
    detections.sort(key=lambda item: -item[0])
    taken: set[tuple[str, int]] = set()
    hits = []
    for _, name, box in detections:
        overlap = _iou_with_border(_rounded([box]), objects[name])
        best = int(np.argmax(overlap)) if len(overlap) else -1
        hit = best >= 0 and overlap[best] >= iou_threshold and (name, best) not in taken
        if hit:
            taken.add((name, best))
        hits.append(int(hit))
    return np.array(hits, np.int64), sum(len(boxes) for boxes in objects.values())


def _counted(truth: ImageTruth, limits: BoxLimits) -> list:
    return [box for box in truth.boxes if not box.difficult and limits.hold(box.extents[0])]


def _within(truth: ImageTruth, limits: BoxLimits) -> ImageTruth:
    boxes = (replace(b, difficult=b.difficult or not limits.hold(b.extents[0])) for b in truth.boxes)
    return replace(truth, boxes=tuple(boxes))


def _rounded(boxes: list) -> FloatArray:
    return np.round(np.array(boxes, np.float64).reshape(-1, 4))


def _iou_with_border(box: FloatArray, others: FloatArray) -> FloatArray:
    """IoU of a box (1, 4) with others (N, 4), where an edge at pixel 5 contains that pixel."""
    shared = np.minimum(box[:, 2:], others[:, 2:]) - np.maximum(box[:, :2], others[:, :2]) + 1
    intersection = shared.clip(0).prod(axis=1)
    areas = [(item[:, 2:] - item[:, :2] + 1).prod(axis=1) for item in (box, others)]
    return intersection / (areas[0] + areas[1] - intersection)


def _sampled(recall: FloatArray, precision: FloatArray) -> float:
    return float(np.mean([precision[recall >= least].max(initial=0.0) for least in _RECALLS]))


def _integrated_without_the_last_step(recall: FloatArray, precision: FloatArray) -> float:
    """Each step between two recalls at the best precision that was had before the higher one."""
    recalls, first = np.unique(recall, return_index=True)
    area = best = 0.0
    for k in range(len(recalls) - 2, -1, -1):
        best = max(best, float(precision[first[k] : first[k + 1]].max()))
        area += float(recalls[k + 1] - recalls[k]) * best
    return area
