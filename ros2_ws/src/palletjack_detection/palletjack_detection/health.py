"""What the detector node did lately, and what that says about its health.

Pure: the node feeds it from two threads and turns its report into /diagnostics once a second.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

# diagnostic_msgs/DiagnosticStatus levels.
OK, WARN, ERROR = 0, 1, 2
# Rates are taken over this time, and a fault is shown for this time after it happened last.
WINDOW_S = 5.0
# Latencies are taken over this many images.
LATENCY_SAMPLES = 512


@dataclass(frozen=True)
class HealthReport:
    """Level, one sentence that says what is wrong and what to do, and the numbers as strings.

    ``silent``: what is wrong is that no image comes in.
    """

    level: int
    message: str
    values: tuple[tuple[str, str], ...]
    silent: bool = False


class DetectorHealth:
    """Counters of one detector. Every method may be called from any thread.

    ``stale_after_s``: seconds without an image after which that is a warning. ``clock``: seconds that
    only grow.
    """

    def __init__(self, stale_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stale_after_s = stale_after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._started = clock()
        self._last_received: float | None = None
        self._received = 0
        self._processed = 0
        self._dropped = 0
        self._refused: Counter[str] = Counter()
        self._last_refusal = (-np.inf, "")
        self._failures = 0
        self._last_failure = (-np.inf, "")
        self._phase, self._phase_level = "", OK
        self._finish_times: deque[float] = deque()
        self._latencies: dict[str, deque[float]] = {}

    def image_received(self, replaced_another: bool) -> None:
        """An image came in; ``replaced_another``: an older one was dropped for it."""
        with self._lock:
            self._received += 1
            self._dropped += replaced_another
            self._last_received = self._clock()

    def image_refused(self, reason: str, message: str) -> None:
        """An image could not be read."""
        with self._lock:
            self._refused[reason] += 1
            self._last_refusal = (self._clock(), message)

    def detection_failed(self, message: str) -> None:
        """The network failed on a readable image."""
        with self._lock:
            self._failures += 1
            self._last_failure = (self._clock(), message)

    def image_processed(self, latencies_ms: Mapping[str, float]) -> None:
        """An image was answered; ``latencies_ms`` by stage."""
        with self._lock:
            self._processed += 1
            now = self._clock()
            self._finish_times.append(now)
            self._forget_old_times(now)
            for stage, value in latencies_ms.items():
                self._latencies.setdefault(stage, deque(maxlen=LATENCY_SAMPLES)).append(value)

    def set_phase(self, level: int, sentence: str) -> None:
        """Say what the node does instead of detecting, at ``level``; an empty sentence: it detects."""
        with self._lock:
            if self._phase and not sentence:
                # The wait for an image begins now, not when the node started.
                self._started = self._clock()
                self._last_received = None
            self._phase, self._phase_level = sentence, level

    def report(self) -> HealthReport:
        """Return the state of the detector now."""
        with self._lock:
            now = self._clock()
            self._forget_old_times(now)
            level, message, silent = self._judge(now)
            return HealthReport(level, message, tuple(self._values(now)), silent)

    def _forget_old_times(self, now: float) -> None:
        while self._finish_times and self._finish_times[0] < now - WINDOW_S:
            self._finish_times.popleft()

    def _judge(self, now: float) -> tuple[int, str, bool]:
        """Level, sentence, and whether it is about silence."""
        if self._phase:
            return self._phase_level, self._phase, False
        failed_at, failure = self._last_failure
        if now - failed_at <= WINDOW_S:
            return ERROR, f"Detection failed: {failure}", False
        refused_at, refusal = self._last_refusal
        if now - refused_at <= WINDOW_S:
            level = WARN if self._finish_times else ERROR
            return level, f"Images are refused, check the camera driver: {refusal}", False
        if self._last_received is None:
            waited = now - self._started
            if waited <= self._stale_after_s:
                return OK, "Waiting for the first image", False
            return WARN, f"No image in {waited:.0f} s, check the image topic and the camera", True
        age = now - self._last_received
        if age > self._stale_after_s:
            return WARN, f"No image for {age:.0f} s, check the camera", True
        return OK, "Detecting", False

    def _values(self, now: float) -> list[tuple[str, str]]:
        span = min(WINDOW_S, max(now - self._started, 1e-9))
        values = [
            ("rate_hz", f"{len(self._finish_times) / span:.2f}"),
            ("images_received", str(self._received)),
            ("images_processed", str(self._processed)),
            ("images_dropped", str(self._dropped)),
            ("images_refused", str(sum(self._refused.values()))),
            ("detections_failed", str(self._failures)),
        ]
        values += [(f"images_refused: {reason}", str(n)) for reason, n in sorted(self._refused.items())]
        if self._last_refusal[1]:
            values.append(("last_refusal", self._last_refusal[1]))
        for stage, samples in self._latencies.items():
            p50, p99 = np.percentile(np.fromiter(samples, float), [50, 99])
            values += [(f"{stage}_p50", f"{p50:.2f}"), (f"{stage}_p99", f"{p99:.2f}")]
        return values
