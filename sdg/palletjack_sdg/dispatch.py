"""The dispatcher that feeds workers one frame at a time, wherever they run.

A worker that dies (out of memory, a crash in native code, kill -9, its whole machine) takes only its
frame with it: another worker takes its place and the frame is tried again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from palletjack_sdg.generate import FrameReport
from palletjack_sdg.render.base import RenderError

Listener = Callable[[FrameReport], None]
Outcome = tuple[str | None, dict[str, object] | None]


@dataclass
class Worker:
    """A worker: what its staff knows it by, the frame in its hand, and whether its renderer has started."""

    handle: Any
    frame: int | None = None
    ready: bool = False


@dataclass(frozen=True)
class Died:
    """The message of a worker that is gone."""

    reason: str


class Staff(Protocol):
    """Where workers come from. ``tries``: workers that a frame may take with it before it is given up.
    ``max_deaths``: with so many dead workers the run stops."""

    tries: int
    max_deaths: int

    def hire(self) -> Worker:
        """Start a worker. Its first message describes its renderer, or is a RenderError."""
        ...

    def give(self, worker: Worker, frame: int) -> Died | None:
        """Have it make ``frame``; its next message is that frame's FrameReport."""
        ...

    def hear(self, workers: Sequence[Worker], timeout: float | None) -> list[tuple[Worker, Any]]:
        """Wait for messages of ``workers``, up to ``timeout`` seconds."""
        ...

    def dismiss(self, worker: Worker) -> None:
        """End a worker that has nothing in hand."""
        ...

    def kill(self, worker: Worker) -> None:
        """End a worker at once."""
        ...


class Dispatcher:
    """Makes ``indices`` with ``count`` workers of ``staff``; ``listener`` hears of every frame.

    ``deadline``, on the monotonic clock: begin no frame after that.
    """

    def __init__(
        self, staff: Staff, count: int, indices: Sequence[int], listener: Listener, deadline: float | None
    ) -> None:
        self.workers: list[Worker] = []
        self.queue = list(reversed(indices))
        self.stopped: str | None = None
        self._staff = staff
        self._count = count
        self._listener = listener
        self._deadline = deadline
        self._description: dict[str, object] | None = None
        self._deaths = 0
        self._lost: Counter[int] = Counter()

    def run(self) -> Outcome:
        """Return why it stopped early (or None) and the renderer's description.

        Raises:
            RenderError: no worker could start its renderer.
        """
        try:
            for _ in range(min(self._count, len(self.queue))):
                self.workers.append(self._staff.hire())
            while self.workers:
                try:
                    self._step()
                except KeyboardInterrupt:
                    # The frames in hand are finished; a second Ctrl-C ends them too.
                    if self.stopped == "interrupted":
                        raise
                    self._stop("interrupted")
        except KeyboardInterrupt:
            self.stopped = "interrupted"
        finally:
            for worker in self.workers:
                self._staff.kill(worker)
        return self.stopped, self._description

    def _step(self) -> None:
        timeout = None
        if self._deadline is not None and self.stopped is None:
            timeout = max(0.0, self._deadline - time.monotonic())
        messages = self._staff.hear(self.workers, timeout)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._stop("time limit")
        for worker, message in messages:
            self.hear(worker, message)
        if not self.queue:
            # What has not even started by now is not needed, and on a full cluster may never start.
            self._release_idle()

    def hear(self, worker: Worker, message: Any) -> None:
        """Take a worker's message and give it more to do.

        Raises:
            RenderError: the worker's own, or that of the last one that died before its first frame.
        """
        if isinstance(message, RenderError):
            raise message
        if isinstance(message, Died):
            self.bury(worker, message.reason)
            return
        if isinstance(message, FrameReport):
            worker.frame = None
            self._listener(message)
            if message.fatal:
                self._stop(message.error or "a frame failed")
        else:
            worker.ready = True
            self._description = message
        self._feed(worker)

    def bury(self, worker: Worker, reason: str) -> None:
        """A worker is gone: put another in its place, which tries its frame again, so often and no more.

        A worker that the system killed for memory says nothing about the frame; several say something.
        """
        if worker not in self.workers:
            return
        self.workers.remove(worker)
        self._deaths += 1
        if worker.frame is not None:
            self._lost[worker.frame] += 1
            if self._lost[worker.frame] < self._staff.tries:
                self.queue.append(worker.frame)
            else:
                self._listener(FrameReport(worker.frame, error=reason))
        elif self._description is None:
            # Nobody has started yet: another in its place would fare no better.
            if not self.workers:
                raise RenderError(f"{reason} before its first frame")
            return
        if self._deaths >= self._staff.max_deaths:
            self._stop(f"{self._deaths} workers died; the last: {reason}")
        elif self.queue and self.stopped is None:
            self.workers.append(self._staff.hire())

    def _feed(self, worker: Worker) -> None:
        if self.stopped is None and self.queue:
            worker.frame = self.queue.pop()
            died = self._staff.give(worker, worker.frame)
            if died is not None:
                self.bury(worker, died.reason)
        elif worker in self.workers:
            # A frame that fails for good stops all workers, its own included.
            self.workers.remove(worker)
            self._staff.dismiss(worker)

    def _stop(self, reason: str) -> None:
        if self.stopped is None:
            self.stopped = reason
        self._release_idle()

    def _release_idle(self) -> None:
        for worker in [worker for worker in self.workers if worker.frame is None]:
            self.workers.remove(worker)
            if worker.ready:
                self._staff.dismiss(worker)
            else:
                self._staff.kill(worker)
