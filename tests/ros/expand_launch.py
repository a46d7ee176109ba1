"""Expand launch files with the real launch and launch_ros, and print what they would start.

Run as a process inside a ROS environment. Lines of JSON come in: {"file": ..., "arguments": {...}}; for each
a line goes out: {"processes": [...], "components": [...]} or {"error": ...}. Nothing is started.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml
from launch.actions import ExecuteProcess, RegisterEventHandler
from launch.event_handlers import OnProcessStart
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.utilities import perform_substitutions
from launch_ros.actions import LoadComposableNodes, Node
from launch_ros.actions.load_composable_nodes import get_composable_node_load_request
from launch_ros.utilities import evaluate_parameters

from launch import LaunchContext, LaunchDescription

TYPES = {
    1: "bool",
    2: "integer",
    3: "double",
    4: "string",
    7: "integer_array",
    8: "double_array",
    9: "string_array",
}


def main() -> None:
    """Answer every line of standard input."""
    for line in sys.stdin:
        call = json.loads(line)
        try:
            answer = fragment(call) if call.get("fragment") else expand(call["file"], call["arguments"])
        except Exception as error:  # a refusal is an answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print("ANSWER " + json.dumps(answer), flush=True)


def expand(file: str, arguments: dict[str, str]) -> dict[str, Any]:
    """Return what the launch file starts with these arguments."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    description = PythonLaunchDescriptionSource(file).get_launch_description(context)
    found: dict[str, Any] = {"processes": [], "components": []}
    visit(description, context, found)
    return found


def visit(entity: LaunchDescriptionEntity, context: LaunchContext, found: dict[str, Any]) -> None:
    """Follow an entity as the launch service would, without starting a process."""
    if isinstance(entity, LoadComposableNodes):
        components = entity._LoadComposableNodes__composable_node_descriptions
        target = perform_target(entity, context)
        found["components"] += [component(one, context, target) for one in components]
        return
    if isinstance(entity, ExecuteProcess):
        found["processes"].append(process(entity, context))
        return
    if isinstance(entity, RegisterEventHandler):
        handler = entity.event_handler
        if isinstance(handler, OnProcessStart):
            for one in handler.handle(None, context) or []:
                if isinstance(one, LoadComposableNodes):
                    visit(one, context, found)
        return
    children = entity.visit(context) if not isinstance(entity, LaunchDescription) else entity.entities
    for child in children or []:
        visit(child, context, found)


def perform_target(load: LoadComposableNodes, context: LaunchContext) -> str:
    """Return the name of the container."""
    target = load._LoadComposableNodes__target_container
    return target if isinstance(target, str) else perform_substitutions(context, list(target))


def component(description: Any, context: LaunchContext, target: str) -> dict[str, Any]:
    """Return the request that the container would get."""
    request = get_composable_node_load_request(description, context)
    parameters = {}
    for item in request.parameters:
        kind = TYPES[item.value.type]
        value = getattr(item.value, f"{kind}_value")
        parameters[item.name] = [kind, list(value) if kind.endswith("array") else value]
    return {
        "target": target,
        "package": request.package_name,
        "plugin": request.plugin_name,
        "name": request.node_name,
        "namespace": request.node_namespace,
        "parameters": parameters,
        "remappings": dict(rule.split(":=") for rule in request.remap_rules),
    }


def process(action: ExecuteProcess, context: LaunchContext) -> dict[str, Any]:
    """Return a process: of a node also package, name, parameters and remappings."""
    if not isinstance(action, Node):
        command = [perform_substitutions(context, part) for part in action.cmd]
        return {"command": command, "prefix": bool(action.process_description.prefix)}
    action._perform_substitutions(context)
    parameters: dict[str, Any] = {}
    for one in evaluate_parameters(context, action._Node__parameters):
        if isinstance(one, Path):
            document = yaml.safe_load(one.read_text()) or {}
            for block in document.values():
                parameters.update(block["ros__parameters"])
        else:
            parameters.update(one)
    substituted = action.expanded_remapping_rules or []
    return {
        "package": action.node_package
        if isinstance(action.node_package, str)
        else text(action.node_package, context),
        "executable": text(action.node_executable, context),
        "name": action.node_name,
        "parameters": parameters,
        "remappings": dict(substituted),
        "respawn": bool(action._ExecuteLocal__respawn),
        "respawn_delay": action._ExecuteLocal__respawn_delay,
        "environment": "PALLETJACK_END_WITH_PARENT" in environment(action, context),
        "prefix": bool(action.process_description.prefix),
        "lifecycle": type(action).__name__ == "LifecycleNode",
    }


def environment(action: ExecuteProcess, context: LaunchContext) -> set[str]:
    """Names that the process gets in addition."""
    given = action.process_description.additional_env or []
    return {perform_substitutions(context, list(name)) for name, _ in given}


def text(value: Any, context: LaunchContext) -> str:
    """Return a string or a list of substitutions as a string."""
    return value if isinstance(value, str) else perform_substitutions(context, list(value))


def fragment(call: dict[str, Any]) -> dict[str, Any]:
    """Return the components and actions of a launch fragment, for the given interface specs."""
    spec = importlib.util.spec_from_file_location("core", call["file"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kind, context = getattr(module, call["fragment"]), LaunchContext()
    components = kind.get_composable_nodes(call["arguments"])
    found: dict[str, Any] = {
        "specs": kind.get_interface_specs(),
        "names": sorted(components),
        "processes": [],
    }
    found["components"] = [component(one, context, "shared") for one in components.values()]
    for action in kind.get_launch_actions(call["arguments"]).values():
        visit(action, context, found)
    return found


if __name__ == "__main__":
    os.environ.setdefault("ROS_DISTRO", "jazzy")
    main()
