"""`palletjack demo`: the whole chain on this machine, and a page that shows it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from palletjack_cli.repository import repository_root

RECIPE = "warehouse_v1"
LABELLED_SEED = 7
# Frames that stand in for photos where there are none: a seed that no shipped model was trained on.
HELD_OUT_SEED = 990001
SCENARIO = "head_on"
DURATION_S = 20.0
# Left in the report's folder: only in a folder that bears it does a later run remove anything.
MARKER = ".palletjack-demo"
RESULTS = ("detections", "closed_loop", "pictures")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report and everything in it.")] = Path("out/demo"),
    images: Annotated[
        Path | None,
        typer.Option(
            help="Images to detect in; default: the labelled photos, or rendered frames where there are none."
        ),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Model folder; default: the shipped one.")] = None,
    frames: Annotated[int, typer.Option(help="Frames to render.", min=1)] = 8,
) -> None:
    """Render and label frames, detect through a real ROS 2 graph, drive the closed loop, write a report.

    Example: `palletjack demo --images ~/photos --out out/demo`
    """
    from palletjack_cli import demo_report
    from palletjack_detection.image_files import ImageFileError, list_images

    started = time.monotonic()
    root = repository_root()
    out = out.resolve()
    model = (model or root / "models" / "palletjack_lite").resolve()
    if images is not None:
        try:
            list_images(images)
        except ImageFileError as error:
            typer.secho(f"demo: --images: {error}", fg="red", err=True)
            raise typer.Exit(2) from None
    try:
        prepare(out, images)
    except (ValueError, OSError) as error:
        typer.secho(f"demo: --out: {error}", fg="red", err=True)
        raise typer.Exit(2) from None

    step("1/4", f"rendering {frames} frames of recipe {RECIPE}")
    dataset = out / "frames"
    generate(RECIPE, LABELLED_SEED, frames, dataset)

    photos = images or root.parent / "shared" / "loco" / "images"
    if not photos.is_dir():
        photos = out / "held_out" / "images"
        generate(RECIPE, HELD_OUT_SEED, frames, photos.parent)
    step("2/4", f"detecting in {photos} through ros2 launch")
    detect(root, model, photos.resolve(), out / "detections")

    step("3/4", f"driving the closed loop: {SCENARIO}, {DURATION_S:.0f} simulated seconds")
    loop_exit = drive(SCENARIO, model, out / "closed_loop")

    step("4/4", "writing the report")
    try:
        summary = demo_report.write(
            out=out,
            recipe=RECIPE,
            dataset=dataset,
            photos=photos.resolve(),
            detections=out / "detections",
            closed_loop=out / "closed_loop",
            model=model,
            seconds=time.monotonic() - started,
        )
    except (ValueError, OSError) as error:
        typer.secho(f"demo: no report: {error}", fg="red", err=True)
        raise typer.Exit(1) from None
    typer.echo(summary.describe())
    typer.echo(f"report: {out / 'index.html'}")
    if loop_exit != 0:
        typer.secho(f"demo: the closed loop ended with exit code {loop_exit}", fg="red", err=True)
        raise typer.Exit(1)


def prepare(out: Path, images: Path | None) -> None:
    """Make ``out`` the demo's own folder and remove the results and report of an earlier run from it.

    Were a step to leave nothing, the report must not show an earlier run's.

    Raises:
        ValueError: ``out`` holds something else than an earlier demo, or ``images`` would be removed.
        OSError: ``out`` cannot be made, or a result cannot be removed.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: expected a folder, found a file")
    if out.is_dir() and not (out / MARKER).exists() and any(out.iterdir()):
        raise ValueError(f"{out}: expected a new folder or that of an earlier demo, found other files")
    if images is not None:
        for name in RESULTS:
            if images.resolve().is_relative_to(out / name):
                raise ValueError(f"{out}: expected --images outside {name}/, which the demo makes anew")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()
    for name in RESULTS:
        if (out / name).exists():
            shutil.rmtree(out / name)
    for name in ("index.html", "summary.json"):
        (out / name).unlink(missing_ok=True)


def step(number: str, what: str) -> None:
    """Say which part of the demo begins."""
    typer.secho(f"[{number}] {what}", bold=True)


def generate(recipe: str, seed: int, frames: int, out: Path) -> None:
    """Render a data set with the embedded renderer; frames of the same job that are there are kept."""
    if not can_continue(recipe, seed, frames, out):
        shutil.rmtree(out)
    run(
        palletjack(
            "generate", "--recipe", recipe, "--seed", str(seed), "--frames", str(frames), "--out", str(out)
        )
    )


def can_continue(recipe: str, seed: int, frames: int, out: Path) -> bool:
    """Whether ``out`` is no data set yet, or one of this job's with no more frames than it asks for."""
    from palletjack_sdg.dataset import DatasetError, read_manifest
    from palletjack_sdg.generate import GenerateJob, check_same_job, job_identity
    from palletjack_sdg.recipe import load_recipe

    job = GenerateJob(recipe=recipe, out=out, frames=frames, seed=seed)
    if not job.dataset.manifest.exists():
        return True
    try:
        check_same_job(job.dataset, job_identity(job, load_recipe(recipe)))
        return int(read_manifest(out)["counts"]["frames"]) <= frames
    except DatasetError:
        return False


def detect(root: Path, model: Path, images: Path, out: Path) -> None:
    """Publish ``images`` to the detector node and collect its answers, in the launched graph."""
    launch = ["ros2", "launch", "palletjack_detection", "detect.launch.py", "camera:=images"]
    launch += [f"image_dir:={images}", f"model:={model}", f"output:={out}"]
    setup = root / "ros2_ws" / "install" / "setup.bash"
    run(["bash", "-c", f"source {shlex.quote(str(setup))} && exec {shlex.join(launch)}"])


def drive(scenario: str, model: Path, out: Path) -> int:
    """Run the closed loop and return its exit code: 0 passed, 1 failed; anything else is an error.

    A simulator that was killed leaves a negative code and no result.
    """
    command = palletjack("simulate", scenario, "--model", str(model), "--out", str(out))
    return subprocess.call([*command, "--duration", str(DURATION_S)])


def palletjack(*arguments: str) -> list[str]:
    """Return the command line that runs a `palletjack` verb in this interpreter."""
    return [sys.executable, "-m", "palletjack_cli.main", *arguments]


def run(command: list[str]) -> None:
    """Run ``command`` and stop the demo with its exit code when it fails."""
    code = subprocess.call(command)
    if code != 0:
        typer.secho(f"demo: this step ended with exit code {code}: {shlex.join(command)}", fg="red", err=True)
        raise typer.Exit(code)
