"""The parameters of the locator. Needs no ROS."""

from __future__ import annotations

from palletjack_detection.location import LocationSettings
from palletjack_detection.nodes.image_parameters import RECTIFIED
from palletjack_detection.nodes.parameter_spec import ParameterSpec

_DEFAULT = LocationSettings()
SETTINGS = (
    ParameterSpec(
        "edge_sigma_px", _DEFAULT.edge_sigma_px, "Standard deviation of a box's edges, pixels.", 0.1, 100.0
    ),
    ParameterSpec("depth_sigma_m", _DEFAULT.depth_sigma_m, "Noise of the depth camera, m.", 0.0, 5.0),
    ParameterSpec(
        "depth_sigma_share", _DEFAULT.depth_sigma_share, "Its noise as a share of the distance.", 0.0, 1.0
    ),
    ParameterSpec(
        "object_depth_m",
        _DEFAULT.object_depth_m,
        "Extent of an object along the line of sight, which one view does not show, m.",
        0.0,
        10.0,
    ),
    ParameterSpec("max_range_m", _DEFAULT.max_range_m, "Farther objects are not placed, m.", 0.5, 500.0),
)
PARAMETERS = (
    ParameterSpec(
        "base_frame", "base_link", "The robot's frame: x forward, origin on the floor.", fixed=True
    ),
    RECTIFIED,
    ParameterSpec(
        "depth_topic",
        "",
        "Depth image registered to the camera's (16UC1 or 32FC1); empty: places come from the floor.",
        fixed=True,
    ),
    ParameterSpec(
        "transform_wait",
        0.1,
        "Detections wait this long for the camera's transform at their time, s; then the newest is used.",
        0.0,
        2.0,
        fixed=True,
    ),
    ParameterSpec(
        "max_transform_age",
        0.2,
        "Detections are not placed by a transform that is older than this, s.",
        0.01,
        60.0,
        fixed=True,
    ),
    *SETTINGS,
)
