"""What /diagnostics says of a graph whose decoder runs in other processes. Pure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from palletjack_detection.health import ERROR, OK


@dataclass(frozen=True)
class Judgement:
    """Level and one sentence."""

    level: int
    message: str


class MapperHealth:
    """Watches camera info and decoder. Every method may be called from any thread."""

    def __init__(self, stale_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stale_after_s = stale_after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._started = clock()
        self._info_at: float | None = None
        self._boxes_at: float | None = None
        self._problem = ""
        self.mapped = 0
        self.refused = 0

    def camera_info_received(self) -> None:
        """A camera_info came in."""
        with self._lock:
            self._info_at = self._clock()

    def boxes_mapped(self) -> None:
        """Boxes of the decoder were published in camera pixels."""
        with self._lock:
            self._boxes_at, self._problem = self._clock(), ""
            self.mapped += 1

    def boxes_refused(self, reason: str) -> None:
        """Boxes of the decoder could not be brought to camera pixels."""
        with self._lock:
            self._boxes_at, self._problem = self._clock(), reason
            self.refused += 1

    def judge(self) -> Judgement:
        """Return what is wrong now, and what to do."""
        with self._lock:
            now = self._clock()
            stale = self._stale_after_s
            info = self._info_at is not None and now - self._info_at <= stale
            boxes = self._boxes_at is not None and now - self._boxes_at <= stale
            if boxes and self._problem:
                return Judgement(ERROR, self._problem)
            if boxes:
                return Judgement(OK, "Detecting")
            if self._info_at is None and self._boxes_at is None and now - self._started <= stale:
                return Judgement(OK, "Waiting for the Isaac ROS graph")
            if not info:
                return Judgement(
                    ERROR,
                    "No camera_info: Isaac ROS needs one with the stamp of each image, "
                    "check camera_info_topic and the camera",
                )
            return Judgement(
                ERROR,
                "camera_info arrives and no boxes: check that images arrive, that each has the very stamp "
                "of its camera_info, and that the container's log shows no error",
            )
