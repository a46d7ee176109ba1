"""The project's own command line, as the rows use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


class VerbError(RuntimeError):
    """A verb ended with another exit code than 0."""


def palletjack(*words: str, log: Path, environment: dict[str, str] | None = None) -> str:
    """Run a verb, its messages into ``log``, and return what it prints.

    Raises VerbError with the log's name and its last line when it fails.
    """
    command = [sys.executable, "-m", "palletjack_cli.main", *words]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as errors:
        errors.write(f"$ palletjack {' '.join(words)}\n")
        errors.flush()
        run = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    if run.returncode:
        last = log.read_text(errors="replace").strip().rpartition("\n")[2]
        raise VerbError(f"palletjack {words[0]} ended with exit code {run.returncode}: {last} ({log})")
    return run.stdout
