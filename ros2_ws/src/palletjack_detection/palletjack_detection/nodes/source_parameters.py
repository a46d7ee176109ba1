"""The parameters of the two nodes that play a camera: image_source and image_folder. Needs no ROS."""

from __future__ import annotations

from palletjack_detection.nodes.parameter_spec import ParameterSpec


def _fixed(name: str, default: bool | int | float | str, description: str, *limits: float) -> ParameterSpec:
    """A parameter that holds for the life of the node; ``limits``: minimum and maximum, or none."""
    minimum, maximum = limits or (None, None)
    return ParameterSpec(name, default, description, minimum, maximum, fixed=True)


def _rate(description: str) -> ParameterSpec:
    return _fixed("rate_hz", 0.0, description, 0.0, 1000.0)


IMAGE_TOPIC = _fixed("image_topic", "image", "Topic to publish the images on.")

PARAMETERS = (
    _fixed("source", "pattern", "A video file, a folder of images, or 'pattern': a moving test picture."),
    IMAGE_TOPIC,
    _fixed("camera_info_topic", "camera_info", "Topic of the made camera_info."),
    _fixed("frame_id", "camera", "frame_id of images and camera_info."),
    _rate("Images in a second; 0: as the video says, else 10."),
    _fixed("loop", True, "Start again after the last frame; false: the node then ends."),
    _fixed(
        "wait_for_listeners",
        0,
        "Hold the first image back until so many listen to the images, for a minute at most.",
        0,
        100,
    ),
    _fixed(
        "horizontal_fov",
        70.0,
        "Angle that the made camera_info states, degrees; a file does not tell it.",
        1.0,
        179.0,
    ),
    _fixed("width", 960, "Width of the pattern, pixels.", 16, 8192),
    _fixed("height", 544, "Height of the pattern, pixels.", 16, 8192),
)

FOLDER_PARAMETERS = (
    _fixed("image_dir", "", "Folder of jpg, png and bmp images, published by name."),
    IMAGE_TOPIC,
    _fixed("frame_id", "camera", "frame_id of the images."),
    _rate("Images in a second at most; 0: in lock-step, as fast as the detector answers."),
    _fixed("lock_step", True, "Wait for the detections of an image before the next one."),
    _fixed("loop", False, "Start again after the last image."),
    _fixed(
        "answer_timeout_s",
        60.0,
        "In lock-step, seconds to wait for the detections of one image before giving up.",
        0.1,
        3600.0,
    ),
    _fixed(
        "output_dir",
        "",
        "In lock-step: folder for predictions.json and latency.json, written after the last image.",
    ),
)
