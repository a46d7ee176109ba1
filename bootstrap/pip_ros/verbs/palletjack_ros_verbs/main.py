"""Entry point of the ``ros2`` command."""

from __future__ import annotations

import os
import sys


def main() -> int | str | None:
    """Run ros2cli, or say how to source the environment when it cannot be found."""
    try:
        from ros2cli.cli import main as ros2
    except ImportError as error:
        print(
            f"ros2: {error}. The ROS 2 environment is not sourced: run `source .venv/ros/jazzy/setup.bash`, "
            "or `source ros2_ws/install/setup.bash` for ROS 2 and this project's package.",
            file=sys.stderr,
        )
        return 1
    try:
        code: int | str | None = ros2()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output (head, less) has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code
