"""How far a score could be luck of the draw: percentile intervals over resampled images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from palletjack_training.evaluation.scoring import Outcomes, at_threshold, average_precision

Interval = tuple[float, float]


def bootstrap_intervals(
    outcomes: Outcomes,
    threshold: float,
    rng: np.random.Generator,
    *,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return intervals of "f1" (at ``threshold``) and "ap50" for outcomes matched at IoU 0.5.

    Images are drawn with replacement, since the objects of one image are not independent. Draws
    without any counted object say nothing and are left out.

    Raises:
        ValueError: there is no counted object at all.
    """
    f1, ap = [], []
    for weights in _resamples(outcomes, rng, resamples):
        f1.append(at_threshold(outcomes, threshold, weights)["f1"])
        ap.append(average_precision(outcomes, weights))
    return {"f1": _percentiles(f1, level), "ap50": _percentiles(ap, level)}


def bootstrap_differences(
    outcomes: Outcomes,
    reference: Outcomes,
    thresholds: tuple[float, float],
    rng: np.random.Generator,
    *,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return intervals of "f1" and "ap50" of ``outcomes`` less those of ``reference``, on the same images.

    Both are scored on the same draws: which images are hard moves both alike and cancels, so these are
    narrower than the intervals of the two scores would have it. ``thresholds`` are those of the two.

    Raises:
        ValueError: there is no counted object at all, or the two are not of the same images.
    """
    if not np.array_equal(outcomes.positives, reference.positives):
        raise ValueError("bootstrap: expected outcomes on the same images, found others")
    f1, ap = [], []
    for weights in _resamples(outcomes, rng, resamples):
        ours, theirs = (
            at_threshold(item, threshold, weights)["f1"]
            for item, threshold in zip((outcomes, reference), thresholds, strict=True)
        )
        f1.append(ours - theirs)
        ap.append(average_precision(outcomes, weights) - average_precision(reference, weights))
    return {"f1": _percentiles(f1, level), "ap50": _percentiles(ap, level)}


def _resamples(outcomes: Outcomes, rng: np.random.Generator, resamples: int) -> Iterator[NDArray[np.integer]]:
    """How often each image is drawn (I,), for each draw that has a counted object."""
    count = len(outcomes.positives)
    if not outcomes.positives.sum():
        raise ValueError("bootstrap: expected at least one counted object, found none")
    for _ in range(resamples):
        weights = np.bincount(rng.integers(count, size=count), minlength=count)
        if (outcomes.positives * weights).sum():
            yield weights


def _percentiles(values: list[float], level: float) -> Interval:
    tail = 100 * (1 - level) / 2
    return float(np.percentile(values, tail)), float(np.percentile(values, 100 - tail))
