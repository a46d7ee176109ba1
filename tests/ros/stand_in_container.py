"""Stands in for rclcpp_components' container: answers requests to load components, and writes them down.

Needs ROS. STAND_IN_LOG is the file that each life of it appends to, a line of JSON for each event. The first
life ends over the third component, before it answers, as a container ends when its component crashes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import rclpy
from composition_interfaces.srv import LoadNode
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

LOG = Path(os.environ["STAND_IN_LOG"])
DIES_OVER = 3


def note(event: str, what: str) -> None:
    """Append to the log."""
    with LOG.open("a") as stream:
        stream.write(json.dumps({"pid": os.getpid(), "event": event, "what": what}) + "\n")


class Container(Node):
    """Its node's name comes from the launch."""

    def __init__(self) -> None:
        super().__init__("container")
        first_life = not LOG.exists()
        note("started", self.get_fully_qualified_name())
        self._left = DIES_OVER if first_life else -1
        self.create_service(LoadNode, "~/_container/load_node", self.load)

    def load(self, request: Any, response: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        name = f"{request.node_namespace}/{request.node_name}"
        note("loaded", f"{name} {request.plugin_name}")
        response.success, response.full_node_name, response.unique_id = True, name, 1
        return response


def main() -> None:
    """Spin until told to end."""
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Container())


if __name__ == "__main__":
    main()
