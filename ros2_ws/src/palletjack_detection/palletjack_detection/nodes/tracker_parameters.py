"""The parameters of the tracker. Needs no ROS."""

from __future__ import annotations

from palletjack_detection.nodes.parameter_spec import ParameterSpec
from palletjack_detection.tracking import TrackerSettings

_DEFAULT = TrackerSettings()
PARAMETERS = (
    ParameterSpec(
        "start_score",
        _DEFAULT.start_score,
        "A detection from this score starts a track; lower ones only continue one.",
        0.1,
        1.0,
        fixed=True,
    ),
    ParameterSpec(
        "max_iou_distance",
        _DEFAULT.max_iou_distance,
        "1 - IoU up to which a detection continues a track.",
        0.0,
        1.0,
        fixed=True,
    ),
    ParameterSpec(
        "memory_s",
        _DEFAULT.memory_s,
        "An unseen object keeps its id for this long, s.",
        0.1,
        60.0,
        fixed=True,
    ),
)
