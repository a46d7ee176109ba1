"""The tracker node: gives detections of one object the same id from image to image.

Detection2DArray in, the same with ids out on ``tracked_detections``; an object without one has an empty id.
"""

from __future__ import annotations

import time
from dataclasses import fields

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from vision_msgs.msg import Detection2DArray

from palletjack_detection.nodes.diagnostic_name import diagnostic_name
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.message_conversion import detections_with_order
from palletjack_detection.nodes.parameters import declare
from palletjack_detection.nodes.stamps import seconds
from palletjack_detection.nodes.tracker_parameters import PARAMETERS
from palletjack_detection.tracking import UNTRACKED, Tracker, TrackerSettings, TrackingError


class TrackerNode(Node):
    """Wires the tracker to topics."""

    def __init__(self) -> None:
        super().__init__("palletjack_tracker")
        try:
            settings = declare(self, PARAMETERS)
            self._tracker = Tracker(
                TrackerSettings(**{item.name: settings[item.name] for item in fields(TrackerSettings)})
            )
        except (ValueError, TrackingError) as error:
            raise StartupError(str(error)) from error
        self._last_count = 0
        self._trouble = ""
        self._publisher = self.create_publisher(Detection2DArray, "tracked_detections", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_subscription(Detection2DArray, "detections", self._on_detections, 10)
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_detections(self, message: Detection2DArray) -> None:
        # A camera without a clock stamps with zero: its objects are remembered by when their boxes came.
        stamp = seconds(message.header.stamp) or time.monotonic()
        try:
            detections, order = detections_with_order(message)
            identities = self._tracker.update(detections, stamp)
            for place, identity in zip(order, identities, strict=True):
                if identity != UNTRACKED:
                    message.detections[place].id = str(identity)
                    self._last_count = max(self._last_count, int(identity))
            self._trouble = ""
        except Exception as error:  # detections without ids are better than none
            self._trouble = f"not tracked: {type(error).__name__}: {error}"
            self.get_logger().warning(self._trouble, throttle_duration_sec=2.0)
        self._publisher.publish(message)

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status.append(
            DiagnosticStatus(
                level=DiagnosticStatus.WARN if self._trouble else DiagnosticStatus.OK,
                name=diagnostic_name(self, "tracking"),
                message=self._trouble or "tracking",
                values=[KeyValue(key="objects_so_far", value=str(self._last_count))],
            )
        )
        self._diagnostics.publish(message)


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run palletjack_detection palletjack_tracker``."""
    return run_node(TrackerNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
