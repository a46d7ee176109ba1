"""Frames that are labelled, developed and written where Replicator hands them over.

With the writer's tap that is inside PalletjackWriter.write(): Replicator's writer then leaves exactly the
files of `palletjack generate`, the image last, so that a run that was killed goes on frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from palletjack_sdg.frame_plan import FramePlan
from palletjack_sdg.generate import FrameMaker, GenerateJob
from palletjack_sdg.isaac_sim.capture import Finish
from palletjack_sdg.render import Renderer, RenderResult
from palletjack_sdg.scene import Scene


class Capturer(Renderer, Protocol):
    """A renderer that calls back with its frame."""

    def capture(self, scene: Scene, finish: Finish) -> None:
        """Render ``scene`` and call ``finish`` once with it, or raise."""
        ...


class CapturedFrameMaker(FrameMaker):
    """Makes the frames of a job with a renderer that calls back."""

    def __init__(
        self, job: GenerateJob, capturer: Capturer, dress: Callable[[Scene], Scene] | None = None
    ) -> None:
        """``dress`` puts other objects in a scene's places."""
        super().__init__(job, capturer, dress)
        self._capturer = capturer

    def write(self, plan: FramePlan, seconds: dict[str, float]) -> None:
        """Make the frame of ``plan``; its files are written in the renderer's callback."""
        scene = self.scene(plan, seconds)

        def finish(result: RenderResult) -> None:
            self.save(self.develop(plan, scene, result, seconds), seconds)

        self._capturer.capture(scene, finish)
