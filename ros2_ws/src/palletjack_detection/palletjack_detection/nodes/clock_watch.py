"""Notices when the node's clock stands still: then no age of a message would ever be too great."""

from __future__ import annotations

import time
from collections.abc import Callable


class ClockWatch:
    """Compares ROS time with the machine's own. Both in seconds; ``limit`` is of the machine's time."""

    def __init__(self, limit: float, machine_time: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._machine_time = machine_time
        self._last = float("nan")
        self._since = machine_time()

    def problem(self, now: float) -> str:
        """Return what is wrong at ROS time ``now``; empty while the clock runs, in whichever direction."""
        machine = self._machine_time()
        if now != self._last:
            self._last, self._since = now, machine
        stood = machine - self._since
        if stood <= self._limit:
            return ""
        return f"the clock stands still at {now:.2f} s for {stood:.1f} s (limit {self._limit:.1f} s)"
