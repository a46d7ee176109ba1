"""The bridge's graph against node schemas, and the schemas against the wheels that they were read from."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from palletjack_sim.isaac_sim import data_folder
from palletjack_sim.isaac_sim.graph import (
    CAMERA_NODES,
    GraphError,
    GraphSpec,
    NodeSpec,
    check,
    fill,
    load_graph,
    load_schemas,
)
from palletjack_sim.isaac_sim.read_schemas import read_schemas
from palletjack_sim.isaac_sim.robot import RobotPrims, load_robots
from palletjack_sim.isaac_sim.run import graph_values
from palletjack_sim.scenario import load_scenario
from palletjack_sim.topics import load_topics

ROOT = Path(__file__).parents[3]
TOPICS = ROOT / "ros2_ws" / "src" / "palletjack_detection" / "config" / "topics.yaml"
PRIMS = RobotPrims("/World/Robot/model/chassis_link", "/World/Robot/model/chassis_link", ())
BRIDGE = "isaacsim.ros2.bridge."


def filled() -> GraphSpec:
    robot = load_robots()["nova_carter"]
    values = graph_values(load_scenario("head_on"), load_topics(TOPICS), robot, PRIMS, "/Render/camera")
    return fill(load_graph(), values)


def changed(node: str, **inputs: Any) -> GraphSpec:
    graph = filled()
    old = graph.nodes[node]
    new = NodeSpec(type=old.type, inputs={**old.inputs, **inputs})
    return graph.model_copy(update={"nodes": {**graph.nodes, node: new}})


@pytest.mark.parametrize("release", ["6", "5"])
def test_the_shipped_graph_fits_every_release_that_it_is_for(release: str) -> None:
    graph = filled()
    check(graph, load_schemas(release))
    assert release in graph.extensions


def test_topics_and_frames_are_those_of_the_one_file() -> None:
    graph, names = filled(), load_topics(TOPICS)
    used = {
        "clock": "clock",
        "image": "image",
        "camera_info": "camera_info",
        "odometry": "odometry",
        "transform": "transforms",
        "command": "command",
        "ground_truth": "ground_truth",
        "ground_truth_3d": "ground_truth_3d",
    }
    for node, role in used.items():
        assert graph.nodes[node].inputs["topicName"] == names.topics[role]
    assert graph.nodes["odometry"].inputs["chassisFrameId"] == names.frames["base"]
    assert graph.nodes["image"].inputs["frameId"] == names.frames["camera"]
    # 20 control steps and 10 pictures a second: one of two is skipped.
    assert graph.nodes["image"].inputs["frameSkipCount"] == 1


@pytest.mark.parametrize("attribute", ["chassisPrim", "odomFrame", "baseFrameId"])
def test_odometry_attributes_that_do_not_exist_are_refused(attribute: str) -> None:
    """Samples set attributes of that kind on the publisher, which has none of them."""
    with pytest.raises(GraphError, match=f"ROS2PublishOdometry has no input {attribute}"):
        check(changed("odometry", **{attribute: "base_link"}), load_schemas())


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        ("drive", {"wheelRadius": "0.14"}, "drive.wheelRadius: expected double, found '0.14'"),
        ("image", {"frameSkipCount": -1}, "image.frameSkipCount: expected uint, found -1"),
        ("image", {"enabled": 1}, "image.enabled: expected bool, found 1"),
        ("clock", {"queueSize": True}, "clock.queueSize: expected uint64, found True"),
        ("wheels", {"jointNames": "left"}, r"wheels.jointNames: expected token\[\], found 'left'"),
        ("measure", {"chassisPrim": "chassis"}, "measure.chassisPrim: expected target, found 'chassis'"),
        ("clock", {"timeStamp": 0.0}, "clock.inputs:timeStamp: has a value and a connection"),
    ],
)
def test_wrong_values_are_named(node: str, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        check(changed(node, **inputs), load_schemas())


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        (("time.outputs:simulationTime", "odometry.inputs:position"), "is double, .* is vectord"),
        (("measure.outputs:orientation", "turn.inputs:tuple"), r"is quatd\[4\], .* is any3"),
        (("time.outputs:time", "clock.inputs:timeStamp"), "has no such attribute"),
        (("clocks.outputs:x", "clock.inputs:timeStamp"), "of a node of this graph"),
        (("tick.outputs:time", "clock.inputs:timeStamp"), "is connected twice"),
    ],
)
def test_wrong_connections_are_named(connection: tuple[str, str], message: str) -> None:
    graph = filled()
    graph = graph.model_copy(update={"connections": [*graph.connections, connection]})
    with pytest.raises(GraphError, match=message):
        check(graph, load_schemas())


def test_a_node_that_never_runs_is_named() -> None:
    graph = filled()
    kept = [pair for pair in graph.connections if pair[1] != "wheels.inputs:execIn"]
    with pytest.raises(GraphError, match="wheels: execIn is not connected"):
        check(graph.model_copy(update={"connections": kept}), load_schemas())


def test_what_5_lacks_is_refused_there_only() -> None:
    graph = changed("image", srtxCompressionType="hevc")
    check(graph, load_schemas("6"))
    with pytest.raises(GraphError, match="has no input srtxCompressionType"):
        check(graph, load_schemas("5"))
    assert "isaacsim.core.nodes.IsaacComputeTransformTree" not in load_schemas("5")


def named_differences() -> list[tuple[str, str, str, str]]:
    """(release, node type, input, kind) of everything that differences.yaml names."""
    document = yaml.safe_load((data_folder() / "contract" / "differences.yaml").read_text())
    found = []
    for release, entry in document.items():
        found += [(release, node, "", "absent") for node in entry.get("absent", ())]
        found += [
            (release, node, name, "added")
            for node, inputs in entry.get("added_inputs", {}).items()
            for name in inputs
        ]
        found += [
            (release, node, name, "missing")
            for node, names in entry.get("missing_inputs", {}).items()
            for name in names
        ]
    return found


@pytest.mark.parametrize(("release", "node", "name", "kind"), named_differences())
def test_each_named_difference_is_held_to_by_the_check(release: str, node: str, name: str, kind: str) -> None:
    """What one release has and the other lacks passes the check there, and is refused here, by name."""
    schemas = {"there": load_schemas("6"), "here": load_schemas(release)}
    if kind == "added":
        schemas = {"there": schemas["here"], "here": schemas["there"]}
    assert node in schemas["there"]
    extra = {"extra": NodeSpec(type=node, inputs={name: "x"} if name else {})}
    graph = GraphSpec(path="/World/G", extensions={}, nodes=extra, connections=[])
    unknown = f"has no input {name}" if name else "extra: no node type"
    with pytest.raises(GraphError, match=unknown):
        check(graph, schemas["here"])
    # By itself the node never runs, which is another complaint.
    with pytest.raises(GraphError, match="never runs") as refused:
        check(graph, schemas["there"])
    assert unknown not in str(refused.value)


def test_a_name_without_a_value_is_refused() -> None:
    with pytest.raises(GraphError, match=r"no value for \$camera\.frame_skip"):
        fill(load_graph(), {})


def wheel_of_the_bridge() -> Path | None:
    spec = importlib.util.find_spec("isaacsim")
    for place in spec.submodule_search_locations or () if spec else ():
        folder = Path(place) / "exts" / "isaacsim.ros2.nodes"
        if folder.is_dir():
            return folder
    return None


def listed() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((data_folder() / "contract" / "nodes_6_2.json").read_text())
    return document


def test_bridge_schemas_are_those_of_the_installed_wheel() -> None:
    folder = wheel_of_the_bridge()
    if folder is None:
        pytest.skip("the wheel isaacsim-ros2 is not installed")
    real = read_schemas(folder)
    ours = {name: schema for name, schema in listed().items() if name.startswith(BRIDGE)}
    assert len(ours) >= 30
    assert ours == {name: real[name] for name in ours}
    used = {node.type for node in load_graph().nodes.values() if node.type.startswith(BRIDGE)}
    assert used <= set(ours)


def test_pictures_are_of_kinds_that_the_wheel_allows() -> None:
    folder = wheel_of_the_bridge()
    if folder is None:
        pytest.skip("the wheel isaacsim-ros2 is not installed")
    helper = BRIDGE + "ROS2CameraHelper"
    file = next(folder.rglob("OgnROS2CameraHelper.ogn"))
    allowed = json.loads(file.read_text())[helper]["inputs"]["type"]["metadata"]["allowedTokens"]
    asked = {node.inputs["type"] for node in load_graph().nodes.values() if node.type == helper}
    assert asked == {"rgb", "bbox_2d_tight", "bbox_3d"}
    assert asked <= set(allowed.values())


@pytest.mark.parametrize("release", ["6", "5"])
def test_nodes_that_a_fault_silences_can_be_switched_off(release: str) -> None:
    graph, schemas = load_graph(), load_schemas(release)
    assert {graph.nodes[name].inputs["topicName"] for name in CAMERA_NODES} == {
        "$topic.image",
        "$topic.camera_info",
    }
    assert all(schemas[graph.nodes[name].type].inputs["enabled"] == "bool" for name in CAMERA_NODES)


@pytest.mark.skipif("ISAACSIM_WHEELS" not in os.environ, reason="ISAACSIM_WHEELS is not set")
def test_the_other_schemas_are_those_of_the_unpacked_wheels() -> None:
    real = read_schemas(Path(os.environ["ISAACSIM_WHEELS"]))
    ours = {name: schema for name, schema in listed().items() if not name.startswith(BRIDGE)}
    assert len(ours) == 6
    assert ours == {name: real[name] for name in ours}


def test_schemas_are_read_from_files_and_pages(tmp_path: Path) -> None:
    nodes = tmp_path / "exts" / "isaacsim.demo.nodes" / "ogn"
    (nodes / "docs").mkdir(parents=True)
    attribute = {"execIn": {"type": "execution"}, "$comment": "no attribute"}
    (nodes / "OgnDemo.ogn").write_text(json.dumps({"Demo": {"version": 3, "inputs": attribute}}))
    page = '"Rate (*inputs:rate*)", "``double``", "x", "1"\n"Unique ID", "a.b.C"\n"Version", "2"\n'
    (nodes / "docs" / "OgnC.rst").write_text(page)
    found = read_schemas(tmp_path)
    demo = {"version": 3, "inputs": {"execIn": "execution"}, "outputs": {}}
    assert found["isaacsim.demo.nodes.Demo"] == demo
    assert found["a.b.C"] == {"version": 2, "inputs": {"rate": "double"}, "outputs": {}}
    (nodes / "OgnBad.ogn").write_text("{")
    with pytest.raises(ValueError, match=r"OgnBad\.ogn: expected JSON"):
        read_schemas(tmp_path)
