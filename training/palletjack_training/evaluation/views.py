"""The same labelled photos seen a little differently, so that a score hangs less on chance.

With a few dozen objects one box more or less moves F1 by points, and which boxes a network just misses
changes with anything. Mirrored, from further away, darker and brighter, the photos show the same trucks in
other cells of the network, at other sizes and levels. What holds over all views is the network's; intervals
are over photos, for their views say little that is new of other halls.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_detection.detector import Detector
from palletjack_detection.image_files import read_images
from palletjack_training.evaluation.bootstrap import bootstrap_intervals
from palletjack_training.evaluation.ground_truth import Box, GroundTruth, ImageTruth
from palletjack_training.evaluation.predictions import Predictions, to_rows
from palletjack_training.evaluation.scoring import (
    HIT,
    Outcomes,
    at_threshold,
    average_precision,
    best_f1_threshold,
    match,
)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """A photo mirrored or not, shrunk to ``scale`` in the middle, its levels to the power of ``gamma``."""

    mirrored: bool
    scale: float
    gamma: float

    @property
    def name(self) -> str:
        """Such as ``mirrored, 0.65, gamma 1.4``."""
        return f"{'mirrored' if self.mirrored else 'as taken'}, {self.scale:g}, gamma {self.gamma:g}"

    def image(self, rgb: Pixels) -> Pixels:
        """``rgb`` (H, W, 3) as this view shows it, of the same size, black where nothing is left."""
        height, width = rgb.shape[:2]
        if self.gamma != 1:
            levels = np.rint(255 * (np.arange(256) / 255) ** self.gamma).astype(np.uint8)
            rgb = levels[rgb]
        if self.mirrored:
            rgb = rgb[:, ::-1]
        if self.scale == 1:
            return np.ascontiguousarray(rgb)
        left, top, new_width, new_height = self._place(width, height)
        small = cv2.resize(np.ascontiguousarray(rgb), (new_width, new_height), interpolation=cv2.INTER_AREA)
        canvas = np.zeros_like(rgb)
        canvas[top : top + new_height, left : left + new_width] = small
        return canvas

    def truth(self, truth: ImageTruth, width: int, height: int) -> ImageTruth:
        """The labels of a photo of that size, where this view has them."""
        return ImageTruth(
            tuple(
                replace(item, extents=tuple(self._box(box, width, height) for box in item.extents))
                for item in truth.boxes
            ),
            tuple(self._box(box, width, height) for box in truth.ignored_regions),
        )

    def _place(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, width and height of the shrunk photo, in whole pixels."""
        new_width, new_height = max(1, round(width * self.scale)), max(1, round(height * self.scale))
        return (width - new_width) // 2, (height - new_height) // 2, new_width, new_height

    def _box(self, box: Box, width: int, height: int) -> Box:
        left, top, new_width, new_height = self._place(width, height)
        x0, y0, x1, y1 = box
        if self.mirrored:
            x0, x1 = width - x1, width - x0
        across, down = new_width / width, new_height / height
        return (x0 * across + left, y0 * down + top, x1 * across + left, y1 * down + top)


VIEWS = tuple(
    View(mirrored, scale, gamma)
    for mirrored, scale, gamma in itertools.product((False, True), (1.0, 0.8, 0.65), (1.0, 0.7, 1.4))
)


@dataclass(frozen=True)
class SeenViews:
    """What a detector found in all ``views`` of the photos ``names`` of ``truth``: outcomes, view by view."""

    views: tuple[View, ...]
    truth: GroundTruth
    names: tuple[str, ...]
    single: tuple[Outcomes, ...]

    @property
    def pooled(self) -> Outcomes:
        """All views as if a photo had the objects of all of them; ``rows`` and ``matched`` say nothing."""
        results = np.concatenate([item.results for item in self.single])
        return Outcomes(
            scores=np.concatenate([item.scores for item in self.single]),
            results=results,
            images=np.concatenate([item.images for item in self.single]),
            matched=np.full(len(results), -1, np.int64),
            rows=np.full(len(results), -1, np.int64),
            positives=np.sum([item.positives for item in self.single], axis=0),
        )

    def scores(self, threshold: float, rng: np.random.Generator) -> dict[str, Any]:
        """AP50 and F1 at ``threshold`` over all views together, with intervals over photos, and of each view.

        ``found_in`` says in how many views each object of a photo was found, in the order of its labels.
        Raises ValueError where there is no counted object.
        """
        pooled = self.pooled
        best = best_f1_threshold(pooled)
        return {
            "views": len(self.views),
            "ap50": average_precision(pooled),
            "at_threshold": {"threshold": threshold, **at_threshold(pooled, threshold)},
            "at_best_f1": {"threshold": best, **at_threshold(pooled, best)},
            "intervals_95": bootstrap_intervals(pooled, threshold, rng),
            "by_view": {
                view.name: {
                    "ap50": average_precision(outcomes),
                    "f1": at_threshold(outcomes, threshold)["f1"],
                }
                for view, outcomes in zip(self.views, self.single, strict=True)
            },
            "found_in": _found_in(self.truth, self.names, self.single, threshold),
        }


def look_at_views(
    detector: Detector,
    truth: GroundTruth,
    *,
    class_id: int = 0,
    views: tuple[View, ...] = VIEWS,
    on_image: Callable[[Path], None] = lambda path: None,
) -> SeenViews:
    """Run the detector on every view of every photo that can be read.

    ``on_image`` hears of each photo that is done. Raises EngineError where the network failed.
    """
    truths: list[dict[str, ImageTruth]] = [{} for _ in views]
    found: list[Predictions] = [{} for _ in views]
    for file in read_images([truth.image_dir / name for name in truth.images]):
        if file.rgb is not None:
            name, (height, width) = file.path.name, file.rgb.shape[:2]
            for view, seen, rows in zip(views, truths, found, strict=True):
                seen[name] = view.truth(truth.images[name], width, height)
                rows[name] = to_rows(detector.detect(view.image(file.rgb)), class_id)
        on_image(file.path)
    single = tuple(match(seen, rows) for seen, rows in zip(truths, found, strict=True))
    return SeenViews(views, truth, tuple(truths[0]), single)


def _found_in(
    truth: GroundTruth, names: tuple[str, ...], single: tuple[Outcomes, ...], threshold: float
) -> dict[str, list[int | None]]:
    """Views in which each object has a hit of ``threshold`` or more; None for a difficult object."""
    counts = {name: [0] * len(truth.images[name].boxes) for name in names}
    for outcomes in single:
        hit = (outcomes.results == HIT) & (outcomes.scores >= threshold)
        for image, place in zip(outcomes.images[hit], outcomes.matched[hit], strict=True):
            counts[names[image]][place] += 1
    return {
        name: [
            None if item.difficult else count
            for item, count in zip(truth.images[name].boxes, counted, strict=True)
        ]
        for name, counted in counts.items()
    }
