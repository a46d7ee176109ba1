"""A run on several devices: one process for each, which this module starts, watches and ends.

Lightning can start them too, but it does so by running the command that is running once more, which is
right only where that command does nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from palletjack_training.config import ConfigError, TrainingConfig, parse_config

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 10.0


class ProcessError(RuntimeError):
    """A process of a run ended with an error; the message is that error's."""


@dataclass(frozen=True)
class _Ended:
    rank: int
    code: int


def device_count(config: TrainingConfig) -> int:
    """How many devices the configuration asks for. Raises ConfigError if there are not as many GPUs."""
    wanted = config.trainer.devices
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        fitting = (n for n in range(max(gpus, 1), 0, -1) if config.trainer.batch_size % n == 0)
        return next(fitting)
    if gpus and wanted > gpus:
        raise ConfigError(
            f"trainer.devices: expected at most {gpus}, the number of GPUs here, found {wanted}"
        )
    return wanted


def run_processes(count: int, config: TrainingConfig, request: dict[str, Any]) -> None:
    """Run ``palletjack_training.trainer.train_rank`` in ``count`` processes and wait for all of them.

    ``request`` must be JSON. If one fails the others are ended. Raises ProcessError with its message.
    """
    with tempfile.TemporaryDirectory(prefix="palletjack-run-") as folder:
        task = Path(folder) / "task.json"
        task.write_text(json.dumps({"config": config.model_dump(mode="json"), "request": request}))
        environment = {
            **os.environ,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
            "WORLD_SIZE": str(count),
            "NODE_RANK": "0",
        }
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for rank in range(count):
                command = [sys.executable, "-m", __name__, str(task)]
                own = {**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                # The pipe to its input tells a process, by closing, that this one is gone.
                processes.append(subprocess.Popen(command, env=own, stdin=subprocess.PIPE))
            ended = _first_failure(processes)
        finally:
            _end(processes)
        if ended is not None:
            raise ProcessError(_message(Path(folder), ended, count))


def _first_failure(processes: list[subprocess.Popen[bytes]]) -> _Ended | None:
    """Wait until all have ended well, or one has not."""
    while True:
        codes = [process.poll() for process in processes]
        for rank, code in enumerate(codes):
            if code:
                return _Ended(rank, code)
        if all(code == 0 for code in codes):
            return None
        time.sleep(_POLL_SECONDS)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin is not None
        process.stdin.close()


def _message(folder: Path, ended: _Ended, count: int) -> str:
    """The error of the process that failed first: where one gives up, the others lose their connection."""
    reports = sorted(folder.glob("error_*.json"), key=lambda path: path.stat().st_mtime_ns)
    if reports:
        return str(json.loads(reports[0].read_text())["message"])
    return f"process {ended.rank} of {count} ended with exit code {ended.code}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _group() -> Iterator[int]:
    """Within the context this process is one of the group; gives its rank."""
    rank = int(os.environ["LOCAL_RANK"])
    # On GPUs, small numbers go through the host all the same, so that nobody waits for a kernel.
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend)
    try:
        yield rank
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _end_with_parent() -> None:
    # Not by way of sys.stdin, whose lock this thread would hold when the interpreter ends.
    while os.read(0, 1):
        pass
    os._exit(1)


def main(task: Path, work: Callable[[TrainingConfig, dict[str, Any]], None]) -> None:
    """What each process does; an error is left as a file beside ``task``."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    content = json.loads(task.read_text())
    try:
        with _group():
            work(parse_config(content["config"], "config"), content["request"])
    except Exception as error:
        report = task.with_name(f"error_{os.environ['LOCAL_RANK']}.json")
        temporary = report.with_suffix(".tmp")
        temporary.write_text(json.dumps({"message": str(error) or type(error).__name__}))
        os.replace(temporary, report)
        raise


if __name__ == "__main__":
    from palletjack_training.trainer import train_rank

    main(Path(sys.argv[1]), train_rank)
