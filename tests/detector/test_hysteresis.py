"""Two thresholds: what was found stays found down to the lower one, and nothing else gets in."""

from __future__ import annotations

import numpy as np
import pytest

from palletjack_detection.detections import Detections
from palletjack_detection.hysteresis import LONGEST_GAP, ScoreHysteresis, keep_threshold

BOX, BESIDE = (100.0, 100.0, 300.0, 300.0), (120.0, 100.0, 320.0, 300.0)
ELSEWHERE = (500.0, 100.0, 700.0, 300.0)


def _found(*items: tuple[tuple[float, ...], float], class_id: int = 0) -> Detections:
    boxes = np.array([box for box, _ in items], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in items], np.float32)
    return Detections(boxes, scores, np.full(len(items), class_id), ("palletjack", "forklift"))


def _scores(detections: Detections) -> list[float]:
    return [round(float(score), 2) for score in detections.scores]


def test_a_score_that_falls_is_followed_down_to_the_lower_threshold() -> None:
    hysteresis = ScoreHysteresis()
    seen = [_scores(hysteresis.choose(_found((BOX, score)), stamp, 0.35)) for stamp, score in [
        (1.0, 0.30), (1.1, 0.40), (1.2, 0.30), (1.3, 0.22),
    ]]  # fmt: skip
    assert seen == [[], [0.40], [0.30], [0.22]]
    # Lost for one image, it has to reach the upper threshold again.
    assert _scores(hysteresis.choose(_found(), 1.4, 0.35)) == []
    assert _scores(hysteresis.choose(_found((BOX, 0.34)), 1.5, 0.35)) == []


def test_only_the_same_object_is_kept() -> None:
    hysteresis = ScoreHysteresis()
    hysteresis.choose(_found((BOX, 0.5)), 1.0, 0.35)
    kept = hysteresis.choose(_found((BESIDE, 0.3), (ELSEWHERE, 0.3)), 1.1, 0.35)
    np.testing.assert_array_equal(kept.boxes, np.array([BESIDE], np.float32))
    assert _scores(hysteresis.choose(_found((BESIDE, 0.3), class_id=1), 1.2, 0.35)) == []


def test_a_box_keeps_one_box_and_the_best_on_it() -> None:
    hysteresis = ScoreHysteresis()
    hysteresis.choose(_found((BOX, 0.5)), 1.0, 0.35)
    # Both lie on it, hardly on each other.
    left, right = (60.0, 100.0, 260.0, 300.0), (140.0, 100.0, 340.0, 300.0)
    kept = hysteresis.choose(_found((left, 0.31), (right, 0.3)), 1.1, 0.35)
    np.testing.assert_array_equal(kept.boxes, np.array([left], np.float32))
    # Beside one that needs no help, too.
    hysteresis.choose(_found((BOX, 0.5)), 1.2, 0.35)
    assert _scores(hysteresis.choose(_found((left, 0.6), (right, 0.3)), 1.3, 0.35)) == [0.6]


@pytest.mark.parametrize("step", [0.0, -0.1, LONGEST_GAP + 0.1])
def test_an_image_that_does_not_follow_stands_for_itself(step: float) -> None:
    hysteresis = ScoreHysteresis()
    hysteresis.choose(_found((BOX, 0.5)), 10.0, 0.35)
    assert _scores(hysteresis.choose(_found((BOX, 0.3)), 10.0 + step, 0.35)) == []


def test_reset_forgets() -> None:
    hysteresis = ScoreHysteresis()
    hysteresis.choose(_found((BOX, 0.5)), 1.0, 0.35)
    hysteresis.reset()
    assert _scores(hysteresis.choose(_found((BOX, 0.3)), 1.1, 0.35)) == []


def test_lower_threshold() -> None:
    assert keep_threshold(0.35, -1.0) == pytest.approx(0.21)
    assert keep_threshold(0.35, 0.1) == 0.1
    # One that lies above the threshold changes nothing.
    assert keep_threshold(0.35, 1.0) == 0.35
