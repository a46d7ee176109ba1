"""Generation of a data set: frames are planned, rendered, labelled and written, each by itself.

A frame is a function of (recipe, seed, index) and of the renderer's settings; which worker makes it,
when, and after which other frame has no influence.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import cv2

from palletjack_sdg.annotations import describe_frame, instance_table
from palletjack_sdg.compose import build_scene
from palletjack_sdg.dataset import (
    Dataset,
    DatasetError,
    DepthFormat,
    FrameExtras,
    FrameFiles,
    ImageFormat,
    read_manifest,
    write_manifest,
)
from palletjack_sdg.frame_plan import FramePlan
from palletjack_sdg.labels import JudgedInstance, judge_frame, label_lines
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import Recipe
from palletjack_sdg.recipe_mix import RecipeMix, load_recipes
from palletjack_sdg.render import Renderer, RenderError, RenderResult, RenderSettings, create_renderer
from palletjack_sdg.scene import Scene
from palletjack_sdg.seeding import draw_seed, substream
from palletjack_sdg.sensor import apply_sensor

# What must be equal for two runs, or two shards, to be parts of one data set.
IDENTITY_KEYS = ("recipe", "recipe_sha256", "seed", "image_format", "render", "labels", "extras")


@dataclass(frozen=True)
class GenerateJob:
    """What to make. ``recipe``: a shipped recipe or mix by name, or a YAML file. Frames ``start`` to
    ``start + frames - 1``. ``workers``: processes. ``time_limit_s``: begin no frame after that.
    ``shard`` (k, n): of these frames only every n-th, from the k-th on, k counted from 1.
    ``annotations``, ``masks``, ``depth`` and ``normals``: what is written beside images and labels.
    ``ray``: address of the Ray cluster that runs the workers; there 0 workers means as many as it holds."""

    recipe: str
    out: Path
    frames: int
    seed: int = 0
    start: int = 0
    workers: int = 1
    render: RenderSettings = field(default_factory=RenderSettings)
    image_format: ImageFormat = "jpg"
    plans: bool = False
    time_limit_s: float | None = None
    shard: tuple[int, int] = (1, 1)
    annotations: bool = False
    masks: bool = False
    depth: DepthFormat | None = None
    normals: bool = False
    ray: str | None = None

    def __post_init__(self) -> None:
        fewest = 1 if self.ray is None else 0
        for name, low in (("frames", 1), ("seed", 0), ("start", 0), ("workers", fewest)):
            value = getattr(self, name)
            if value < low:
                raise ValueError(f"{name}: expected at least {low}, found {value}")
        if not 1 <= self.shard[0] <= self.shard[1]:
            raise ValueError(f"shard: expected K/N with 1 <= K <= N, found {self.shard[0]}/{self.shard[1]}")

    @property
    def indices(self) -> range:
        """Indices of the frames that this job makes."""
        number, shards = self.shard
        return range(self.start + number - 1, self.start + self.frames, shards)

    @property
    def extras(self) -> tuple[str, ...]:
        """Names of the folders beside images/ and labels/ that every frame has a file in."""
        wanted = {
            "annotations": self.annotations,
            "masks": self.masks,
            "depth": self.depth is not None,
            "normals": self.normals,
        }
        return tuple(name for name, asked in wanted.items() if asked)

    @property
    def dataset(self) -> Dataset:
        """Where it goes."""
        return Dataset(self.out, self.image_format)


@dataclass(frozen=True)
class FrameReport:
    """How a frame went: ``error`` is None if it was written. ``seconds``: time by stage.
    ``fatal``: further frames would fail in the same way. ``process``: the one that made it."""

    index: int
    error: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    fatal: bool = False
    process: int = 0


@dataclass(frozen=True)
class GenerateSummary:
    """Frames written in this run, found complete, failed (by index) and not begun.
    ``stopped``: why it ended early, or None."""

    written: tuple[int, ...]
    skipped: int
    failed: dict[int, str]
    remaining: int
    stopped: str | None
    seconds: float


class FrameMaker:
    """Makes frames of one job in this process.

    Raises:
        RecipeError: the recipe cannot be read.
        RenderError: the renderer cannot start.
    """

    def __init__(
        self,
        job: GenerateJob,
        renderer: Renderer | None = None,
        dress: Callable[[Scene], Scene] | None = None,
        recipe: Recipe | RecipeMix | None = None,
    ) -> None:
        """``renderer``: another than the embedded one. ``dress`` puts other objects in a scene's places.
        ``recipe``: that of the job where it was read before, on a machine that may not see its file."""
        self._job = job
        self._dress = dress
        self._recipe = recipe or load_recipes(job.recipe)
        self._renderer = renderer or create_renderer(replace(job.render, normals=job.normals))

    @property
    def renderer(self) -> Renderer:
        """The renderer that every frame shares."""
        return self._renderer

    def make(self, index: int) -> dict[str, float]:
        """Make and write frame ``index``; return the seconds that each stage took."""
        seconds: dict[str, float] = {}
        self.write(self.plan(index, seconds), seconds)
        return seconds

    def plan(self, index: int, seconds: dict[str, float]) -> FramePlan:
        """Plan frame ``index``, adding to ``seconds``."""
        return cast(
            FramePlan,
            timed(seconds, "plan", lambda: plan_frame(self._recipe.at(index), self._job.seed, index)),
        )

    def write(self, plan: FramePlan, seconds: dict[str, float]) -> None:
        """Render, label, develop and write the frame of ``plan``, adding to ``seconds``."""
        self.save(self.render(plan, seconds), seconds)

    def render(self, plan: FramePlan, seconds: dict[str, float]) -> FrameFiles:
        """Return the files of the frame of ``plan``, adding to ``seconds``; nothing is written."""
        scene = self.scene(plan, seconds)
        sampler_seed = draw_seed(substream(plan.seed, plan.index, "path sampler"))
        return self.develop(plan, scene, self._renderer.render(scene, sampler_seed), seconds)

    def scene(self, plan: FramePlan, seconds: dict[str, float]) -> Scene:
        """Return the scene of ``plan``, dressed, adding to ``seconds``."""
        scene = cast(Scene, timed(seconds, "build", lambda: build_scene(plan)))
        return scene if self._dress is None else self._dress(scene)

    def develop(
        self, plan: FramePlan, scene: Scene, result: RenderResult, seconds: dict[str, float]
    ) -> FrameFiles:
        """Return the files of a frame that was rendered, adding to ``seconds``; nothing is written."""
        seed, index = plan.seed, plan.index
        seconds.update(result.seconds)
        judged = timed(seconds, "labels", lambda: judge_frame(scene, result, self._recipe.labels))
        noise = substream(seed, index, "sensor noise")
        image = timed(seconds, "sensor", lambda: apply_sensor(result.linear, plan.sensor, noise))
        extras = self._extras(plan, scene, result, judged)
        encode = self._job.dataset.frame_files
        files = timed(seconds, "write", lambda: encode(index, image, label_lines(judged), extras))
        return cast(FrameFiles, files)

    def save(self, files: FrameFiles, seconds: dict[str, float]) -> None:
        """Write the files of a frame, adding to ``seconds``."""
        timed(seconds, "write", lambda: self._job.dataset.write_files(files))

    def _extras(
        self, plan: FramePlan, scene: Scene, result: RenderResult, judged: list[JudgedInstance]
    ) -> FrameExtras:
        job = self._job
        if job.normals and result.normals is None:
            raise RenderError("normals: this renderer gives none; generate without --normals")
        return FrameExtras(
            plan_json=plan.model_dump_json() if job.plans else None,
            annotations=describe_frame(plan, scene.camera, judged) if job.annotations else None,
            instance_ids=result.instance_ids if job.masks else None,
            id_table=instance_table(scene, plan) if job.masks else None,
            depth=result.depth if job.depth is not None else None,
            depth_format=job.depth or "png",
            normals=result.normals if job.normals else None,
        )


def timed(seconds: dict[str, float], stage: str, work: Callable[[], Any]) -> Any:
    """Run ``work`` and add its time to ``seconds[stage]``."""
    start = time.perf_counter()
    result = work()
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
    return result


def generate(
    job: GenerateJob,
    on_frame: Callable[[FrameReport], None] | None = None,
    *,
    maker: FrameMaker | None = None,
    render: dict[str, Any] | None = None,
) -> GenerateSummary:
    """Make what is missing of ``job`` and write the manifest; ``on_frame`` hears of every frame.

    ``maker`` makes the frames in this process with a renderer of its own, whose settings are ``render``.

    Complete frames are kept, so an interrupted run goes on where it stopped. A frame that fails does
    not stop the others. Ctrl-C, the time limit and a full disk end the run after the frames in hand.

    Raises:
        RecipeError: the recipe cannot be read.
        DatasetError: the folder holds a data set made with another recipe, seed or settings.
        RenderError: no worker could start the renderer.
    """
    from palletjack_sdg.workers import run_frames

    start = time.monotonic()
    recipe = load_recipes(job.recipe)
    dataset = job.dataset
    identity = job_identity(job, recipe)
    if render is not None:
        identity["render"] = render
    check_same_job(dataset, identity)
    earlier = read_manifest(dataset.root) if dataset.manifest.exists() else {}
    dataset.create_folders(job.plans, job.extras)
    write_manifest(dataset, {**identity, **_record(dataset, earlier, None, {})})
    wanted = job.indices
    missing = [index for index in wanted if not dataset.is_complete(index)]
    written: list[int] = []
    failed: dict[int, str] = {}

    def note(report: FrameReport) -> None:
        if report.error is None:
            written.append(report.index)
        else:
            failed[report.index] = report.error
        if on_frame is not None:
            on_frame(report)

    stopped, description = None, None
    try:
        if missing:
            stopped, description = run_frames(job, missing, note, maker)
    finally:
        write_manifest(dataset, {**identity, **_record(dataset, earlier, description, failed)})
    return GenerateSummary(
        written=tuple(sorted(written)),
        skipped=len(wanted) - len(missing),
        failed=failed,
        remaining=len(missing) - len(written) - len(failed),
        stopped=stopped,
        seconds=time.monotonic() - start,
    )


def _record(
    dataset: Dataset,
    earlier: dict[str, Any],
    description: dict[str, object] | None,
    failed: dict[int, str],
) -> dict[str, Any]:
    """The renderer and the frames that are still failed, of this run and of the ones that it continues."""
    before = {int(index): reason for index, reason in earlier.get("failed", {}).items()}
    still = {index: reason for index, reason in before.items() if not dataset.is_complete(index)}
    renderer = description or earlier.get("renderer")
    record: dict[str, Any] = {} if renderer is None else {"renderer": renderer}
    return {**record, "failed": {**still, **failed}}


def job_identity(job: GenerateJob, recipe: Recipe | RecipeMix) -> dict[str, Any]:
    """What must be equal for two runs to write into the same folder, and the versions at work."""
    return {
        "recipe": recipe.name,
        # The label rules are compared by themselves, below: they change no image.
        "recipe_sha256": hashlib.sha256(recipe.model_dump_json(exclude={"labels"}).encode()).hexdigest(),
        "seed": job.seed,
        "image_format": job.image_format,
        "render": job.render.identity(),
        "labels": recipe.labels.model_dump(),
        "extras": identity_of_extras(job),
        "versions": versions(),
    }


def identity_of_extras(job: GenerateJob) -> dict[str, str]:
    """Folder and format of everything that is written beside images and labels."""
    formats = {"annotations": "json", "masks": "png", "depth": job.depth or "", "normals": "png"}
    return {name: formats[name] for name in job.extras}


def check_same_job(dataset: Dataset, identity: dict[str, Any]) -> None:
    """Refuse to mix data sets.

    Raises:
        DatasetError: naming the first key that differs, or saying that the folder is not a data set.
    """
    if not dataset.manifest.exists():
        images = dataset.root / "images"
        if images.is_dir() and any(images.iterdir()):
            raise DatasetError(
                f"{images}: expected no images or a dataset.json beside the folder, found images without one"
            )
        return
    present = read_identity(dataset.root)
    for key in IDENTITY_KEYS:
        if present.get(key) != identity[key]:
            raise DatasetError(
                f"{dataset.manifest}: {key}: expected {identity[key]!r} to continue this data set, "
                f"found {present.get(key)!r}; choose another folder"
            )


def read_identity(root: Path) -> dict[str, Any]:
    """Return the manifest of a data set; one from before there were extras has none of them.

    Raises:
        DatasetError: it is missing or not a manifest.
    """
    return {"extras": {}, **read_manifest(root)}


def versions() -> dict[str, str]:
    """Return the versions of what decides over a frame's bytes, by package."""
    found = {"opencv": cv2.__version__}
    for name in ("palletjack", "mitsuba", "drjit", "mitsuba-oidn", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
