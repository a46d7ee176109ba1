"""The approach node: drives up to a located pallet truck and stops before it.

Subscribes ``detections_3d`` (of palletjack_locator) and ``odom``; publishes ``cmd_vel_raw`` while enabled,
for palletjack_guard to limit, and its state on ``~/state``. It starts disabled: call ``~/enable``. All
thinking is in ``palletjack_detection.approach``.
"""

from __future__ import annotations

import math
from dataclasses import fields

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.node import Node
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection3D, Detection3DArray

from palletjack_detection.approach import SEARCHING, Approach, ApproachConfig
from palletjack_detection.guard import RobotPose, Velocity
from palletjack_detection.nodes.diagnostic_name import diagnostic_name
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.parameters import ParameterSpec, declare
from palletjack_detection.nodes.stamps import seconds
from palletjack_detection.pose_history import PoseHistory

# Odometry farther than this from an image's stamp is another place (s).
SAME_PLACE_S = 0.2

_DEFAULT = ApproachConfig()
_BEHAVIOUR = (
    ParameterSpec(
        "distance", _DEFAULT.distance, "Way to keep from the robot's front to the truck, m.", 0.2, 10.0
    ),
    ParameterSpec("tolerance", _DEFAULT.tolerance, "Arrived within this of it, m.", 0.01, 1.0),
    ParameterSpec("speed", _DEFAULT.speed, "Greatest speed, m/s.", 0.05, 2.0),
    ParameterSpec("turn_rate", _DEFAULT.turn_rate, "Greatest turning speed, rad/s.", 0.05, 2.0),
    ParameterSpec("deceleration", _DEFAULT.deceleration, "Braking towards the goal, m/s2.", 0.05, 5.0),
    ParameterSpec(
        "robot_front", _DEFAULT.robot_front, "Distance from base_link to the robot's front, m.", 0.0, 5.0
    ),
    ParameterSpec(
        "overhang", _DEFAULT.overhang, "How far a truck reaches before its place on the floor, m.", 0.0, 3.0
    ),
    ParameterSpec("gate", _DEFAULT.gate, "A detection within this of the target is the target, m.", 0.1, 5.0),
    ParameterSpec(
        "target_timeout", _DEFAULT.target_timeout, "A target unseen this long is given up, s.", 0.1, 30.0
    ),
)
_WIRING = (
    ParameterSpec("base_frame", "base_link", "Frame that the detections are in.", fixed=True),
    ParameterSpec("class_id", "palletjack", "Class to drive up to; empty: every class.", fixed=True),
    ParameterSpec("rate_hz", 20.0, "Commands per second.", 1.0, 100.0, fixed=True),
    ParameterSpec(
        "odometry_timeout", 0.5, "Older odometry than this stops the robot, s.", 0.05, 10.0, fixed=True
    ),
)


class ApproachNode(Node):
    """Wires the approach to topics."""

    def __init__(self) -> None:
        super().__init__("palletjack_approach")
        try:
            settings = declare(self, (*_WIRING, *(_fixed(spec) for spec in _BEHAVIOUR)))
            config = ApproachConfig(**{item.name: settings[item.name] for item in fields(ApproachConfig)})
        except ValueError as error:
            raise StartupError(str(error)) from error
        self._settings = settings
        self._approach = Approach(config)
        self._enabled = False
        self._trouble = ""
        self._poses = PoseHistory()
        self._wish = self.create_publisher(Twist, "cmd_vel_raw", 10)
        self._state = self.create_publisher(DiagnosticArray, "~/state", 10)
        self.create_subscription(Odometry, "odom", self._on_odometry, 50)
        self.create_subscription(Detection3DArray, "detections_3d", self._on_detections, 10)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_timer(1.0 / settings["rate_hz"], self._on_timer)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if self._enabled and not request.data:
            self._wish.publish(Twist())
        self._enabled = request.data
        self._approach.target = None
        response.success, response.message = True, "enabled" if request.data else "disabled"
        return response

    def _on_odometry(self, message: Odometry) -> None:
        place, turn = message.pose.pose.position, message.pose.pose.orientation
        yaw = math.atan2(2.0 * (turn.w * turn.z + turn.x * turn.y), 1.0 - 2.0 * (turn.y**2 + turn.z**2))
        stamp = seconds(message.header.stamp)
        pose = RobotPose(stamp, place.x, place.y, yaw, message.twist.twist.linear.x)
        if not all(map(math.isfinite, (pose.x, pose.y, pose.yaw, pose.speed))):
            self._trouble = "odometry is not finite, message ignored"
            return
        if self._poses.add(pose):
            self._approach.target = None

    def _on_detections(self, message: Detection3DArray) -> None:
        expected, found = self._settings["base_frame"], message.header.frame_id
        if found != expected:
            self._trouble = f"detections_3d: expected frame {expected!r}, found {found!r}"
            return
        stamp = seconds(message.header.stamp)
        if not self._poses.reaches(stamp, SAME_PLACE_S):
            self._trouble = f"no odometry of the time of the detections ({stamp:.2f} s)"
            return
        self._trouble = ""
        self._approach.observe(
            self._poses.at(stamp), [near_side(item) for item in message.detections if self._is_wanted(item)]
        )

    def _is_wanted(self, detection: Detection3D) -> bool:
        wanted = self._settings["class_id"]
        return not wanted or any(result.hypothesis.class_id == wanted for result in detection.results)

    def _on_timer(self) -> None:
        now = self.get_clock().now().nanoseconds * 1e-9
        pose = self._poses.newest
        velocity, state = Velocity(), SEARCHING
        if not self._enabled:
            state = "disabled"
        elif pose is None or now - pose.stamp > self._settings["odometry_timeout"]:
            self._trouble = "no odometry" if pose is None else f"no odometry for {now - pose.stamp:.2f} s"
        else:
            velocity = self._approach.command(now, pose)
            state = self._approach.state
        if self._enabled:
            message = Twist()
            message.linear.x, message.angular.z = float(velocity.linear), float(velocity.angular)
            self._wish.publish(message)
        self._publish_state(state)

    def _publish_state(self, state: str) -> None:
        level = DiagnosticStatus.WARN if self._trouble else DiagnosticStatus.OK
        target = self._approach.target
        values = [KeyValue(key="state", value=state), KeyValue(key="trouble", value=self._trouble)]
        if target is not None:
            values.append(KeyValue(key="target", value=f"{target[0]:.3f} {target[1]:.3f}"))
        name = diagnostic_name(self, "approaching")
        status = DiagnosticStatus(level=level, name=name, message=self._trouble or state)
        status.values = values
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._state.publish(message)


def near_side(detection: Detection3D) -> tuple[float, float]:
    """Where the truck meets the floor towards the camera: its box's x axis is the line of sight."""
    centre, half = detection.bbox.center, detection.bbox.size.x / 2.0
    yaw = 2.0 * math.atan2(centre.orientation.z, centre.orientation.w)
    return centre.position.x - half * math.cos(yaw), centre.position.y - half * math.sin(yaw)


def _fixed(spec: ParameterSpec) -> ParameterSpec:
    return ParameterSpec(spec.name, spec.default, spec.description, spec.minimum, spec.maximum, fixed=True)


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run palletjack_detection palletjack_approach``."""
    return run_node(ApproachNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
