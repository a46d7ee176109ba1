"""The ROS graph as the robot's autonomy: publishes what the robot senses, waits for what it decides.

Simulated time stands still until the answer to what was published is there, so a slow machine drives
the same way as a fast one. Every exchange is tied together by stamps and values, not by order of arrival:

1. ``/clock``, odometry and transforms of the tick are published.
2. With a camera frame: image, camera_info and ground truth are published; the detections with the frame's
   stamp must arrive, and a guard state that has taken in detections of that stamp.
3. The route's wish goes out on ``/cmd_vel_raw``; a guard state that answers this wish with this tick's
   odometry and the newest frame's detections must arrive, and the ``/cmd_vel`` that it speaks of.

What does not come is asked for again, since best-effort subscribers may lose an image and connections come
up one after the other; after ``timeout`` seconds of wall time the run ends with an error that says what is
missing.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray, Detection3DArray

from palletjack_detection.detections import Detections
from palletjack_detection.guard import Decision, RobotPose, Velocity
from palletjack_detection.nodes.lifetime import END_WITH_PARENT
from palletjack_detection.nodes.message_conversion import detections_from_message, detections_to_message
from palletjack_sim.cameras import Frame, camera_model
from palletjack_sim.ground_truth import GroundTruth
from palletjack_sim.processes import kill_sibling
from palletjack_sim.ros_messages import (
    boxes_3d_message,
    camera_info_message,
    image_message,
    mount_transform,
    odometry_message,
    robot_transform,
    stamp_message,
    stamp_seconds,
    twist_message,
)
from palletjack_sim.scenario import Scenario
from palletjack_sim.topics import TopicNames
from palletjack_sim.world import camera_mount_matrix

SAME_TIME_S = 1e-6
SAME_VALUE = 1e-9
POLL_S = 0.05
DETECTOR_EXECUTABLE = "palletjack_detector"
RECORDER_NODE = "palletjack_recorder"
# Published by Isaac Sim only.
NOT_OURS = "ground_truth_labels"


class GraphTimeout(RuntimeError):
    """The graph did not answer; the message says what was missing."""


@dataclass(frozen=True)
class Patience:
    """Wall-clock seconds: to come up, to answer, and before an image or a command is sent once more."""

    start: float = 120.0
    answer: float = 60.0
    image_again: float = 4.0
    command_again: float = 1.0


@dataclass(frozen=True)
class _GuardState:
    values: dict[str, str]
    message: str

    def number(self, key: str) -> float:
        try:
            return float(self.values.get(key, "nan"))
        except ValueError:
            return math.nan


class RosAutonomy:
    """Implements autonomy.Autonomy over topics. ``with_detector`` False: ground truth is the detections.

    ``truth``: whose boxes in space are published with each frame; None: nobody's. ``recorded``: a recorder
    belongs to the graph, and is waited for.
    """

    def __init__(
        self,
        scenario: Scenario,
        names: TopicNames,
        *,
        with_detector: bool,
        truth: GroundTruth | None = None,
        recorded: bool = False,
        patience: Patience | None = None,
        context: Context | None = None,
    ) -> None:
        self.latencies_ms: list[float] = []
        self.commands_ms: list[float] = []
        self._shown: float | None = None
        self._names = names
        self._with_detector = with_detector
        self._truth = truth
        self._recorded = recorded
        self._patience = patience or Patience()
        self._camera = camera_model(scenario.camera)
        self.node = Node("palletjack_simulator", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._detections: dict[int, tuple[Detections, float]] = {}
        self._state: _GuardState | None = None
        self._command: Velocity | None = None
        self._frame_stamp = math.nan
        self._tick_stamp = math.nan
        self._make_publishers()
        self._make_subscriptions()
        mount = mount_transform(
            camera_mount_matrix(scenario.camera),
            stamp_message(0.0),
            names.frames["base"],
            names.frames["camera"],
        )
        self._static_transforms.publish(TFMessage(transforms=[mount]))

    def close(self) -> None:
        """Take the node apart."""
        self._executor.shutdown()
        self.node.destroy_node()

    def wait_for_graph(self) -> None:
        """Wait until guard and, if used, detector are there. Raises GraphTimeout."""
        topics = self._names.topics
        needed: dict[str, Callable[[], bool]] = {
            "a guard that listens to odometry": lambda: self._odometry.get_subscription_count() > 0,
            "a guard that listens to commands": lambda: self._command_raw.get_subscription_count() > 0,
            "a guard that publishes its state": lambda: self.node.count_publishers(topics["guard_state"]) > 0,
        }
        if self._with_detector:
            needed["a detector that listens to images"] = lambda: self._image.get_subscription_count() > 0
            needed["a detector that publishes"] = lambda: self.node.count_publishers(topics["detections"]) > 0
        if self._recorded:
            needed["a recorder that listens to everything"] = self._is_recorded
        self._wait_for(needed)

    def _is_recorded(self) -> bool:
        """Whether the recorder has found every topic: what comes before is not in its bag."""
        names = [name for role, name in self._names.topics.items() if role != NOT_OURS]
        if not self._with_detector:
            names.remove(self._names.topics["detections"])
        listeners = [self.node.get_subscriptions_info_by_topic(name) for name in names]
        return all(any(item.node_name == RECORDER_NODE for item in found) for found in listeners)

    def _wait_for(self, needed: dict[str, Callable[[], bool]]) -> None:
        deadline = time.monotonic() + self._patience.start
        while missing := [name for name, there in needed.items() if not there()]:
            if time.monotonic() > deadline:
                raise GraphTimeout(
                    f"the graph did not come up within {self._patience.start:.0f} s: missing "
                    + " and ".join(missing)
                )
            self._executor.spin_once(timeout_sec=POLL_S)

    def odometry(self, pose: RobotPose, yaw_rate: float) -> None:
        """Publish the new time and where the robot is."""
        stamp, frames = stamp_message(pose.stamp), self._names.frames
        self._tick_stamp = pose.stamp
        self._send_clock(pose.stamp)
        self._pose_messages = (
            odometry_message(pose, yaw_rate, stamp, frames["odometry"], frames["base"]),
            TFMessage(transforms=[robot_transform(pose, stamp, frames["odometry"], frames["base"])]),
        )
        self._send_pose()

    def image(self, stamp: float, frame: Frame, truth: Detections) -> Detections:
        """Publish a frame; return its detections once the guard has them too. Raises GraphTimeout."""
        header = Header(stamp=stamp_message(stamp), frame_id=self._names.frames["camera"])
        picture = image_message(frame.rgb, header.stamp, header.frame_id)
        info = camera_info_message(self._camera, header.stamp, header.frame_id)
        boxes = detections_to_message(truth, header)
        solid = [] if self._truth is None else self._truth.boxes_3d(stamp)
        boxes_3d = boxes_3d_message(solid, header.stamp, self._names.frames["odometry"])
        key = _nanoseconds(header.stamp)
        self._frame_stamp = stamp
        self._shown = began = time.perf_counter()

        def send() -> None:
            self._send_pose()
            self._camera_info.publish(info)
            self._image.publish(picture)
            self._ground_truth.publish(boxes)
            self._ground_truth_3d.publish(boxes_3d)

        def arrived() -> str:
            if self._with_detector and key not in self._detections:
                return f"detections with stamp {stamp:.3f} s"
            if not _same_time(self._number("detections_stamp"), stamp):
                return f"a guard state for the detections of {stamp:.3f} s"
            return ""

        self._exchange(send, arrived, self._patience.image_again)
        found, received = self._detections.pop(key, (truth, time.perf_counter()))
        self._detections.clear()
        self.latencies_ms.append((received - began) * 1e3)
        return found if self._with_detector else truth

    def fault(self, kind: str) -> None:
        """Kill the detector where that is the fault: it is a process of the launch that started this one."""
        if kind == "detector_killed" and self._with_detector:
            # Isaac Sim's python.sh stands between the launch process and this one.
            launch = os.environ.get(END_WITH_PARENT, "")
            kill_sibling(DETECTOR_EXECUTABLE, int(launch) if launch.isdigit() else None)

    def fault_over(self) -> float:
        """The next frame is answered: it is sent again until a detector that comes back has it."""
        return 0.0

    def drive(self, stamp: float, raw: Velocity) -> Decision:
        """Publish the wish; return the guard's answer to it. Raises GraphTimeout."""
        self._command = None

        def arrived() -> str:
            state = self._state
            if state is None or state.values.get("trigger") != "command":
                return "a guard state that answers cmd_vel_raw"
            if not _same_time(state.number("odometry_stamp"), stamp):
                had = state.number("odometry_stamp")
                return (
                    f"a guard decision on the odometry of {stamp:.3f} s, the last was on that of {had:.3f} s"
                )
            if not self._is_of_newest_frame(state.number("detections_stamp")):
                return f"a guard decision on the detections of {self._frame_stamp:.3f} s"
            if not _same_velocity(Velocity(state.number("raw_linear"), state.number("raw_angular")), raw):
                return "a guard decision on this cmd_vel_raw"
            answer = Velocity(state.number("linear"), state.number("angular"))
            if self._command is None or not _same_velocity(self._command, answer):
                return f"the cmd_vel ({answer.linear:.3f}, {answer.angular:.3f}) of the guard's state"
            return ""

        def send() -> None:
            self._command_raw.publish(twist_message(raw))

        def send_again() -> None:
            self._send_clock(stamp)
            self._send_pose()
            send()

        send()
        self._exchange(send_again, arrived, self._patience.command_again, send_first=False)
        if self._shown is not None:
            self.commands_ms.append((time.perf_counter() - self._shown) * 1e3)
            self._shown = None
        state = self._state
        assert state is not None
        assert self._command is not None
        return Decision(
            action=state.values["action"],
            command=self._command,
            reason=state.values.get("reason", state.message),
            gap=state.number("gap"),
            healthy=state.values["healthy"] == "true",
        )

    def _is_of_newest_frame(self, detections_stamp: float) -> bool:
        """Whether a guard with detections of this stamp has all that there are; a fault may keep all back."""
        return math.isnan(self._frame_stamp) or _same_time(detections_stamp, self._frame_stamp)

    def _exchange(
        self, send: Callable[[], None], missing: Callable[[], str], again: float, *, send_first: bool = True
    ) -> None:
        """Send, wait until ``missing`` is empty, and send again every ``again`` seconds meanwhile."""
        if send_first:
            send()
        deadline = time.monotonic() + self._patience.answer
        resend = time.monotonic() + again
        while lack := missing():
            now = time.monotonic()
            if now > deadline:
                last = self._state.message if self._state else "none was ever received"
                raise GraphTimeout(
                    f"no answer within {self._patience.answer:.0f} s at simulated time "
                    f"{self._tick_stamp:.3f} s: missing {lack}; last guard state: {last}"
                )
            if now > resend:
                send()
                resend = now + again
            self._executor.spin_once(timeout_sec=POLL_S)

    def _send_clock(self, stamp: float) -> None:
        self._clock.publish(Clock(clock=stamp_message(stamp)))

    def _send_pose(self) -> None:
        odometry, transforms = self._pose_messages
        self._odometry.publish(odometry)
        self._transforms.publish(transforms)

    def _number(self, key: str) -> float:
        return math.nan if self._state is None else self._state.number(key)

    def _make_publishers(self) -> None:
        topics, make = self._names.topics, self.node.create_publisher
        self._clock = make(Clock, topics["clock"], 10)
        self._image = make(Image, topics["image"], 2)
        self._camera_info = make(CameraInfo, topics["camera_info"], 2)
        self._odometry = make(Odometry, topics["odometry"], 10)
        self._transforms = make(TFMessage, topics["transforms"], 10)
        self._ground_truth = make(Detection2DArray, topics["ground_truth"], 10)
        self._ground_truth_3d = make(Detection3DArray, topics["ground_truth_3d"], 10)
        self._make_static_publisher()
        self._make_command_publisher()

    def _make_static_publisher(self) -> None:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        topic = self._names.topics["static_transforms"]
        self._static_transforms = self.node.create_publisher(TFMessage, topic, latched)

    def _make_command_publisher(self) -> None:
        self._command_raw = self.node.create_publisher(Twist, self._names.topics["command_raw"], 10)

    def _make_subscriptions(self) -> None:
        topics, make = self._names.topics, self.node.create_subscription
        if self._with_detector:
            make(Detection2DArray, topics["detections"], self._on_detections, 10)
        make(DiagnosticArray, topics["guard_state"], self._on_state, 50)
        make(Twist, topics["command"], self._on_command, 50)

    def _on_detections(self, message: Detection2DArray) -> None:
        key = _nanoseconds(message.header.stamp)
        if _same_time(stamp_seconds(message.header.stamp), self._frame_stamp):
            self._detections.setdefault(key, (detections_from_message(message), time.perf_counter()))

    def _on_state(self, message: DiagnosticArray) -> None:
        if len(message.status) != 1:
            self.node.get_logger().warning(f"guard state with {len(message.status)} entries ignored")
            return
        status = message.status[0]
        self._state = _GuardState({item.key: item.value for item in status.values}, status.message)

    def _on_command(self, message: Twist) -> None:
        self._command = Velocity(message.linear.x, message.angular.z)


def _nanoseconds(stamp: object) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)  # type: ignore[attr-defined]


def _same_time(first: float, second: float) -> bool:
    return abs(first - second) <= SAME_TIME_S


def _same_velocity(first: Velocity, second: Velocity) -> bool:
    return (
        abs(first.linear - second.linear) <= SAME_VALUE and abs(first.angular - second.angular) <= SAME_VALUE
    )
