"""Asks CameraTransforms after all that TF may say, and prints the answers as JSON. Needs ROS."""

from __future__ import annotations

import json
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node

from palletjack_detection.nodes.camera_transforms import CameraTransforms, NoTransform


def transform(stamp_s: float, height: float, child: str = "camera") -> TransformStamped:
    """The camera ``height`` metres above base_link."""
    message = TransformStamped()
    message.header.stamp = stamp(stamp_s)
    message.header.frame_id, message.child_frame_id = "base_link", child
    message.transform.translation.z = height
    message.transform.rotation.w = 1.0
    return message


def stamp(seconds: float) -> Time:
    """Seconds as a message."""
    return Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9))


def height(ask: Any, *words: Any) -> float | str:
    """The height of the camera that is answered, or why there is none."""
    try:
        return round(float(ask(*words).translation[2]), 3)
    except NoTransform as error:
        return str(error)


def main() -> None:
    """Feed transforms as they come over /tf and /tf_static, and ask."""
    rclpy.init()
    node = Node("camera_transforms_probe")
    found = CameraTransforms(node, "base_link")
    tf = found._buffer
    tf.set_transform_static(transform(0.0, 0.5, "fixed"), "probe")
    answers = {"missing": height(found.newest, "camera", stamp(1000.0), 0.5)}
    for tenth in range(10):
        tf.set_transform(transform(1000.0 + tenth / 10, 1.0 + tenth / 10), "probe")
    found.hear(1000.9)
    answers["between"] = height(found.at, "camera", stamp(1000.45))
    answers["newest"] = height(found.newest, "camera", stamp(1001.0), 0.5)
    answers["too old"] = height(found.newest, "camera", stamp(1007.0), 0.5)
    answers["static has no age"] = height(found.newest, "fixed", stamp(1007.0), 0.5)
    # The clock is set back: tf2 by itself goes on with what it had.
    tf.set_transform(transform(5.0, 9.0), "probe")
    answers["of another time"] = height(found.newest, "camera", stamp(5.0), 0.5)
    found.hear(4.9)
    answers["forgotten"] = height(found.newest, "camera", stamp(5.0), 0.5)
    answers["static stays"] = height(found.newest, "fixed", stamp(5.0), 0.5)
    tf.set_transform(transform(5.1, 2.0), "probe")
    answers["anew"] = height(found.newest, "camera", stamp(5.1), 0.5)
    # Stamps of one topic may change places.
    found.hear(5.3)
    found.hear(5.2)
    answers["still there"] = height(found.newest, "camera", stamp(5.2), 0.5)
    print("ANSWERS " + json.dumps(answers))
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
