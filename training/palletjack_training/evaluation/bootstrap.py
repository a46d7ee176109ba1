"""How far a score could be luck of the draw: percentile intervals over resampled images."""

from __future__ import annotations

import numpy as np

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
    count = len(outcomes.positives)
    if not outcomes.positives.sum():
        raise ValueError("bootstrap: expected at least one counted object, found none")
    f1, ap = [], []
    for _ in range(resamples):
        weights = np.bincount(rng.integers(count, size=count), minlength=count)
        if not (outcomes.positives * weights).sum():
            continue
        f1.append(at_threshold(outcomes, threshold, weights)["f1"])
        ap.append(average_precision(outcomes, weights))
    tail = 100 * (1 - level) / 2
    return {
        name: (float(np.percentile(values, tail)), float(np.percentile(values, 100 - tail)))
        for name, values in (("f1", f1), ("ap50", ap))
    }
