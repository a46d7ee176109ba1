"""The guard node: holds the robot back before pallet trucks that the detector sees.

Subscribes ``cmd_vel_raw``, ``detections``, ``camera_info`` and ``odom``; publishes ``cmd_vel``, one for each
``cmd_vel_raw``, and what it decided on ``~/state``. All thinking is in ``palletjack_detection.guard``.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import fields
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from vision_msgs.msg import Detection2DArray

from palletjack_detection.ground_range import CameraMount, FloorObservation, locate_on_floor
from palletjack_detection.guard import STOP, Decision, Guard, GuardConfig, RobotPose, Velocity
from palletjack_detection.nodes.box_camera import BoxCamera
from palletjack_detection.nodes.camera_transforms import BEGAN_ANEW_S, CameraTransforms, NoTransform
from palletjack_detection.nodes.clock_watch import ClockWatch
from palletjack_detection.nodes.diagnostic_name import diagnostic_name
from palletjack_detection.nodes.guard_parameters import BEHAVIOUR, WIRING
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.message_conversion import detections_from_message
from palletjack_detection.nodes.parameters import declare, first_problem
from palletjack_detection.nodes.stamps import seconds
from palletjack_detection.pose_history import SAME_TIME_S, PoseHistory

DIAGNOSTICS_PERIOD_S = 1.0
# Detections wait for the odometry of their stamp; more than these are not kept.
WAITING_DETECTIONS = 10


class GuardNode(Node):
    """Wires the guard to topics. ``~/state`` answers each detections and each cmd_vel_raw message."""

    def __init__(self) -> None:
        super().__init__("palletjack_guard")
        try:
            settings = declare(self, (*WIRING, *BEHAVIOUR))
            self._guard = Guard(_config(settings))
        except ValueError as error:
            raise StartupError(str(error)) from error
        self._class_id: str = settings["class_id"]
        self._command_timeout: float = settings["command_timeout"]
        self._clock_watch = ClockWatch(settings["clock_timeout"])
        self._poses = PoseHistory()
        self._waiting: deque[Detection2DArray] = deque(maxlen=WAITING_DETECTIONS)
        self._commands_sent = 0
        self._last_command_time = -math.inf
        self._last_decision = Decision(STOP, Velocity(), "no command yet", healthy=False)
        self._trouble = ""
        self._transforms = CameraTransforms(self, settings["base_frame"])
        self._command = self.create_publisher(Twist, "cmd_vel", 10)
        self._state = self.create_publisher(DiagnosticArray, "~/state", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # First of all: what is told of an image's size comes before its boxes.
        self._box_camera = BoxCamera(self, rectified=settings["rectified"])
        self.create_subscription(Odometry, "odom", self._on_odometry, 50)
        self.create_subscription(Detection2DArray, "detections", self._on_detections, 10)
        self.create_subscription(Twist, "cmd_vel_raw", self._on_command, 10)
        # The machine's time: the robot must be stopped also when simulated time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.1, self._watch_commands, clock=steady)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=steady)
        self.add_on_set_parameters_callback(self._change_parameters)

    def _on_odometry(self, message: Odometry) -> None:
        pose = _robot_pose(message)
        if not all(map(math.isfinite, (pose.x, pose.y, pose.yaw, pose.speed))):
            self._report("odometry is not finite, message ignored")
            return
        self._transforms.hear(pose.stamp)
        self._poses.add(pose)
        self._work_off()

    def _on_detections(self, message: Detection2DArray) -> None:
        self._waiting.append(message)
        self._work_off()

    def _work_off(self) -> None:
        """Hand detections to the guard once the odometry of their time is there, in their order."""
        while self._waiting and (newest := self._poses.newest):
            stamp = seconds(self._waiting[0].header.stamp)
            if newest.stamp + SAME_TIME_S < stamp:
                return
            message = self._waiting.popleft()
            try:
                self._observe(message, self._poses.at(stamp))
            except (
                Exception
            ) as error:  # a guard that dies leaves the robot unguarded; stale detections stop it
                self._report(f"detections ignored: {type(error).__name__}: {error}")
            self._publish_state("detections", self._last_decision)

    def _observe(self, message: Detection2DArray, pose: RobotPose) -> None:
        camera = self._box_camera.of(message.header.frame_id)
        if camera is None:
            if not self._box_camera.trouble:
                self._report("no camera_info yet: detections cannot be placed")
            return
        mount = self._camera_mount(message.header.frame_id, message.header.stamp)
        if mount is None:
            return
        found = detections_from_message(message)
        places: list[FloorObservation] = []
        for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
            if self._class_id and found.class_names[class_id] != self._class_id:
                continue
            place = locate_on_floor(box, float(score), camera, mount)
            if place is not None:
                places.append(place)
        self._guard.observe(pose, places, camera, mount, arrived=self._now())
        self._trouble = ""

    def _camera_mount(self, camera_frame: str, stamp: Any) -> CameraMount | None:
        limit = self._guard.config.source_timeout
        try:
            return self._transforms.newest(camera_frame, stamp, limit)
        except NoTransform as error:
            self._report(str(error))
            return None

    def _on_command(self, message: Twist) -> None:
        raw = Velocity(message.linear.x, message.angular.z)
        if not (math.isfinite(raw.linear) and math.isfinite(raw.angular)):
            self._report(f"cmd_vel_raw is not finite ({raw.linear}, {raw.angular}): stopping")
            raw = Velocity()
        self._last_command_time = self._now()
        pose = self._poses.newest
        if stopped := self._clock_watch.problem(self._ros_time()):
            decision = Decision(STOP, Velocity(), stopped, healthy=False)
        else:
            decision = self._guard.limit(self._now(), pose, raw)
        self._send(decision.command)
        self._publish_state("command", decision, raw)
        if (decision.action, decision.healthy) != (self._last_decision.action, self._last_decision.healthy):
            # rclpy allows one severity for each line that logs.
            if decision.healthy:
                self.get_logger().info(f"{decision.action}: {decision.reason}")
            else:
                self.get_logger().warning(f"{decision.action}: {decision.reason}")
        self._last_decision = decision

    def _watch_commands(self) -> None:
        """A robot base may lack a timeout of its own: end a motion that nobody renews, or that time left."""
        moving = self._last_decision.command != Velocity()
        problem = self._clock_watch.problem(self._ros_time())
        # Not in the future, where a clock that is set back would leave it.
        self._last_command_time = min(self._last_command_time, self._now())
        if not problem and self._now() - self._last_command_time > self._command_timeout:
            problem = "no cmd_vel_raw any more"
        if moving and problem:
            self._last_decision = Decision(STOP, Velocity(), problem, healthy=False)
            self._send(Velocity())
            self._publish_state("timeout", self._last_decision)
            self.get_logger().warning(self._last_decision.reason)

    def last_word(self) -> None:
        """End the motion: nobody guards it any more."""
        if self._last_decision.command != Velocity():
            self.get_logger().warning("stop: the guard ends")
            self._send(Velocity())

    def _send(self, velocity: Velocity) -> None:
        message = Twist()
        message.linear.x, message.angular.z = float(velocity.linear), float(velocity.angular)
        self._command.publish(message)
        self._commands_sent += 1

    def _now(self) -> float:
        """Node time; never a little before what was already received, as /clock has a topic of its own."""
        now, pose = self._ros_time(), self._poses.newest
        if pose is None or not self.get_parameter("use_sim_time").value:
            return now
        # Much before it is another time, as after a simulation's reset.
        return pose.stamp if 0.0 < pose.stamp - now < BEGAN_ANEW_S else now

    def _ros_time(self) -> float:
        return float(self.get_clock().now().nanoseconds) * 1e-9

    def _report(self, trouble: str) -> None:
        self._trouble = trouble
        self.get_logger().warning(trouble, throttle_duration_sec=2.0)

    def _status(self, decision: Decision) -> DiagnosticStatus:
        level = DiagnosticStatus.OK
        trouble = "; ".join(filter(None, (self._trouble, self._box_camera.trouble)))
        if not decision.healthy:
            level = DiagnosticStatus.ERROR
        elif decision.action != "go" or trouble:
            level = DiagnosticStatus.WARN
        seen, pose = self._guard.last_detections, self._poses.newest
        values = {
            "action": decision.action,
            "reason": decision.reason,
            "linear": repr(float(decision.command.linear)),
            "angular": repr(float(decision.command.angular)),
            "gap": repr(float(decision.gap)),
            "detections_delay": repr(self._guard.measured_delay),
            "healthy": str(decision.healthy).lower(),
            "commands_sent": str(self._commands_sent),
            "odometry_stamp": repr(pose.stamp) if pose else "none",
            "detections_stamp": repr(seen) if seen is not None else "none",
            "trouble": trouble,
        }
        reason = decision.reason if not trouble else f"{decision.reason}; {trouble}"
        return DiagnosticStatus(
            level=level,
            name=diagnostic_name(self, "guarding"),
            message=f"{decision.action}: {reason}",
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )

    def _publish_state(self, trigger: str, decision: Decision, raw: Velocity | None = None) -> None:
        """Say what was decided; ``trigger`` is what it answers: detections, command or timeout."""
        message = DiagnosticArray(status=[self._status(decision)])
        message.header.stamp = self.get_clock().now().to_msg()
        values = {"trigger": trigger}
        if raw is not None:
            values.update(raw_linear=repr(raw.linear), raw_angular=repr(raw.angular))
        message.status[0].values.extend(KeyValue(key=key, value=value) for key, value in values.items())
        self._state.publish(message)

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray(status=[self._status(self._last_decision)])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _change_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        problem = first_problem((*WIRING, *BEHAVIOUR), changes)
        if problem:
            return SetParametersResult(successful=False, reason=problem)
        settings: dict[str, Any] = {spec.name: self.get_parameter(spec.name).value for spec in BEHAVIOUR}
        settings.update({item.name: item.value for item in changes if item.name in settings})
        try:
            self._guard.config = _config(settings)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def _config(settings: dict[str, Any]) -> GuardConfig:
    return GuardConfig(**{item.name: settings[item.name] for item in fields(GuardConfig)})


def _robot_pose(message: Odometry) -> RobotPose:
    place, turn = message.pose.pose.position, message.pose.pose.orientation
    yaw = math.atan2(2.0 * (turn.w * turn.z + turn.x * turn.y), 1.0 - 2.0 * (turn.y**2 + turn.z**2))
    return RobotPose(seconds(message.header.stamp), place.x, place.y, yaw, message.twist.twist.linear.x)


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run palletjack_detection palletjack_guard``."""
    return run_node(GuardNode, args, last_word=True)


if __name__ == "__main__":
    raise SystemExit(main())
