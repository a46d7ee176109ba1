"""At most so many images in a second, whatever the rate was a moment ago."""

from __future__ import annotations

import threading
import time

from palletjack_detection.newest_slot import NewestSlot
from palletjack_detection.pace import Pace


class Clock:
    """A machine's time that stands where it is put."""

    def __init__(self) -> None:
        self.now, self.rate = 100.0, 10.0
        self.pace = Pace(lambda: self.rate, lambda: self.now)


def test_images_are_spaced_by_the_rate() -> None:
    clock = Clock()
    assert clock.pace.due() <= clock.now
    clock.pace.took_one()
    assert abs(clock.pace.due() - 100.1) < 1e-9
    # A little late: the one after it is due as if it had been in time.
    clock.now = 100.13
    clock.pace.took_one()
    assert abs(clock.pace.due() - 100.2) < 1e-9
    # Much later there is nothing to catch up with.
    clock.now = 105.0
    clock.pace.took_one()
    assert abs(clock.pace.due() - 105.1) < 1e-9


def test_another_rate_holds_at_once() -> None:
    clock = Clock()
    clock.rate = 0.001
    clock.pace.took_one()
    assert clock.pace.due() > clock.now + 900
    clock.rate = 0.0
    assert clock.pace.due() <= clock.now
    clock.rate = 5.0
    assert clock.pace.due() <= clock.now + 0.2


def test_a_consumer_that_waits_for_a_slow_rate_hears_of_a_faster_one() -> None:
    slot: NewestSlot[int] = NewestSlot()
    rate = [0.001]
    pace = Pace(lambda: rate[0])
    pace.took_one()
    went_on = threading.Event()
    thread = threading.Thread(target=lambda: slot.wait_until(pace.due) and went_on.set(), daemon=True)
    thread.start()
    slot.put(1)
    assert not went_on.wait(0.2)
    began = time.monotonic()
    rate[0] = 0.0
    slot.wake()
    assert went_on.wait(5.0)
    assert time.monotonic() - began < 5.0
    assert slot.take() == 1


def test_closing_ends_the_wait() -> None:
    slot: NewestSlot[int] = NewestSlot()
    answers: list[bool] = []
    thread = threading.Thread(
        target=lambda: answers.append(slot.wait_until(lambda: float("inf"))), daemon=True
    )
    thread.start()
    slot.close()
    thread.join(5.0)
    assert answers == [False]
