"""TAO's status.json: one JSON object a line, appended as the task goes on. It decides, not the exit code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Status:
    """How a task stands: the last SUCCESS or FAILURE ("" before there is one), and its last line."""

    verdict: str
    message: str
    last: dict[str, Any]

    @property
    def progress(self) -> str:
        """The epoch where the line has one, else its message."""
        epoch = self.last.get("epoch")
        if epoch is not None:
            most = self.last.get("max_epoch")
            return f"epoch {epoch} of {most}" if most is not None else f"epoch {epoch}"
        return str(self.last.get("message", ""))


def read_status(path: Path) -> Status:
    """Read what is there; no file, and lines that are not whole yet, count as nothing said.

    A line with FAILURE can be followed by SUCCESS, because an error that was only logged is written as one:
    the last of the two counts.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    verdict, message, last = "", "", {}
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict):
            continue
        last = entry
        if entry.get("status") in ("SUCCESS", "FAILURE"):
            verdict, message = str(entry["status"]), str(entry.get("message", ""))
    return Status(verdict, message, last)
