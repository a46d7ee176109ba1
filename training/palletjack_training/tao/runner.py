"""Runs the chain step by step, each in its container, and remembers what is done.

``state.json`` in the work folder holds a key for each finished step, made of its command, its spec and the
key of the step before. A step whose key is there, and whose outputs still are, is not run again. Another
spec, option or data set changes its key and all after it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from palletjack_training.tao.chain import ChainOptions, Step, container_name, docker_line
from palletjack_training.tao.status_file import read_status
from palletjack_training.tao.work_lock import WorkLock, WorkLocked, locked

STATE = "state.json"
STOP_SECONDS = 20
POLL_SECONDS = 0.2


class ChainError(RuntimeError):
    """A step that cannot be run or that failed; the message names it, why, and its log."""


class ChainInterrupted(Exception):
    """The user stopped the chain; the container has been stopped as well."""


Report = Callable[[str], None]


def run_chain(steps: Sequence[Step], options: ChainOptions, report: Report) -> list[str]:
    """Run what is not done yet and return the names of the steps that ran.

    Raises:
        ChainError: docker or a spec is missing, the work folder is in use, or a step failed; the steps
            before stay done.
        ChainInterrupted: SIGINT or SIGTERM came.
        OSError: the work folder cannot be written.
    """
    if shutil.which("docker") is None:
        raise ChainError("docker: expected the program on PATH, found none (--dry-run needs none)")
    for name in {step.spec for step in steps} - {""}:
        if not (options.specs / name).is_file():
            raise ChainError(
                f"{options.specs / name}: expected a spec, found no such file: `palletjack tao spec`"
            )
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        with locked(options.work) as lock:
            return _run_steps(steps, options, lock, report)
    except WorkLocked as error:
        raise ChainError(str(error)) from None


def _run_steps(steps: Sequence[Step], options: ChainOptions, lock: WorkLock, report: Report) -> list[str]:
    keys = step_keys(steps, options)
    done = read_state(options.work)
    ran: list[str] = []
    for number, step in enumerate(steps, start=1):
        title = f"[{number}/{len(steps)}] {step.name}"
        if not ran and done.get(step.name) == keys[step.name] and not _missing(step, options.work):
            report(f"{title}: done before")
            continue
        for later in steps[number - 1 :]:
            done.pop(later.name, None)
        _write_state(options.work, done)
        _prepare(step, options, keys[step.name])
        _run_step(step, options, title, lock, report)
        done[step.name] = keys[step.name]
        _write_state(options.work, done)
        ran.append(step.name)
    return ran


def step_keys(steps: Sequence[Step], options: ChainOptions) -> dict[str, str]:
    """A hash for each step: of its image, arguments, spec, the data's file list, and the step before it."""
    keys: dict[str, str] = {}
    previous = _data_key(options.data)
    for step in steps:
        spec = (options.specs / step.spec).read_bytes() if step.spec else b""
        content = json.dumps([previous, step.image, step.arguments]).encode() + spec
        previous = keys[step.name] = hashlib.sha256(content).hexdigest()
    return keys


def read_state(work: Path) -> dict[str, str]:
    """Keys of the finished steps; a missing or broken state file means that none is."""
    try:
        content = json.loads((work / STATE).read_text(encoding="utf-8"))["done"]
        return {str(name): str(key) for name, key in content.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_state(work: Path, done: dict[str, str]) -> None:
    temporary = work / f".{STATE}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps({"done": done}, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, work / STATE)


def _data_key(data: Path) -> str:
    digest = hashlib.sha256()
    for name in ("images", "labels"):
        folder = data / name
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            entry = path.stat()
            digest.update(f"{name}/{path.name} {entry.st_size} {entry.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _prepare(step: Step, options: ChainOptions, key: str) -> None:
    """Clear the step's folder, unless it holds a stopped run of the very same step that can go on.

    TAO refuses to overwrite an exported network or a calibration cache, and appends to status.json.
    """
    folder, started = options.work / step.name, options.work / f"{step.name}.started"
    same = started.is_file() and started.read_text(encoding="utf-8") == key
    if folder.exists() and not (step.resumes and same):
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    (folder / "status.json").unlink(missing_ok=True)
    started.write_text(key, encoding="utf-8")


def _run_step(step: Step, options: ChainOptions, title: str, lock: WorkLock, report: Report) -> None:
    container = container_name(step, options)
    log = options.work / "logs" / f"{step.name}.log"
    log.parent.mkdir(exist_ok=True)
    report(f"{title}: log {log}")
    begin = time.monotonic()
    before = log.stat().st_size if log.exists() else 0
    lock.name_container(container)
    line = docker_line(step, options)
    code = _run_container(line, container, log, options.work / step.name, lock, report)
    lock.name_container("")
    status = read_status(options.work / step.name / "status.json")
    if status.verdict != "SUCCESS":
        said = status.message or f"no verdict in status.json{_last_words(log, before)}"
        raise ChainError(f"{step.name}: failed (exit code {code}): {said}; see {log}")
    missing = _missing(step, options.work)
    if missing:
        raise ChainError(f"{step.name}: says SUCCESS, but {', '.join(missing)} is not there; see {log}")
    report(f"{title}: done in {time.monotonic() - begin:.0f} s")


def _last_words(log: Path, start: int) -> str:
    """What a container that could not say why it failed left in its log, from byte ``start`` on.

    That is docker's own complaint, which a hint follows, or the last line.
    """
    lines = [line.strip() for line in log.read_bytes()[start:].decode(errors="replace").splitlines()]
    said = [line for line in lines if line.startswith("docker: ")] or [line for line in lines if line][-1:]
    return f"; {said[0]}" if said else ""


def _run_container(
    line: Sequence[str], container: str, log: Path, folder: Path, lock: WorkLock, report: Report
) -> int:
    """Run the container to its end and return its exit code; a signal stops it first."""
    with log.open("ab") as file, _signals_as_interrupt():
        # A session of its own: Ctrl-C reaches us alone, and we stop the container in good order.
        process = subprocess.Popen(
            list(line),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Killed, we leave docker and its container behind: the folder stays theirs until they end.
            pass_fds=(lock.descriptor,),
        )
        try:
            said = ""
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
                progress = read_status(folder / "status.json").progress
                if progress and progress != said:
                    said = progress
                    report(f"  {progress}")
            return process.returncode
        except (KeyboardInterrupt, ChainInterrupted):
            _stop(container, process)
            raise ChainInterrupted(f"stopped; {container} was stopped as well") from None


def _stop(container: str, process: subprocess.Popen[bytes]) -> None:
    # A second Ctrl-C is not to cut this short and leave the container running. Releases of docker spell
    # the long name of -t differently.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    subprocess.run(
        ["docker", "stop", "-t", str(STOP_SECONDS), container],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """SIGINT and SIGTERM raise ChainInterrupted while the container runs."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise ChainInterrupted(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _missing(step: Step, work: Path) -> list[str]:
    return [name for name in step.outputs if not (work / name).exists()]
