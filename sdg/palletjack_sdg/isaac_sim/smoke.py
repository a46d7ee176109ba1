"""Five frames on a machine where Isaac Sim runs for the first time: what was seen, and whether it is right.

The checks hold what the renderer gave to the geometry that it was given: a mask that is shifted, mirrored or
scaled, a depth in other units, or a gamma curve would each make a data set that looks fine and teaches wrong.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from palletjack_sdg.generate import FrameReport, GenerateJob
from palletjack_sdg.inspect_dataset import draw_contact_sheet, inspect_dataset
from palletjack_sdg.isaac_sim.annotators import black_share
from palletjack_sdg.isaac_sim.app import IsaacSim
from palletjack_sdg.isaac_sim.capture import Finish, IsaacRenderer, IsaacSettings
from palletjack_sdg.projection import project, to_camera
from palletjack_sdg.render.base import RenderResult
from palletjack_sdg.scene import Instance, Scene
from palletjack_sdg.whole_file import write_whole

SMOKE_FRAMES = 5
SMOKE_FILE, SHEET_FILE = "smoke.json", "contact_sheet.png"
# A mask may reach this far out of the object's projected corners: anti-aliasing and the nearest pixel.
BOX_TOLERANCE_PX = 2.0
# Objects with fewer pixels say nothing.
FEWEST_PIXELS = 50
DEPTH_TOLERANCE_M = 0.05


@dataclass(frozen=True)
class Check:
    """One line of the list: what was expected, whether it holds, and what was found."""

    name: str
    passed: bool
    found: str


@dataclass
class FrameSight:
    """What the renderer gave for one frame, in numbers."""

    objects: int = 0
    seen: int = 0
    mask_outside_px: float = 0.0
    depth_outside_m: float = 0.0
    unknown_ids: int = 0
    black: float = 0.0
    brightest: float = 0.0
    median: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SmokeReport:
    """All checks, and what a maintainer needs to know about the machine."""

    checks: tuple[Check, ...]
    facts: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return all(check.passed for check in self.checks)

    def lines(self) -> list[str]:
        """Return the list for people."""
        rows = [f"[{'x' if c.passed else ' '}] {c.name}: {c.found}" for c in self.checks]
        return [*rows, "every check passed" if self.passed else "at least one check failed"]


class SmokeRenderer:
    """Passes scenes on to ``renderer`` and measures what comes back."""

    def __init__(self, renderer: IsaacRenderer) -> None:
        self._renderer = renderer
        self.sights: list[FrameSight] = []

    @property
    def description(self) -> dict[str, object]:
        """Of the renderer behind."""
        return self._renderer.description

    def render(self, scene: Scene, seed: int = 0) -> RenderResult:
        """Render and measure."""
        result = self._renderer.render(scene, seed)
        self.sights.append(measure(scene, result))
        return result

    def capture(self, scene: Scene, finish: Finish) -> None:
        """Render and measure before ``finish``."""

        def measured(result: RenderResult) -> None:
            self.sights.append(measure(scene, result))
            finish(result)

        self._renderer.capture(scene, measured)


def measure(scene: Scene, result: RenderResult) -> FrameSight:
    """Hold masks and depths of ``result`` to the corners of each object of ``scene``."""
    light = result.linear.max(axis=2)
    sight = FrameSight(
        objects=len(scene.instances),
        black=black_share(result.linear),
        brightest=float(light.max()),
        median=float(np.median(light)),
    )
    known = {instance.instance_id for instance in scene.instances}
    present, counts = np.unique(result.instance_ids, return_counts=True)
    sight.unknown_ids = len(set(present.tolist()) - known - {0})
    enough = set(present[counts >= FEWEST_PIXELS].tolist())
    for instance in scene.instances:
        if instance.instance_id in enough:
            sight.seen += 1
            _hold(instance, scene, result, sight)
    return sight


def _hold(instance: Instance, scene: Scene, result: RenderResult, sight: FrameSight) -> None:
    vertices = np.concatenate([part.vertices for part in instance.prop.parts])
    corners = to_camera(scene.camera, vertices @ instance.pose[:3, :3].T + instance.pose[:3, 3])
    if corners[:, 2].min() <= 0.1:
        # It reaches behind the camera: its projection has no bounds.
        return
    pixels = project(scene.camera, corners)
    rows, columns = np.nonzero(result.instance_ids == instance.instance_id)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    outside = max(
        low[0] - columns.min(), columns.max() + 1 - high[0], low[1] - rows.min(), rows.max() + 1 - high[1]
    )
    sight.mask_outside_px = max(sight.mask_outside_px, float(outside))
    depths = result.depth[rows, columns]
    # The mask's pixel and the depth's may be of two surfaces at an edge; the middle of the mask is not.
    middle = float(np.median(depths))
    away = max(float(corners[:, 2].min()) - middle, middle - float(corners[:, 2].max()))
    sight.depth_outside_m = max(sight.depth_outside_m, away if np.isfinite(away) else 1e9)


def run_checks(
    sim: IsaacSim,
    settings: IsaacSettings,
    job: GenerateJob,
    renderer: SmokeRenderer,
    reports: Sequence[FrameReport],
) -> SmokeReport:
    """Judge the frames, look over the data set, and write smoke.json and a contact sheet beside it."""
    # Of five frames most may be empty by chance.
    data = inspect_dataset(job.out, max_empty=1.0)
    errors = {report.index: report.error for report in reports if report.error is not None}
    checks = (*_frame_checks(renderer.sights), _dataset_check(data.problems, errors))
    facts = {
        "format": "palletjack-isaac-smoke/1",
        "isaac_sim": sim.version,
        "release": asdict(sim.release),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "executable": sys.executable,
        "settings": settings.identity(),
        "recipe": job.recipe,
        "seed": job.seed,
        "seconds": {report.index: report.seconds for report in reports},
        "errors": errors,
        "frames": [asdict(sight) for sight in renderer.sights],
        "statistics": data.summary_lines(),
        "checks": [asdict(check) for check in checks],
    }
    write_whole(job.out / SMOKE_FILE, (json.dumps(facts, indent=2) + "\n").encode())
    if data.frames:
        draw_contact_sheet(data, job.out / SHEET_FILE)
    files = [path for path in (job.out / SMOKE_FILE, job.out / SHEET_FILE) if Path(path).is_file()]
    told = Check("files to look at and to send us", True, ", ".join(str(path) for path in files))
    return SmokeReport((*checks, told), facts)


def _frame_checks(sights: Sequence[FrameSight]) -> tuple[Check, ...]:
    if not sights:
        return (Check("frames are rendered in this run", False, "none; give another --out"),)
    seen = sum(sight.seen for sight in sights)
    outside = max(sight.mask_outside_px for sight in sights)
    away = max(sight.depth_outside_m for sight in sights)
    unknown = sum(sight.unknown_ids for sight in sights)
    black = max(sight.black for sight in sights)
    brightest = max(sight.brightest for sight in sights)
    return (
        Check(f"{SMOKE_FRAMES} frames are rendered", len(sights) == SMOKE_FRAMES, str(len(sights))),
        Check("objects are found in the masks", seen > 0, f"{seen} of all with enough pixels"),
        Check("every id belongs to an object", unknown == 0, f"{unknown} do not"),
        Check(
            f"masks lie within {BOX_TOLERANCE_PX:.0f} px of their object's corners",
            outside <= BOX_TOLERANCE_PX,
            f"{outside:.1f} px outside at most",
        ),
        Check(
            f"depths lie within {DEPTH_TOLERANCE_M} m of their object's",
            away <= DEPTH_TOLERANCE_M,
            f"{away:.3f} m outside at most",
        ),
        Check("no part of a frame is black", black < 0.01, f"{black:.1%} at most"),
        # Tone mapped colours end at 1; a lamp in view is far brighter than what it lights.
        Check("colours are linear radiance", brightest > 1.0, f"brightest {brightest:.3g}"),
    )


def _dataset_check(problems: Sequence[str], errors: dict[int, str]) -> Check:
    every = [*problems, *(f"frame {index}: {error}" for index, error in errors.items())]
    return Check("the data set passes `palletjack inspect`", not every, "; ".join(every[:5]) or "no problem")
