"""The parameters by which a node is told where its images come from."""

from __future__ import annotations

from palletjack_detection.nodes.parameter_spec import ParameterSpec

IMAGE_INPUT = (
    ParameterSpec("image_topic", "image", "Topic of the images.", fixed=True),
    ParameterSpec(
        "image_transport",
        "raw",
        "raw: sensor_msgs/Image. compressed: sensor_msgs/CompressedImage on <image_topic>/compressed.",
        choices=("raw", "compressed"),
        fixed=True,
    ),
)
RECTIFIED = ParameterSpec(
    "rectified",
    False,
    "The boxes are of rectified images: camera_info's p is their camera, d is not applied.",
    fixed=True,
)
