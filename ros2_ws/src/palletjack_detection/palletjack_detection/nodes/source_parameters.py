"""The parameters of the two nodes that play a camera: image_source and image_folder. Needs no ROS."""

from __future__ import annotations

from palletjack_detection.nodes.parameter_spec import ParameterSpec

IMAGE_TOPIC = ParameterSpec("image_topic", "image", "Topic to publish the images on.", fixed=True)

PARAMETERS = (
    ParameterSpec(
        "source",
        "pattern",
        "A video file, a folder of images, or 'pattern': a moving test picture.",
        fixed=True,
    ),
    IMAGE_TOPIC,
    ParameterSpec("camera_info_topic", "camera_info", "Topic of the made camera_info.", fixed=True),
    ParameterSpec("frame_id", "camera", "frame_id of images and camera_info.", fixed=True),
    ParameterSpec(
        "rate_hz",
        0.0,
        "Images in a second; 0: as the video says, else 10.",
        minimum=0.0,
        maximum=1000.0,
        fixed=True,
    ),
    ParameterSpec("loop", True, "Start again after the last frame; false: the node then ends.", fixed=True),
    ParameterSpec(
        "horizontal_fov",
        70.0,
        "Angle that the made camera_info states, degrees; a file does not tell it.",
        minimum=1.0,
        maximum=179.0,
        fixed=True,
    ),
    ParameterSpec("width", 960, "Width of the pattern, pixels.", minimum=16, maximum=8192, fixed=True),
    ParameterSpec("height", 544, "Height of the pattern, pixels.", minimum=16, maximum=8192, fixed=True),
)

FOLDER_PARAMETERS = (
    ParameterSpec("image_dir", "", "Folder of jpg, png and bmp images, published by name.", fixed=True),
    IMAGE_TOPIC,
    ParameterSpec("frame_id", "camera", "frame_id of the images.", fixed=True),
    ParameterSpec(
        "rate_hz",
        0.0,
        "Images in a second at most; 0: in lock-step, as fast as the detector answers.",
        minimum=0.0,
        maximum=1000.0,
        fixed=True,
    ),
    ParameterSpec("lock_step", True, "Wait for the detections of an image before the next one.", fixed=True),
    ParameterSpec("loop", False, "Start again after the last image.", fixed=True),
    ParameterSpec(
        "answer_timeout_s",
        60.0,
        "In lock-step, seconds to wait for the detections of one image before giving up.",
        minimum=0.1,
        maximum=3600.0,
        fixed=True,
    ),
    ParameterSpec(
        "output_dir",
        "",
        "In lock-step: folder for predictions.json and latency.json, written after the last image.",
        fixed=True,
    ),
)
