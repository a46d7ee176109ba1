"""Running a pipeline's stages: each when what it needs is done, several at once where the machine allows.

What was run is kept in ``pipeline.json``: for each stage a fingerprint of its command and of the stages
it builds on, and how it ended. A stage whose fingerprint and result are still there is not run again, unless
what it builds on was made anew: ``made`` names each making of a result, ``builds_on`` those that a stage had.
What lies in a result is not looked at, so that a later stage may add to it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from palletjack_cli.pipeline_profile import PipelineError, PipelineProfile, Stage

STATE = "pipeline.json"
STATE_FORMAT = "palletjack-pipeline/1"

# Verbs that train on a GPU where there is one. The others use processors, or share all GPUs out themselves.
GPU_VERBS = ("train", "prune")


@dataclass(frozen=True)
class Place:
    """Where a stage runs: on one ``gpu`` ("": all that there are), its output into ``log`` (None: here)."""

    gpu: str = ""
    log: Path | None = None


Runner = Callable[[tuple[str, ...], Place], int]


@dataclass
class Machine:
    """What may run at a time: ``jobs`` stages, and on ``gpus`` besides as many that train.

    With one job a stage has all GPUs; with several, each that trains gets the least busy one.
    """

    jobs: int = 1
    gpus: tuple[str, ...] = ()
    _running: dict[str, Place] = field(default_factory=dict)

    def has_room(self, stage: Stage) -> bool:
        """Whether ``stage`` may start now."""
        wants = self._wants_gpu(stage)
        return sum(bool(place.gpu) == wants for place in self._running.values()) < self.jobs

    def enter(self, stage: Stage, logs: Path) -> Place:
        """Count ``stage`` as running and say where."""
        name, gpu = stage.spec.name, ""
        if self._wants_gpu(stage):
            busy = [place.gpu for place in self._running.values()]
            gpu = min(self.gpus, key=busy.count)
        place = Place(gpu, logs / f"{name}.log" if self.jobs > 1 else None)
        self._running[name] = place
        return place

    def leave(self, stage: Stage) -> None:
        """Count ``stage`` as ended."""
        self._running.pop(stage.spec.name)

    def _wants_gpu(self, stage: Stage) -> bool:
        return self.jobs > 1 and bool(self.gpus) and stage.spec.run in GPU_VERBS


def visible_gpus() -> tuple[str, ...]:
    """Indices of the NVIDIA GPUs, those of CUDA_VISIBLE_DEVICES where it is set."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(item.strip() for item in chosen.split(",") if item.strip())
    if shutil.which("nvidia-smi") is None:
        return ()
    words = ("nvidia-smi", "--query-gpu=index", "--format=csv,noheader")
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return tuple(found.stdout.split()) if found.returncode == 0 else ()


def run_stages(
    profile: PipelineProfile,
    stages: Sequence[Stage],
    out: Path,
    runner: Runner,
    machine: Machine | None = None,
) -> None:
    """Run what is not done yet, each stage after those it needs, and keep the record in ``out``.

    A stage that fails takes along what needs it; the others go on.
    Raises PipelineError when a stage fails or leaves no result; what was done stays done.
    """
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(profile, stages, out, runner, machine or Machine())
    run.to_the_end()
    if run.failures:
        raise PipelineError("\n".join([*run.failures, "the same command goes on from here"]))
    typer.echo(f"pipeline {profile.name}: {len(stages)} stages done in {out}")


class _Run:
    """One call of ``run_stages``."""

    def __init__(
        self,
        profile: PipelineProfile,
        stages: Sequence[Stage],
        out: Path,
        runner: Runner,
        machine: Machine,
    ) -> None:
        self.failures: list[str] = []
        self._stages, self._out, self._runner, self._machine = stages, out, runner, machine
        self._record = _read_record(out, profile)
        self._fingerprints: dict[str, str] = {}
        for stage in stages:
            self._fingerprints[stage.spec.name] = _fingerprint(stage, self._fingerprints)
        self._waiting = list(stages)
        self._done: set[str] = set()
        self._stopped = False

    def to_the_end(self) -> None:
        """Start what can start whenever something has ended, until nothing is left or can start."""
        running: dict[Future[int], tuple[Stage, Place, float]] = {}
        with ThreadPoolExecutor(2 * self._machine.jobs) as pool:
            while True:
                for stage in self._startable():
                    command, place = self._start(stage)
                    running[pool.submit(self._runner, command, place)] = (stage, place, time.monotonic())
                if not running:
                    return
                try:
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                except KeyboardInterrupt:
                    # The stages have had the signal too and keep what they have.
                    self._stopped = True
                    continue
                for future in ended:
                    stage, place, began = running.pop(future)
                    self._end(stage, place, future.result(), time.monotonic() - began)

    def _startable(self) -> Iterator[Stage]:
        for stage in list(self._waiting):
            if self._stopped or (self.failures and self._machine.jobs == 1):
                return
            if not self._ready(stage):
                continue
            if self._is_done(stage):
                self._waiting.remove(stage)
                self._done.add(stage.spec.name)
                typer.echo(f"{self._number(stage)} {stage.spec.name}: done before")
            elif self._machine.has_room(stage):
                self._waiting.remove(stage)
                yield stage

    def _ready(self, stage: Stage) -> bool:
        # A need that is not among the stages of this run was left out with its requirement.
        return all(need in self._done for need in stage.spec.needs if need in self._fingerprints)

    def _is_done(self, stage: Stage) -> bool:
        entry = self._record["stages"].get(stage.spec.name, {})
        return self._is_same(stage) and entry.get("status") == "done" and stage.result.exists()

    def _is_same(self, stage: Stage) -> bool:
        entry = self._record["stages"].get(stage.spec.name, {})
        present = self._builds_on(stage)
        # Records from before there were makings say nothing of them.
        return bool(
            entry.get("fingerprint") == self._fingerprints[stage.spec.name]
            and entry.get("builds_on", present) == present
        )

    def _builds_on(self, stage: Stage) -> dict[str, str]:
        """The making of each result that ``stage`` needs, as far as the record names it."""
        stages = self._record["stages"]
        return {need: stages.get(need, {}).get("made", "") for need in stage.spec.needs}

    def _making(self, stage: Stage, command: tuple[str, ...]) -> str:
        """A new name, or the present one where ``command`` goes on with what is there."""
        goes_on = stage.spec.stale == "keep" or len(command) > len(stage.command)
        before = str(self._record["stages"].get(stage.spec.name, {}).get("made", ""))
        return before if before and goes_on and self._is_same(stage) else uuid.uuid4().hex[:12]

    def _start(self, stage: Stage) -> tuple[tuple[str, ...], Place]:
        command = _prepare(stage, self._is_same(stage))
        place = self._machine.enter(stage, self._out / "logs")
        name = stage.spec.name
        on = f" (GPU {place.gpu})" if place.gpu else ""
        shown = shlex.join(("palletjack", *command))
        typer.secho(f"{self._number(stage)} {name}{on}: {shown}", bold=True)
        self._record["stages"][name] = {
            "fingerprint": self._fingerprints[name],
            "command": list(command),
            "made": self._making(stage, command),
            "builds_on": self._builds_on(stage),
            "started": _now(),
            "status": "running",
        }
        _write_record(self._out, self._record)
        return command, place

    def _end(self, stage: Stage, place: Place, code: int, seconds: float) -> None:
        self._machine.leave(stage)
        name = stage.spec.name
        entry = self._record["stages"][name]
        entry["seconds"] = round(seconds, 1)
        failed = code != 0 or not stage.result.exists()
        entry["status"] = "failed" if failed else "done"
        _write_record(self._out, self._record)
        if not failed:
            self._done.add(name)
            if place.log is not None:
                typer.echo(f"{self._number(stage)} {name}: done in {seconds:.0f} s")
            return
        reason = f"exit code {code}" if code else f"it left no {stage.result}"
        where = f"; see {place.log}" if place.log is not None else ""
        self.failures.append(f"stage {name} failed: {reason}{where}")

    def _number(self, stage: Stage) -> str:
        return f"[{self._stages.index(stage) + 1}/{len(self._stages)}]"


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


class Processes:
    """The runner of real stages: a process for each verb, which a signal to the pipeline reaches as well."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._told_to_end = False

    def __call__(self, command: tuple[str, ...], place: Place) -> int:
        environment = dict(os.environ)
        if place.gpu:
            environment["CUDA_VISIBLE_DEVICES"] = place.gpu
        words = [sys.executable, "-m", "palletjack_cli.main", *command]
        if place.log is None:
            return self._wait(subprocess.Popen(words, env=environment))
        place.log.parent.mkdir(parents=True, exist_ok=True)
        with place.log.open("ab") as log:
            return self._wait(subprocess.Popen(words, env=environment, stdout=log, stderr=log))

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        self._running.add(process)
        if self._told_to_end:
            # It was being started when the signal came.
            process.terminate()
        try:
            return process.wait()
        finally:
            self._running.discard(process)

    @contextmanager
    def ended_together(self) -> Iterator[None]:
        """Hand SIGTERM on to the stages and treat it as Ctrl-C; a terminal sends that to all by itself."""

        def hand_on(number: int, frame: FrameType | None) -> None:
            self._told_to_end = True
            for process in list(self._running):
                process.terminate()
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGTERM, hand_on)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
