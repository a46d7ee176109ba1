"""Camera, clock and robot that misbehave on purpose, driven by lines of JSON like graph_probe.

Run as a process inside a ROS environment. Images are made here, so that big and fast ones need no pipe.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tests.ros.probe_process import GraphOperations, ProbeProcess, corners, serve


class FaultProbe(ProbeProcess):
    """Cameras, a clock and a robot that misbehave."""

    module = "tests.ros.fault_probe"


def red_rectangle(width: int, height: int, box: list[int]) -> np.ndarray:
    """A grey RGB image with one red rectangle: xmin, ymin, xmax, ymax."""
    rgb = np.full((height, width, 3), 90, np.uint8)
    rgb[box[1] : box[3], box[0] : box[2]] = (255, 0, 0)
    return rgb


def _serve() -> None:
    from builtin_interfaces.msg import Time
    from geometry_msgs.msg import TransformStamped, Twist
    from nav_msgs.msg import Odometry
    from rclpy.node import Node
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import CameraInfo, Image
    from tf2_msgs.msg import TFMessage
    from vision_msgs.msg import Detection2D, Detection2DArray, Detection3DArray, ObjectHypothesisWithPose

    class _FaultNode(GraphOperations, Node):
        """The operations that :meth:`Probe.ask` names."""

        def __init__(self) -> None:
            super().__init__("fault_probe")
            self.cameras: dict[str, Any] = {}
            self.answers: list[tuple[tuple[int, int], float, Any]] = []
            self.places: list[Any] = []
            self.commands: list[Any] = []
            latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            self.transforms = self.create_publisher(TFMessage, "/tf_static", latched)
            self.clock_publisher = self.create_publisher(Clock, "/clock", 10)
            self.info = self.create_publisher(CameraInfo, "camera_info", 5)
            self.odometry = self.create_publisher(Odometry, "odom", 10)
            self.raw = self.create_publisher(Twist, "cmd_vel_raw", 10)
            self.create_subscription(Detection2DArray, "detections", self.on_detections, 100)
            self.create_subscription(Detection3DArray, "detections_3d", self.places.append, 100)
            # Of a locator of its own.
            self.rectified_places: list[Any] = []
            self.create_subscription(Detection3DArray, "rectified_3d", self.rectified_places.append, 100)
            self.create_subscription(Twist, "cmd_vel", self.commands.append, 100)
            self.listen_to_diagnostics()

        def on_detections(self, message: Any) -> None:
            stamp = message.header.stamp
            self.answers.append(((stamp.sec, stamp.nanosec), time.monotonic(), message))

        def camera(self, name: str = "camera") -> Any:
            if name not in self.cameras:
                qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
                self.cameras[name] = self.create_publisher(Image, "image", qos)
            return self.cameras[name]

        def lose_camera(self, name: str = "camera") -> None:
            self.destroy_publisher(self.cameras.pop(name))

        def listeners(self, name: str = "camera") -> int:
            return int(self.camera(name).get_subscription_count())

        def picture(
            self, width: int, height: int, box: list[int], stamp: list[int], camera: str = "camera"
        ) -> None:
            rgb = red_rectangle(width, height, box)
            message = Image(width=width, height=height, encoding="rgb8", step=3 * width)
            message.header.stamp = Time(sec=stamp[0], nanosec=stamp[1])
            message.header.frame_id = camera
            message.data.frombytes(rgb.tobytes())
            self.camera(camera).publish(message)

        def boxes(self, stamp: list[int], timeout: float = 10.0) -> list[list[float]] | None:
            """Boxes of the answer to ``stamp``; None where none comes."""
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline:
                for answer in list(self.answers):
                    if answer[0] == (stamp[0], stamp[1]):
                        self.answers.remove(answer)
                        return [corners(item) for item in answer[2].detections]
                time.sleep(0.01)
            return None

        def nonsense(self) -> None:
            """Images that no node can read."""
            for fields, size in (
                ({"width": 0, "height": 0, "step": 0, "encoding": "rgb8"}, 0),
                ({"width": 64, "height": 64, "step": 3, "encoding": "rgb8"}, 64 * 64 * 3),
                ({"width": 64, "height": 64, "step": 192, "encoding": "rgb8"}, 100),
                ({"width": 64, "height": 64, "step": 192, "encoding": "no such"}, 64 * 64 * 3),
                ({"width": 2**31, "height": 2**31, "step": 2**31, "encoding": "mono8"}, 10),
            ):
                message = Image(**fields)
                message.data.frombytes(bytes(size))
                self.camera().publish(message)
                time.sleep(0.05)

        def flood(
            self, rate: float, seconds: float, width: int, height: int, cameras: list[str]
        ) -> dict[str, Any]:
            """Images at ``rate`` Hz, of the cameras in turn; each camera has its own box."""
            self.answers.clear()
            messages, wanted = {}, {}
            for number, name in enumerate(cameras):
                wanted[name] = [40 + 80 * number, 30, 140 + 80 * number, 110]
                message = Image(width=width, height=height, encoding="rgb8", step=3 * width)
                message.header.frame_id = name
                message.data.frombytes(red_rectangle(width, height, wanted[name]).tobytes())
                messages[name] = message
            start, sent = time.monotonic(), {}
            for number in range(round(rate * seconds)):
                time.sleep(max(0.0, start + number / rate - time.monotonic()))
                name = cameras[number % len(cameras)]
                stamp = (1000 + number // 1000, number % 1000)
                messages[name].header.stamp = Time(sec=stamp[0], nanosec=stamp[1])
                sent[stamp] = time.monotonic()
                self.camera(name).publish(messages[name])
            took = time.monotonic() - start
            time.sleep(1.5)
            answers = list(self.answers)
            errors = [
                float(np.abs(np.array(corners(item)) - wanted[message.header.frame_id]).max())
                for _, _, message in answers
                for item in message.detections
            ]
            return {
                "sent": len(sent),
                "seconds": took,
                "answered": len(answers),
                "unknown": sum(key not in sent for key, _, _ in answers),
                "boxes": [len(message.detections) for _, _, message in answers],
                "largest_error": max(errors, default=None),
                "latencies": [when - sent[key] for key, when, _ in answers if key in sent],
                "in_order": [k for k, _, _ in answers] == sorted(k for k, _, _ in answers),
                "cameras": sorted({message.header.frame_id for _, _, message in answers}),
            }

        def set_clock(self, seconds: float) -> None:
            whole = int(seconds)
            self.clock_publisher.publish(Clock(clock=Time(sec=whole, nanosec=int(1e9 * (seconds - whole)))))

        def calibrate(
            self,
            changes: dict[str, float],
            enlarged: int = 1,
            binning: int = 0,
            roi: tuple[int, int, int, int] = (0, 0, 0, 0),
            lens: bool = False,
        ) -> None:
            """A camera_info of 640x360; ``changes`` by index of k, as text where JSON has no number.

            ``enlarged``: so many times the pixels, in both directions. ``roi``: left, top, width, height.
            ``lens``: the raw images, not the rectified ones, have another focal length and are distorted.
            """
            info = CameraInfo(distortion_model="plumb_bob", d=[0.0] * 5, binning_x=binning, binning_y=binning)
            info.width, info.height = 640 * enlarged, 360 * enlarged
            info.header.stamp, info.header.frame_id = self.get_clock().now().to_msg(), "camera"
            k = [380.0, 0.0, 319.5, 0.0, 380.0, 179.5, 0.0, 0.0, 1.0]
            for index in (0, 4):
                k[index] *= enlarged
            for index in (2, 5):
                k[index] = (k[index] + 0.5) * enlarged - 0.5
            info.p = [*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0]
            for index, value in changes.items():
                k[int(index)] = float(value)
            if lens:
                k[0], k[4], info.d = 1.2 * k[0], 1.2 * k[4], [-0.3, 0.08, 0.0, 0.0, 0.0]
            info.k = k
            region = info.roi
            region.x_offset, region.y_offset, region.width, region.height = roi
            self.info.publish(info)

        def mount(self, height: str = "0.6") -> None:
            """The transform of the camera; ``height``, m, as text where JSON has no number."""
            item = TransformStamped(child_frame_id="camera")
            item.header.stamp, item.header.frame_id = self.get_clock().now().to_msg(), "base_link"
            item.transform.translation.z = float(height)
            turn = item.transform.rotation
            turn.x, turn.y, turn.z, turn.w = -0.5, 0.5, -0.5, 0.5
            self.transforms.publish(TFMessage(transforms=[item]))

        def look(
            self,
            width: int,
            height: int,
            box: list[int],
            calibration: dict[str, Any],
            timeout: float = 15.0,
            rectified: bool = False,
        ) -> list[list[float]] | None:
            """Where a locator puts the red rectangle ``box`` of an image of this size; None: no answer."""
            self.calibrate({}, **calibration)
            time.sleep(0.3)  # another topic than the image's: let it arrive
            places = self.rectified_places if rectified else self.places
            places.clear()
            stamp = self.get_clock().now().to_msg()
            odometry = Odometry()
            odometry.header.stamp, odometry.header.frame_id = stamp, "odom"
            odometry.pose.pose.orientation.w = 1.0
            self.odometry.publish(odometry)
            self.picture(width, height, box, [stamp.sec, stamp.nanosec])
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline:
                for message in [item for item in list(places) if item.header.stamp == stamp]:
                    centres = [item.bbox.center.position for item in message.detections]
                    return [[centre.x, centre.y] for centre in centres]
                time.sleep(0.01)
            return None

        def drive(self, beats: int, changes: dict[str, float] | None, detect: bool = True) -> dict[str, Any]:
            """``beats`` tenths of a second of a robot at 0.5 m/s towards a truck 3 m ahead.

            ``changes``: as of :meth:`calibrate`; None publishes no camera_info.
            """
            self.places.clear()
            self.commands.clear()
            for _ in range(beats):
                if changes is not None:
                    self.calibrate(changes)
                stamp = self.get_clock().now().to_msg()
                odometry = Odometry()
                odometry.header.stamp, odometry.header.frame_id = stamp, "odom"
                odometry.pose.pose.orientation.w = 1.0
                odometry.twist.twist.linear.x = 0.5
                self.odometry.publish(odometry)
                if detect:
                    self.detections.publish(_truck_ahead(stamp))
                time.sleep(0.05)
                command = Twist()
                command.linear.x = 0.5
                self.raw.publish(command)
                time.sleep(0.05)
            # Not longer: without commands the guard sends a zero of its own soon.
            time.sleep(0.1)
            speeds = [message.linear.x for message in list(self.commands)]
            time.sleep(0.4)
            return {
                "speeds": speeds,
                "places": [
                    [[p.bbox.center.position.x, p.bbox.center.position.y] for p in message.detections]
                    for message in list(self.places)
                ],
            }

        def last_speed(self) -> float:
            """What the robot would go on with."""
            return float(self.commands[-1].linear.x)

        def play_detector(self, listeners: int, timeout: float) -> bool:
            """Publish detections from now on; whether ``listeners`` of them are heard in time."""
            self.detections = self.create_publisher(Detection2DArray, "detections", 10)
            deadline = time.monotonic() + timeout
            # This node listens as well.
            while self.detections.get_subscription_count() < listeners + 1:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
            return True

    def _truck_ahead(stamp: Any) -> Any:
        found = Detection2DArray()
        found.header.stamp, found.header.frame_id = stamp, "camera"
        item = Detection2D(header=found.header)
        # A level camera 0.6 m high: the lower edge of what stands 3 m ahead is in this row.
        bottom = 179.5 + 380.0 * 0.6 / 3.0
        item.bbox.center.position.x, item.bbox.center.position.y = 319.5, bottom - 60.0
        item.bbox.size_x, item.bbox.size_y = 60.0, 120.0
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = "palletjack", 0.9
        item.results.append(hypothesis)
        found.detections.append(item)
        return found

    serve(_FaultNode)


if __name__ == "__main__":
    _serve()
