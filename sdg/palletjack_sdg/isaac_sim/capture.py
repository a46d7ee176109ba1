"""Isaac Sim's RTX renderer behind the interface of the embedded one: a scene in, radiance and ids out.

Each frame is a stage of its own, written from the scene and opened afresh, so nothing of the frame before
can be left in it. Replicator only captures; none of its random state is used.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.isaac_sim.app import IsaacSim
from palletjack_sdg.isaac_sim.lens import bend_depth, bend_ids, bend_radiance, pinhole_around
from palletjack_sdg.render.base import RenderError, RenderResult
from palletjack_sdg.scene import Camera, Scene

Mode = Literal["path_traced", "real_time"]
AssetChoice = Literal["parametric", "nvidia"]
COLOR, IDS, DEPTH = "HdrColor", "instance_id_segmentation", "distance_to_image_plane"
ANNOTATORS: Mapping[str, dict[str, Any] | None] = {COLOR: None, IDS: {"colorize": False}, DEPTH: None}
INSTANCE = re.compile(r"/World/Objects/object_(\d+)(?:/|$)")
# A room has no black surface; black tiles are parts of a frame that was not ready.
MAX_BLACK_SHARE = 0.05
BLACK_TILE_PX = 16
TRIES = 3


@dataclass(frozen=True)
class IsaacSettings:
    """``mode``: path_traced, or real_time: the release's default renderer. ``spp``: paths per pixel of
    path_traced. ``subframes``: renders before a capture, in which the image settles. ``assets``:
    parametric trucks, or NVIDIA's USD assets in their place."""

    mode: Mode = "path_traced"
    spp: int = 64
    subframes: int = 16
    assets: AssetChoice = "parametric"

    def __post_init__(self) -> None:
        for name in ("spp", "subframes"):
            if getattr(self, name) < 1:
                raise ValueError(f"IsaacSettings.{name}: expected at least 1, found {getattr(self, name)}")

    def identity(self) -> dict[str, Any]:
        """What must be equal for two runs to write into the same folder."""
        return {"backend": "isaac_sim", **asdict(self)}


class IsaacRenderer:
    """Renders scenes in a running Isaac Sim; implements ``render.Renderer``."""

    def __init__(self, sim: IsaacSim, settings: IsaacSettings) -> None:
        import omni.replicator.core as rep

        self.settings = settings
        self._sim = sim
        self._rep = rep
        self._folder = Path(tempfile.mkdtemp(prefix="palletjack_isaac_"))
        self._frames = 0
        rep.orchestrator.set_capture_on_play(False)
        if settings.mode == "path_traced":
            rep.settings.set_render_pathtraced(settings.spp)

    @property
    def description(self) -> dict[str, object]:
        """Engine, release and settings."""
        return {"engine": "isaac_sim", "version": self._sim.version, "settings": asdict(self.settings)}

    def render(self, scene: Scene, seed: int = 0) -> RenderResult:
        """Render one frame. ``seed`` is not used: RTX takes none, so the noise of two runs differs.

        Raises:
            DistortionError: the camera's distortion folds back inside the image.
            RenderError: the frame stayed black in part, or an annotator gave something else than described.
        """
        laps = {}
        start = time.perf_counter()
        folder = self._write(scene)
        laps["stage"] = time.perf_counter() - start
        pinhole = pinhole_around(scene.camera)
        try:
            self._sim.open_stage(folder / "frame.usdc")
            laps["open"] = time.perf_counter() - start - laps["stage"]
            data = self._capture(pinhole)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        laps["capture"] = time.perf_counter() - start - laps["stage"] - laps.get("open", 0.0)
        return RenderResult(
            linear=bend_radiance(radiance(data[COLOR], pinhole), pinhole, scene.camera),
            instance_ids=bend_ids(instance_ids(data[IDS], pinhole), pinhole, scene.camera),
            depth=bend_depth(depth(data[DEPTH], pinhole), pinhole, scene.camera),
            seconds=laps,
        )

    def close(self) -> None:
        """Remove the stages."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, scene: Scene) -> Path:
        from palletjack_sdg.isaac_sim.stage import write_stage

        # A new name for each: Isaac Sim keeps layers by their path.
        folder = self._folder / f"{self._frames:06d}"
        self._frames += 1
        folder.mkdir(parents=True)
        write_stage(scene, folder / "frame.usdc", self._sim.release.semantics)
        return folder

    def _capture(self, pinhole: Camera) -> dict[str, Any]:
        from palletjack_sdg.isaac_sim.stage import CAMERA_PATH

        rep = self._rep
        product = rep.create.render_product(CAMERA_PATH, (pinhole.width, pinhole.height), force_new=True)
        annotators = {}
        try:
            for name, params in ANNOTATORS.items():
                annotators[name] = rep.AnnotatorRegistry.get_annotator(name, init_params=params)
                annotators[name].attach([product])
            black = 1.0
            for attempt in range(TRIES):
                # No time passes: on_frame triggers and physics stay out of it.
                rep.orchestrator.step(rt_subframes=self.settings.subframes << attempt, delta_time=0.0)
                data = {name: annotator.get_data() for name, annotator in annotators.items()}
                black = black_share(radiance(data[COLOR], pinhole))
                if black <= MAX_BLACK_SHARE:
                    return data
            raise RenderError(
                f"{black:.0%} of the frame stayed black after {self.settings.subframes << (TRIES - 1)} "
                "subframes: the stage has not loaded, or the GPU is out of memory"
            )
        finally:
            rep.orchestrator.wait_until_complete()
            for annotator in annotators.values():
                annotator.detach()
            product.destroy()


def black_share(image: NDArray[np.float32]) -> float:
    """Share of the tiles of BLACK_TILE_PX of ``image`` (H, W, 3) that hold no light at all.

    Tiles, because single pixels of a dark corner may be black by the chance of path tracing.
    """
    rows, columns = (size // BLACK_TILE_PX for size in image.shape[:2])
    lit = image.max(axis=2)[: rows * BLACK_TILE_PX, : columns * BLACK_TILE_PX]
    tiles = lit.reshape(rows, BLACK_TILE_PX, columns, BLACK_TILE_PX).max(axis=(1, 3))
    return float(np.mean(tiles <= 0.0)) if tiles.size else 0.0


def radiance(data: Any, pinhole: Camera) -> NDArray[np.float32]:
    """Return linear RGB (H, W, 3) from the HdrColor annotator's RGBA of float16.

    Raises:
        RenderError: it has another shape or type.
    """
    image = np.asarray(data)
    _check(COLOR, image, (pinhole.height, pinhole.width, 4), "f")
    # Half floats overflow where a lamp fills the view.
    return np.nan_to_num(image[..., :3].astype(np.float32), nan=0.0, posinf=65504.0, neginf=0.0)


def depth(data: Any, pinhole: Camera) -> NDArray[np.float32]:
    """Return metres along the optical axis (H, W), inf where nothing is met.

    Raises:
        RenderError: it has another shape or type.
    """
    image = np.asarray(data)
    _check(DEPTH, image, (pinhole.height, pinhole.width), "f")
    return np.where(np.isfinite(image) & (image > 0.0), image, np.inf).astype(np.float32)


def instance_ids(data: Any, pinhole: Camera) -> NDArray[np.int32]:
    """Return our instance ids (H, W) from the renderer's ids of prims and their paths; 0 for the room.

    Raises:
        RenderError: it has another shape or type, or an id without a path.
    """
    if not isinstance(data, Mapping) or "data" not in data or "idToLabels" not in data.get("info", {}):
        raise RenderError(f"{IDS}: expected data and info.idToLabels, found {type(data).__name__}")
    ids = np.asarray(data["data"])
    _check(IDS, ids, (pinhole.height, pinhole.width), "u")
    paths = {int(key): value for key, value in data["info"]["idToLabels"].items()}
    present, places = np.unique(ids, return_inverse=True)
    ours = np.zeros(len(present), dtype=np.int32)
    for number, value in enumerate(present):
        # 0 is the background, 1 what bears no label, in releases that count such.
        if int(value) not in paths and int(value) > 1:
            raise RenderError(f"{IDS}: id {int(value)}: expected a path in idToLabels, found none")
        found = INSTANCE.match(str(paths.get(int(value), "")))
        ours[number] = int(found.group(1)) if found else 0
    return ours[places.reshape(ids.shape)]


def _check(name: str, image: NDArray[Any], shape: tuple[int, ...], kind: str) -> None:
    if image.shape != shape or image.dtype.kind != kind:
        raise RenderError(
            f"{name}: expected shape {shape} of kind {kind!r}, found {image.shape} of {image.dtype}"
        )
