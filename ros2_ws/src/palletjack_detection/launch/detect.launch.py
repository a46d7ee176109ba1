"""Bring up a camera, the detector, and what works on its boxes.

Example: ros2 launch palletjack_detection detect.launch.py camera:=images image_dir:=photos output:=out
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity

from launch import LaunchContext, LaunchDescription
from palletjack_detection.bringup.cameras import CAMERAS, SIMULATED_TIME, camera_actions, topics_of
from palletjack_detection.bringup.detector import LIFECYCLES, consumers, detector_actions
from palletjack_detection.bringup.isaac_ros import isaac_ros_actions
from palletjack_detection.bringup.isaac_ros_graph import CLUSTERING, FAMILIES, INFERENCE
from palletjack_detection.bringup.packages import PACKAGE
from palletjack_detection.model_folder import PRECISIONS

BOOLEAN = ["true", "false"]
BACKENDS = ["auto", "isaac_ros", "tensorrt", "onnxruntime"]


def arguments() -> list[DeclareLaunchArgument]:
    """Return the launch arguments, each with what `ros2 launch ... -s` says about it."""
    return [*detector_arguments(), *camera_arguments(), *isaac_ros_arguments(), *other_arguments()]


def detector_arguments() -> list[DeclareLaunchArgument]:
    """What detects."""
    return [
        DeclareLaunchArgument(
            "backend",
            default_value="auto",
            choices=BACKENDS,
            description="What runs the network. auto: an engine of TensorRT that setup_model built, else "
            "ONNX Runtime. isaac_ros: NVIDIA's graph.",
        ),
        DeclareLaunchArgument(
            "model",
            default_value="",
            description="Model folder (model.onnx and model.json); empty: the one that ships here.",
        ),
        DeclareLaunchArgument(
            "precision",
            default_value="auto",
            choices=["auto", *PRECISIONS],
            description="Precision of the network, of those in the model folder; auto: the model's own, "
            "but FP32 on a processor that is slower in INT8.",
        ),
        DeclareLaunchArgument(
            "build_engine",
            default_value="false",
            choices=BOOLEAN,
            description="With backend:=tensorrt, build a missing engine at the start, in the background.",
        ),
        DeclareLaunchArgument(
            "score_threshold",
            default_value="-1.0",
            description="Publish detections from this score, 0..1; negative: the model's own threshold.",
        ),
        DeclareLaunchArgument(
            "keep_threshold",
            default_value="-1.0",
            description="Publish them from this score where the image before had one; negative: 0.6 of "
            "score_threshold, for camera:=images never; 1: never.",
        ),
        DeclareLaunchArgument(
            "lifecycle",
            default_value="autostart",
            choices=list(LIFECYCLES),
            description="Who configures and activates the detector. autostart: itself. events: this launch "
            "file. manual: somebody else, as nav2's lifecycle manager.",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value="",
            description="YAML file with more parameters of the detector and of the nodes around it; empty: "
            "config/detector.yaml.",
        ),
    ]


def camera_arguments() -> list[DeclareLaunchArgument]:
    """Where the images come from."""
    return [
        DeclareLaunchArgument(
            "camera",
            default_value="topic",
            choices=list(CAMERAS),
            description="topic: a driver that runs already. images: the files of image_dir. video: a file or "
            "a test pattern. usb, realsense, zed: their driver. isaac_sim: its topics. bag: a recording.",
        ),
        DeclareLaunchArgument(
            "image_topic",
            default_value="",
            description="Topic of the images (sensor_msgs/Image); empty: image, or the camera's own.",
        ),
        DeclareLaunchArgument(
            "camera_info_topic",
            default_value="",
            description="Topic of the camera_info; empty: camera_info, or the camera's own.",
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
            description="QoS of the image subscription; auto: reliable for images, video, else best_effort.",
        ),
        DeclareLaunchArgument(
            "image_dir", default_value="", description="With camera:=images, the folder of images."
        ),
        DeclareLaunchArgument(
            "video", default_value="", description="With camera:=video, a video file, or 'pattern'."
        ),
        DeclareLaunchArgument(
            "rate",
            default_value="0.0",
            description="With camera:=images or video, images in a second at most; 0: as fast as they are "
            "answered, or as the video says.",
        ),
        DeclareLaunchArgument(
            "loop",
            default_value="false",
            choices=BOOLEAN,
            description="With camera:=images, video or bag, start again after the end.",
        ),
        DeclareLaunchArgument(
            "output",
            default_value="",
            description="With camera:=images, folder for predictions.json and latency.json; empty: none.",
        ),
        DeclareLaunchArgument(
            "video_device", default_value="/dev/video0", description="With camera:=usb, the device."
        ),
        DeclareLaunchArgument(
            "zed_model", default_value="zed2i", description="With camera:=zed, the model of the camera."
        ),
        DeclareLaunchArgument(
            "bag", default_value="", description="With camera:=bag, the recording to play with its clock."
        ),
    ]


def isaac_ros_arguments() -> list[DeclareLaunchArgument]:
    """What only backend:=isaac_ros reads."""
    return [
        DeclareLaunchArgument(
            "isaac_ros_release",
            default_value="auto",
            description=f"Release of Isaac ROS: {', '.join(FAMILIES)}; auto: that of the installed decoder.",
        ),
        DeclareLaunchArgument(
            "image_width",
            default_value="0",
            description="With backend:=isaac_ros, width of the camera's images in pixels.",
        ),
        DeclareLaunchArgument(
            "image_height",
            default_value="0",
            description="With backend:=isaac_ros, height of the camera's images in pixels.",
        ),
        DeclareLaunchArgument(
            "engine",
            default_value="",
            description="With backend:=isaac_ros, TensorRT engine; empty: the one that setup_model built.",
        ),
        DeclareLaunchArgument(
            "inference",
            default_value="tensorrt",
            choices=list(INFERENCE),
            description="With backend:=isaac_ros, the node that runs the engine.",
        ),
        DeclareLaunchArgument(
            "isaac_clustering",
            default_value="mapper",
            choices=list(CLUSTERING),
            description="With backend:=isaac_ros: mapper, as the model says, the same boxes as elsewhere; "
            "decoder, NVIDIA's DBSCAN with TAO's thresholds.",
        ),
    ]


def other_arguments() -> list[DeclareLaunchArgument]:
    """What works on the boxes, and what all nodes share."""
    return [
        DeclareLaunchArgument(
            "track",
            default_value="false",
            choices=BOOLEAN,
            description="Start the tracker: stable ids, on tracked_detections.",
        ),
        DeclareLaunchArgument(
            "locate",
            default_value="false",
            choices=BOOLEAN,
            description="Start the locator: places on the floor, on detections_3d.",
        ),
        DeclareLaunchArgument(
            "rectified",
            default_value="auto",
            choices=["auto", *BOOLEAN],
            description="With locate:=true, the images are rectified ones, to which camera_info's p applies "
            "and d does not; auto: where image_topic says so, as image_rect does.",
        ),
        DeclareLaunchArgument(
            "depth_topic",
            default_value="",
            description="With locate:=true, a depth image registered to the camera's (16UC1 or 32FC1), which "
            "camera:=realsense then publishes there; empty: places come from the floor.",
        ),
        DeclareLaunchArgument(
            "visualize",
            default_value="false",
            choices=BOOLEAN,
            description="Start the visualizer: the image with its boxes, on detections_image.",
        ),
        DeclareLaunchArgument(
            "record",
            default_value="false",
            choices=BOOLEAN,
            description="Start the recorder: images, boxes and more into an MCAP bag.",
        ),
        DeclareLaunchArgument(
            "record_to",
            default_value="",
            description="With record:=true, the bag's folder, not there yet; empty: palletjack_<time>, here.",
        ),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of every node."),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="auto",
            choices=["auto", *BOOLEAN],
            description="Take the time from /clock; auto: with camera:=isaac_sim or bag.",
        ),
        DeclareLaunchArgument(
            "respawn",
            default_value="auto",
            choices=["auto", *BOOLEAN],
            description="Start the detector again when it dies; auto: unless the images come to an end. "
            "Otherwise its end ends the launch.",
        ),
    ]


def set_up(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes for the given arguments; raises an error that names the wrong one."""
    given = dict(context.launch_configurations)
    share = Path(get_package_share_directory(PACKAGE))
    given.update(topics_of(given, share))
    if given["use_sim_time"] == "auto":
        given["use_sim_time"] = "true" if given["camera"] in SIMULATED_TIME else "false"
    camera = camera_actions(given)
    respawn = given["respawn"] == "true" or (given["respawn"] == "auto" and not camera.finite)
    if given["reliability"] == "auto":
        # Else the parameter's own default, best_effort, or what params_file says.
        given["reliability"] = "reliable" if camera.reliable else "auto"
    if given["backend"] == "isaac_ros":
        detector = isaac_ros_actions(given, share)
    else:
        detector = detector_actions(given, share, respawn=respawn)
    return [*detector, *consumers(given, share), *camera.entities]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description: arguments, then what they ask for."""
    return LaunchDescription([*arguments(), OpaqueFunction(function=set_up)])
