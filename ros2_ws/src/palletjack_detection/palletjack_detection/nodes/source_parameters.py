"""The parameters of the image source. Needs no ROS."""

from __future__ import annotations

from palletjack_detection.nodes.parameter_spec import ParameterSpec

PARAMETERS = (
    ParameterSpec(
        "source",
        "pattern",
        "A video file, a folder of images, or 'pattern': a moving test picture.",
        fixed=True,
    ),
    ParameterSpec("image_topic", "image", "Topic to publish the images on.", fixed=True),
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
