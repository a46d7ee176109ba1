"""``ros2 lifecycle``: list, read and change the states of lifecycle nodes."""

from __future__ import annotations

import argparse
import time
from typing import Any

import rclpy
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from rclpy.node import Node
from ros2cli.command import CommandExtension

ANSWER_TIMEOUT_S = 5.0


class LifecycleCommand(CommandExtension):  # type: ignore[misc]
    """List lifecycle nodes, get or set the state of one."""

    def add_arguments(self, parser: argparse.ArgumentParser, cli_name: str) -> None:
        """Declare the three actions on ``parser``."""
        actions = parser.add_subparsers(dest="action", required=True)
        nodes = actions.add_parser("nodes", help="list the lifecycle nodes of the graph")
        available = actions.add_parser("list", help="list the transitions that a node can make now")
        get = actions.add_parser("get", help="print the state of a node")
        change = actions.add_parser("set", help="make a node take a transition")
        for action in (available, get, change):
            action.add_argument("node_name", help="for example /palletjack_detector")
        change.add_argument("transition", help="label, for example configure, activate, deactivate, shutdown")
        nodes.add_argument("--spin-time", type=float, default=2.0, help="seconds to listen (default: 2)")

    def main(self, *, parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
        """Run the action; 0 when it worked. Raises RuntimeError, which ros2cli prints."""
        rclpy.init()
        node = rclpy.create_node("ros2cli_lifecycle")
        try:
            if args.action == "nodes":
                time.sleep(args.spin_time)  # discovery runs in DDS's own threads
                print(*lifecycle_nodes(node), sep="\n")
                return 0
            return self.act_on_node(node, "/" + args.node_name.lstrip("/"), args)
        finally:
            node.destroy_node()
            rclpy.shutdown()

    def act_on_node(self, node: Node, name: str, args: argparse.Namespace) -> int:
        """Run ``list``, ``get`` or ``set`` on the node ``name``."""
        if args.action == "get":
            state = call(node, GetState, f"{name}/get_state", GetState.Request()).current_state
            print(f"{state.label} [{state.id}]")
            return 0
        request = GetAvailableTransitions.Request()
        available = call(
            node, GetAvailableTransitions, f"{name}/get_available_transitions", request
        ).available_transitions
        if args.action == "list":
            for item in available:
                print(f"{item.transition.label} [{item.transition.id}]: to {item.goal_state.label}")
            return 0
        return take_transition(node, name, args.transition, available)


def take_transition(node: Node, name: str, label: str, available: Any) -> int:
    """Ask the node to take the transition ``label``; 0 when it did, 1 when it refused."""
    ids = {item.transition.label: item.transition.id for item in available}
    if label not in ids:
        raise RuntimeError(f"{name}: expected a transition among {', '.join(sorted(ids))}; found {label!r}")
    request = ChangeState.Request()
    request.transition.id = ids[label]
    if call(node, ChangeState, f"{name}/change_state", request).success:
        print("Transitioning successful")
        return 0
    print(f"{name}: the transition {label!r} failed; see the log of the node")
    return 1


def lifecycle_nodes(node: Node) -> list[str]:
    """Return the full names of the nodes that serve ``~/get_state``, sorted."""
    suffix = "/get_state"
    return sorted(
        service[: -len(suffix)]
        for service, types in node.get_service_names_and_types()
        if service.endswith(suffix) and "lifecycle_msgs/srv/GetState" in types
    )


def call(node: Node, service_type: Any, service: str, request: Any) -> Any:
    """Call a service and return its answer; raises RuntimeError where none comes in five seconds."""
    client = node.create_client(service_type, service)
    try:
        if not client.wait_for_service(timeout_sec=ANSWER_TIMEOUT_S):
            raise RuntimeError(f"{service}: no such service; is it a lifecycle node that runs?")
        future = client.call_async(request)
        rclpy.spin_until_future_complete(node, future, timeout_sec=ANSWER_TIMEOUT_S)
        if future.result() is None:
            raise RuntimeError(f"{service}: no answer within {ANSWER_TIMEOUT_S:.0f} s")
        return future.result()
    finally:
        node.destroy_client(client)
