#!/usr/bin/env python3
"""The node that one writes first: one thread, a reliable queue of ten images, everything in the callback.

A peer of `palletjack benchmark node`. It runs the same detector library on the same model, so that only the
node around it differs. Images become arrays without a loop; that is not what makes it slow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from palletjack_detection.detector import Detector
from palletjack_detection.engine import WHILE_RUNNING


class NaiveNode(Node):
    """Detects in the subscription's callback."""

    def __init__(self, detector: Detector, reliability: str) -> None:
        super().__init__("naive_detector")
        self._detector = detector
        policy = ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT
        self._publisher = self.create_publisher(Detection2DArray, "detections", 10)
        self.create_subscription(Image, "image", self._detect, QoSProfile(depth=10, reliability=policy))

    def _detect(self, message: Image) -> None:
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        rgb = rows[:, : 3 * message.width].reshape(message.height, message.width, 3)
        found = self._detector.detect(rgb)
        answer = Detection2DArray(header=message.header)
        for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
            item = Detection2D(header=message.header)
            item.bbox.center.position.x = float(box[0] + box[2]) / 2
            item.bbox.center.position.y = float(box[1] + box[3]) / 2
            item.bbox.size_x, item.bbox.size_y = float(box[2] - box[0]), float(box[3] - box[1])
            result = ObjectHypothesisWithPose()
            result.hypothesis.class_id = found.class_names[class_id]
            result.hypothesis.score = float(score)
            item.results.append(result)
            answer.detections.append(item)
        self._publisher.publish(answer)


def main() -> None:
    """Load the model and spin until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--spinning", default=WHILE_RUNNING)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--reliability", default="best_effort", choices=("best_effort", "reliable"))
    options = parser.parse_args()
    rclpy.init(args=[])
    detector = Detector.load(
        options.model,
        threads=options.threads,
        precision=options.precision,
        spinning=options.spinning,
        backend=options.backend,
    )
    try:
        rclpy.spin(NaiveNode(detector, options.reliability))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
