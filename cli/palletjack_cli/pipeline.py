"""`palletjack pipeline`: from recipe to measured model by one command that can be stopped and resumed."""

from __future__ import annotations

import importlib.util
import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from palletjack_cli.pipeline_profile import (
    PipelineError,
    Stage,
    expand,
    load_profiles,
)
from palletjack_cli.pipeline_run import Machine, Processes, run_stages, visible_gpus

# What a verb imports when it runs, by the name of the verb or of an option given to it.
PACKAGES = {
    "generate": ("mitsuba",),
    "train": ("torch", "lightning"),
    "prune": ("torch", "torch_pruning"),
    "export": ("torch", "onnx"),
    "evaluate": ("onnxruntime",),
    "card": ("onnx",),
    "--qat": ("modelopt", "modelopt_recipes"),
}
HOW_TO_INSTALL = {
    "mitsuba": "the extra [render]",
    "modelopt": "pip install --no-deps nvidia-modelopt==0.47.0",
    "modelopt_recipes": "pip install --no-deps nvidia-modelopt==0.47.0",
}


def pipeline(
    out: Annotated[Path, typer.Option(help="Folder for everything the pipeline makes.")],
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Shipped profile (flagship, resnet18, smoke) or a YAML file; may be given again. "
            "flagship if left out."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that render; 0: one for two cores.")] = 0,
    frames: Annotated[
        Path | None, typer.Option(help="Folder of the training frames; OUT/frames if left out.")
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="Folder of the held-out frames; OUT/held_out if left out.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="annotations.json of labelled photos to evaluate on as well.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Change an option: STAGE.OPTION=VALUE; may be given again.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, help="Stages that run at a time; 0: as many as there are GPUs.")
    ] = 1,
    until: Annotated[str, typer.Option(help="Stop after this stage.")] = "",
    dry_run: Annotated[bool, typer.Option(help="Print the commands and run nothing.")] = False,
) -> None:
    """Generate, train, prune, quantize, export, evaluate and write the model's page, each stage once.

    The same command goes on where the last one stopped. A stage whose options changed, or that builds
    on one that ran again, is run again; what it had left is set aside, not deleted. Several pipelines
    may share --frames and --held-out; several profiles in one share the stages that they have in common.
    With --jobs, stages that do not build on each other run side by side, each that trains on a GPU of
    its own, with logs under OUT/logs.

    Example: `palletjack pipeline --profile smoke --out out/smoke`
    """
    from palletjack_cli.main import app

    variables = {
        "out": str(out),
        "workers": str(workers or max(1, (os.cpu_count() or 2) // 2)),
        "frames": str(frames or out / "frames"),
        "held_out": str(held_out or out / "held_out"),
    }
    if photos is not None:
        variables["photos"] = str(photos)
    try:
        chosen = load_profiles(profile or ["flagship"], option or ())
        stages = _until(expand(chosen, variables), until)
        check_commands(stages, typer.main.get_command(app))
        if dry_run:
            for stage in stages:
                typer.echo(shlex.join(("palletjack", *stage.command)))
            return
        if photos is not None and not photos.is_file():
            raise PipelineError(f"--photos: expected an annotations.json, found {photos}")
        check_packages(stages)
        gpus = visible_gpus() if jobs != 1 else ()
        processes = Processes()
        with processes.ended_together():
            run_stages(chosen, stages, out, processes, Machine(jobs or max(1, len(gpus)), gpus))
    except PipelineError as error:
        typer.secho(f"pipeline: {error}", fg="red", err=True)
        raise typer.Exit(1) from None


def check_commands(stages: list[Stage], root: Any) -> None:
    """Parse every command before the first one runs, so that a typing error costs seconds, not hours.

    ``root`` is the command line as ``typer.main.get_command`` returns it.

    Raises PipelineError naming the stage and what its verb does not take.
    """
    assert isinstance(root, TyperGroup)
    for stage in stages:
        verb, *arguments = stage.command
        command = root.commands.get(verb)
        if command is None:
            raise PipelineError(f"stages.{stage.spec.name}.run: no verb {verb!r}")
        try:
            command.make_context(verb, arguments)
        except Exception as error:
            # Where the class of usage errors lives depends on Typer's version; all of them format themselves.
            if not hasattr(error, "format_message"):
                raise
            raise PipelineError(f"stages.{stage.spec.name}: {error.format_message()}") from error


def check_packages(stages: list[Stage]) -> None:
    """Look for what the stages import before the first one runs: a training may be hours away.

    Raises PipelineError naming the stage, the package and how to install it.
    """
    for stage in stages:
        for word in stage.command:
            for package in PACKAGES.get(word, ()):
                if importlib.util.find_spec(package) is None:
                    how = HOW_TO_INSTALL.get(package, "the extra [train]")
                    raise PipelineError(f"stages.{stage.spec.name}: needs the package {package}: {how}")


def _until(stages: list[Stage], last: str) -> list[Stage]:
    if not last:
        return stages
    names = [stage.spec.name for stage in stages]
    if last not in names:
        raise PipelineError(f"--until: expected one of {', '.join(names)}, found {last!r}")
    return stages[: names.index(last) + 1]
