"""What an interrupt does to a process from its first import on. No ROS here: its import takes long."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


def end_on(*signals: signal.Signals) -> None:
    """From now on the first of these signals raises KeyboardInterrupt; those that follow change nothing.

    A shell starts background jobs with SIGINT ignored; the launch system interrupts with SIGINT. An interrupt
    that came after an earlier call is not forgotten by this one.
    """
    sys.unraisablehook = _say_unless_interrupted
    for signum in signals:
        if signal.getsignal(signum) not in (_interrupt_once, _ignore):
            signal.signal(signum, _interrupt_once)


def interrupted() -> bool:
    """Whether an interrupt has come. What fails from then on is no failure of the node.

    KeyboardInterrupt alone does not say it: a module written in C++ that is interrupted while it is imported
    raises ImportError in its place.
    """
    return signal.getsignal(signal.SIGINT) is _ignore


def ignore_more() -> None:
    """An end has begun that no signal may cut short."""
    _from_now_on(_ignore)


def ignore_all() -> None:
    """The last thing to do: when Python ends it puts the default back, and a late signal would be a death."""
    _from_now_on(signal.SIG_IGN)


def _say_unless_interrupted(failure: sys.UnraisableHookArgs) -> None:
    """An interrupt leaves half-made objects, whose destructors fail: rclpy's executor is one."""
    if not interrupted():
        sys.__unraisablehook__(failure)


def _interrupt_once(signum: int, frame: FrameType | None) -> None:
    """A terminal's Ctrl-C and the launch system both interrupt: the second must not cut the end short."""
    ignore_more()
    raise KeyboardInterrupt


def _ignore(signum: int, frame: FrameType | None) -> None:
    """Unlike SIG_IGN, which Python complains of where rclpy puts the handler back that was there before."""


def _from_now_on(handler: Handler | signal.Handlers) -> None:
    """Put ``handler`` in the place of our own ones; SIGTERM is rclpy's where a node needs no last word."""
    signal.signal(signal.SIGINT, handler)
    if signal.getsignal(signal.SIGTERM) in (_interrupt_once, _ignore):
        signal.signal(signal.SIGTERM, handler)
