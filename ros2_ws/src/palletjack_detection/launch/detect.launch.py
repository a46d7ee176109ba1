"""Bring up the detector, and a camera for it where one is asked for.

Example: ros2 launch palletjack_detection detect.launch.py camera:=images image_dir:=photos output:=out
"""

from __future__ import annotations

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from palletjack_detection.shipped_model import find_shipped_model

PACKAGE = "palletjack_detection"
BOOLEAN = ["true", "false"]


def arguments() -> list[DeclareLaunchArgument]:
    """Return the launch arguments, each with what `ros2 launch ... -s` says about it."""
    return [
        DeclareLaunchArgument(
            "backend",
            default_value="auto",
            choices=["auto", "onnxruntime"],
            description="What runs the network; auto takes the best one here.",
        ),
        DeclareLaunchArgument(
            "camera",
            default_value="topic",
            choices=["topic", "images"],
            description="topic: a camera driver publishes on image_topic. images: the files of image_dir.",
        ),
        DeclareLaunchArgument(
            "image_topic", default_value="image", description="Topic of the images (sensor_msgs/Image)."
        ),
        DeclareLaunchArgument(
            "image_transport",
            default_value="raw",
            choices=["raw", "compressed"],
            description="compressed: subscribe to sensor_msgs/CompressedImage on <image_topic>/compressed.",
        ),
        DeclareLaunchArgument(
            "reliability",
            default_value="auto",
            choices=["auto", "best_effort", "reliable"],
            description="QoS of the image subscription; auto: best_effort for a topic, reliable for images.",
        ),
        DeclareLaunchArgument(
            "image_dir", default_value="", description="With camera:=images, the folder of images."
        ),
        DeclareLaunchArgument(
            "rate",
            default_value="0.0",
            description="With camera:=images, images in a second at most; 0: as fast as they are answered.",
        ),
        DeclareLaunchArgument(
            "loop",
            default_value="false",
            choices=BOOLEAN,
            description="With camera:=images, start again after the last image.",
        ),
        DeclareLaunchArgument(
            "output",
            default_value="",
            description="With camera:=images, folder for predictions.json and latency.json; empty: none.",
        ),
        DeclareLaunchArgument(
            "model",
            default_value="",
            description="Model folder (model.onnx and model.json); empty: the one that ships here.",
        ),
        DeclareLaunchArgument(
            "score_threshold",
            default_value="-1.0",
            description="Publish detections from this score, 0..1; negative: the model's own threshold.",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value="",
            description="YAML file with more parameters of the detector; empty: config/detector.yaml.",
        ),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of every node."),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="false",
            choices=BOOLEAN,
            description="Take the time from /clock, as with a simulator or a bag.",
        ),
        DeclareLaunchArgument(
            "respawn",
            default_value="auto",
            choices=["auto", *BOOLEAN],
            description="Start the detector again when it dies; auto: with camera:=topic. Otherwise its end "
            "ends the launch.",
        ),
    ]


def number(context: LaunchContext, name: str, low: float, high: float) -> float:
    """Return a launch argument as a number; raises ValueError, which ends the launch with its message."""
    text = context.launch_configurations[name]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, found {text!r}")
    return value


def model_folder(text: str, share: Path) -> Path:
    """Return the folder to load the model from; raises FileNotFoundError where it holds no model.json."""
    if not text:
        return find_shipped_model(share, start=Path(__file__))
    folder = Path(text).expanduser().absolute()
    if not (folder / "model.json").is_file():
        raise FileNotFoundError(f"model: expected a folder with model.json, found {folder}")
    return folder


def set_up(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes for the given arguments; raises an error that names the wrong one."""
    given = context.launch_configurations
    share = Path(get_package_share_directory(PACKAGE))
    from_folder = given["camera"] == "images"
    params_file = Path(given["params_file"] or share / "config" / "detector.yaml").expanduser().absolute()
    if not params_file.is_file():
        raise FileNotFoundError(f"params_file: expected a YAML file, found {params_file}")
    reliability = given["reliability"]
    if reliability == "auto":
        reliability = "reliable" if from_folder else "best_effort"
    respawn = given["respawn"] == "true" or (given["respawn"] == "auto" and not from_folder)
    shared = {"use_sim_time": given["use_sim_time"] == "true", "image_topic": given["image_topic"]}
    detector = Node(
        package=PACKAGE,
        executable="palletjack_detector",
        name="palletjack_detector",
        namespace=given["namespace"],
        output="screen",
        respawn=respawn,
        respawn_delay=2.0,
        additional_env={"PALLETJACK_END_WITH_PARENT": str(os.getpid())},
        parameters=[
            str(params_file),
            {
                **shared,
                "model_dir": str(model_folder(given["model"], share)),
                "score_threshold": number(context, "score_threshold", -1.0, 1.0),
                "image_transport": given["image_transport"],
                "reliability": reliability,
            },
        ],
    )
    entities: list[LaunchDescriptionEntity] = [detector]
    if not respawn:
        entities.append(ends_launch(detector))
    if from_folder:
        folder = image_folder(context, shared)
        entities += [folder, ends_launch(folder)]
    return entities


def image_folder(context: LaunchContext, shared: dict[str, bool | str]) -> Node:
    """Return the node that publishes ``image_dir``."""
    given = context.launch_configurations
    image_dir = Path(given["image_dir"] or os.devnull).expanduser().absolute()
    if not image_dir.is_dir():
        raise FileNotFoundError(f"image_dir: expected a folder of images, found {given['image_dir']!r}")
    if given["image_transport"] != "raw":
        raise ValueError("image_transport: expected raw with camera:=images, found compressed")
    output = given["output"]
    return Node(
        package=PACKAGE,
        executable="image_folder",
        name="image_folder",
        namespace=given["namespace"],
        output="screen",
        additional_env={"PALLETJACK_END_WITH_PARENT": str(os.getpid())},
        parameters=[
            {
                **shared,
                "image_dir": str(image_dir),
                "rate_hz": number(context, "rate", 0.0, 1000.0),
                "loop": given["loop"] == "true",
                "output_dir": str(Path(output).expanduser().absolute()) if output else "",
            }
        ],
    )


def ends_launch(node: Node) -> RegisterEventHandler:
    """End the launch when ``node`` ends: in order where it ended in order, else as a failure."""

    def on_exit(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if event.returncode != 0 and not context.is_shutdown:
            # An exception is what makes `ros2 launch` exit with 1.
            raise RuntimeError(f"{event.process_name} ended with exit code {event.returncode}")
        return [Shutdown(reason=f"{event.process_name} has finished")]

    return RegisterEventHandler(OnProcessExit(target_action=node, on_exit=on_exit))


def generate_launch_description() -> LaunchDescription:
    """Return the launch description: arguments, then what they ask for."""
    return LaunchDescription([*arguments(), OpaqueFunction(function=set_up)])
