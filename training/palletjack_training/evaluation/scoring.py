"""Matching of predictions to objects, average precision, precision, recall and F1.

The rule: predictions of an image are taken best score first; each takes the free object that it
overlaps most, when that IoU (with any of the object's extents) reaches the threshold. A prediction
that takes a difficult object, or that takes none and lies at least half in an ignored region, counts
neither way. Average precision is the area under the interpolated curve at all points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_training.evaluation.ground_truth import ImageTruth
from palletjack_training.evaluation.predictions import Row

FloatArray = NDArray[np.float64]
IOU_THRESHOLDS = tuple(0.5 + 0.05 * k for k in range(10))

HIT, FALSE_ALARM, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class Outcomes:
    """What became of each prediction, and how many objects there were.

    ``scores`` (N,), ``results`` (N,) of HIT, FALSE_ALARM or IGNORED, ``images`` (N,) index the images
    in their order, ``matched`` (N,) index the image's objects or are -1, ``rows`` (N,) index the
    image's predictions as given. ``positives`` (I,): counted objects of each image.
    """

    scores: FloatArray
    results: NDArray[np.int64]
    images: NDArray[np.int64]
    matched: NDArray[np.int64]
    rows: NDArray[np.int64]
    positives: NDArray[np.int64]


@dataclass(frozen=True)
class _Overlaps:
    """One image's predictions, best first, against its objects."""

    order: NDArray[np.int64]
    scores: FloatArray
    iou: FloatArray  # (P, B), the best over an object's extents
    in_ignored: NDArray[np.bool_]  # (P,)
    difficult: NDArray[np.bool_]  # (B,)


def score(
    images: Mapping[str, ImageTruth], predictions: Mapping[str, list[Row]], threshold: float = 0.5
) -> dict[str, Any]:
    """Return counts, AP50, AP50:95 and precision, recall, F1 at ``threshold`` and at the best one."""
    overlaps = _all_overlaps(images, predictions)
    matchings = [_match(overlaps, iou) for iou in IOU_THRESHOLDS]
    outcomes = matchings[0]
    best = best_f1_threshold(outcomes)
    return {
        "images": len(images),
        "boxes": int(outcomes.positives.sum()),
        "ap50": average_precision(outcomes),
        "ap50_95": sum(average_precision(m) for m in matchings) / len(matchings),
        "at_threshold": {"threshold": threshold, **at_threshold(outcomes, threshold)},
        "at_best_f1": {"threshold": best, **at_threshold(outcomes, best)},
    }


def match(
    images: Mapping[str, ImageTruth],
    predictions: Mapping[str, list[Row]],
    iou_threshold: float = 0.5,
    *,
    counted_first: bool = False,
) -> Outcomes:
    """Match all predictions at one IoU threshold; rows are [xmin, ymin, xmax, ymax, score].

    With ``counted_first`` a prediction takes a difficult object only where no other is left that it
    overlaps enough, which is COCO's rule.
    """
    return _match(_all_overlaps(images, predictions), iou_threshold, counted_first)


def average_precision(outcomes: Outcomes, image_weights: NDArray[np.integer] | None = None) -> float:
    """Return the area under the interpolated precision-recall curve, 0 where there is no object.

    ``image_weights`` (I,) counts each image that often, as a bootstrap sample does.
    """
    recall, precision, _ = precision_recall_curve(outcomes, image_weights)
    if not len(recall):
        return 0.0
    envelope = np.maximum.accumulate(precision[::-1])
    # From the right end to the left: each step of recall at the best precision to its right.
    steps = -np.diff(recall[::-1]) * envelope[:-1]
    area = float(np.add.accumulate(steps)[-1]) if len(steps) else 0.0
    return area + float(recall[0] * envelope[-1])


def coco_average_precision(outcomes: Outcomes) -> float:
    """Return the mean interpolated precision at recall 0, 0.01, ..., 1, as pycocotools does."""
    recall, precision, _ = precision_recall_curve(outcomes)
    envelope = np.maximum.accumulate(precision[::-1])[::-1] if len(precision) else precision
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(envelope, 0.0)[np.minimum(at, len(envelope))].mean())


def precision_recall_curve(
    outcomes: Outcomes, image_weights: NDArray[np.integer] | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return recall, precision and score after each counted prediction, best score first."""
    counted = outcomes.results != IGNORED
    order = np.argsort(-outcomes.scores[counted], kind="stable")
    hits = outcomes.results[counted][order]
    weights = np.ones(len(hits), np.int64) if image_weights is None else image_weights[outcomes.images]
    if image_weights is not None:
        weights = weights[counted][order]
    present = weights > 0
    hits, weights, scores = hits[present], weights[present], outcomes.scores[counted][order][present]
    positives = _positives(outcomes, image_weights)
    if not len(hits) or not positives:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    true = np.cumsum(hits * weights)
    return true / positives, true / np.cumsum(weights), scores


def at_threshold(
    outcomes: Outcomes, threshold: float, image_weights: NDArray[np.integer] | None = None
) -> dict[str, Any]:
    """Count hits, false alarms and misses among the predictions that score ``threshold`` or more."""
    kept = outcomes.scores >= threshold
    weights = 1 if image_weights is None else image_weights[outcomes.images]
    tp = int(((outcomes.results == HIT) & kept).astype(np.int64).dot(np.broadcast_to(weights, kept.shape)))
    fp = int(
        ((outcomes.results == FALSE_ALARM) & kept).astype(np.int64).dot(np.broadcast_to(weights, kept.shape))
    )
    positives = _positives(outcomes, image_weights)
    precision, recall, f1 = _f1(np.array([tp]), np.array([fp]), positives)
    return {
        "tp": tp,
        "fp": fp,
        "fn": positives - tp,
        "precision": float(precision[0]),
        "recall": float(recall[0]),
        "f1": float(f1[0]),
    }


def f1_by_threshold(outcomes: Outcomes) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the distinct scores, rising, and precision, recall and F1 with each as threshold."""
    thresholds = np.unique(outcomes.scores)
    hits = np.sort(outcomes.scores[outcomes.results == HIT])
    misses = np.sort(outcomes.scores[outcomes.results == FALSE_ALARM])
    tp = len(hits) - np.searchsorted(hits, thresholds)
    fp = len(misses) - np.searchsorted(misses, thresholds)
    return (thresholds, *_f1(tp, fp, int(outcomes.positives.sum())))


def best_f1_threshold(outcomes: Outcomes) -> float:
    """Return the lowest score that gives the best F1, 1 where there is no prediction."""
    thresholds, _, _, f1 = f1_by_threshold(outcomes)
    return float(thresholds[np.argmax(f1)]) if len(thresholds) else 1.0


def _f1(
    tp: NDArray[np.integer], fp: NDArray[np.integer], positives: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    precision = tp / np.maximum(1, tp + fp)
    recall = tp / max(1, positives)
    return precision, recall, 2 * precision * recall / np.maximum(1e-9, precision + recall)


def _positives(outcomes: Outcomes, image_weights: NDArray[np.integer] | None) -> int:
    counts = outcomes.positives if image_weights is None else outcomes.positives * image_weights
    return int(counts.sum())


def _all_overlaps(images: Mapping[str, ImageTruth], predictions: Mapping[str, list[Row]]) -> list[_Overlaps]:
    return [_overlaps(truth, predictions.get(name, [])) for name, truth in images.items()]


def _overlaps(truth: ImageTruth, rows: list[Row]) -> _Overlaps:
    table = np.array([[*row[:4], row[4] if len(row) > 4 else 1.0] for row in rows], np.float64).reshape(-1, 5)
    order = np.argsort(-table[:, 4], kind="stable")
    boxes = table[order, :4]
    iou = np.zeros((len(boxes), len(truth.boxes)))
    for k, item in enumerate(truth.boxes):
        iou[:, k] = _iou(boxes, np.array(item.extents, np.float64)).max(axis=1)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    ignored = np.zeros(len(boxes), bool)
    for region in truth.ignored_regions:
        shared = _intersection(boxes, np.array([region], np.float64))[:, 0]
        ignored |= (shared >= 0.5 * area) & (area > 0)
    return _Overlaps(order, table[order, 4], iou, ignored, np.array([b.difficult for b in truth.boxes], bool))


def _intersection(a: FloatArray, b: FloatArray) -> FloatArray:
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    return np.where((width > 0) & (height > 0), width * height, 0.0)


def _iou(a: FloatArray, b: FloatArray) -> FloatArray:
    shared = _intersection(a, b)
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    union = area_a[:, None] + area_b[None, :] - shared
    # An overlap of zero needs no division; a union of zero goes with it.
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def overlap_shares(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """IoU, and intersection over the smaller area, each (N, M), of boxes (N, 4) and (M, 4) xyxy."""
    shared = _intersection(a, b)
    areas = [(box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) for box in (a, b)]
    smaller = np.minimum(areas[0][:, None], areas[1][None, :])
    return _iou(a, b), np.divide(shared, smaller, out=np.zeros_like(shared), where=smaller > 0)


def _match(overlaps: list[_Overlaps], iou_threshold: float, counted_first: bool = False) -> Outcomes:
    results, matched = [], []
    for item in overlaps:
        free = np.ones(item.iou.shape[1], bool)
        for row in range(len(item.scores)):
            iou = np.where(free, item.iou[row], -1.0)
            if counted_first and (iou[~item.difficult] >= iou_threshold).any():
                iou[item.difficult] = -1.0
            best = int(np.argmax(iou)) if len(iou) else -1
            if best >= 0 and iou[best] >= iou_threshold:
                free[best] = False
                results.append(IGNORED if item.difficult[best] else HIT)
                matched.append(best)
            else:
                results.append(IGNORED if item.in_ignored[row] else FALSE_ALARM)
                matched.append(-1)
    counts = [len(item.scores) for item in overlaps]
    empty = np.zeros(0)
    return Outcomes(
        scores=np.concatenate([empty, *(item.scores for item in overlaps)]),
        results=np.array(results, np.int64),
        images=np.repeat(np.arange(len(overlaps)), counts),
        matched=np.array(matched, np.int64),
        rows=np.concatenate([empty, *(item.order for item in overlaps)]).astype(np.int64),
        positives=np.array([int((~item.difficult).sum()) for item in overlaps], np.int64),
    )
