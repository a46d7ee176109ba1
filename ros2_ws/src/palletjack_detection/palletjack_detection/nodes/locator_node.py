"""The locator node: boxes in the image become places in the robot's frame, with their covariance.

Detection2DArray in, Detection3DArray and markers out. Places come from the floor, or from a depth image
that is registered to the camera's. All thinking is in ``palletjack_detection.location``.
"""

from __future__ import annotations

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
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from tf2_ros import Buffer, TransformException, TransformListener
from vision_msgs.msg import Detection2DArray, Detection3DArray
from visualization_msgs.msg import MarkerArray

from palletjack_detection.ground_range import CameraModel, CameraMount
from palletjack_detection.location import Location, LocationSettings, locate
from palletjack_detection.nodes.camera_messages import (
    camera_from_message,
    depth_from_message,
    mount_from_transform,
)
from palletjack_detection.nodes.diagnostic_name import diagnostic_name
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.location_messages import Located, locations_to_markers, locations_to_message
from palletjack_detection.nodes.parameters import ParameterSpec, declare, first_problem
from palletjack_detection.nodes.stamps import seconds

DIAGNOSTICS_PERIOD_S = 1.0
DEPTH_HISTORY = 10
# Depth and colour of one exposure: half a frame at 30 Hz.
SAME_EXPOSURE_S = 0.017

_DEFAULT = LocationSettings()
_SETTINGS = (
    ParameterSpec(
        "edge_sigma_px", _DEFAULT.edge_sigma_px, "Standard deviation of a box's edges, pixels.", 0.1, 100.0
    ),
    ParameterSpec("depth_sigma_m", _DEFAULT.depth_sigma_m, "Noise of the depth camera, m.", 0.0, 5.0),
    ParameterSpec(
        "depth_sigma_share", _DEFAULT.depth_sigma_share, "Its noise as a share of the distance.", 0.0, 1.0
    ),
    ParameterSpec(
        "object_depth_m",
        _DEFAULT.object_depth_m,
        "Extent of an object along the line of sight, which one view does not show, m.",
        0.0,
        10.0,
    ),
    ParameterSpec("max_range_m", _DEFAULT.max_range_m, "Farther objects are not placed, m.", 0.5, 500.0),
)
PARAMETERS = (
    ParameterSpec(
        "base_frame", "base_link", "The robot's frame: x forward, origin on the floor.", fixed=True
    ),
    ParameterSpec(
        "depth_topic",
        "",
        "Depth image registered to the camera's (16UC1 or 32FC1); empty: places come from the floor.",
        fixed=True,
    ),
    *_SETTINGS,
)


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
        self._camera: CameraModel | None = None
        self._depths: deque[tuple[float, NDArray[np.float32]]] = deque(maxlen=DEPTH_HISTORY)
        self._trouble = "no detections yet"
        # Of its own, for detections come and go between two calibrations.
        self._calibration_trouble = ""
        self._counts = {"messages": 0, "placed": 0, "not_placed": 0, "by_depth": 0}
        self._transforms = Buffer()
        self._listener = TransformListener(self._transforms, self)
        self._places = self.create_publisher(Detection3DArray, "detections_3d", 10)
        self._markers = self.create_publisher(MarkerArray, "markers", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        sensor = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.create_subscription(CameraInfo, "camera_info", self._on_camera_info, sensor)
        self.create_subscription(Detection2DArray, "detections", self._on_detections, 10)
        if settings["depth_topic"]:
            self.create_subscription(Image, settings["depth_topic"], self._on_depth, sensor)
        self.create_timer(
            DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self.add_on_set_parameters_callback(self._change_parameters)

    def _on_camera_info(self, message: CameraInfo) -> None:
        try:
            self._camera = camera_from_message(message)
            self._calibration_trouble = ""
        except ValueError as error:  # the last good one stays in use
            self._calibration_trouble = str(error)
            self.get_logger().warning(self._calibration_trouble, throttle_duration_sec=2.0)

    def _on_depth(self, message: Image) -> None:
        try:
            self._depths.append((seconds(message.header.stamp), depth_from_message(message)))
        except ValueError as error:
            self._report(str(error))

    def _on_detections(self, message: Detection2DArray) -> None:
        """Answer every message, an empty one too, so that nobody waits for what will not come."""
        self._counts["messages"] += 1
        self._trouble = ""
        found: list[Located] = []
        try:
            found = self._locate(message)
        except Exception as error:  # one message that cannot be placed must not end the node
            self._report(f"detections not placed: {type(error).__name__}: {error}")
        self._places.publish(locations_to_message(found, message.header, self._base_frame))
        self._markers.publish(locations_to_markers(found, message.header, self._base_frame))

    def _locate(self, message: Detection2DArray) -> list[Located]:
        if self._camera is None:
            if not self._calibration_trouble:
                self._report("no camera_info yet: detections cannot be placed")
            return []
        mount = self._mount(message.header.frame_id, message.header.stamp)
        if mount is None:
            return []
        depth = self._depth_at(seconds(message.header.stamp))
        found = []
        for item in message.detections:
            if not item.results:
                continue
            centre, half_x, half_y = item.bbox.center.position, item.bbox.size_x / 2, item.bbox.size_y / 2
            box = (centre.x - half_x, centre.y - half_y, centre.x + half_x, centre.y + half_y)
            place = (
                locate(box, self._camera, mount, self._settings, depth) if np.all(np.isfinite(box)) else None
            )
            self._count(place)
            if place is not None:
                found.append(Located(item, place))
        return found

    def _count(self, place: Location | None) -> None:
        self._counts["not_placed" if place is None else "placed"] += 1
        if place is not None and place.source == "depth":
            self._counts["by_depth"] += 1

    def _mount(self, camera_frame: str, stamp: Any) -> CameraMount | None:
        """The camera's place at the image's time, or the newest known where that is not to be had."""
        for when in (Time.from_msg(stamp), Time()):
            try:
                return mount_from_transform(
                    self._transforms.lookup_transform(self._base_frame, camera_frame, when)
                )
            except TransformException as error:
                problem = str(error)
            except ValueError as error:
                problem = str(error)
                break
        self._report(f"no transform from {camera_frame!r} to {self._base_frame!r}: {problem}")
        return None

    def _depth_at(self, stamp: float) -> NDArray[np.float32] | None:
        near = [item for item in self._depths if abs(item[0] - stamp) <= SAME_EXPOSURE_S]
        return min(near, key=lambda item: abs(item[0] - stamp))[1] if near else None

    def _change_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        if problem := first_problem(PARAMETERS, changes):
            return SetParametersResult(successful=False, reason=problem)
        values = {spec.name: self.get_parameter(spec.name).value for spec in _SETTINGS}
        values.update({change.name: change.value for change in changes if change.name in values})
        self._settings = _settings(values)
        return SetParametersResult(successful=True)

    def _report(self, trouble: str) -> None:
        self._trouble = trouble
        self.get_logger().warning(trouble, throttle_duration_sec=2.0)

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        trouble = "; ".join(filter(None, (self._trouble, self._calibration_trouble)))
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
