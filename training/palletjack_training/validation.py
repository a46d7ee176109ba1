"""Validation during training: loss and average precision on held-out frames.

Decoding and clustering are the robot's own, so the AP of a run is that of the deployed model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from palletjack_detection.clustering import cluster
from palletjack_detection.decode import decode_hot_cells
from palletjack_training.box_labels import IGNORED
from palletjack_training.config import TrainingConfig
from palletjack_training.evaluation.ground_truth import ImageTruth, TruthBox
from palletjack_training.evaluation.scoring import score
from palletjack_training.kitti_cache import FrameCache
from palletjack_training.losses import LossTerms
from palletjack_training.model_spec import clustering_spec

Row = list[float]


class Scorer:
    """Collects the network's outputs on the frames of ``cache`` and scores them, class by class."""

    def __init__(self, config: TrainingConfig, cache: FrameCache) -> None:
        self._config = config
        self._cache = cache
        self._truth: dict[str, ImageTruth] = {}
        self._found: dict[str, list[Row]] = {}
        self._losses: list[tuple[float, float, float]] = []

    def add(self, indices: NDArray[np.int64], coverage: Tensor, distances: Tensor, terms: LossTerms) -> None:
        """Add one batch: coverage (B, C, R, K) in 0..1 and distances (B, C, 4, R, K)."""
        hot = coverage.float().cpu().numpy()
        boxes = distances.float().flatten(1, 2).cpu().numpy()
        self._losses.append((float(terms.total), float(terms.coverage), float(terms.boxes)))
        for row, index in enumerate(indices):
            found = self.detect(hot[row], boxes[row])
            for number, name in enumerate(self._config.classes):
                key = f"{name}/{index}"
                self._truth[key] = _truth(self._cache.boxes[index], self._cache.labels[index], number)
                self._found[key] = found[number]

    def outcome(self, index: int) -> tuple[ImageTruth, list[Row]]:
        """A frame's objects of all classes, and what was found from the export's score threshold up."""
        truths = [self._truth[f"{name}/{index}"] for name in self._config.classes]
        found = [row for name in self._config.classes for row in self._found[f"{name}/{index}"]]
        return (
            ImageTruth(tuple(box for truth in truths for box in truth.boxes), truths[0].ignored_regions),
            [row for row in found if row[4] >= self._config.export.score_threshold],
        )

    def detect(self, coverage: NDArray[np.float32], boxes: NDArray[np.float32]) -> list[list[Row]]:
        """Boxes and scores [xmin, ymin, xmax, ymax, score] of each class of one frame."""
        config = self._config
        candidates = decode_hot_cells(
            coverage,
            boxes,
            coverage_threshold=config.export.coverage_threshold,
            stride=config.targets.stride,
            box_scale=config.targets.box_scale,
            box_offset=config.targets.box_offset,
        )
        clusters = cluster(candidates, clustering_spec(config))
        limits = np.array([config.input.width, config.input.height] * 2)
        rows: list[list[Row]] = [[] for _ in config.classes]
        for box, value, number in zip(clusters.boxes, clusters.scores, clusters.class_ids, strict=True):
            rows[int(number)].append([*np.clip(box, 0, limits).tolist(), float(value)])
        return rows

    def result(self) -> dict[str, float]:
        """Mean losses, AP50 and best F1; empty if nothing was added."""
        if not self._losses:
            return {}
        total, coverage, boxes = np.mean(self._losses, axis=0)
        scored = score(self._truth, self._found)
        return {
            "loss": float(total),
            "coverage": float(coverage),
            "boxes": float(boxes),
            "ap50": float(scored["ap50"]),
            "best_f1": float(scored["at_best_f1"]["f1"]),
            "best_f1_threshold": float(scored["at_best_f1"]["threshold"]),
        }


def _truth(boxes: NDArray[np.float32], labels: NDArray[np.int64], number: int) -> ImageTruth:
    def rows(label: int) -> list[tuple[float, float, float, float]]:
        return [(float(b[0]), float(b[1]), float(b[2]), float(b[3])) for b in boxes[labels == label]]

    return ImageTruth(tuple(TruthBox((box,)) for box in rows(number)), tuple(rows(IGNORED)))
