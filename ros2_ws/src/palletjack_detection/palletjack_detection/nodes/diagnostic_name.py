"""What a node calls its status on /diagnostics, the one topic of all cameras and robots."""

from __future__ import annotations

from rclpy.node import Node


def diagnostic_name(node: Node, task: str) -> str:
    """Return "front/palletjack_detector: detection": without its namespace, two cameras would be one."""
    return f"{node.get_fully_qualified_name().lstrip('/')}: {task}"
