"""Ending a measurement early without losing what it measured, nor leaving a process behind."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Interrupted(BaseException):  # no Exception: what handles errors of a node must not swallow it
    """The measurement was stopped, or its time is over; the message says which."""


class _State:
    reason = ""
    held = 0


def interrupt_on_signals(seconds: float = 0.0) -> None:
    """From now on SIGTERM, SIGINT, SIGHUP and, after ``seconds`` > 0, the end of time raise Interrupted once.

    By itself SIGTERM ends Python on the spot, and the nodes under test, in sessions of their own, live on.
    """
    _State.reason, _State.held = "", 0
    # A shell starts background jobs with SIGINT ignored: it stays a way to stop this.
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(signum, _interrupt)
    if seconds > 0:
        signal.setitimer(signal.ITIMER_REAL, seconds)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold an interruption back to the end of the block, in which a process is started or ended."""
    _State.held += 1
    before = _State.reason
    try:
        yield
    finally:
        _State.held -= 1
    if _State.reason and not before and not _State.held:
        raise Interrupted(_State.reason)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    if _State.reason:
        return  # already ending: the second Ctrl-C must not cut the end short
    number = signal.Signals(signum)
    _State.reason = "out of time" if number == signal.SIGALRM else f"stopped by {number.name}"
    if not _State.held:
        raise Interrupted(_State.reason)
