"""Starting and ending a node's process: one place for signals, exit codes and error messages."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

# This package's launch files set it to their process id: the node then ends when its launch process
# does, however that ended. By itself `ros2 launch` is killed by SIGTERM and leaves its nodes running.
END_WITH_PARENT = "PALLETJACK_END_WITH_PARENT"
_PR_SET_PDEATHSIG = 1  # prctl(2)


class StartupError(RuntimeError):
    """A node cannot start; the message says what to change."""


REFUSALS = (StartupError, InvalidParameterTypeException, InvalidParameterValueException)


def end_with_parent(launch_pid: int) -> None:
    """Ask the kernel to send SIGTERM to this process when its parent ends (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if not Path(f"/proc/{launch_pid}").exists():  # it ended before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)


def _interrupt_once(signum: int, frame: FrameType | None) -> None:
    """A terminal's Ctrl-C and the launch system both interrupt: the second must not cut the end short."""
    signal.signal(signal.SIGINT, _ignore)
    raise KeyboardInterrupt


def _ignore(signum: int, frame: FrameType | None) -> None:
    """Unlike SIG_IGN, which Python complains of where rclpy puts the handler back that was there before."""


def run_node(make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """Make a node, spin it until SIGINT, SIGTERM or its own rclpy.shutdown(), and return the exit code.

    0 after an orderly end, which may come while it is still starting; 1 where the node could not start. A
    node may set ``exit_code`` for another.
    """
    # A shell starts background jobs with SIGINT ignored; the launch system interrupts with SIGINT.
    signal.signal(signal.SIGINT, _interrupt_once)
    if (launch_pid := os.environ.get(END_WITH_PARENT, "")).isdigit():
        end_with_parent(int(launch_pid))
    node: Node | None = None
    code = 0
    initialized = False
    try:
        rclpy.init(args=args)
        initialized = True
        node = make_node()
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception as error:
        # A signal ends the context: what fails after that is no failure of the node.
        if not initialized or rclpy.ok():
            if not isinstance(error, REFUSALS):
                raise
            rclpy.logging.get_logger("palletjack_detection").fatal(str(error))
            code = 1
    finally:
        signal.signal(signal.SIGINT, _ignore)
        if node is not None:
            with contextlib.suppress(KeyboardInterrupt):
                node.destroy_node()
            # Only now: the end itself may fail, as of a bag that cannot be closed.
            code = code or int(getattr(node, "exit_code", 0))
        if rclpy.ok():
            rclpy.shutdown()
        # When Python ends it puts the default back for its own handlers: a late one would be death by signal.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code
