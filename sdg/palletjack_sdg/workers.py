"""Who makes the frames of a job: this process, processes of this machine, or those of a Ray cluster."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from palletjack_sdg.dispatch import Died, Dispatcher, Listener, Outcome, Worker
from palletjack_sdg.generate import FrameMaker, FrameReport, GenerateJob
from palletjack_sdg.render.base import RenderError

MAX_DEATHS = 5
PACKAGE = __name__.partition(".")[0]
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass
class _Process:
    process: BaseProcess
    pipe: Connection


def run_frames(
    job: GenerateJob, indices: Sequence[int], listener: Listener, maker: FrameMaker | None = None
) -> Outcome:
    """Make the frames ``indices``; return why it stopped early (or None) and the renderer's description.

    ``maker`` makes all of them, in this process.

    Raises:
        RenderError: the renderer cannot start.
    """
    deadline = None if job.time_limit_s is None else time.monotonic() + job.time_limit_s
    if maker is None and job.ray is not None:
        from palletjack_sdg.ray_cluster import RayStaff

        with RayStaff(job) as staff:
            return Dispatcher(staff, staff.count, indices, listener, deadline).run()
    if maker is not None or job.workers == 1:
        return _run_here(maker or FrameMaker(job), indices, listener, deadline)
    return Dispatcher(ProcessStaff(job), job.workers, indices, listener, deadline).run()


def make_frame(maker: FrameMaker, index: int) -> FrameReport:
    """Make one frame and report how it went; only Ctrl-C passes through."""
    try:
        return FrameReport(index, seconds=maker.make(index), process=os.getpid())
    except Exception as error:
        return failed_frame(index, error)


def failed_frame(index: int, error: Exception) -> FrameReport:
    """Return the report of a frame that ``error`` ended, with the place in our code where it arose."""
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


class ProcessStaff:
    """Workers that are processes of this machine, each with a pipe of its own."""

    tries = 2

    def __init__(self, job: GenerateJob) -> None:
        self.max_deaths = MAX_DEATHS
        self._job = job
        self._started = 0
        gpus = [] if job.render.variant == "cpu" else visible_gpus()
        self._gpus = gpus if len(gpus) > 1 else []

    def hire(self) -> Worker:
        """Start a process."""
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
        return Worker(_Process(process, ours))

    def give(self, worker: Worker, frame: int) -> Died | None:
        """Send the frame's index."""
        try:
            worker.handle.pipe.send(frame)
        except OSError:
            return self._died(worker)
        return None

    def hear(self, workers: Sequence[Worker], timeout: float | None) -> list[tuple[Worker, Any]]:
        """Receive one message of each that has any."""
        ready = wait([worker.handle.pipe for worker in workers], timeout)
        messages: list[tuple[Worker, Any]] = []
        for worker in [worker for worker in workers if worker.handle.pipe in ready]:
            try:
                messages.append((worker, worker.handle.pipe.recv()))
            except (EOFError, OSError):
                messages.append((worker, self._died(worker)))
        return messages

    def dismiss(self, worker: Worker) -> None:
        """Close the pipe, which ends the process."""
        worker.handle.pipe.close()
        worker.handle.process.join(10.0)
        if worker.handle.process.is_alive():
            self.kill(worker)

    def kill(self, worker: Worker) -> None:
        """Terminate the process."""
        worker.handle.process.terminate()
        worker.handle.process.join()

    @staticmethod
    def _died(worker: Worker) -> Died:
        worker.handle.process.join()
        return Died(f"the worker process died with exit code {worker.handle.process.exitcode}")


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
