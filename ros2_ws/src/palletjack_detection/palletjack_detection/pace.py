"""At most so many images in a second: when the next one is due."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Pace:
    """Spaces images by the rate that ``rate_hz`` answers at the moment, 0 for as many as come.

    The rate may change at any time, also while the next image is waited for.
    """

    def __init__(
        self, rate_hz: Callable[[], float], machine_time: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate_hz = rate_hz
        self._machine_time = machine_time
        self._last = -math.inf

    def due(self) -> float:
        """The machine's time, in seconds, before which no image is to be taken."""
        rate = self._rate_hz()
        return self._last + 1.0 / rate if rate > 0 else -math.inf

    def took_one(self) -> None:
        """Count an image. One that comes a little late does not delay those after it."""
        rate, now, due = self._rate_hz(), self._machine_time(), self.due()
        self._last = due if rate > 0 and now - due < 1.0 / rate else now
