"""Plays a robot to a running guard node and prints what the guard lets through, as JSON.

Run as a process inside a ROS environment (``python guard_probe.py sources``, ``clock`` or ``set_back``). Each
phase lasts ``PHASE_S`` and is judged by the last message of it. ``beats`` are what the probe publishes at 20
Hz in that phase.
"""

from __future__ import annotations

import json
import math
import sys
import time

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped, Twist
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

PHASE_S = 1.2
PERIOD_S = 0.05


class Robot(Node):
    """Publishes what a robot would, and keeps what comes back."""

    def __init__(self) -> None:
        super().__init__("guard_probe")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.clock = self.create_publisher(Clock, "/clock", 10)
        self.transforms = self.create_publisher(TFMessage, "/tf_static", latched)
        self.moving_transforms = self.create_publisher(TFMessage, "/tf", 10)
        self.info = self.create_publisher(CameraInfo, "camera_info", 5)
        self.odometry = self.create_publisher(Odometry, "odom", 10)
        self.detections = self.create_publisher(Detection2DArray, "detections", 10)
        self.command = self.create_publisher(Twist, "cmd_vel_raw", 10)
        self.simulated: float | None = None
        self.heard: list[float] = []
        self.state = ""
        self.create_subscription(Twist, "cmd_vel", lambda m: self.heard.append(m.linear.x), 50)
        self.create_subscription(DiagnosticArray, "/palletjack_guard/state", self._keep_state, 50)

    def _keep_state(self, message: DiagnosticArray) -> None:
        self.state = message.status[0].message

    def stamp(self) -> Time:
        """The robot's time."""
        if self.simulated is None:
            return self.get_clock().now().to_msg()
        # In whole nanoseconds first: 100.99999999999994 is not 100 s and a thousand million of them.
        seconds, nanoseconds = divmod(round(self.simulated * 1e9), 1_000_000_000)
        return Time(sec=seconds, nanosec=nanoseconds)

    def phase(
        self,
        *beats: str,
        focal: float = 380.0,
        speed: float = 0.5,
        box_bottom: float = 0.0,
        frame: str = "camera",
    ) -> dict:
        """Publish ``beats`` for a while; return the last speed let through and the guard's last words."""
        self.heard.clear()
        end = time.monotonic() + PHASE_S
        while time.monotonic() < end:
            if "clock" in beats and self.simulated is not None:
                self.simulated += PERIOD_S
                self.clock.publish(Clock(clock=self.stamp()))
            stamp = self.stamp()
            if "transform" in beats:
                self.transforms.publish(TFMessage(transforms=[camera_mount(stamp, "camera")]))
            if "mast" in beats:
                self.moving_transforms.publish(TFMessage(transforms=[camera_mount(stamp, "mast")]))
            if "info" in beats:
                self.info.publish(camera_info(stamp, focal))
            if "odometry" in beats:
                odometry = Odometry(child_frame_id="base_link")
                odometry.header.stamp, odometry.header.frame_id = stamp, "odom"
                odometry.pose.pose.orientation.w = 1.0
                odometry.twist.twist.linear.x = 0.5
                self.odometry.publish(odometry)
            if "detections" in beats:
                self.detections.publish(detections(stamp, box_bottom, frame))
            if "command" in beats:
                command = Twist()
                command.linear.x = speed
                self.command.publish(command)
            wait = time.monotonic() + PERIOD_S
            while time.monotonic() < wait:
                rclpy.spin_once(self, timeout_sec=max(0.0, wait - time.monotonic()))
        return {
            "speed": self.heard[-1] if self.heard else None,
            "count": len(self.heard),
            "state": self.state,
        }


def camera_mount(stamp: Time, frame: str) -> TransformStamped:
    """0.6 m above the floor, looking along x."""
    message = TransformStamped(child_frame_id=frame)
    message.header.stamp, message.header.frame_id = stamp, "base_link"
    message.transform.translation.z = 0.6
    turn = message.transform.rotation
    turn.x, turn.y, turn.z, turn.w = -0.5, 0.5, -0.5, 0.5
    return message


def camera_info(stamp: Time, focal: float) -> CameraInfo:
    """640x360 without distortion."""
    message = CameraInfo(width=640, height=360, distortion_model="plumb_bob")
    message.header.stamp, message.header.frame_id = stamp, "camera"
    message.k = [focal, 0.0, 319.5, 0.0, focal, 179.5, 0.0, 0.0, 1.0]
    message.d = [0.0] * 5
    return message


def detections(stamp: Time, box_bottom: float, frame: str) -> Detection2DArray:
    """A box in the middle that ends at row ``box_bottom``; none for 0."""
    message = Detection2DArray()
    message.header.stamp, message.header.frame_id = stamp, frame
    if box_bottom > 0.0:
        item = Detection2D(header=message.header)
        item.bbox.center.position.x, item.bbox.center.position.y = 320.0, box_bottom - 50.0
        item.bbox.size_x, item.bbox.size_y = 60.0, 100.0
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = "palletjack", 0.9
        item.results.append(hypothesis)
        message.detections.append(item)
    return message


EVERY = ("transform", "info", "odometry", "detections", "command")


def fail_sources(robot: Robot) -> dict[str, dict]:
    """One source after the other is missing, late or wrong."""
    return {
        "no_transform": robot.phase("info", "odometry", "detections", "command"),
        "clear": robot.phase(*EVERY),
        # A level camera at 0.6 m: row 180 + 380 * 0.6 / x is a place x metres ahead.
        "ahead": robot.phase(*EVERY, box_bottom=180.0 + 380.0 * 0.6 / 1.6),
        "no_detections": robot.phase("transform", "info", "odometry", "command"),
        "no_odometry": robot.phase("transform", "info", "detections", "command"),
        "on_a_mast": robot.phase("mast", *EVERY, frame="mast"),
        "transform_lost": robot.phase(*EVERY, frame="mast"),
        "not_finite": robot.phase(*EVERY, speed=math.nan),
        "bad_camera": robot.phase(*EVERY, focal=0.0),
        "silence": robot.phase("transform", "info", "odometry", "detections"),
    }


def stop_the_clock(robot: Robot) -> dict[str, dict]:
    """Simulated time stands still while everything else goes on, then with nobody asking for motion."""
    robot.simulated = 100.0
    return {
        "runs": robot.phase("clock", *EVERY),
        "stopped": robot.phase(*EVERY),
        "runs_again": robot.phase("clock", *EVERY),
        "stopped_in_silence": robot.phase(),
    }


def set_the_clock_back(robot: Robot) -> dict[str, dict]:
    """Simulated time is set back as the detector falls silent, then as nobody asks for motion any more."""
    robot.simulated = 1000.0
    runs = robot.phase("clock", *EVERY)
    robot.simulated -= 100.0
    no_detections = robot.phase("clock", "transform", "info", "odometry", "command")
    runs_again = robot.phase("clock", *EVERY)
    robot.simulated -= 100.0
    no_command = robot.phase("clock")
    return {
        "runs": runs,
        "no_detections": no_detections,
        "runs_again": runs_again,
        "no_command": no_command,
    }


def main() -> None:
    """Go through the phases and print their outcomes."""
    rclpy.init()
    robot = Robot()
    deadline = time.monotonic() + 30.0
    while (
        robot.command.get_subscription_count() == 0 or robot.count_publishers("/palletjack_guard/state") == 0
    ):
        if time.monotonic() > deadline:
            sys.exit("no guard within 30 s")
        rclpy.spin_once(robot, timeout_sec=0.1)
    phases = {"sources": fail_sources, "clock": stop_the_clock, "set_back": set_the_clock_back}[sys.argv[1]]
    print(json.dumps(phases(robot)))
    robot.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
