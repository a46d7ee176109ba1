"""Processes of a run on several devices that come from one which has imported PyTorch and Lightning already.

A process of its own takes seconds to import them, which is longer than it then trains in a test.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["palletjack_training.trainer"])


class ForkedRank:
    """Stands in for ``subprocess.Popen`` of ``python -m palletjack_training.several_devices task``."""

    def __init__(self, command: list[str], *, env: dict[str, str], stdin: int) -> None:
        assert command[1:3] == ["-m", "palletjack_training.several_devices"]
        read, write = os.pipe()
        self._process = _CONTEXT.Process(target=_run, args=(Path(command[3]), env))
        self._process.start()
        os.close(read)
        self.stdin = os.fdopen(write, "wb")

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.exitcode

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("a rank", timeout)
        return self._process.exitcode


def _run(task: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    import torch

    from palletjack_training import several_devices
    from palletjack_training.trainer import train_rank

    torch.set_num_threads(1)
    replaced: Any = several_devices
    # It watches its standard input, which a forked process shares with its siblings.
    replaced._end_with_parent = lambda: None
    several_devices.main(task, train_rank)
