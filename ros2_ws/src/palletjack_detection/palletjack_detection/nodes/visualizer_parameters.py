"""The parameters of the visualizer. Needs no ROS."""

from __future__ import annotations

from palletjack_detection.nodes.image_parameters import IMAGE_INPUT
from palletjack_detection.nodes.parameter_spec import ParameterSpec

PARAMETERS = (
    *IMAGE_INPUT,
    ParameterSpec("max_rate_hz", 10.0, "Draw at most this many images in a second.", 0.1, 240.0),
)
