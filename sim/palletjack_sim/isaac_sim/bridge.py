"""The ROS graph around Isaac Sim: the bridge publishes the senses, this node the route's wish.

As with the embedded simulator, simulated time stands still until detector and guard have answered: nobody
updates Isaac Sim meanwhile. What differs is who publishes clock, pictures and odometry.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo
from vision_msgs.msg import Detection2DArray

from palletjack_detection.detections import Detections
from palletjack_detection.guard import RobotPose, Velocity
from palletjack_detection.nodes.message_conversion import detections_from_message
from palletjack_sim.cameras import Frame
from palletjack_sim.ros_autonomy import POLL_S, SAME_TIME_S, GraphTimeout, Patience, RosAutonomy
from palletjack_sim.ros_messages import stamp_seconds, twist_message
from palletjack_sim.scenario import Pose, Scenario
from palletjack_sim.topics import TopicNames

# Pictures leave the renderer this many control periods late at most.
LATE_FRAMES = 4
KEPT_DETECTIONS = 50
# Updates in which the bridge takes up its pictures again after they were switched off.
RETURN_UPDATES = 4
# Wall seconds between two updates in which the graph comes up.
WARM_UP_S = 0.5


class BridgeAutonomy(RosAutonomy):
    """Implements Autonomy and robot_loop.Odometry around the bridge.

    ``start``: where odometry begins. ``switch_camera`` ends the bridge's pictures (False), or has them come
    back (True).
    """

    def __init__(
        self,
        scenario: Scenario,
        names: TopicNames,
        start: Pose,
        patience: Patience,
        switch_camera: Callable[[bool], None],
    ) -> None:
        self._start = start
        self._switch_camera = switch_camera
        self._before_the_kill: set[bytes] = set()
        self._newest_odometry: Odometry | None = None
        self._newest_picture = math.nan
        self._period = 1.0 / scenario.control_rate_hz
        self._steps_per_frame = scenario.control_steps_per_frame
        super().__init__(scenario, names, with_detector=True, patience=patience)

    def next_pose(self, after: float) -> tuple[RobotPose, float]:
        """Wait for odometry newer than ``after``; pose in the world and yaw rate. Raises GraphTimeout."""

        def missing() -> str:
            message = self._newest_odometry
            newer = message is not None and stamp_seconds(message.header.stamp) > after + 1e-6
            return "" if newer else f"odometry of Isaac Sim's bridge after {after:.3f} s"

        self._exchange(lambda: None, missing, self._patience.answer)
        message = self._newest_odometry
        assert message is not None
        return world_pose(message, self._start), float(message.twist.twist.angular.z)

    def odometry(self, pose: RobotPose, yaw_rate: float) -> None:
        """Keep the time; the bridge has published the rest."""
        self._tick_stamp = pose.stamp

    def image(self, stamp: float, frame: Frame, truth: Detections) -> Detections:
        """Return the detections of the bridge's newest picture, once the guard has them too.

        Raises GraphTimeout.
        """
        self._shown = began = time.perf_counter()

        def missing() -> str:
            picture = self._newest_picture
            if not picture >= stamp - LATE_FRAMES * self._period:
                return f"a picture of Isaac Sim's bridge of {stamp:.3f} s or shortly before"
            if round(picture * 1e9) not in self._detections:
                return f"detections with stamp {picture:.3f} s"
            if abs(self._number("detections_stamp") - picture) > SAME_TIME_S:
                return f"a guard state for the detections of {picture:.3f} s"
            return ""

        self._exchange(lambda: None, missing, self._patience.answer)
        self._frame_stamp = self._newest_picture
        found, received = self._detections[round(self._frame_stamp * 1e9)]
        self.latencies_ms.append(max(0.0, received - began) * 1e3)
        return found

    def fault(self, kind: str) -> None:
        """Kill the detector where that is the fault; no further picture is published, whatever it is."""
        if kind == "detector_killed":
            # A killed process is listed for some time after its death.
            self._before_the_kill = self._listeners() | self._detectors()
        super().fault(kind)
        self._switch_camera(False)

    def fault_over(self) -> float:
        """Have the pictures come back, once a killed detector is there again. Raises GraphTimeout.

        Nobody can ask the bridge for a picture, and simulated time stands still while one is waited for:
        the first is asked for when it must have arrived.
        """
        if old := self._before_the_kill:
            needed: dict[str, Callable[[], bool]] = {
                "a detector that listens to images again": lambda: bool(self._listeners() - old),
                "a detector that publishes again": lambda: bool(self._detectors() - old),
            }
            self._wait_for(needed)
            self._before_the_kill = set()
        self._switch_camera(True)
        return (RETURN_UPDATES + LATE_FRAMES + self._steps_per_frame) * self._period

    def _listeners(self) -> set[bytes]:
        found = self.node.get_subscriptions_info_by_topic(self._names.topics["image"])
        return {bytes(end.endpoint_gid) for end in found}

    def _detectors(self) -> set[bytes]:
        found = self.node.get_publishers_info_by_topic(self._names.topics["detections"])
        return {bytes(end.endpoint_gid) for end in found}

    def _is_of_newest_frame(self, detections_stamp: float) -> bool:
        """The bridge publishes pictures by itself: one more may be out when a fault sets in."""
        first = math.isnan(self._frame_stamp)
        return first or detections_stamp >= self._frame_stamp - SAME_TIME_S

    def wait_for_graph(self) -> None:
        """Wait until guard and detector are there. Raises GraphTimeout."""
        topics, node = self._names.topics, self.node
        needed: dict[str, Callable[[], bool]] = {
            "a guard that listens to commands": lambda: node.count_subscribers(topics["command_raw"]) > 0,
            "a guard that publishes its state": lambda: node.count_publishers(topics["guard_state"]) > 0,
            "a detector that listens to images": lambda: node.count_subscribers(topics["image"]) > 0,
            "a detector that publishes": lambda: node.count_publishers(topics["detections"]) > 0,
        }
        self._wait_for(needed)

    def warm_up(self, update: Callable[[], None]) -> None:
        """Update until the guard has the newest odometry and the detections of the newest picture.

        What the bridge publishes before connections are up is lost, and nobody can ask it again. Raises
        GraphTimeout.
        """
        deadline = time.monotonic() + self._patience.start
        while True:
            update()
            self._command_raw.publish(twist_message(Velocity()))
            if self._spin_until(self._all_heard, WARM_UP_S):
                # What an earlier update published may still be under way: it is not the newest.
                self._spin_until(lambda: False, WARM_UP_S)
                if self._all_heard():
                    return
            if time.monotonic() > deadline:
                state = self._state.message if self._state else "none was ever received"
                raise GraphTimeout(
                    f"odometry and pictures of Isaac Sim's bridge did not get through to the guard within "
                    f"{self._patience.start:.0f} s; last guard state: {state}"
                )

    def _all_heard(self) -> bool:
        message, picture = self._newest_odometry, self._newest_picture
        if message is None or math.isnan(picture) or round(picture * 1e9) not in self._detections:
            return False
        return (
            abs(self._number("odometry_stamp") - stamp_seconds(message.header.stamp)) <= SAME_TIME_S
            and abs(self._number("detections_stamp") - picture) <= SAME_TIME_S
        )

    def _spin_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=POLL_S)
        return True

    def _make_publishers(self) -> None:
        self._make_static_publisher()
        self._make_command_publisher()

    def _make_subscriptions(self) -> None:
        super()._make_subscriptions()
        self.node.create_subscription(Odometry, self._names.topics["odometry"], self._on_odometry, 10)
        self.node.create_subscription(CameraInfo, self._names.topics["camera_info"], self._on_camera_info, 10)

    def _send_clock(self, stamp: float) -> None:
        """The bridge's business."""

    def _send_pose(self) -> None:
        """The bridge's business."""

    def _on_odometry(self, message: Odometry) -> None:
        self._newest_odometry = message

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._newest_picture = stamp_seconds(message.header.stamp)

    def _on_detections(self, message: Detection2DArray) -> None:
        key = round(stamp_seconds(message.header.stamp) * 1e9)
        self._detections[key] = (detections_from_message(message), time.perf_counter())
        while len(self._detections) > KEPT_DETECTIONS:
            del self._detections[min(self._detections)]


def world_pose(message: Odometry, start: Pose) -> RobotPose:
    """Return the pose in the world: odometry begins at (0, 0, 0) where the robot was put."""
    turn = math.radians(start.yaw_deg)
    place, facing = message.pose.pose.position, message.pose.pose.orientation
    yaw = math.atan2(
        2.0 * (facing.w * facing.z + facing.x * facing.y), 1.0 - 2.0 * (facing.y**2 + facing.z**2)
    )
    return RobotPose(
        stamp_seconds(message.header.stamp),
        start.x + math.cos(turn) * place.x - math.sin(turn) * place.y,
        start.y + math.sin(turn) * place.x + math.cos(turn) * place.y,
        math.remainder(yaw + turn, 2.0 * math.pi),
        float(message.twist.twist.linear.x),
    )
