"""Worker processes that make frames, and the dispatcher that feeds them one frame at a time.

Each worker has a pipe of its own, so one that dies (out of memory, a crash in native code, kill -9)
takes only its frame with it: the frame is reported as failed and another worker takes its place.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from palletjack_sdg.generate import FrameMaker, FrameReport, GenerateJob
from palletjack_sdg.render.base import RenderError

MAX_DEATHS = 5
PACKAGE = __name__.partition(".")[0]
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

Listener = Callable[[FrameReport], None]
Outcome = tuple[str | None, dict[str, object] | None]


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    frame: int | None = None
    ready: bool = False


def run_frames(
    job: GenerateJob, indices: Sequence[int], listener: Listener, maker: FrameMaker | None = None
) -> Outcome:
    """Make the frames ``indices``; return why it stopped early (or None) and the renderer's description.

    ``maker`` makes all of them, in this process.

    Raises:
        RenderError: the renderer cannot start.
    """
    deadline = None if job.time_limit_s is None else time.monotonic() + job.time_limit_s
    if maker is not None or job.workers == 1:
        return _run_here(maker or FrameMaker(job), indices, listener, deadline)
    return _Dispatcher(job, indices, listener, deadline).run()


def make_frame(maker: FrameMaker, index: int) -> FrameReport:
    """Make one frame and report how it went; only Ctrl-C passes through."""
    try:
        return FrameReport(index, seconds=maker.make(index))
    except Exception as error:
        fatal = isinstance(error, OSError) and error.errno in FULL_DISK
        steps = traceback.extract_tb(error.__traceback__)
        place = [step for step in steps if PACKAGE in step.filename.split(os.sep)][-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        return FrameReport(index, error=f"{type(error).__name__}: {error} ({where})", fatal=fatal)


def _run_here(
    maker: FrameMaker, indices: Sequence[int], listener: Listener, deadline: float | None
) -> Outcome:
    description = maker.renderer.description
    try:
        for index in indices:
            if deadline is not None and time.monotonic() >= deadline:
                return "time limit", description
            report = make_frame(maker, index)
            listener(report)
            if report.fatal:
                return report.error, description
    except KeyboardInterrupt:
        return "interrupted", description
    return None, description


class _Dispatcher:
    def __init__(
        self, job: GenerateJob, indices: Sequence[int], listener: Listener, deadline: float | None
    ) -> None:
        self._job = job
        self._queue = list(reversed(indices))
        self._listener = listener
        self._deadline = deadline
        self._stopped: str | None = None
        self._description: dict[str, object] | None = None
        self._deaths = 0
        self._retried: set[int] = set()
        self._workers: list[_Worker] = []
        self._started = 0
        gpus = [] if job.render.variant == "cpu" else visible_gpus()
        self._gpus = gpus if len(gpus) > 1 else []

    def run(self) -> Outcome:
        try:
            for _ in range(min(self._job.workers, len(self._queue))):
                self._workers.append(self._start())
            while self._workers:
                try:
                    self._step()
                except KeyboardInterrupt:
                    # The frames in hand are finished; a second Ctrl-C ends them too.
                    if self._stopped == "interrupted":
                        raise
                    self._stop("interrupted")
        except KeyboardInterrupt:
            self._stopped = "interrupted"
        finally:
            for worker in self._workers:
                worker.process.terminate()
                worker.process.join()
        return self._stopped, self._description

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(_worker_job(self._job), theirs), daemon=True)
        # Numeric libraries read their thread count when they are first imported.
        settings = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        if self._gpus:
            settings["CUDA_VISIBLE_DEVICES"] = self._gpus[self._started % len(self._gpus)]
        self._started += 1
        with _environment(settings):
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def _step(self) -> None:
        timeout = None
        if self._deadline is not None and self._stopped is None:
            timeout = max(0.0, self._deadline - time.monotonic())
        ready = wait([worker.pipe for worker in self._workers], timeout)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._stop("time limit")
        for worker in [worker for worker in self._workers if worker.pipe in ready]:
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            self._hear(worker, message)

    def _hear(self, worker: _Worker, message: Any) -> None:
        if isinstance(message, RenderError):
            raise message
        if isinstance(message, FrameReport):
            worker.frame = None
            self._listener(message)
            if message.fatal:
                self._stop(message.error or "a frame failed")
        else:
            worker.ready = True
            self._description = message
        self._feed(worker)

    def _feed(self, worker: _Worker) -> None:
        if self._stopped is None and self._queue:
            worker.frame = self._queue.pop()
            try:
                worker.pipe.send(worker.frame)
            except OSError:
                self._bury(worker)
        else:
            self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        if worker not in self._workers:
            # A frame that fails for good stops all workers, its own included.
            return
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join(10.0)
        if worker.process.is_alive():
            worker.process.terminate()
            worker.process.join()

    def _bury(self, worker: _Worker) -> None:
        """A worker is gone: put another in its place, which tries its frame again, but once only.

        A worker that the system killed for memory says nothing about the frame; two say something.
        """
        self._workers.remove(worker)
        worker.process.join()
        self._deaths += 1
        if worker.frame is not None and worker.frame not in self._retried:
            self._retried.add(worker.frame)
            self._queue.append(worker.frame)
        elif worker.frame is not None:
            code = worker.process.exitcode
            self._listener(FrameReport(worker.frame, error=f"the worker process died with exit code {code}"))
        elif not worker.ready:
            raise RenderError(
                f"a worker process died with exit code {worker.process.exitcode} before its first frame"
            )
        if self._deaths >= MAX_DEATHS:
            self._stop(f"{self._deaths} worker processes died")
        elif self._queue and self._stopped is None:
            self._workers.append(self._start())

    def _stop(self, reason: str) -> None:
        if self._stopped is None:
            self._stopped = reason
        for worker in [worker for worker in self._workers if worker.frame is None and worker.ready]:
            self._dismiss(worker)


def visible_gpus() -> list[str]:
    """Identifiers of the NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them.

    Mitsuba renders on the first GPU it sees; each worker is shown one, so that several share the work.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [item.strip() for item in chosen.split(",") if item.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip().isdigit()]


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Set variables that a process started meanwhile inherits, then put back what was there."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _worker_job(job: GenerateJob) -> GenerateJob:
    """The job as one of several workers sees it: with its share of the processor's threads."""
    threads = job.render.threads or max(1, (os.cpu_count() or 1) // job.workers)
    return replace(job, render=replace(job.render, threads=threads))


def _work(job: GenerateJob, pipe: Connection) -> None:
    """Main function of a worker process: announce the renderer, then make what the pipe asks for."""
    # Ctrl-C reaches the whole process group; the dispatcher decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2

    cv2.setNumThreads(1)
    try:
        maker = FrameMaker(job)
        pipe.send(maker.renderer.description)
    except Exception as error:
        pipe.send(RenderError(f"a worker could not start: {error}"))
        return
    while True:
        try:
            index = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(make_frame(maker, index))
