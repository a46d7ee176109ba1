"""Keeps a network's pool of threads off the core of the thread that runs the network.

Linux wakes a thread where it ran last, or on an idle core. Where another program keeps every core from being
idle, a thread of the pool can so share the caller's core with it, for one image or for all, while the other
core works on something less urgent: the network then takes up to twice as long. Here the caller's core is
taken from the cores that the pool may run on, which leaves the choice among the others to Linux. That is for
machines of as few cores as the pool has threads: with more, Linux finds an idle core by itself, and where the
number of threads is left to ONNX Runtime, it gives each a core of its own.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path

_TASKS = Path("/proc/self/task")


def thread_ids() -> frozenset[int]:
    """The kernel's ids of this process's threads; empty where the system does not tell."""
    try:
        return frozenset(int(entry.name) for entry in _TASKS.iterdir())
    except OSError:
        return frozenset()


def threads_of_python() -> frozenset[int]:
    """The kernel's ids of the threads that Python started, the calling one among them."""
    return frozenset(thread.native_id for thread in threading.enumerate() if thread.native_id is not None)


def _core_of_caller() -> Callable[[], int] | None:
    """Return what tells a thread the core that it runs on; None where cores cannot be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        return ctypes.PyDLL(None).sched_getcpu  # type: ignore[no-any-return]
    except (AttributeError, OSError):  # a C library without it
        return None


CORE_OF_CALLER = _core_of_caller()


class PoolCores:
    """The cores of the ``threads`` of one pool, by their kernel's ids.

    ``core_of_caller`` tells the core of the thread that calls it; it is None where cores cannot be chosen.
    """

    def __init__(
        self, threads: Collection[int], core_of_caller: Callable[[], int] | None = CORE_OF_CALLER
    ) -> None:
        self._threads = tuple(threads)
        # With its caller, the pool has a thread for each core.
        few = core_of_caller is not None and len(os.sched_getaffinity(0)) <= len(self._threads) + 1
        self._core_of_caller = core_of_caller if threads and few else None
        self._left_out: int | None = None

    def leave_callers_core(self) -> None:
        """Take the caller's core from those that the pool may use, and leave it all others of the caller's.

        For the thread that is about to run the network, each time: it costs nothing unless that has moved.
        """
        if self._core_of_caller is None or (core := self._core_of_caller()) == self._left_out:
            return
        self._left_out = core
        if not (others := os.sched_getaffinity(0) - {core}):
            return
        try:
            for thread in self._threads:
                # The id of a thread that has ended may be another program's by now.
                if (_TASKS / str(thread)).exists():
                    os.sched_setaffinity(thread, others)
        except OSError:  # a core was taken away just now, or the system forbids it: Linux places them
            self._core_of_caller = None
