"""The locator node: boxes in the image become places in the robot's frame, with their covariance.

Detection2DArray in, Detection3DArray and markers out. Places come from the floor, or from a depth image
that is registered to the camera's. All thinking is in ``palletjack_detection.location``.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import fields
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from numpy.typing import NDArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, Detection3DArray
from visualization_msgs.msg import MarkerArray

from palletjack_detection.ground_range import CameraModel, CameraMount
from palletjack_detection.location import Location, LocationSettings, locate
from palletjack_detection.nodes.box_camera import BoxCamera
from palletjack_detection.nodes.camera_messages import depth_from_message
from palletjack_detection.nodes.camera_transforms import CameraTransforms, NoTransform
from palletjack_detection.nodes.diagnostic_name import diagnostic_name
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.location_messages import Located, locations_to_markers, locations_to_message
from palletjack_detection.nodes.locator_parameters import PARAMETERS, SETTINGS
from palletjack_detection.nodes.parameters import declare, first_problem
from palletjack_detection.nodes.stamps import seconds

DIAGNOSTICS_PERIOD_S = 1.0
DEPTH_HISTORY = 10
# Depth and colour of one exposure: half a frame at 30 Hz.
SAME_EXPOSURE_S = 0.017
DEPTH_SILENCE_S = 2.0
LOOK_AGAIN_S = 0.02
# More detections than these do not wait for their transform.
WAITING_DETECTIONS = 10


class LocatorNode(Node):
    """Wires boxes, calibration, transforms and depth to ``locate``."""

    def __init__(self) -> None:
        super().__init__("palletjack_locator")
        try:
            settings = declare(self, PARAMETERS)
        except ValueError as error:
            raise StartupError(str(error)) from error
        self._base_frame: str = settings["base_frame"]
        self._settings = _settings(settings)
        self._depths: deque[tuple[float, NDArray[np.float32]]] = deque(maxlen=DEPTH_HISTORY)
        self._waiting: deque[tuple[float, Detection2DArray]] = deque()
        self._transform_wait: float = settings["transform_wait"]
        self._max_transform_age: float = settings["max_transform_age"]
        self._trouble = "no detections yet"
        self._depth_trouble = ""
        self._depth_heard = -math.inf
        self._depth_topic: str = settings["depth_topic"]
        self._counts = {"messages": 0, "placed": 0, "not_placed": 0, "by_depth": 0, "late_transforms": 0}
        self._transforms = CameraTransforms(self, self._base_frame)
        self._places = self.create_publisher(Detection3DArray, "detections_3d", 10)
        self._markers = self.create_publisher(MarkerArray, "markers", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        sensor = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        # First of all: what is told of an image's size comes before its boxes.
        self._box_camera = BoxCamera(self, rectified=settings["rectified"])
        self.create_subscription(Detection2DArray, "detections", self._on_detections, 10)
        if self._depth_topic:
            self.create_subscription(Image, self._depth_topic, self._on_depth, sensor)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=steady)
        self._look_again = self.create_timer(LOOK_AGAIN_S, self._work_off, clock=steady)
        self._look_again.cancel()  # until something waits
        self.add_on_set_parameters_callback(self._change_parameters)

    def _on_depth(self, message: Image) -> None:
        self._depth_heard = time.monotonic()
        try:
            self._depths.append((seconds(message.header.stamp), depth_from_message(message)))
        except ValueError as error:
            self._depth_trouble = f"depth not used: {error}"
            self.get_logger().warning(self._depth_trouble, throttle_duration_sec=2.0)

    def _on_detections(self, message: Detection2DArray) -> None:
        stamp = seconds(message.header.stamp)
        self._transforms.hear(stamp)
        if self._waiting and stamp < seconds(self._waiting[-1][1].header.stamp):
            # Time began anew: what waits is of the time before.
            self._work_off(force=True)
        self._waiting.append((time.monotonic(), message))
        self._work_off()

    def _work_off(self, force: bool = False) -> None:
        """Answer detections in their order, each once its transform is there or has been waited for."""
        while self._waiting:
            since, message = self._waiting[0]
            waited = force or len(self._waiting) > WAITING_DETECTIONS
            waited = waited or time.monotonic() - since >= self._transform_wait
            camera = self._box_camera.of(message.header.frame_id)
            mount = self._mount_at(message) if camera is not None else None
            # Where nothing is to be placed there is nothing to wait for.
            if mount is None and camera is not None and message.detections and not waited:
                if self._look_again.is_canceled():
                    self._look_again.reset()
                return
            self._waiting.popleft()
            self._answer(message, camera, mount)
        self._look_again.cancel()

    def _mount_at(self, message: Detection2DArray) -> CameraMount | None:
        """The camera's place at the image's time; None where TF does not have it, or not yet."""
        try:
            return self._transforms.at(message.header.frame_id, message.header.stamp)
        except NoTransform:
            return None

    def _answer(
        self, message: Detection2DArray, camera: CameraModel | None, mount: CameraMount | None
    ) -> None:
        """Answer a message, an empty one too, so that nobody waits for what will not come."""
        self._counts["messages"] += 1
        self._trouble = ""
        found: list[Located] = []
        try:
            found = self._locate(message, camera, mount)
        except Exception as error:  # one message that cannot be placed must not end the node
            self._report(f"detections not placed: {type(error).__name__}: {error}")
        self._places.publish(locations_to_message(found, message.header, self._base_frame))
        self._markers.publish(locations_to_markers(found, message.header, self._base_frame))

    def _locate(
        self, message: Detection2DArray, camera: CameraModel | None, mount: CameraMount | None
    ) -> list[Located]:
        if camera is None:
            if not self._box_camera.trouble:
                self._report("no camera_info yet: detections cannot be placed")
            return []
        mount = mount or self._newest_mount(message)
        if mount is None:
            return []
        depth = self._depth_at(seconds(message.header.stamp))
        found = []
        for item in message.detections:
            if not item.results:
                continue
            centre, half_x, half_y = item.bbox.center.position, item.bbox.size_x / 2, item.bbox.size_y / 2
            box = (centre.x - half_x, centre.y - half_y, centre.x + half_x, centre.y + half_y)
            place = locate(box, camera, mount, self._settings, depth) if np.all(np.isfinite(box)) else None
            self._count(place)
            if place is not None:
                found.append(Located(item, place))
        return found

    def _count(self, place: Location | None) -> None:
        self._counts["not_placed" if place is None else "placed"] += 1
        if place is not None and place.source == "depth":
            self._counts["by_depth"] += 1

    def _newest_mount(self, message: Detection2DArray) -> CameraMount | None:
        """The newest place known of the camera, where it is near enough to the image's time."""
        self._counts["late_transforms"] += 1
        header = message.header
        try:
            return self._transforms.newest(header.frame_id, header.stamp, self._max_transform_age)
        except NoTransform as error:
            self._report(f"detections not placed: {error}")
            return None

    def _depth_at(self, stamp: float) -> NDArray[np.float32] | None:
        if not self._depth_topic:
            return None
        near = [item for item in self._depths if abs(item[0] - stamp) <= SAME_EXPOSURE_S]
        if near:
            self._depth_trouble = ""
            return min(near, key=lambda item: abs(item[0] - stamp))[1]
        if time.monotonic() - self._depth_heard > DEPTH_SILENCE_S:
            self._depth_trouble = f"no depth image on {self._depth_topic}: places come from the floor"
        elif self._depths:
            off = min(abs(item[0] - stamp) for item in self._depths)
            self._depth_trouble = (
                f"no depth image of the camera's time: the nearest is {1e3 * off:.0f} ms off, over "
                f"{1e3 * SAME_EXPOSURE_S:.0f} ms; places come from the floor"
            )
        return None

    def _change_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        if problem := first_problem(PARAMETERS, changes):
            return SetParametersResult(successful=False, reason=problem)
        values = {spec.name: self.get_parameter(spec.name).value for spec in SETTINGS}
        values.update({change.name: change.value for change in changes if change.name in values})
        self._settings = _settings(values)
        return SetParametersResult(successful=True)

    def _report(self, trouble: str) -> None:
        self._trouble = trouble
        self.get_logger().warning(trouble, throttle_duration_sec=2.0)

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        trouble = "; ".join(filter(None, (self._trouble, self._box_camera.trouble, self._depth_trouble)))
        message.status.append(
            DiagnosticStatus(
                level=DiagnosticStatus.WARN if trouble else DiagnosticStatus.OK,
                name=diagnostic_name(self, "location"),
                message=trouble or "placing detections",
                values=[KeyValue(key=key, value=str(value)) for key, value in self._counts.items()],
            )
        )
        self._diagnostics.publish(message)


def _settings(values: dict[str, Any]) -> LocationSettings:
    return LocationSettings(**{item.name: values[item.name] for item in fields(LocationSettings)})


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run palletjack_detection palletjack_locator``."""
    return run_node(LocatorNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
