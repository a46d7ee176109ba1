"""The parameter of the nodes that publish what lies between two thresholds. Needs no ROS."""

from __future__ import annotations

from palletjack_detection.nodes.parameter_spec import ParameterSpec

KEEP_THRESHOLD = ParameterSpec(
    "keep_threshold",
    -1.0,
    "A detection below score_threshold is published from this score on where the image before, of the last "
    "second, had one; a negative value: 0.6 of score_threshold; 1: never.",
    minimum=-1.0,
    maximum=1.0,
)
