"""An object keeps its identity from image to image, and no identity is given twice."""

from __future__ import annotations

import numpy as np
import pytest

from palletjack_detection.detections import Detections
from palletjack_detection.tracking import KEPT_TIMES, UNTRACKED, Tracker, TrackerSettings

PERIOD = 0.1


def seen(*boxes: tuple[float, float, float], names: tuple[str, ...] = ("palletjack",)) -> Detections:
    """Detections of 40 x 90 px at (x, y) with a score; all of the first class."""
    rows = np.array([[x, y, x + 40, y + 90] for x, y, _ in boxes], np.float32).reshape(-1, 4)
    scores = np.array([score for *_, score in boxes], np.float32)
    return Detections(rows, scores, np.zeros(len(boxes), np.int64), names)


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(TrackerSettings(memory_s=1.0))


def test_two_objects_that_move_keep_their_identities(tracker: Tracker) -> None:
    rows = [
        tracker.update(seen((10 + 4 * step, 20, 0.9), (300 - 4 * step, 20, 0.8)), step * PERIOD)
        for step in range(10)
    ]
    assert len({tuple(row) for row in rows}) == 1
    assert UNTRACKED not in rows[0]
    assert rows[0][0] != rows[0][1]


def test_an_order_that_changes_does_not_change_identities(tracker: Tracker) -> None:
    first = tracker.update(seen((10, 20, 0.9), (300, 20, 0.8)), 0.0)
    second = tracker.update(seen((300, 20, 0.95), (10, 20, 0.7)), PERIOD)
    assert list(second) == list(first[::-1])


def test_a_weak_detection_continues_a_track_but_starts_none(tracker: Tracker) -> None:
    strong = tracker.update(seen((10, 20, 0.9)), 0.0)
    weak = tracker.update(seen((12, 20, 0.3), (300, 20, 0.3)), PERIOD)
    assert weak[0] == strong[0]
    assert weak[1] == UNTRACKED


def test_an_object_is_known_again_after_a_short_absence(tracker: Tracker) -> None:
    before = [tracker.update(seen((10, 20, 0.9)), step * PERIOD) for step in range(4)][-1]
    for step in range(4, 8):
        assert len(tracker.update(seen(), step * PERIOD)) == 0
    after = tracker.update(seen((10, 20, 0.9)), 8 * PERIOD)
    assert after[0] == before[0]


@pytest.mark.parametrize("rate_hz", [3.0, 10.0, 30.0, 60.0])
def test_an_unseen_object_is_remembered_by_the_clock_at_any_rate(tracker: Tracker, rate_hz: float) -> None:
    step = 0

    def watch(seconds: float, found: Detections) -> list[int]:
        nonlocal step
        identities: list[int] = []
        for _ in range(round(seconds * rate_hz)):
            identities += map(int, tracker.update(found, step / rate_hz))
            step += 1
        return identities

    truck = seen((10, 20, 0.9))
    (first,) = set(watch(2.0, truck))
    watch(0.67, seen())
    assert set(watch(1.0, truck)) == {first}
    watch(1.67, seen())
    assert first not in watch(1.0, truck)


@pytest.mark.parametrize("time", [60.0, 0.0], ids=["a gap", "time that goes back"])
def test_after_a_break_identities_begin_anew_and_are_not_reused(tracker: Tracker, time: float) -> None:
    before = [tracker.update(seen((10, 20, 0.9)), 1.0 + step * PERIOD) for step in range(4)][-1]
    after = tracker.update(seen((10, 20, 0.9)), time)
    assert after[0] not in (before[0], UNTRACKED)


def test_classes_do_not_share_identities(tracker: Tracker) -> None:
    names = ("palletjack", "forklift")
    boxes = np.array([[10, 20, 50, 110], [12, 22, 52, 112]], np.float32)
    both = Detections(boxes, np.array([0.9, 0.9], np.float32), np.array([0, 1]), names)
    rows = [tracker.update(both, step * PERIOD) for step in range(5)]
    assert len({tuple(row) for row in rows}) == 1
    assert rows[0][0] != rows[0][1]


def test_an_hour_of_crowds_does_not_grow_memory(tracker: Tracker) -> None:
    rng = np.random.default_rng(0)
    for step in range(1500):
        places = rng.uniform(0, 900, (3, 2))
        tracker.update(seen(*((x, y, 0.9) for x, y in places)), step * PERIOD)
    held = tracker._by_class["palletjack"]
    assert len(held.removed_stracks) <= 200
    assert len(tracker._ids) <= 1000


def test_stamps_that_stand_still_fill_no_memory(tracker: Tracker) -> None:
    for _ in range(KEPT_TIMES + 50):
        tracker.update(seen(), 5.0)
    assert len(tracker._times) == KEPT_TIMES
