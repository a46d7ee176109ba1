"""Ending a process of the same launch, as a fault of a scenario does."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def kill_sibling(executable: str, parent: int | None = None) -> int:
    """Send SIGKILL to the one child of ``parent`` whose command line names ``executable``.

    ``parent`` None: our own. Returns the child's process id. RuntimeError where there is none, or more than
    one.
    """
    found = [pid for pid in _children(parent or os.getppid()) if executable in _command_line(pid)]
    if len(found) != 1:
        raise RuntimeError(f"fault: expected one running {executable} beside it, found {len(found)}")
    os.kill(found[0], signal.SIGKILL)
    return found[0]


def _children(parent: int) -> list[int]:
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [number for number in numbers if number != os.getpid() and _parent(number) == parent]


def _parent(pid: int) -> int:
    try:
        # The command in parentheses may hold spaces; the fields after it do not.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return -1


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
