"""Nodes as launch actions: namespace, simulated time, respawn and their end, the same for all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from launch.actions import RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import LifecycleNode, Node

from launch import LaunchContext
from palletjack_detection.bringup.packages import PACKAGE

RESPAWN_DELAY_S = 2.0
# After a crash, discovery shows the dead process's services for up to 10 s (Cyclone DDS): requests for a
# transition would go to them, and launch_ros waits for their answers for ever.
MANAGED_RESPAWN_DELAY_S = 12.0


def own_node(
    executable: str,
    given: Mapping[str, str],
    parameters: Sequence[Any],
    *,
    remappings: Mapping[str, str] | None = None,
    respawn: bool = True,
    lifecycle: bool = False,
) -> Node:
    """Return a node of this package, named as its executable; ``given`` are the launch arguments."""
    make = LifecycleNode if lifecycle else Node
    return make(
        package=PACKAGE,
        executable=executable,
        name=executable,
        namespace=given["namespace"],
        output="screen",
        respawn=respawn,
        respawn_delay=MANAGED_RESPAWN_DELAY_S if lifecycle else RESPAWN_DELAY_S,
        # The process then ends with this launch process, however that ends.
        additional_env={"PALLETJACK_END_WITH_PARENT": str(os.getpid())},
        parameters=[*parameters, {"use_sim_time": given["use_sim_time"] == "true"}],
        remappings=list((remappings or {}).items()),
    )


def ends_with_parent() -> str | None:
    """Return a command prefix by which somebody else's program ends with this launch process, too.

    `ros2 launch` leaves its children running when it is killed by SIGTERM.
    """
    return "setpriv --pdeathsig TERM" if shutil.which("setpriv") else None


def ends_launch(node: LaunchDescriptionEntity) -> RegisterEventHandler:
    """End the launch when ``node`` ends: in order where it ended in order, else as a failure."""

    def on_exit(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if event.returncode != 0 and not context.is_shutdown:
            # An exception is what makes `ros2 launch` exit with 1.
            raise RuntimeError(f"{event.process_name} ended with exit code {event.returncode}")
        # A second Shutdown while the first is under way would end the launch as a failure.
        return [] if context.is_shutdown else [Shutdown(reason=f"{event.process_name} has finished")]

    return RegisterEventHandler(OnProcessExit(target_action=node, on_exit=on_exit))


def number(given: Mapping[str, str], name: str, low: float, high: float) -> float:
    """Return a launch argument as a number; raises ValueError, which ends the launch with its message."""
    text = given[name]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, found {text!r}")
    return value
