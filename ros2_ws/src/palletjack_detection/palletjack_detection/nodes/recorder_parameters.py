"""The parameters of the recorder. Needs no ROS."""

from __future__ import annotations

from palletjack_detection.nodes.parameter_spec import ParameterSpec

DEFAULT_TOPICS = (
    "image,camera_info,detections,detections_info,tracked_detections,detections_3d,markers,detections_image,"
    "/tf,/tf_static,/odom,/cmd_vel,/cmd_vel_raw,/diagnostics"
)
PARAMETERS = (
    ParameterSpec("output", "", "Folder of the bag; it must not be there yet.", fixed=True),
    ParameterSpec(
        "started_again",
        False,
        "Where the folder is there, record into one beside it, named output_2 and so on.",
        fixed=True,
    ),
    ParameterSpec(
        "topics", DEFAULT_TOPICS, "Topics to record, separated by commas; each once it is there.", fixed=True
    ),
    ParameterSpec(
        "max_megabytes", 4000, "Recording ends at this size of the messages, MB.", 1, 1_000_000, fixed=True
    ),
)
