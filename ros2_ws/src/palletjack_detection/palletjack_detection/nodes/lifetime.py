"""Starting and ending a node's process: one place for signals, exit codes and error messages."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from palletjack_detection.nodes.interrupts import end_on, ignore_all, ignore_more, interrupted

# This package's launch files set it to their process id: the node then ends when its launch process
# does, however that ended. By itself `ros2 launch` is killed by SIGTERM and leaves its nodes running.
END_WITH_PARENT = "PALLETJACK_END_WITH_PARENT"
_PR_SET_PDEATHSIG = 1  # prctl(2)
# A node with a last word hears a signal after this time at most.
TURN_S = 0.1


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


def run_node(make_node: Callable[[], Node], args: list[str] | None = None, *, last_word: bool = False) -> int:
    """Make a node, spin it until SIGINT, SIGTERM or its own rclpy.shutdown(), and return the exit code.

    0 after an orderly end, which may come while it is still starting; 1 where the node could not start. A
    node may set ``exit_code`` for another. ``last_word``: its method of that name is called before its end,
    while it can still publish.
    """
    end_on(signal.SIGINT)
    if (launch_pid := os.environ.get(END_WITH_PARENT, "")).isdigit():
        end_with_parent(int(launch_pid))
    if last_word:
        end_on(signal.SIGTERM)
    node: Node | None = None
    code = 0
    initialized = False
    try:
        # rclpy's own handlers end the context at once: nothing can be published then.
        handlers = SignalHandlerOptions.NO if last_word else SignalHandlerOptions.ALL
        rclpy.init(args=args, signal_handler_options=handlers)
        initialized = True
        if interrupted():  # and whoever caught it did not say so
            raise KeyboardInterrupt
        node = make_node()
        if last_word:
            _spin_by_turns(node)
        else:
            rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception as error:
        # A signal ends the context, a little later: what fails after that is no failure of the node.
        if not interrupted() and (not initialized or rclpy.ok()):
            if not isinstance(error, REFUSALS):
                raise
            rclpy.logging.get_logger("palletjack_detection").fatal(str(error))
            code = 1
    finally:
        ignore_more()
        if node is not None:
            with contextlib.suppress(KeyboardInterrupt):
                if last_word and rclpy.ok():
                    node.last_word()  # type: ignore[attr-defined]
                node.destroy_node()
            # Only now: the end itself may fail, as of a bag that cannot be closed.
            code = code or int(getattr(node, "exit_code", 0))
        _shut_down()
        ignore_all()
    return code


def _shut_down() -> None:
    """End the context, unless rclpy's own signal handler, on a thread of its own, does so meanwhile."""
    try:
        if rclpy.ok():
            rclpy.shutdown()
    except RuntimeError:
        if rclpy.ok():
            raise


def _spin_by_turns(node: Node) -> None:
    """Spin so that Python's own signal handlers get their turn: they do not run while rclpy waits."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while rclpy.ok() and not interrupted():
        executor.spin_once(timeout_sec=TURN_S)
