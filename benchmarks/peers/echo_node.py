#!/usr/bin/env python3
"""The least that a node can do: it answers every image with an empty list, and looks at none.

A peer of `palletjack benchmark node`. Its latency is what camera, middleware and listener take by themselves;
its images come in the way that the package's own node takes them.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
from pathlib import Path

import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from palletjack_detection.nodes.image_intake import ImageIntake
from palletjack_detection.serialized_image import parse_image


class EchoNode(Node):
    """Answers on a thread of its own."""

    def __init__(self, reliability: str) -> None:
        super().__init__("echo_detector")
        policy = ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=1, reliability=policy)
        self._publisher = self.create_publisher(Detection2DArray, "detections", 10)
        self._intake = ImageIntake(self, Image, "image", qos, lambda replaced: None, self._complain)
        self._worker = threading.Thread(target=self._answer)
        self._worker.start()

    def destroy_node(self) -> None:
        """Stop the thread, then take the node apart."""
        self._intake.close()
        self._worker.join()
        super().destroy_node()

    def _complain(self, error: Exception) -> None:
        self.get_logger().error(str(error))

    def _answer(self) -> None:
        while (message := self._intake.take(lambda: 0.0)) is not None:
            stamp = parse_image(message).stamp
            time = Time(sec=stamp.seconds, nanosec=stamp.nanoseconds)
            self._publisher.publish(Detection2DArray(header=Header(stamp=time, frame_id=stamp.frame_id)))


def main() -> None:
    """Spin until interrupted. It takes the settings of every peer, and uses the reliability alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    for name in ("--threads", "--precision", "--spinning", "--backend"):
        parser.add_argument(name)
    parser.add_argument("--reliability", default="best_effort", choices=("best_effort", "reliable"))
    options = parser.parse_args()
    rclpy.init(args=[])
    node = EchoNode(options.reliability)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
