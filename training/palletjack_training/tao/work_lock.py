"""One chain at a time in a work folder, also after the program was killed and its container was not."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "chain.lock"


class WorkLocked(RuntimeError):
    """Another chain, or a container that outlived its chain, writes into the folder."""


class WorkLock:
    """A held lock. ``descriptor`` keeps it for as long as any process has it open."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor

    def name_container(self, container: str) -> None:
        """Say whose container a later chain would meet here; "" when there is none any more."""
        self.path.write_text(container, encoding="utf-8")


@contextmanager
def locked(work: Path) -> Iterator[WorkLock]:
    """Hold the lock of ``work``, an existing folder.

    Processes that are to keep it when this one is killed get ``descriptor``.

    Raises:
        WorkLocked: somebody else holds it; the message names the container.
    """
    path = work / LOCK
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            container = path.read_text(encoding="utf-8").strip()
            remedy = f"; `docker stop {container}` ends its container" if container else ""
            raise WorkLocked(f"{work}: another chain is at work in this folder{remedy}") from None
        yield WorkLock(path, file.fileno())
