"""Makes a data set with Isaac Sim, by the recipe, plan, lens, sensor and labels of `palletjack generate`.

Run with Isaac Sim's Python:

    ./python.sh -m palletjack_sdg.isaac_sim.generate --recipe warehouse_v1 --frames 8 --out out/frames_isaac
    ./python.sh -m palletjack_sdg.isaac_sim.generate --smoke --out out/smoke

A run that was killed goes on where it was when the same command is given again. Exit code 0: all frames
are there (and with --smoke every check passed), 1: some failed, 2: it could not start.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path

from palletjack_sdg.dataset import DatasetError
from palletjack_sdg.generate import FrameReport, GenerateJob, GenerateSummary, generate
from palletjack_sdg.isaac_sim.app import IsaacSim, IsaacSimError
from palletjack_sdg.isaac_sim.assets import AssetSwap, load_assets
from palletjack_sdg.isaac_sim.capture import IsaacRenderer, IsaacSettings
from palletjack_sdg.isaac_sim.frame_writer import CapturedFrameMaker
from palletjack_sdg.isaac_sim.lens import NO_ENVIRONMENT, NO_SUN
from palletjack_sdg.isaac_sim.releases import ReleaseError
from palletjack_sdg.isaac_sim.smoke import SMOKE_FRAMES, SmokeRenderer, run_checks
from palletjack_sdg.isaac_sim.surroundings import without_room
from palletjack_sdg.isaac_sim.usd_environment import HALL
from palletjack_sdg.recipe import RecipeError
from palletjack_sdg.recipe_mix import RecipeMix, load_recipes
from palletjack_sdg.render.base import RenderError
from palletjack_sdg.scene import Scene

Listener = Callable[[FrameReport], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code."""
    arguments = _parse(argv)
    try:
        job = GenerateJob(
            recipe=arguments.recipe,
            out=arguments.out,
            frames=SMOKE_FRAMES if arguments.smoke else arguments.frames,
            seed=arguments.seed,
            start=arguments.start,
            image_format=arguments.image_format,
            plans=arguments.plans or arguments.smoke,
            annotations=arguments.annotations,
            masks=arguments.masks,
            time_limit_s=arguments.time_limit or None,
        )
        settings = IsaacSettings(
            arguments.mode,
            arguments.spp,
            arguments.subframes,
            arguments.assets,
            arguments.environment,
            arguments.environment_origin,
        )
        # A wrong recipe should not cost the minute that Isaac Sim takes to start.
        recipe = load_recipes(job.recipe)
        for member in recipe.recipes if isinstance(recipe, RecipeMix) else (recipe,):
            if set(member.light.environments) - {"plain"}:
                raise RecipeError(f"{member.name}: {NO_ENVIRONMENT}")
            if member.light.sun:
                raise RecipeError(f"{member.name}: {NO_SUN}")
        sim = IsaacSim(
            headless=not arguments.window,
            renderer="PathTracing" if settings.mode == "path_traced" else None,
        )
    except (ValueError, RecipeError, IsaacSimError, ReleaseError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        renderer = IsaacRenderer(sim, settings, arguments.capture, arguments.staging)
        try:
            return _run(sim, renderer, job, smoke=arguments.smoke)
        finally:
            renderer.close()
    except (DatasetError, RenderError, IsaacSimError, ReleaseError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        sim.close()


def _run(sim: IsaacSim, renderer: IsaacRenderer, job: GenerateJob, *, smoke: bool) -> int:
    settings = renderer.settings
    print(f"Isaac Sim {sim.version}, names of release {sim.release.name} ({sim.release.read})", flush=True)
    if smoke:
        watched = SmokeRenderer(renderer)
        maker = CapturedFrameMaker(job, watched, _dress(sim, settings))
        reports: list[FrameReport] = []
        summary = generate(job, _telling(job, reports.append), maker=maker, render=settings.identity())
        checks = run_checks(sim, settings, job, watched, reports)
        print("\n".join(checks.lines()), flush=True)
        return 0 if checks.passed and not summary.failed else 1
    maker = CapturedFrameMaker(job, renderer, _dress(sim, settings))
    summary = generate(job, _telling(job), maker=maker, render=settings.identity())
    print(_described(job, summary), flush=True)
    if summary.stopped == "interrupted":
        return 130
    return 1 if summary.failed else 0


def _dress(sim: IsaacSim, settings: IsaacSettings) -> Callable[[Scene], Scene] | None:
    """What changes in a scene before it is rendered: its trucks, its room."""
    steps: list[Callable[[Scene], Scene]] = []
    if settings.environment != HALL:
        steps.append(without_room)
    if settings.assets == "nvidia":
        assets = load_assets()
        relative = any("://" not in asset.url for family in assets.values() for asset in family)
        steps.append(AssetSwap(assets, sim.assets_root() if relative else ""))
    return (lambda scene: reduce(lambda done, change: change(done), steps, scene)) if steps else None


def _telling(job: GenerateJob, listener: Listener | None = None) -> Listener:
    done = 0

    def tell(report: FrameReport) -> None:
        nonlocal done
        done += 1
        outcome = report.error or f"{sum(report.seconds.values()):.1f} s"
        print(f"[{done}/{job.frames}] frame {report.index}: {outcome}", flush=True)
        if listener is not None:
            listener(report)

    return tell


def _described(job: GenerateJob, summary: GenerateSummary) -> str:
    return (
        f"{job.out}: {len(summary.written)} frames written, {summary.skipped} there before, "
        f"{len(summary.failed)} failed, {summary.remaining} left, {summary.seconds:.0f} s"
        + (f"; stopped: {summary.stopped}" if summary.stopped else "")
    )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python.sh -m palletjack_sdg.isaac_sim.generate", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--recipe", default="warehouse_v1", help="shipped recipe by name, or a YAML file")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="index of the first frame")
    parser.add_argument(
        "--mode",
        choices=("path_traced", "real_time"),
        default="path_traced",
        help="real_time: the release's default renderer",
    )
    parser.add_argument("--spp", type=int, default=64, help="paths per pixel of path_traced")
    parser.add_argument("--subframes", type=int, default=16, help="renders in which a frame settles")
    parser.add_argument(
        "--assets",
        choices=("parametric", "nvidia"),
        default="parametric",
        help="nvidia: its palletjack USD assets in place of ours (existence not verified)",
    )
    parser.add_argument(
        "--environment",
        default=HALL,
        help="in place of the plan's room: simple_warehouse or full_warehouse, NVIDIA's (existence not "
        "verified), a USD file, an address, or a path below Isaac Sim's asset root",
    )
    parser.add_argument(
        "--environment-origin",
        default="",
        help="X,Y,YAW of the frame's middle in the environment, metres and degrees (default: the name's)",
    )
    parser.add_argument(
        "--staging",
        choices=("functional", "stages"),
        help="functional: one stage, on which Replicator's functional API sets each plan (Isaac Sim 6, its "
        "default); stages: a stage for each frame; same pictures",
    )
    parser.add_argument(
        "--capture",
        choices=("writer", "annotators"),
        default="writer",
        help="writer: Replicator calls a writer of ours; annotators: they are asked one by one; same files",
    )
    parser.add_argument("--annotations", action="store_true", help="write every object's numbers as JSON")
    parser.add_argument("--masks", action="store_true", help="write instance masks")
    parser.add_argument("--image-format", choices=("jpg", "png"), default="jpg")
    parser.add_argument("--plans", action="store_true", help="write each frame's plan too")
    parser.add_argument("--time-limit", type=float, default=0.0, help="begin no frame after SECONDS")
    parser.add_argument("--window", action="store_true", help="show Isaac Sim's window")
    parser.add_argument("--smoke", action="store_true", help="five frames, each checked, and smoke.json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
