"""Located detections as vision_msgs/Detection3DArray and as markers for RViz and Foxglove."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection3D, Detection3DArray, ObjectHypothesisWithPose
from visualization_msgs.msg import Marker, MarkerArray

from palletjack_detection.location import UNKNOWN_HEADING_VARIANCE, Location

MARKER_SECONDS = 1
SURE = (1.0, 0.25, 0.63, 0.6)
ONLY_NEARER_THAN = (1.0, 0.69, 0.0, 0.5)


@dataclass(frozen=True)
class Located:
    """A detection and where it stands."""

    detection: Detection2D
    place: Location


def locations_to_message(found: Sequence[Located], header: Header, frame_id: str) -> Detection3DArray:
    """The message for ``found``: stamp of the image, coordinates in ``frame_id``.

    A box's x axis is the line of sight. The heading of an object is not known: its variance says so.
    """
    here = Header(stamp=header.stamp, frame_id=frame_id)
    message = Detection3DArray(header=here)
    for item in found:
        detection = Detection3D(header=here, id=item.detection.id)
        _set_pose(detection.bbox.center, item.place)
        size = detection.bbox.size
        size.x, size.y, size.z = item.place.size
        best = max(item.detection.results, key=lambda result: result.hypothesis.score).hypothesis
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = best.class_id, best.score
        _set_pose(result.pose.pose, item.place)
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = item.place.covariance
        covariance[5, 5] = UNKNOWN_HEADING_VARIANCE
        result.pose.covariance = covariance.reshape(-1).tolist()
        detection.results.append(result)
        message.detections.append(detection)
    return message


def locations_to_markers(found: Sequence[Located], header: Header, frame_id: str) -> MarkerArray:
    """A box and a line of text for each; the first marker clears those of the image before."""
    here = Header(stamp=header.stamp, frame_id=frame_id)
    message = MarkerArray(markers=[Marker(header=here, action=Marker.DELETEALL)])
    for number, item in enumerate(found):
        box = Marker(header=here, ns="palletjack", id=2 * number, type=Marker.CUBE, action=Marker.ADD)
        _set_pose(box.pose, item.place)
        box.scale.x, box.scale.y, box.scale.z = item.place.size
        colour = ONLY_NEARER_THAN if item.place.nearer_than else SURE
        box.color.r, box.color.g, box.color.b, box.color.a = colour
        text = Marker(
            header=here, ns="palletjack", id=2 * number + 1, type=Marker.TEXT_VIEW_FACING, action=Marker.ADD
        )
        _set_pose(text.pose, item.place)
        text.pose.position.z = item.place.size[2] + 0.2
        text.scale.z = 0.2
        text.color.r = text.color.g = text.color.b = text.color.a = 1.0
        sign = "< " if item.place.nearer_than else ""
        text.text = f"{sign}{item.place.range_m:.1f} m ± {item.place.sigma_range_m:.1f}"
        for marker in (box, text):
            marker.lifetime.sec = MARKER_SECONDS
            message.markers.append(marker)
    return message


def _set_pose(pose: object, place: Location) -> None:
    position, turn = pose.position, pose.orientation  # type: ignore[attr-defined]
    position.x, position.y, position.z = (float(value) for value in place.centre)
    turn.z, turn.w = math.sin(place.yaw / 2), math.cos(place.yaw / 2)
