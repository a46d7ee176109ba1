"""The bridge's graph: read from data, filled with a run's numbers, checked against schemas, and built.

Only ``build`` needs Isaac Sim.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from palletjack_sim.isaac_sim import data_folder

PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "string": (str,),
    "token": (str,),
    "double": (int, float),
    "float": (int, float),
    "uint": (int,),
    "uint64": (int,),
    "int": (int,),
    "uchar": (int,),
}
# What a target holds is a path.
LISTS = {"token[]": "token", "double[]": "double", "int[]": "int"}
# The camera's nodes of graph.yaml, each with an input ``enabled``.
CAMERA_NODES = ("image", "camera_info")
VECTORS = ("vectord[3]", "double[3]", "pointd[3]", "normald[3]")


class GraphError(ValueError):
    """A graph that cannot be built; the message names every node and attribute that is wrong."""


class NodeSpec(BaseModel):
    """One node: its type and the values of inputs that are not connected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    inputs: dict[str, Any] = {}


class GraphSpec(BaseModel):
    """What graph.yaml holds. ``extensions``: by release, in the order in which they are enabled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    extensions: dict[str, list[str]]
    nodes: dict[str, NodeSpec]
    connections: list[tuple[str, str]]


@dataclass(frozen=True)
class Schema:
    """Types of a node's attributes by their names."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def load_graph(path: Path | None = None) -> GraphSpec:
    """Read a graph; the shipped one without ``path``."""
    file = path or data_folder() / "graph.yaml"
    return GraphSpec.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def load_schemas(release: str = "6") -> dict[str, Schema]:
    """Return the schemas of a release: those of the 6.2 wheels, with what another has otherwise."""
    folder = data_folder() / "contract"
    read = json.loads((folder / "nodes_6_2.json").read_text(encoding="utf-8"))
    read.update(yaml.safe_load((folder / "pinned.yaml").read_text(encoding="utf-8")))
    other = yaml.safe_load((folder / "differences.yaml").read_text(encoding="utf-8")).get(release, {})
    for name in other.get("absent", ()):
        del read[name]
    for name, added in other.get("added_inputs", {}).items():
        read[name]["inputs"].update(added)
    for name, missing in other.get("missing_inputs", {}).items():
        for attribute in missing:
            del read[name]["inputs"][attribute]
    return {name: Schema(entry["inputs"], entry["outputs"]) for name, entry in read.items()}


def fill(graph: GraphSpec, values: Mapping[str, Any]) -> GraphSpec:
    """Return the graph with each ``$name`` replaced by ``values[name]``.

    Raises:
        GraphError: a name has no value.
    """
    missing = []

    def filled(value: Any) -> Any:
        if not isinstance(value, str) or not value.startswith("$"):
            return value
        if value[1:] not in values:
            missing.append(value)
            return value
        return values[value[1:]]

    nodes = {
        name: NodeSpec(type=node.type, inputs={key: filled(value) for key, value in node.inputs.items()})
        for name, node in graph.nodes.items()
    }
    if missing:
        raise GraphError(f"no value for {', '.join(sorted(set(missing)))}; known are {sorted(values)}")
    return graph.model_copy(update={"nodes": nodes})


def check(graph: GraphSpec, schemas: Mapping[str, Schema]) -> None:
    """Hold every node, value and connection of a filled graph to ``schemas``.

    Raises:
        GraphError: naming all that is wrong.
    """
    problems: list[str] = []
    for name, node in graph.nodes.items():
        schema = schemas.get(node.type)
        if schema is None:
            problems.append(f"{name}: no node type {node.type}")
            continue
        for attribute, value in node.inputs.items():
            kind = schema.inputs.get(attribute)
            if kind is None:
                problems.append(f"{name}: {node.type} has no input {attribute}")
            elif not _fits(value, kind):
                problems.append(f"{name}.{attribute}: expected {kind}, found {value!r}")
    driven: set[str] = set()
    for source, target in graph.connections:
        problems += _check_connection(graph, schemas, source, target, driven)
        driven.add(target)
    for name, node in graph.nodes.items():
        schema = schemas.get(node.type)
        if schema and "execIn" in schema.inputs and f"{name}.inputs:execIn" not in driven:
            problems.append(f"{name}: execIn is not connected, so it never runs")
    if problems:
        raise GraphError("; ".join(problems))


def _check_connection(
    graph: GraphSpec, schemas: Mapping[str, Schema], source: str, target: str, driven: set[str]
) -> list[str]:
    kinds = []
    for end, side in ((source, "outputs"), (target, "inputs")):
        name, _, attribute = end.partition(f".{side}:")
        node = graph.nodes.get(name)
        if node is None or not attribute:
            return [f"{end}: expected NODE.{side}:ATTRIBUTE of a node of this graph"]
        schema = schemas.get(node.type)
        if schema is None:
            return []
        kind = getattr(schema, side).get(attribute)
        if kind is None:
            return [f"{end}: {node.type} has no such attribute"]
        if side == "inputs" and attribute in node.inputs:
            return [f"{end}: has a value and a connection"]
        kinds.append(kind)
    given, wanted = kinds
    if not (given == wanted or (wanted == "any3" and given in VECTORS)):
        return [f"{source} is {given}, {target} is {wanted}"]
    if target in driven and wanted != "execution":
        return [f"{target}: is connected twice"]
    return []


def _fits(value: Any, kind: str) -> bool:
    if kind == "target":
        return isinstance(value, str) and value.startswith("/")
    if kind in LISTS:
        return isinstance(value, list) and all(_fits(item, LISTS[kind]) for item in value)
    allowed = PYTHON_TYPES.get(kind)
    if allowed is None or (isinstance(value, bool) and kind != "bool"):
        return False
    if not isinstance(value, (bool, int, float, str)) or not isinstance(value, allowed):
        return False
    return isinstance(value, str) or value >= 0 or not kind.startswith("u")


def build(graph: GraphSpec, schemas: Mapping[str, Schema]) -> None:
    """Create the filled ``graph`` on the open stage; only in a running Isaac Sim.

    Raises:
        GraphError: it does not fit ``schemas``.
    """
    check(graph, schemas)
    import omni.graph.core as og
    from pxr import Sdf

    values = []
    for name, node in graph.nodes.items():
        for attribute, value in node.inputs.items():
            is_target = schemas[node.type].inputs[attribute] == "target"
            values.append((f"{name}.inputs:{attribute}", [Sdf.Path(value)] if is_target else value))
    keys = og.Controller.Keys
    og.Controller.edit(
        {"graph_path": graph.path, "evaluator_name": "execution"},
        {
            keys.CREATE_NODES: [(name, node.type) for name, node in graph.nodes.items()],
            keys.SET_VALUES: values,
            keys.CONNECT: graph.connections,
        },
    )


def switch_camera(graph: GraphSpec, is_on: bool) -> None:
    """End the pictures of a built ``graph``, as a camera does that is lost, or have them come back.

    Only in a running Isaac Sim. It takes effect with the next update.
    """
    import omni.graph.core as og

    for node in CAMERA_NODES:
        og.Controller.set(og.Controller.attribute(f"{graph.path}/{node}.inputs:enabled"), is_on)
