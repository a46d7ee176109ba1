"""Pixels to sensor_msgs/Image; detections to and from vision_msgs/Detection2DArray.

vision_msgs 4 is the same in Humble and Jazzy.
"""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from palletjack_detection.detections import Detections


def rgb_to_message(rgb: NDArray[np.uint8], frame_id: str, stamp: Time) -> Image:
    """Return the rgb8 message of ``rgb`` (H, W, 3) uint8."""
    height, width = rgb.shape[:2]
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.frame_id, message.header.stamp = frame_id, stamp
    # Assigning bytes is up to 140 ms slower: every value would be checked.
    message.data.frombytes(np.ascontiguousarray(rgb))
    return message


def detections_to_message(detections: Detections, header: Header) -> Detection2DArray:
    """Return the message for ``detections``, with ``header`` (of the image) on it and on every box.

    A box is its centre and size in pixels of the image received; the class is its name as a string.
    """
    message = Detection2DArray(header=header)
    boxes = detections.boxes.astype(np.float64)
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).tolist()
    sizes = (boxes[:, 2:] - boxes[:, :2]).tolist()
    for centre, size, score, class_id in zip(
        centres, sizes, detections.scores.tolist(), detections.class_ids.tolist(), strict=True
    ):
        item = Detection2D(header=header)
        item.bbox.center.position.x, item.bbox.center.position.y = centre
        item.bbox.size_x, item.bbox.size_y = size
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = detections.class_names[class_id]
        hypothesis.hypothesis.score = float(score)
        item.results.append(hypothesis)
        message.detections.append(item)
    return message


def detections_from_message(message: Detection2DArray) -> Detections:
    """Return the detections of ``message``: of each box its best hypothesis; a box without one is left out.

    ``class_names`` are the classes that occur, sorted.
    """
    return detections_with_order(message)[0]


def detections_with_order(message: Detection2DArray) -> tuple[Detections, list[int]]:
    """Like ``detections_from_message``, with the place in the message of each detection."""
    places: list[int] = []
    boxes: list[tuple[float, float, float, float]] = []
    scores: list[float] = []
    classes: list[str] = []
    for place, item in enumerate(message.detections):
        if not item.results:
            continue
        places.append(place)
        best = max(item.results, key=lambda result: result.hypothesis.score).hypothesis
        centre, half_x, half_y = item.bbox.center.position, item.bbox.size_x / 2, item.bbox.size_y / 2
        boxes.append((centre.x - half_x, centre.y - half_y, centre.x + half_x, centre.y + half_y))
        scores.append(best.score)
        classes.append(best.class_id)
    names = tuple(sorted(set(classes)))
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    found = Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4)[order],
        np.asarray(scores, np.float32)[order],
        np.asarray([names.index(c) for c in classes], np.int64)[order],
        names,
    )
    return found, [places[index] for index in order]
