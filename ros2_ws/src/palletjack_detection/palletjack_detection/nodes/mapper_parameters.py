"""The parameters of the detection mapper. Needs no ROS."""

from __future__ import annotations

from palletjack_detection.nodes.keep_parameter import KEEP_THRESHOLD
from palletjack_detection.nodes.parameter_spec import ParameterSpec

PARAMETERS = (
    ParameterSpec("model_dir", "", "Model folder; empty: the model that ships with the package.", fixed=True),
    ParameterSpec(
        "score_threshold",
        -1.0,
        "Detections below this score are not published, 0..1; a negative value: the model's own threshold.",
        minimum=-1.0,
        maximum=1.0,
    ),
    KEEP_THRESHOLD,
    ParameterSpec(
        "clustered",
        False,
        "The decoder has clustered the boxes; false: they are one for each hot cell.",
        fixed=True,
    ),
    ParameterSpec(
        "image_width",
        0,
        "Width that the graph was set up for, pixels; 0: take that of camera_info.",
        minimum=0,
        maximum=16384,
        fixed=True,
    ),
    ParameterSpec(
        "image_height",
        0,
        "Height that the graph was set up for, pixels; 0: take that of camera_info.",
        minimum=0,
        maximum=16384,
        fixed=True,
    ),
    ParameterSpec(
        "stale_after_s",
        2.0,
        "Seconds without boxes of the decoder after which /diagnostics warns.",
        minimum=0.1,
        maximum=3600.0,
        fixed=True,
    ),
)
