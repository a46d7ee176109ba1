"""`palletjack demo`: the whole chain on this machine, and a page that shows it."""

from __future__ import annotations

import shlex
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

    started = time.monotonic()
    root = repository_root()
    out = out.resolve()
    model = (model or root / "models" / "palletjack_lite").resolve()
    if images is not None and not images.is_dir():
        raise typer.BadParameter(f"{images}: expected a folder of images", param_hint="--images")

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
    typer.echo(summary.describe())
    typer.echo(f"report: {out / 'index.html'}")
    if loop_exit > 1:
        raise typer.Exit(loop_exit)


def step(number: str, what: str) -> None:
    """Say which part of the demo begins."""
    typer.secho(f"[{number}] {what}", bold=True)


def generate(recipe: str, seed: int, frames: int, out: Path) -> None:
    """Render a data set with the embedded renderer; frames that are already there are kept."""
    run(
        palletjack(
            "generate", "--recipe", recipe, "--seed", str(seed), "--frames", str(frames), "--out", str(out)
        )
    )


def detect(root: Path, model: Path, images: Path, out: Path) -> None:
    """Publish ``images`` to the detector node and collect its answers, in the launched graph."""
    launch = ["ros2", "launch", "palletjack_detection", "detect.launch.py", "camera:=images"]
    launch += [f"image_dir:={images}", f"model:={model}", f"output:={out}"]
    setup = root / "ros2_ws" / "install" / "setup.bash"
    run(["bash", "-c", f"source {shlex.quote(str(setup))} && exec {shlex.join(launch)}"])


def drive(scenario: str, model: Path, out: Path) -> int:
    """Run the closed loop and return its exit code: 0 passed, 1 failed; anything else is an error."""
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
