"""`palletjack pipeline`: from recipe to measured model by one command that can be stopped and resumed.

What was run is kept in ``pipeline.json``: for each stage a fingerprint of its command and of the stages
it builds on, and how it ended. A stage whose fingerprint and result are still there is not run again.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from palletjack_cli.pipeline_profile import (
    PipelineError,
    PipelineProfile,
    Stage,
    expand,
    load_profile,
)

STATE = "pipeline.json"
STATE_FORMAT = "palletjack-pipeline/1"

# What a verb imports when it runs, by the name of the verb or of an option given to it.
PACKAGES = {
    "generate": ("mitsuba",),
    "train": ("torch", "lightning"),
    "prune": ("torch", "torch_pruning"),
    "export": ("torch", "onnx"),
    "evaluate": ("onnxruntime",),
    "--qat": ("modelopt", "modelopt_recipes"),
}
HOW_TO_INSTALL = {
    "mitsuba": "the extra [render]",
    "modelopt": "pip install --no-deps nvidia-modelopt==0.47.0",
    "modelopt_recipes": "pip install --no-deps nvidia-modelopt==0.47.0",
}

Runner = Callable[[tuple[str, ...]], int]


def pipeline(
    out: Annotated[Path, typer.Option(help="Folder for everything the pipeline makes.")],
    profile: Annotated[
        str, typer.Option(help="Shipped profile (flagship, resnet18, smoke) or a YAML file.")
    ] = "flagship",
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
    until: Annotated[str, typer.Option(help="Stop after this stage.")] = "",
    dry_run: Annotated[bool, typer.Option(help="Print the commands and run nothing.")] = False,
) -> None:
    """Generate, train, prune, quantize, export and evaluate, each stage once.

    The same command goes on where the last one stopped. A stage whose options changed, or that builds
    on one that ran again, is run again; what it had left is set aside, not deleted. Several pipelines
    may share --frames and --held-out.

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
        chosen = load_profile(profile, option or ())
        stages = _until(expand(chosen, variables), until)
        check_commands(stages, typer.main.get_command(app))
        if dry_run:
            for stage in stages:
                typer.echo(shlex.join(("palletjack", *stage.command)))
            return
        if photos is not None and not photos.is_file():
            raise PipelineError(f"--photos: expected an annotations.json, found {photos}")
        check_packages(stages)
        run_stages(chosen, stages, out, _palletjack)
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


def run_stages(profile: PipelineProfile, stages: list[Stage], out: Path, runner: Runner) -> None:
    """Run what is not done yet, in order, and keep the record in ``out``.

    Raises PipelineError when a stage fails or leaves no result; what was done stays done.
    """
    out.mkdir(parents=True, exist_ok=True)
    record = _read_record(out, profile)
    fingerprints: dict[str, str] = {}
    for number, stage in enumerate(stages, 1):
        name = stage.spec.name
        fingerprints[name] = _fingerprint(stage, fingerprints)
        entry = record["stages"].get(name, {})
        same = entry.get("fingerprint") == fingerprints[name]
        if same and entry.get("status") == "done" and stage.result.exists():
            typer.echo(f"[{number}/{len(stages)}] {name}: done before")
            continue
        command = _prepare(stage, same)
        typer.secho(f"[{number}/{len(stages)}] {name}: {shlex.join(('palletjack', *command))}", bold=True)
        entry = {
            "fingerprint": fingerprints[name],
            "command": list(command),
            "started": _now(),
            "status": "running",
        }
        record["stages"][name] = entry
        _write_record(out, record)
        began = time.monotonic()
        try:
            code = runner(command)
        except KeyboardInterrupt:
            code = 130
        entry["seconds"] = round(time.monotonic() - began, 1)
        failed = code != 0 or not stage.result.exists()
        entry["status"] = "failed" if failed else "done"
        _write_record(out, record)
        if failed:
            reason = f"exit code {code}" if code else f"it left no {stage.result}"
            raise PipelineError(f"stage {name} failed: {reason}; the same command goes on from here")
    typer.echo(f"pipeline {profile.name}: {len(stages)} stages done in {out}")


def _prepare(stage: Stage, same: bool) -> tuple[str, ...]:
    """The command to run, after what another command had left in its place is set aside."""
    if same:
        if stage.resume_when is not None and stage.resume_when.exists():
            assert stage.spec.resume is not None
            return (*stage.command, f"--{stage.spec.resume.flag}")
    elif stage.spec.stale == "set_aside" and stage.makes.exists():
        number = 1
        while (old := stage.makes.with_name(f"{stage.makes.name}.old{number}")).exists():
            number += 1
        stage.makes.rename(old)
        typer.echo(f"{stage.makes}: made by another command; kept as {old.name}")
    return stage.command


def _fingerprint(stage: Stage, earlier: dict[str, str]) -> str:
    content = [list(stage.identity), [earlier.get(need, "") for need in stage.spec.needs]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _until(stages: list[Stage], last: str) -> list[Stage]:
    if not last:
        return stages
    names = [stage.spec.name for stage in stages]
    if last not in names:
        raise PipelineError(f"--until: expected one of {', '.join(names)}, found {last!r}")
    return stages[: names.index(last) + 1]


def _read_record(out: Path, profile: PipelineProfile) -> dict[str, Any]:
    path = out / STATE
    fresh: dict[str, Any] = {"format": STATE_FORMAT, "profile": profile.name, "stages": {}}
    if not path.exists():
        return fresh
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise PipelineError(f"{path}: expected JSON, found {error}") from error
    if record.get("format") != STATE_FORMAT:
        raise PipelineError(f"{path}: format: expected {STATE_FORMAT!r}, found {record.get('format')!r}")
    if record.get("profile") != profile.name:
        raise PipelineError(
            f"{path}: profile: expected {profile.name!r}, found {record.get('profile')!r}; "
            "choose another --out"
        )
    return dict(record)


def _write_record(out: Path, record: dict[str, Any]) -> None:
    temporary = out / f".{STATE}.tmp"
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(temporary, out / STATE)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _palletjack(command: tuple[str, ...]) -> int:
    return subprocess.call([sys.executable, "-m", "palletjack_cli.main", *command])
