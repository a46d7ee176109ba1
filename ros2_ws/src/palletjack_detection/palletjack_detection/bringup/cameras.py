"""What publishes the images: our own sources, a camera's driver, a simulator or a bag."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from launch.actions import ExecuteProcess, GroupAction, IncludeLaunchDescription
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node
from rclpy.exceptions import InvalidTopicNameException
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_topic_name import validate_topic_name

from palletjack_detection.bringup.packages import PackageMissing, is_installed, require, version_of
from palletjack_detection.bringup.processes import (
    RESPAWN_DELAY_S,
    ends_launch,
    ends_with_parent,
    number,
    own_node,
)

CAMERAS = ("topic", "images", "video", "usb", "realsense", "zed", "isaac_sim", "bag")
# They bring a clock of their own.
SIMULATED_TIME = ("isaac_sim", "bag")


@dataclass(frozen=True)
class Camera:
    """Launch actions of a camera. ``finite``: the launch ends with it."""

    entities: list[LaunchDescriptionEntity] = field(default_factory=list)
    reliable: bool = False
    finite: bool = False


def topics_of(given: Mapping[str, str], share: Path) -> dict[str, str]:
    """Return ``image_topic`` and ``camera_info_topic``: as given, else as the camera names them."""
    image, info = "image", "camera_info"
    if given["camera"] == "isaac_sim":
        topics = yaml.safe_load((share / "config" / "topics.yaml").read_text())["topics"]
        image, info = topics["image"]["name"], topics["camera_info"]["name"]
    elif given["camera"] == "zed":
        image, info = _zed_topics(version_of("zed_wrapper"), given["namespace"].strip("/"))
    topics = {
        "image_topic": given["image_topic"] or image,
        "camera_info_topic": given["camera_info_topic"] or info,
    }
    for argument, topic in topics.items():
        try:
            validate_topic_name(topic)
            if not topic.startswith("~"):
                # Finds what the former leaves for later, as in "a//b".
                validate_full_topic_name(topic if topic.startswith("/") else f"/{topic}")
        except InvalidTopicNameException as error:
            raise ValueError(
                f"{argument}: expected a topic name that ROS allows, found {topic!r}: {error}"
            ) from None
    return topics


def _zed_topics(version: str, namespace: str) -> tuple[str, str]:
    """Image and camera_info of ``zed_wrapper``: version 5 renamed them, and takes a namespace.

    In a namespace it names its node as the camera; before version 5 it knows none and stays in its own.
    """
    major = version.split(".")[0]
    if major.isdigit() and int(major) >= 5:
        node = "zed" if namespace else "zed/zed_node"
        return f"{node}/rgb/color/rect/image", f"{node}/rgb/color/rect/camera_info"
    node = "/zed/zed_node" if namespace else "zed/zed_node"
    return f"{node}/rgb/image_rect_color", f"{node}/rgb/camera_info"


def camera_actions(given: Mapping[str, str]) -> Camera:
    """Return what publishes the images; topics are those of ``given``.

    Raises:
        PackageMissing: a driver that is asked for is not installed; with the line that installs it.
        FileNotFoundError, ValueError: an argument of the camera is wrong.
    """
    makers: dict[str, Callable[[Mapping[str, str]], Camera]] = {
        "topic": lambda _: Camera(),
        "isaac_sim": lambda _: Camera(),
        "images": _images,
        "video": _video,
        "usb": _usb,
        "realsense": _realsense,
        "zed": _zed,
        "bag": _bag,
    }
    return makers[given["camera"]](given)


def _images(given: Mapping[str, str]) -> Camera:
    image_dir = Path(given["image_dir"] or os.devnull).expanduser().absolute()
    if not image_dir.is_dir():
        raise FileNotFoundError(f"image_dir: expected a folder of images, found {given['image_dir']!r}")
    _raw_only(given)
    output = given["output"]
    parameters = {
        "image_topic": given["image_topic"],
        "image_dir": str(image_dir),
        "rate_hz": number(given, "rate", 0.0, 1000.0),
        "loop": given["loop"] == "true",
        "output_dir": str(Path(output).expanduser().absolute()) if output else "",
    }
    node = own_node("image_folder", given, [parameters], respawn=False)
    return Camera([node, ends_launch(node)], reliable=True, finite=True)


def _video(given: Mapping[str, str]) -> Camera:
    source = given["video"]
    if source != "pattern":
        path = Path(source or os.devnull).expanduser().absolute()
        if not path.is_file() or not source:
            raise FileNotFoundError(f"video: expected a video file, or 'pattern', found {source!r}")
        source = str(path)
    _raw_only(given)
    finite = given["loop"] != "true" and source != "pattern"
    # Nothing of a file that ends is to be lost on who has not come up yet.
    listeners = 1 + sum(given[name] == "true" for name in ("visualize", "record"))
    parameters = {
        "source": source,
        "wait_for_listeners": listeners if finite else 0,
        "image_topic": given["image_topic"],
        "camera_info_topic": given["camera_info_topic"],
        "rate_hz": number(given, "rate", 0.0, 1000.0),
        "loop": given["loop"] == "true",
    }
    node = own_node("image_source", given, [parameters], respawn=not finite)
    return Camera([node, ends_launch(node)] if finite else [node], reliable=True, finite=finite)


def _raw_only(given: Mapping[str, str]) -> None:
    if given["image_transport"] != "raw":
        raise ValueError(
            f"image_transport: expected raw with camera:={given['camera']}, found {given['image_transport']}"
        )


def _driver(given: Mapping[str, str], remappings: Mapping[str, str], **fields: Any) -> Camera:
    node = Node(
        namespace=given["namespace"],
        output="screen",
        respawn=True,
        respawn_delay=RESPAWN_DELAY_S,
        prefix=ends_with_parent(),
        remappings=list(remappings.items()),
        **fields,
    )
    return Camera([node])


def _usb(given: Mapping[str, str]) -> Camera:
    topics = {"image_raw": given["image_topic"], "camera_info": given["camera_info_topic"]}
    if given["image_transport"] == "compressed":
        topics["image_raw/compressed"] = f"{given['image_topic']}/compressed"
    device = {"video_device": given["video_device"]}
    if not is_installed("usb_cam") and is_installed("v4l2_camera"):
        return _driver(
            given,
            topics,
            package="v4l2_camera",
            executable="v4l2_camera_node",
            name="usb_camera",
            parameters=[device],
        )
    require("usb_cam", "camera:=usb")
    return _driver(
        given,
        topics,
        package="usb_cam",
        executable="usb_cam_node_exe",
        name="usb_camera",
        parameters=[{**device, "pixel_format": "yuyv"}],
    )


def _realsense(given: Mapping[str, str]) -> Camera:
    require("realsense2_camera", "camera:=realsense")
    wants_depth = given["locate"] == "true" and bool(given["depth_topic"])
    topics = {
        "~/color/image_raw": given["image_topic"],
        "~/color/camera_info": given["camera_info_topic"],
    }
    if wants_depth:
        topics["~/aligned_depth_to_color/image_raw"] = given["depth_topic"]
    if given["image_transport"] == "compressed":
        topics["~/color/image_raw/compressed"] = f"{given['image_topic']}/compressed"
    return _driver(
        given,
        topics,
        package="realsense2_camera",
        executable="realsense2_camera_node",
        name="camera",
        parameters=[
            {
                "enable_color": True,
                # Registered to the colour image, as the locator wants it.
                "enable_depth": wants_depth,
                "align_depth.enable": wants_depth,
            }
        ],
    )


def _zed(given: Mapping[str, str]) -> Camera:
    if not is_installed("zed_wrapper"):
        raise PackageMissing(
            "camera:=zed needs the package zed_wrapper, which is built from source: "
            "git clone --recurse-submodules https://github.com/stereolabs/zed-ros2-wrapper.git"
        )
    from ament_index_python.packages import get_package_share_directory

    launch_file = Path(get_package_share_directory("zed_wrapper")) / "launch" / "zed_camera.launch.py"
    include = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(launch_file)),
        launch_arguments={
            "camera_model": given["zed_model"],
            "camera_name": "zed",
            "namespace": given["namespace"].strip("/"),
        }.items(),
    )
    # Scoped: its arguments have the same names as some of ours.
    return Camera([GroupAction([include], scoped=True)])


def _bag(given: Mapping[str, str]) -> Camera:
    bag = Path(given["bag"] or os.devnull).expanduser().absolute()
    if not given["bag"] or not bag.exists():
        raise FileNotFoundError(f"bag: expected a bag's folder or file, found {given['bag']!r}")
    require("ros2bag", "camera:=bag")
    command = ["ros2", "bag", "play", str(bag), "--clock", "100"]
    loops = given["loop"] == "true"
    if loops:
        command.append("--loop")
    play = ExecuteProcess(cmd=command, name="bag", output="screen", prefix=ends_with_parent())
    return Camera([play] if loops else [play, ends_launch(play)], finite=not loops)
