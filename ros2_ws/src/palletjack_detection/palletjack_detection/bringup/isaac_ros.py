"""The Isaac ROS graph as launch actions: one container, and the mapper back to camera pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from launch.actions import RegisterEventHandler
from launch.event_handlers import OnProcessStart
from launch.events.process import ProcessStarted
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import ComposableNodeContainer, LoadComposableNodes
from launch_ros.descriptions import ComposableNode

from launch import LaunchContext
from palletjack_detection.bringup.detector import model_folder
from palletjack_detection.bringup.isaac_ros_graph import (
    GraphNode,
    GraphRequest,
    IsaacRosRefused,
    build_graph,
    family_of,
)
from palletjack_detection.bringup.packages import require, version_of
from palletjack_detection.bringup.processes import MANAGED_RESPAWN_DELAY_S, ends_with_parent, number, own_node
from palletjack_detection.bringup.triton_repository import write_triton_repository
from palletjack_detection.engine import EngineError
from palletjack_detection.model_folder import load_model_spec

# Names inside the graph stay out of the way of other Isaac ROS graphs on the robot.
GRAPH_NAMESPACE = "palletjack_graph"
CONTAINER = "palletjack_container"


def release_of(given: Mapping[str, str]) -> str:
    """Return the release that is named, or the one of the installed decoder.

    Raises:
        IsaacRosRefused: it cannot be told, or the graph is not written for it.
    """
    release = given["isaac_ros_release"]
    if release == "auto":
        release = version_of("isaac_ros_detectnet")
        if not release:
            raise IsaacRosRefused(
                "isaac_ros_release: the installed isaac_ros_detectnet states no version; name the release"
            )
    family_of(release)
    return release


def absolute(topic: str, namespace: str) -> str:
    """Return ``topic`` as a node in ``namespace`` resolves it."""
    return topic if topic.startswith("/") else "/" + "/".join(p for p in (namespace.strip("/"), topic) if p)


def graph_request(given: Mapping[str, str], share: Path) -> GraphRequest:
    """Return what to build; looks up model, release and engine.

    Raises:
        IsaacRosRefused, EngineError, ModelFolderError: the message says what to change.
    """
    folder = model_folder(given["model"], share)
    spec = load_model_spec(folder)
    release = release_of(given)
    if given["image_transport"] != "raw":
        raise IsaacRosRefused("image_transport: expected raw with backend:=isaac_ros, found compressed")
    if given["camera"] == "images":
        raise IsaacRosRefused(
            "camera: images have no camera_info and no common size, which backend:=isaac_ros needs; "
            "use camera:=video, or another backend"
        )
    engine = engine_file(given, folder)
    # Its file does not decide anything: the engine is built already. Isaac ROS wants the name all the same.
    onnx = folder / spec.network_file(given["precision"], "tensorrt")
    request = GraphRequest(
        spec=spec,
        release=release,
        image_width=int(number(given, "image_width", 0, 16384)),
        image_height=int(number(given, "image_height", 0, 16384)),
        image_topic=absolute(given["image_topic"], given["namespace"]),
        camera_info_topic=absolute(given["camera_info_topic"], given["namespace"]),
        onnx=onnx,
        engine=engine,
        inference=given["inference"],
        clustering=given["isaac_clustering"],
        triton_repository=engine.parent / f"triton.{engine.stem}" if given["inference"] == "triton" else None,
        reliable=given["reliability"] == "reliable",
    )
    build_graph(request)
    if request.inference == "triton":
        write_triton_repository(spec, engine, engine.parent)
    return request


def engine_file(given: Mapping[str, str], folder: Path) -> Path:
    """Return the TensorRT engine: the one that is named, else the one that `setup_model` built here.

    Raises:
        FileNotFoundError, EngineError: there is none.
    """
    if given["engine"]:
        engine = Path(given["engine"]).expanduser().absolute()
        if not engine.is_file():
            raise FileNotFoundError(f"engine: expected a TensorRT engine, found {engine}")
        return engine
    from palletjack_detection.engines.api import TENSORRT, load_tensorrt
    from palletjack_detection.engines.store import EngineRequest, ensure_engine

    try:
        return ensure_engine(
            load_tensorrt(TENSORRT), EngineRequest(folder, given["precision"]), build=False
        ).path
    except EngineError as error:
        raise EngineError(f"backend:=isaac_ros needs an engine, or engine:=FILE: {error}") from error


def composable(node: GraphNode, given: Mapping[str, str]) -> ComposableNode:
    """Return ``node`` as launch_ros loads it."""
    return ComposableNode(
        name=node.name,
        namespace=absolute(GRAPH_NAMESPACE, given["namespace"]),
        package=node.package,
        plugin=node.plugin,
        parameters=[{**node.parameters, "use_sim_time": given["use_sim_time"] == "true"}],
        remappings=list(node.remappings.items()),
    )


def isaac_ros_actions(given: Mapping[str, str], share: Path) -> list[LaunchDescriptionEntity]:
    """Return container, components and mapper.

    Raises:
        PackageMissing, IsaacRosRefused, EngineError, ModelFolderError, ValueError: see the message.
    """
    require("isaac_ros_detectnet", "backend:=isaac_ros")
    request = graph_request(given, share)
    nodes = build_graph(request)
    for package in sorted({node.package for node in nodes}):
        require(package, "backend:=isaac_ros")
    simulated = {"use_sim_time": given["use_sim_time"] == "true"}
    container = ComposableNodeContainer(
        name=CONTAINER,
        namespace=given["namespace"],
        package="rclcpp_components",
        executable="component_container_mt",
        composable_node_descriptions=[],
        output="screen",
        respawn=True,
        # Sooner, the request to load the components would go to the dead container, and nothing be loaded.
        respawn_delay=MANAGED_RESPAWN_DELAY_S,
        prefix=ends_with_parent(),
        parameters=[simulated],
    )

    def load(event: ProcessStarted, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """A container that was started again is empty: fill it whenever it starts."""
        return [
            LoadComposableNodes(
                target_container=absolute(CONTAINER, given["namespace"]),
                composable_node_descriptions=[composable(node, given) for node in nodes],
            )
        ]

    return [
        RegisterEventHandler(OnProcessStart(target_action=container, on_start=load)),
        container,
        mapper_node(given, share, request),
    ]


def mapper_node(given: Mapping[str, str], share: Path, request: GraphRequest) -> LaunchDescriptionEntity:
    """Return the node that brings the graph's boxes into camera pixels."""
    boxes = absolute(f"{GRAPH_NAMESPACE}/detectnet/detections", given["namespace"])
    return own_node(
        "detection_mapper",
        given,
        [
            {
                "model_dir": str(model_folder(given["model"], share)),
                "score_threshold": number(given, "score_threshold", -1.0, 1.0),
                "keep_threshold": number(given, "keep_threshold", -1.0, 1.0),
                "clustered": request.clustering == "decoder",
                "image_width": request.image_width,
                "image_height": request.image_height,
            }
        ],
        remappings={"detectnet/detections": boxes, "camera_info": given["camera_info_topic"]},
    )
