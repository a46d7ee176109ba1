"""Plays a robot and a locator to a running approach node; prints what it asked for, as JSON.

Run as a process inside a ROS environment. The truck stands 4.2 m ahead; the robot does what is asked of it.
"""

from __future__ import annotations

import json
import sys
import time

import rclpy
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.node import Node
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

TRUCK_X = 4.2
PERIOD_S = 0.05


class Robot(Node):
    """Integrates cmd_vel_raw along x."""

    def __init__(self) -> None:
        super().__init__("approach_probe")
        self.odometry = self.create_publisher(Odometry, "odom", 10)
        self.places = self.create_publisher(Detection3DArray, "detections_3d", 10)
        self.enabling = self.create_client(SetBool, "/palletjack_approach/enable")
        self.create_subscription(Twist, "cmd_vel_raw", self._on_wish, 10)
        self.x = self.speed = self.fastest = 0.0
        self.heard = 0

    def _on_wish(self, message: Twist) -> None:
        self.heard += 1
        self.speed = message.linear.x
        self.fastest = max(self.fastest, self.speed)

    def run(self, seconds: float, frame: str = "base_link") -> None:
        """Drive and be seen for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            stamp = self.get_clock().now().to_msg()
            odometry = Odometry(child_frame_id="base_link")
            odometry.header.stamp, odometry.header.frame_id = stamp, "odom"
            odometry.pose.pose.position.x = self.x
            odometry.pose.pose.orientation.w = 1.0
            self.odometry.publish(odometry)
            places = Detection3DArray()
            places.header.stamp, places.header.frame_id = stamp, frame
            truck = Detection3D(header=places.header)
            truck.bbox.center.position.x = TRUCK_X + 0.25 - self.x
            truck.bbox.center.orientation.w = 1.0
            truck.bbox.size.x = 0.5
            result = ObjectHypothesisWithPose()
            result.hypothesis.class_id = "palletjack"
            truck.results.append(result)
            places.detections.append(truck)
            self.places.publish(places)
            tick = time.monotonic() + PERIOD_S
            while time.monotonic() < tick:
                rclpy.spin_once(self, timeout_sec=max(0.0, tick - time.monotonic()))
            self.x += self.speed * PERIOD_S

    def enable(self, on: bool) -> bool:
        """Call the service; False where it did not answer."""
        future = self.enabling.call_async(SetBool.Request(data=on))
        rclpy.spin_until_future_complete(self, future, timeout_sec=5.0)
        return bool(future.done() and future.result().success)


def main() -> None:
    """Disabled, enabled with detections of a wrong frame, then right ones."""
    rclpy.init()
    robot = Robot()
    if not robot.enabling.wait_for_service(timeout_sec=30.0):
        sys.exit("no approach node within 30 s")
    robot.run(1.0)
    outcome: dict[str, object] = {"heard_while_disabled": robot.heard}
    outcome["enabled"] = robot.enable(True)
    robot.run(1.0, frame="map")
    outcome["fastest_for_a_wrong_frame"] = robot.fastest
    robot.run(8.0)
    outcome.update(fastest=robot.fastest, x=robot.x, speed=robot.speed)
    print(json.dumps(outcome))
    robot.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
