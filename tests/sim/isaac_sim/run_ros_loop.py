"""Stands in for `python.sh -m palletjack_sim.isaac_sim.run`: real script and node, stood-in simulator.

What Isaac Sim's graph does is done here at each update: clock, odometry and pictures out, cmd_vel in.
PALLETJACK_FAKE_ASSETS: folder of the robot's asset.
"""

from __future__ import annotations

import math
import os
import sys
from typing import Any

import numpy as np

from palletjack_detection.guard import RobotPose, Velocity
from palletjack_sim.scenario import Scenario
from palletjack_sim.topics import TopicNames
from tests.isaac_sim.fake_isaac_sim import FakeIsaacSim
from tests.isaac_sim.stage_picture import StagePicture

# The camera's nodes attach their writers when they are switched on; the first picture comes later.
UPDATES_TO_COME_UP = 3


class RosBridge:
    """Publishes and subscribes what the graph of graph.yaml would."""

    def __init__(self, fake: FakeIsaacSim, scenario: Scenario, names: TopicNames) -> None:
        from geometry_msgs.msg import Twist
        from nav_msgs.msg import Odometry
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import CameraInfo, Image

        self._fake, self._scenario, self._names = fake, scenario, names
        self._node = Node("stand_in_for_the_bridge")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        topics, make = names.topics, self._node.create_publisher
        self._clock = make(Clock, topics["clock"], 10)
        self._odometry = make(Odometry, topics["odometry"], 10)
        self._image = make(Image, topics["image"], 10)
        self._camera_info = make(CameraInfo, topics["camera_info"], 10)
        self._node.create_subscription(Twist, topics["command"], self._on_command, 10)
        self._allowed = Velocity()
        self._steps = 0
        self._updates_on = 0
        # In the odometry's frame, which begins at the start.
        self._where = RobotPose(0.0, 0.0, 0.0, 0.0, 0.0)
        fake.on_update = self._update

    def _on_command(self, message: Any) -> None:
        self._allowed = Velocity(message.linear.x, message.angular.z)

    def _update(self) -> None:
        from rosgraph_msgs.msg import Clock

        from palletjack_sim.ros_messages import odometry_message, stamp_message

        if not self._fake.playing:
            return
        for _ in range(3):
            self._executor.spin_once(timeout_sec=0.005)
        self._drive()
        self._updates_on = self._updates_on + 1 if self._is_on() else 0
        stamp, frames = stamp_message(self._where.stamp), self._names.frames
        self._clock.publish(Clock(clock=stamp))
        turn = self._allowed.angular
        self._odometry.publish(odometry_message(self._where, turn, stamp, frames["odometry"], frames["base"]))
        if self._steps % self._scenario.control_steps_per_frame == 0:
            self._show(stamp)
        self._steps += 1

    def _drive(self) -> None:
        from pxr import Gf

        period, old = 1.0 / self._scenario.control_rate_hz, self._where
        speed, yaw = self._allowed.linear, old.yaw + self._allowed.angular * period
        x = old.x + speed * math.cos(yaw) * period
        y = old.y + speed * math.sin(yaw) * period
        self._where = RobotPose((self._steps + 1) * period, x, y, yaw, speed)
        start = self._scenario.robot.start
        assert start.yaw_deg == 0.0
        matrix = Gf.Matrix4d().SetRotate(Gf.Rotation(Gf.Vec3d(0, 0, 1), math.degrees(yaw)))
        matrix.SetTranslateOnly(Gf.Vec3d(start.x + x, start.y + y, 0.0))
        self._fake.stage.GetPrimAtPath("/World/Robot").GetAttribute("xformOp:transform").Set(matrix)

    def _show(self, stamp: Any) -> None:
        from palletjack_sim.cameras import camera_model
        from palletjack_sim.ros_messages import camera_info_message, image_message

        (product,) = self._fake.products
        product.shoot()
        rgb = np.ascontiguousarray(product.data["rgb"][..., :3])
        frame = self._names.frames["camera"]
        info = camera_info_message(camera_model(self._scenario.camera), stamp, frame)
        if self._updates_on >= UPDATES_TO_COME_UP:
            self._camera_info.publish(info)
            self._image.publish(image_message(rgb, stamp, frame))

    def _is_on(self) -> bool:
        # The nodes' default, which the graph leaves as it is, is True.
        nodes = ("image", "camera_info")
        names = [f"/World/PalletjackBridge/{node}.inputs:enabled" for node in nodes]
        return all(self._fake.attributes[name] is not False for name in names)


def main() -> int:
    """Install, and run the real script with its real node."""
    fake = FakeIsaacSim("6", StagePicture(samples=1)).install()
    fake.assets = os.environ["PALLETJACK_FAKE_ASSETS"]
    from palletjack_sim.isaac_sim import run

    make_link = run.make_link

    def with_bridge(scenario: Scenario, names: TopicNames, *more: Any) -> run.Link:
        link = make_link(scenario, names, *more)
        RosBridge(fake, scenario, names)
        return link

    run.make_link = with_bridge
    return run.main(sys.argv[3:])


if __name__ == "__main__":
    raise SystemExit(main())
