"""Isaac Sim's RTX renderer behind the interface of the embedded one: a scene in, radiance and ids out.

Replicator shows and captures what the plan says; none of its random state is used.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from palletjack_sdg.isaac_sim.annotators import COLOR, IDS, black_share, instance_ids, radiance, result_of
from palletjack_sdg.isaac_sim.app import IsaacSim
from palletjack_sdg.isaac_sim.lens import pinhole_around
from palletjack_sdg.isaac_sim.staging import StagingName, choose_staging, create_staging
from palletjack_sdg.isaac_sim.surroundings import choose_surroundings, open_surroundings
from palletjack_sdg.isaac_sim.taps import Take, TapName, open_tap
from palletjack_sdg.isaac_sim.usd_environment import HALL
from palletjack_sdg.render.base import RenderError, RenderResult
from palletjack_sdg.scene import Camera, Scene

__all__ = ["IDS", "Finish", "IsaacRenderer", "IsaacSettings", "instance_ids"]

Mode = Literal["path_traced", "real_time"]
AssetChoice = Literal["parametric", "nvidia"]
Finish = Callable[[RenderResult], None]
# A room has no black surface; black tiles are parts of a frame that was not ready.
MAX_BLACK_SHARE = 0.05
TRIES = 3


@dataclass(frozen=True)
class IsaacSettings:
    """``mode``: path_traced, or real_time: the release's default renderer. ``spp``: paths per pixel of
    path_traced. ``subframes``: renders before a capture, in which the image settles. ``assets``:
    parametric trucks, or NVIDIA's USD assets in their place. ``environment`` and ``environment_origin``: see
    ``surroundings.choose_surroundings``."""

    mode: Mode = "path_traced"
    spp: int = 64
    subframes: int = 16
    assets: AssetChoice = "parametric"
    environment: str = HALL
    environment_origin: str = ""

    def __post_init__(self) -> None:
        for name in ("spp", "subframes"):
            if getattr(self, name) < 1:
                raise ValueError(f"IsaacSettings.{name}: expected at least 1, found {getattr(self, name)}")
        choose_surroundings(self.environment, self.environment_origin)

    def identity(self) -> dict[str, Any]:
        """What must be equal for two runs to write into the same folder."""
        return {"backend": "isaac_sim", **asdict(self)}


class IsaacRenderer:
    """Renders scenes in a running Isaac Sim; implements ``render.Renderer``.

    ``tap``: how captures come out of Replicator, ``staging``: how scenes come onto the stage, by default as
    the release can; neither changes what is seen. Where the settings have an environment, scenes come without
    their room. Raises IsaacSimError where the environment does not open or the release lacks the staging.
    """

    def __init__(
        self,
        sim: IsaacSim,
        settings: IsaacSettings,
        tap: TapName = "writer",
        staging: StagingName | None = None,
    ) -> None:
        import omni.replicator.core as rep

        self.settings = settings
        self._sim = sim
        self._rep = rep
        self._tap: TapName = tap
        environment = choose_surroundings(settings.environment, settings.environment_origin)
        surroundings = None if environment is None else open_surroundings(environment, sim.assets_root)
        chosen = choose_staging(staging, sim.release)
        self._folder = Path(tempfile.mkdtemp(prefix="palletjack_isaac_"))
        self._staging = create_staging(chosen, sim, rep, self._folder, surroundings)
        rep.orchestrator.set_capture_on_play(False)
        if settings.mode == "path_traced":
            rep.settings.set_render_pathtraced(settings.spp)

    @property
    def description(self) -> dict[str, object]:
        """Engine, release and settings."""
        settings = {**asdict(self.settings), "capture": self._tap, "staging": self._staging.name}
        return {"engine": "isaac_sim", "version": self._sim.version, "settings": settings}

    def render(self, scene: Scene, seed: int = 0) -> RenderResult:
        """Render one frame. ``seed`` is not used: RTX takes none, so the noise of two runs differs.

        Raises:
            DistortionError: the camera's distortion folds back inside the image.
            RenderError: the frame stayed black in part, or an annotator gave something else than described.
        """
        results: list[RenderResult] = []
        self.capture(scene, results.append)
        return results[0]

    def capture(self, scene: Scene, finish: Finish) -> None:
        """Render one frame and call ``finish`` with it, where the tap is a writer in Replicator's own call.

        Raises what ``render`` raises, and what ``finish`` does.
        """
        start = time.perf_counter()
        pinhole = pinhole_around(scene.camera)
        try:
            camera = self._staging.show(scene)
            shown = time.perf_counter()

            def deliver(data: Mapping[str, Any]) -> None:
                laps = {"stage": shown - start, "capture": time.perf_counter() - shown}
                finish(result_of(data, pinhole, scene.camera, laps))

            self._shoot(camera, pinhole, deliver)
        finally:
            self._staging.clear()

    def close(self) -> None:
        """Remove the stages."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _shoot(self, camera: str, pinhole: Camera, deliver: Take) -> None:
        """Capture until the frame has arrived whole, and deliver it once."""
        black = 1.0

        def take(data: Mapping[str, Any]) -> None:
            nonlocal black
            black = black_share(radiance(data[COLOR], pinhole)) if COLOR in data else 0.0
            if black <= MAX_BLACK_SHARE:
                deliver(data)

        rep = self._rep
        product = rep.create.render_product(camera, (pinhole.width, pinhole.height), force_new=True)
        try:
            tap = open_tap(self._tap, rep, product, take)
            try:
                for attempt in range(TRIES):
                    tap.shoot(self.settings.subframes << attempt)
                    if black <= MAX_BLACK_SHARE:
                        return
            finally:
                tap.close()
        finally:
            product.destroy()
        raise RenderError(
            f"{black:.0%} of the frame stayed black after {self.settings.subframes << (TRIES - 1)} "
            "subframes: the stage has not loaded, or the GPU is out of memory"
        )
