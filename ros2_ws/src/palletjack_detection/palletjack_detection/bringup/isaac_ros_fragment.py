"""Our graph in Isaac ROS's interface of launch fragments, which its isaac_ros_examples composes.

Loads without isaac_ros_launch_utils or isaac_ros_examples too: the interface is three static methods.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.descriptions import ComposableNode

from palletjack_detection.bringup.isaac_ros import composable, graph_request, mapper_node
from palletjack_detection.bringup.isaac_ros_graph import GraphRequest, build_graph
from palletjack_detection.bringup.packages import PACKAGE

try:
    from isaac_ros_examples import IsaacROSLaunchFragment
except ImportError:  # the same interface, for launchers of one's own and for tests

    class IsaacROSLaunchFragment:  # type: ignore[no-redef]
        """What isaac_ros_examples asks of a fragment."""

        @staticmethod
        def get_interface_specs() -> dict[str, Any]:
            """Facts that the fragment gives to others."""
            return {}

        @staticmethod
        def get_composable_nodes(interface_specs: dict[str, Any]) -> dict[str, ComposableNode]:
            """Components for the shared container."""
            return {}

        @staticmethod
        def get_launch_actions(interface_specs: dict[str, Any]) -> dict[str, LaunchDescriptionEntity]:
            """Everything else."""
            return {}


# Names that the fragments of isaac_ros_examples agree on.
IMAGE, CAMERA_INFO = "/image_rect", "/camera_info_rect"


def _given(interface_specs: dict[str, Any]) -> dict[str, str]:
    """The launch arguments of detect.launch.py that the interface specs stand for.

    Raises:
        KeyError: no camera fragment has said the resolution.
    """
    if "camera_resolution" not in interface_specs:
        raise KeyError("interface specs: expected camera_resolution (width, height), which a camera gives")
    size = interface_specs["camera_resolution"]
    specs = {key.removeprefix("palletjack_"): str(value) for key, value in interface_specs.items()}
    return {
        "namespace": "",
        "camera": "topic",
        "use_sim_time": "false",
        "image_transport": "raw",
        "reliability": "best_effort",
        "image_topic": IMAGE,
        "camera_info_topic": CAMERA_INFO,
        "image_width": str(size["width"]),
        "image_height": str(size["height"]),
        "model": specs.get("model", ""),
        "precision": specs.get("precision", "auto"),
        "engine": specs.get("engine", ""),
        "isaac_ros_release": specs.get("isaac_ros_release", "auto"),
        "inference": "tensorrt",
        "isaac_clustering": "mapper",
        "score_threshold": "-1.0",
        "keep_threshold": "-1.0",
    }


def _request(interface_specs: dict[str, Any]) -> tuple[dict[str, str], Path, GraphRequest]:
    given, share = _given(interface_specs), Path(get_package_share_directory(PACKAGE))
    return given, share, graph_request(given, share)


class IsaacROSPalletjackLaunchFragment(IsaacROSLaunchFragment):  # type: ignore[misc]
    """Detects pallet trucks on image_rect; publishes `detections` in the pixels of that image.

    Interface specs read: camera_resolution; and palletjack_model, palletjack_precision, palletjack_engine,
    palletjack_isaac_ros_release where they are given.
    """

    @staticmethod
    def get_interface_specs() -> dict[str, Any]:
        """Name the topic of the boxes for fragments that follow."""
        return {"detections_topic": "detections"}

    @staticmethod
    def get_composable_nodes(interface_specs: dict[str, Any]) -> dict[str, ComposableNode]:
        """Return the components by name; all topics of the graph lie under /palletjack_graph."""
        given, _, request = _request(interface_specs)
        return {f"palletjack_{node.name}": composable(node, given) for node in build_graph(request)}

    @staticmethod
    def get_launch_actions(interface_specs: dict[str, Any]) -> dict[str, LaunchDescriptionEntity]:
        """Return the node that brings the boxes into camera pixels."""
        given, share, request = _request(interface_specs)
        return {"palletjack_detection_mapper": mapper_node(given, share, request)}
