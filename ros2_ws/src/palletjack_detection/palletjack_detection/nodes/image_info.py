"""Of which size the images are that boxes were found in: vision_msgs does not say it.

`detections_info` is a sensor_msgs/CameraInfo without a calibration: header, width and height. It is latched,
and published anew before the first detections of an image of another size or frame.
"""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

TOPIC = "detections_info"


def latched() -> QoSProfile:
    """QoS of both ends: who comes later gets the last one."""
    return QoSProfile(
        depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
    )


class ImageInfoPublisher:
    """Says the size of images that boxes are about to be published of."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(CameraInfo, TOPIC, latched())
        self._said: tuple[str, int, int] | None = None

    def say(self, header: Header, width: int, height: int) -> None:
        """Publish where size or frame are others than of the image before."""
        if (header.frame_id, width, height) != self._said:
            self._said = (header.frame_id, width, height)
            self._publisher.publish(CameraInfo(header=header, width=width, height=height))

    def close(self) -> None:
        """End the topic."""
        self._node.destroy_publisher(self._publisher)
