"""Plays camera and detector to the nodes around the detector, and prints what they make of it, as JSON.

Run as a process inside a ROS environment. A pallet truck of known place is "detected" at 10 Hz.
"""

from __future__ import annotations

import json
import sys
import time

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import (
    Detection2D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    ObjectHypothesisWithPose,
)
from visualization_msgs.msg import MarkerArray

WIDTH, HEIGHT, FOCAL, CAMERA_HEIGHT, DISTANCE = 640, 360, 380.0, 0.6, 3.0


class Robot(Node):
    """Publishes images, calibration, transform and detections; keeps what comes back."""

    def __init__(self) -> None:
        super().__init__("around_probe")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.transforms = self.create_publisher(TFMessage, "/tf_static", latched)
        self.info = self.create_publisher(CameraInfo, "camera_info", 5)
        self.images = self.create_publisher(Image, "image", 5)
        self.compressed = self.create_publisher(CompressedImage, "packed/compressed", 5)
        self.depth = self.create_publisher(Image, "depth", 5)
        self.detections = self.create_publisher(Detection2DArray, "detections", 10)
        kinds = ("detections_3d", "tracked", "pictures", "from_compressed", "markers")
        self.got: dict[str, list] = {name: [] for name in kinds}
        self.troubles: dict[str, str] = {}
        for kind, topic, name in (
            (Detection3DArray, "detections_3d", "detections_3d"),
            (Detection2DArray, "tracked_detections", "tracked"),
            (Image, "detections_image", "pictures"),
            (Image, "image_from_compressed", "from_compressed"),
            (MarkerArray, "markers", "markers"),
        ):
            self.create_subscription(kind, topic, self.got[name].append, 20)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._keep_diagnostics, 20)

    def _keep_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.troubles[status.name] = status.message

    def beat(self, step: int, *parts: str) -> None:
        """Publish one exposure: image, detections and what ``parts`` name."""
        stamp = self.get_clock().now().to_msg()
        if "transform" in parts:
            mount = TransformStamped(child_frame_id="camera")
            mount.header.stamp, mount.header.frame_id = stamp, "base_link"
            mount.transform.translation.z = CAMERA_HEIGHT
            turn = mount.transform.rotation
            turn.x, turn.y, turn.z, turn.w = -0.5, 0.5, -0.5, 0.5
            self.transforms.publish(TFMessage(transforms=[mount]))
        if "info" in parts:
            info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5)
            info.header.stamp, info.header.frame_id = stamp, "camera"
            info.k = [FOCAL, 0.0, WIDTH / 2 - 0.5, 0.0, FOCAL, HEIGHT / 2 - 0.5, 0.0, 0.0, 1.0]
            self.info.publish(info)
        image = Image(width=WIDTH, height=HEIGHT, encoding="rgb8", step=3 * WIDTH)
        image.header.stamp, image.header.frame_id = stamp, "camera"
        image.data.frombytes(np.full((HEIGHT, WIDTH, 3), 90, np.uint8).tobytes())
        self.images.publish(image)
        packed = CompressedImage(header=image.header, format="png")
        packed.data = cv2.imencode(".png", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1].tobytes()
        self.compressed.publish(packed)
        if "depth" in parts:
            depth = Image(width=WIDTH, height=HEIGHT, encoding="16UC1", step=2 * WIDTH)
            depth.header = image.header
            depth.data.frombytes(np.full((HEIGHT, WIDTH), 2000, np.uint16).tobytes())
            self.depth.publish(depth)
            self.settle(0.05)
        found = Detection2DArray(header=image.header)
        # A level camera: the lower edge of what stands DISTANCE ahead is in this row.
        bottom = HEIGHT / 2 + FOCAL * CAMERA_HEIGHT / DISTANCE
        for column, score in ((320.0 + 2.0 * step, 0.9), (120.0, 0.8)):
            item = Detection2D(header=image.header)
            item.bbox.center.position.x, item.bbox.center.position.y = column, bottom - 60.0
            item.bbox.size_x, item.bbox.size_y = 60.0, 120.0
            hypothesis = ObjectHypothesisWithPose()
            hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = "palletjack", score
            item.results.append(hypothesis)
            found.detections.append(item)
        if "nonsense" in parts:
            found.detections[1].bbox.size_x = float("nan")
        self.detections.publish(found)

    def settle(self, seconds: float) -> None:
        """Listen for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rclpy.spin_once(self, timeout_sec=0.02)

    def phase(self, *parts: str, beats: int = 8) -> dict:
        """Some exposures; what came back of each kind, newest last."""
        for heard in self.got.values():
            heard.clear()
        for step in range(beats):
            self.beat(step, *parts)
            self.settle(0.12)
        self.settle(1.3)
        places = [[_place(item) for item in message.detections] for message in self.got["detections_3d"]]
        return {
            "places": places,
            "frames": [message.header.frame_id for message in self.got["detections_3d"]],
            "ids": [[d.id for d in message.detections] for message in self.got["tracked"]],
            "pictures": [_coloured(message) for message in self.got["pictures"]],
            "from_compressed": [_coloured(message) for message in self.got["from_compressed"]],
            "texts": [m.text for message in self.got["markers"][-1:] for m in message.markers if m.text],
            "troubles": dict(self.troubles),
        }


def _place(item: Detection3D) -> list:
    """Id, position and the variance along x."""
    point = item.bbox.center.position
    return [item.id, point.x, point.y, point.z, float(item.results[0].pose.covariance[0])]


def _coloured(message: Image) -> int:
    """How many pixels of a grey picture were drawn on."""
    pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
    return int((pixels != 90).any(axis=2).sum())


def main() -> None:
    """Wait for the nodes, go through the phases, print."""
    rclpy.init()
    robot = Robot()
    deadline = time.monotonic() + 40.0
    wanted = int(sys.argv[1])
    while robot.detections.get_subscription_count() < wanted or robot.images.get_subscription_count() < 1:
        if time.monotonic() > deadline:
            sys.exit(f"{robot.detections.get_subscription_count()} of {wanted} listeners within 40 s")
        rclpy.spin_once(robot, timeout_sec=0.1)
    robot.settle(1.0)
    outcome = {
        "no_calibration": robot.phase("transform", beats=3),
        "floor": robot.phase("transform", "info"),
        "nonsense": robot.phase("transform", "info", "nonsense", beats=3),
        "depth": robot.phase("transform", "info", "depth"),
    }
    print(json.dumps(outcome))
    robot.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
