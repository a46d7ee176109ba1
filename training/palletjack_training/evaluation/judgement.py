"""All numbers of one model's predictions on one data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from palletjack_training.evaluation.bootstrap import bootstrap_intervals
from palletjack_training.evaluation.duplicates import duplicates
from palletjack_training.evaluation.ground_truth import GroundTruth
from palletjack_training.evaluation.height_bands import by_height
from palletjack_training.evaluation.predictions import Predictions
from palletjack_training.evaluation.scoring import (
    IOU_THRESHOLDS,
    Outcomes,
    coco_average_precision,
    match,
    score,
)
from palletjack_training.evaluation.tao_average_precision import tao_average_precisions


@dataclass(frozen=True)
class Judged:
    """Predictions of one model with all that was computed from them. ``outcomes`` are at IoU 0.5."""

    title: str
    predictions: Predictions
    outcomes: Outcomes
    threshold: float
    scores: Mapping[str, Any]


def judge(
    title: str,
    truth: GroundTruth,
    predictions: Predictions,
    threshold: float,
    *,
    intervals_seed: int | None = None,
) -> Judged:
    """Compute every number at the operating ``threshold``; intervals take seconds and need a seed.

    Where no object is counted there are no intervals: what false alarms there are can be seen all the same.
    """
    outcomes = match(truth.images, predictions)
    coco = [
        coco_average_precision(match(truth.images, predictions, iou, counted_first=True))
        for iou in IOU_THRESHOLDS
    ]
    scores = {
        **score(truth.images, predictions, threshold),
        "by_height": by_height(truth.images, predictions, threshold),
        "duplicates": duplicates(truth.images, predictions, threshold),
        "coco": {"ap": sum(coco) / len(coco), "ap50": coco[0]},
        "tao": tao_average_precisions(truth.images, predictions),
    }
    if intervals_seed is not None:
        rng = np.random.default_rng(intervals_seed)
        counted = bool(outcomes.positives.sum())
        scores["intervals_95"] = bootstrap_intervals(outcomes, threshold, rng) if counted else {}
    return Judged(title, predictions, outcomes, threshold, scores)
