"""Workers on a Ray cluster. Frames come back as bytes and the driver writes them: no disk is shared.

Each worker is an actor of one CPU (or one GPU) that holds a renderer. Every node needs this package with
the driver's versions, and the asset packs that the recipe names.
"""

from __future__ import annotations

import importlib
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from palletjack_sdg.dataset import FrameFiles
from palletjack_sdg.dispatch import Died, Worker
from palletjack_sdg.generate import FrameMaker, FrameReport, GenerateJob, versions
from palletjack_sdg.recipe import Recipe
from palletjack_sdg.recipe_mix import RecipeMix, load_recipes
from palletjack_sdg.render.base import RenderError
from palletjack_sdg.workers import failed_frame

# How a machine that is no node of the cluster is let in: through the head's client server.
CLIENT = "ray://"
PATIENCE_S = 300.0
SPARE_DEATHS = 5


class FrameActor:
    """What a node runs: makes frames of ``job`` and returns their files."""

    def __init__(self, job: GenerateJob, recipe: Recipe | RecipeMix, expected: dict[str, str]) -> None:
        """``expected``: versions of the driver's packages."""
        self._job = job
        self._recipe = recipe
        self._expected = expected
        self._maker: FrameMaker | None = None

    def start(self) -> dict[str, object] | RenderError:
        """Start the renderer; return its description, or why it does not."""
        import cv2

        cv2.setNumThreads(1)
        here = versions()
        for name, version in self._expected.items():
            if here.get(name, version) != version:
                return RenderError(
                    f"{socket.gethostname()}: {name}: expected {version}, as the driver has, "
                    f"found {here[name]}; frames of other versions may differ"
                )
        try:
            self._maker = FrameMaker(self._job, recipe=self._recipe)
        except Exception as error:
            return RenderError(f"{socket.gethostname()}: a worker could not start: {error}")
        return self._maker.renderer.description

    def make(self, index: int) -> tuple[FrameReport, FrameFiles]:
        """Make frame ``index``; no files where it fails."""
        assert self._maker is not None
        seconds: dict[str, float] = {}
        try:
            files = self._maker.render(self._maker.plan(index, seconds), seconds)
        except Exception as error:
            return failed_frame(index, error), {}
        return FrameReport(index, seconds=seconds, process=os.getpid()), files


def _knock(address: str) -> None:
    """Connect to HOST:PORT or ray://HOST:PORT and hang up: where nobody answers, Ray itself waits long.

    Raises:
        OSError: nobody answers.
    """
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    if "://" not in host and host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10.0).close()


@dataclass
class _Actor:
    actor: Any
    answer: Any


class RayStaff:
    """Workers that are actors of the cluster at ``job.ray``; ``count`` of them fit, or were asked for.

    A frame may take three workers with it: on a cluster a machine's end says nothing about the frame.

    Raises:
        RenderError: Ray is not installed, or no cluster answers.
    """

    tries = 3

    def __init__(self, job: GenerateJob) -> None:
        try:
            self._ray = importlib.import_module("ray")
        except ImportError:
            raise RenderError("--ray needs the package ray: install 'palletjack[cluster]'") from None
        self._connected_here = not self._ray.is_initialized()
        if self._connected_here:
            try:
                _knock(str(job.ray))
                self._ray.init(address=job.ray, log_to_driver=False, logging_level="ERROR")
            except (OSError, RuntimeError, ValueError) as error:
                raise RenderError(f"--ray {job.ray}: expected a Ray cluster, found: {error}") from None
        resources = self._ray.cluster_resources()
        threads = job.render.threads or 1
        on_gpu = job.render.variant == "cuda" or (
            job.render.variant == "auto" and resources.get("GPU", 0) >= 1
        )
        self._needs = {"num_cpus": threads, "num_gpus": 1 if on_gpu else 0}
        fitting = resources.get("GPU", 0) if on_gpu else resources.get("CPU", 0) // threads
        self.count = job.workers or max(1, int(fitting))
        # A node that is lost takes all its workers with it.
        self.max_deaths = SPARE_DEATHS + 2 * self.count
        render = replace(job.render, threads=threads, variant="cuda" if on_gpu else "cpu")
        self._arguments = (replace(job, render=render), load_recipes(job.recipe), versions())
        self._last_news = time.monotonic()

    def __enter__(self) -> RayStaff:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connected_here:
            self._ray.shutdown()

    def hire(self) -> Worker:
        """Ask the cluster for an actor."""
        kind = self._ray.remote(FrameActor).options(
            **self._needs, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        actor = kind.remote(*self._arguments)
        return Worker(_Actor(actor, actor.start.remote()))

    def give(self, worker: Worker, frame: int) -> Died | None:
        """Call the actor; that it is gone shows in the answer."""
        worker.handle.answer = worker.handle.actor.make.remote(frame)
        return None

    def hear(self, workers: Sequence[Worker], timeout: float | None) -> list[tuple[Worker, Any]]:
        """Fetch answers that have come in, and write the frames that they hold.

        Raises:
            RenderError: for five minutes the cluster gave not one worker its place.
        """
        by_answer = {worker.handle.answer: worker for worker in workers}
        limit = PATIENCE_S if timeout is None else min(timeout, PATIENCE_S)
        ready, _ = self._ray.wait(list(by_answer), timeout=limit)
        if ready:
            self._last_news = time.monotonic()
        elif not any(worker.ready for worker in workers) and time.monotonic() - self._last_news >= PATIENCE_S:
            raise RenderError(
                f"no node gave a worker {self._needs} within {PATIENCE_S:g} s; "
                f"free in the cluster: {self._ray.available_resources()}"
            )
        return [(by_answer[answer], self._fetch(answer)) for answer in ready]

    def _fetch(self, answer: Any) -> Any:
        exceptions = self._ray.exceptions
        try:
            message = self._ray.get(answer)
        except (exceptions.RayActorError, exceptions.ObjectLostError, exceptions.WorkerCrashedError) as error:
            return Died(f"a worker of the cluster died: {' '.join(str(error).split())}")
        if not isinstance(message, tuple):
            return message
        report, files = message
        try:
            self._arguments[0].dataset.write_files(files)
        except OSError as error:
            return failed_frame(report.index, error)
        return report

    def dismiss(self, worker: Worker) -> None:
        """End the actor."""
        self.kill(worker)

    def kill(self, worker: Worker) -> None:
        """End the actor at once."""
        self._ray.kill(worker.handle.actor)
