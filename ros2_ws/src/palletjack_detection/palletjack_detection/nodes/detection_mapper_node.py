"""Boxes of Isaac ROS's DetectNet decoder, put back into the pixels of the camera.

In: Detection2DArray of the decoder (network pixels) and camera_info. Out: the same `detections` as those
of palletjack_detector.
"""

from __future__ import annotations

from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from vision_msgs.msg import Detection2DArray

from palletjack_detection.hysteresis import ScoreHysteresis, keep_threshold
from palletjack_detection.mapper_health import MapperHealth
from palletjack_detection.model_folder import load_model_spec
from palletjack_detection.network_boxes import NetworkBoxMapper
from palletjack_detection.nodes.camera_messages import image_size
from palletjack_detection.nodes.diagnostic_name import diagnostic_name
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.mapper_parameters import PARAMETERS
from palletjack_detection.nodes.message_conversion import detections_from_message, detections_to_message
from palletjack_detection.nodes.parameters import declare, first_problem
from palletjack_detection.shipped_model import find_shipped_model, package_share

WARNING_PERIOD_S = 2.0


class DetectionMapperNode(Node):
    """Publishes on ``detections``, in camera pixels, what arrives on ``detectnet/detections``."""

    def __init__(self) -> None:
        super().__init__("detection_mapper")
        try:
            settings = declare(self, PARAMETERS)
            folder = settings["model_dir"]
            spec = load_model_spec(
                Path(folder).expanduser() if folder else find_shipped_model(package_share())
            )
        except (ValueError, OSError) as error:
            raise StartupError(str(error)) from error
        self._own_threshold = spec.score_threshold
        self._mapper = NetworkBoxMapper(
            spec, self._threshold(settings["score_threshold"]), settings["clustered"]
        )
        self._keep, self._hysteresis = settings["keep_threshold"], ScoreHysteresis()
        self._set_up_for = (int(settings["image_width"]), int(settings["image_height"]))
        self._camera: CameraInfo | None = None
        self._health = MapperHealth(settings["stale_after_s"])
        self._publisher = self.create_publisher(Detection2DArray, "detections", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        sensor = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT
        )
        self.create_subscription(CameraInfo, "camera_info", self._on_camera_info, sensor)
        self.create_subscription(Detection2DArray, "detectnet/detections", self._on_boxes, sensor)
        self.add_on_set_parameters_callback(self._change_parameters)
        self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _threshold(self, value: float) -> float:
        return self._own_threshold if value < 0 else value

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera = message
        self._health.camera_info_received()

    def _on_boxes(self, message: Detection2DArray) -> None:
        try:
            width, height = self._camera_size()
            threshold = self._mapper.score_threshold
            lowest = keep_threshold(threshold, self._keep)
            found = self._mapper.map(detections_from_message(message), width, height, lowest)
        except ValueError as error:
            self._health.boxes_refused(str(error))
            self.get_logger().error(str(error), throttle_duration_sec=WARNING_PERIOD_S)
            return
        header = message.header
        stamp = header.stamp.sec + header.stamp.nanosec / 1e9
        mapped = self._hysteresis.choose(found, stamp, threshold)
        if not header.frame_id and self._camera is not None:
            header.frame_id = self._camera.header.frame_id
        self._publisher.publish(detections_to_message(mapped, header))
        self._health.boxes_mapped()

    def _camera_size(self) -> tuple[int, int]:
        """Width and height of the camera's images.

        Raises:
            ValueError: it is not known, or not the one that the graph was set up for: its boxes are wrong.
        """
        said = image_size(self._camera) if self._camera is not None else (0, 0)
        if 0 in self._set_up_for:
            if 0 in said:
                raise ValueError("camera_info: expected the size of the images, found none; check its topic")
            return said
        if said not in ((0, 0), self._set_up_for):
            raise ValueError(
                f"camera_info: expected {self._set_up_for[0]}x{self._set_up_for[1]}, which the graph was set "
                f"up for, found {said[0]}x{said[1]}; launch again with that image_width and image_height"
            )
        return self._set_up_for

    def _change_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        if problem := first_problem(PARAMETERS, changes):
            return SetParametersResult(successful=False, reason=problem)
        for change in changes:
            if change.name == "score_threshold":
                self._mapper.score_threshold = self._threshold(change.value)
                # What the old threshold let through is no reason to keep it at the new one.
                self._hysteresis.reset()
            elif change.name == "keep_threshold":
                self._keep = change.value
        return SetParametersResult(successful=True)

    def _report(self) -> None:
        judgement, name = self._health.judge(), self._mapper.spec.name
        values = (
            ("model", name),
            ("engine", "isaac_ros"),
            ("score_threshold", f"{self._mapper.score_threshold:.3f}"),
            ("arrays_mapped", str(self._health.mapped)),
            ("arrays_refused", str(self._health.refused)),
        )
        array = DiagnosticArray()
        array.header.stamp = self.get_clock().now().to_msg()
        array.status.append(
            DiagnosticStatus(
                level=bytes([judgement.level]),
                name=diagnostic_name(self, "detection"),
                message=judgement.message,
                hardware_id=name,
                values=[KeyValue(key=key, value=value) for key, value in values],
            )
        )
        self._diagnostics.publish(array)


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run palletjack_detection detection_mapper``."""
    return run_node(DetectionMapperNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
