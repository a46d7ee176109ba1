"""The detector node: sensor_msgs/Image in, vision_msgs/Detection2DArray out.

The subscription only puts the newest image into a slot; a worker thread converts, detects and
publishes. So a slow model drops old images instead of queueing them, and parameters, diagnostics and
discovery go on while the network runs.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from palletjack_detection.detector import BACKENDS, Detector
from palletjack_detection.engine import EngineError
from palletjack_detection.health import WARN, DetectorHealth, HealthReport
from palletjack_detection.image_conversion import ImageRefused, compressed_to_rgb, image_to_rgb
from palletjack_detection.loading import BackgroundBuild, DetectorSettings, load_ready
from palletjack_detection.model_folder import PRECISIONS
from palletjack_detection.newest_slot import NewestSlot
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.message_conversion import detections_to_message
from palletjack_detection.nodes.parameters import ParameterSpec, declare, first_problem
from palletjack_detection.shipped_model import find_shipped_model, package_share

DIAGNOSTICS_PERIOD_S = 1.0
# A bad camera must not fill the disk with log lines.
WARNING_PERIOD_S = 2.0

PARAMETERS = (
    ParameterSpec(
        "model_dir",
        "",
        "Model folder (model.onnx and model.json); empty: the model that ships with the package. "
        "A folder set at run time is loaded first; if it cannot be, the old model stays.",
    ),
    ParameterSpec(
        "score_threshold",
        -1.0,
        "Detections below this score are not published, 0..1; a negative value: the model's own threshold.",
        minimum=-1.0,
        maximum=1.0,
    ),
    ParameterSpec("image_topic", "image", "Topic of the images.", fixed=True),
    ParameterSpec(
        "image_transport",
        "raw",
        "raw: sensor_msgs/Image. compressed: sensor_msgs/CompressedImage on <image_topic>/compressed.",
        choices=("raw", "compressed"),
        fixed=True,
    ),
    ParameterSpec(
        "reliability",
        "best_effort",
        "QoS of the image subscription: best_effort matches every camera; reliable needs a reliable one.",
        choices=("best_effort", "reliable"),
        fixed=True,
    ),
    ParameterSpec(
        "depth",
        1,
        "QoS history depth of the image subscription, in images.",
        minimum=1,
        maximum=100,
        fixed=True,
    ),
    ParameterSpec(
        "threads",
        0,
        "Threads of the network on the CPU; 0: ONNX Runtime chooses.",
        minimum=0,
        maximum=256,
        fixed=True,
    ),
    ParameterSpec(
        "backend",
        "auto",
        "What runs the network. auto: an engine of TensorRT that was built here before, else ONNX Runtime.",
        choices=BACKENDS,
        fixed=True,
    ),
    ParameterSpec(
        "precision",
        "auto",
        "Precision of the network, as far as the model folder holds it; auto: the model's own.",
        choices=("auto", *PRECISIONS),
        fixed=True,
    ),
    ParameterSpec(
        "build_engine",
        False,
        "Build the engine of TensorRT where there is none yet; ONNX Runtime runs the model meanwhile.",
        fixed=True,
    ),
    ParameterSpec(
        "stale_after_s",
        2.0,
        "Seconds without an image after which /diagnostics warns.",
        minimum=0.1,
        maximum=3600.0,
        fixed=True,
    ),
)


class DetectorNode(Node):
    """Publishes the detections of the newest image on ``detections``, and its health on /diagnostics."""

    def __init__(self) -> None:
        super().__init__("palletjack_detector")
        try:
            settings = declare(self, PARAMETERS)
            self._settings = settings
            wanted = detector_settings(settings, settings["model_dir"], settings["score_threshold"])
            self._detector, build = load_ready(wanted)
        except (ValueError, OSError, EngineError) as error:
            raise StartupError(str(error)) from error
        self._detector_lock = threading.Lock()
        self._build: BackgroundBuild | None = None
        self._health = DetectorHealth(settings["stale_after_s"])
        self._slot: NewestSlot[Image | CompressedImage] = NewestSlot()
        self._publisher = self.create_publisher(Detection2DArray, "detections", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._subscribe(settings)
        self.add_on_set_parameters_callback(self._change_parameters)
        # Wall time: under simulated time the health must show also when the simulation stands still.
        self.create_timer(
            DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._worker = threading.Thread(target=self._work, name="detector", daemon=True)
        self._worker.start()
        if build:
            self._start_build(wanted)
        spec, engine = self._detector.spec, self._detector.engine
        self.get_logger().info(
            f"model {spec.name} on {engine.provider}, threshold {self._detector.score_threshold:.2f}, "
            f"images from {self._subscription.topic_name}"
        )

    def destroy_node(self) -> None:
        """Stop the worker, then take the node apart."""
        self._slot.close()
        self._worker.join(timeout=10.0)
        super().destroy_node()

    def _subscribe(self, settings: dict[str, Any]) -> None:
        reliability = {
            "best_effort": ReliabilityPolicy.BEST_EFFORT,
            "reliable": ReliabilityPolicy.RELIABLE,
        }[settings["reliability"]]
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=settings["depth"], reliability=reliability)
        compressed = settings["image_transport"] == "compressed"
        topic = settings["image_topic"] + ("/compressed" if compressed else "")
        self._subscription = self.create_subscription(
            CompressedImage if compressed else Image, topic, self._receive, qos
        )

    def _start_build(self, wanted: DetectorSettings) -> None:
        self._build = BackgroundBuild(wanted, self._take_over)
        self._build.start()

    def _take_over(self, build: BackgroundBuild, detector: Detector) -> None:
        """Run on the engine that was built, unless another model was set meanwhile."""
        with self._detector_lock:
            if build is not self._build:
                return
            detector.score_threshold = self._detector.score_threshold
            self._detector = detector
        self.get_logger().info(f"the engine is ready: {detector.engine.provider}")

    def _receive(self, message: Image | CompressedImage) -> None:
        replaced = self._slot.put(message)
        self._health.image_received(replaced_another=replaced)

    def _work(self) -> None:
        while (message := self._slot.take()) is not None:
            try:
                self._answer(message)
            except ImageRefused as error:
                self._health.image_refused(error.reason, str(error))
                self.get_logger().warning(f"image refused: {error}", throttle_duration_sec=WARNING_PERIOD_S)
            except Exception as error:  # whatever one image does, the next one must be answered
                if not self.context.ok():
                    return
                self._health.detection_failed(f"{type(error).__name__}: {error}")
                self.get_logger().error(
                    f"detection failed: {type(error).__name__}: {error}",
                    throttle_duration_sec=WARNING_PERIOD_S,
                )

    def _answer(self, message: Image | CompressedImage) -> None:
        rgb = message_to_rgb(message)
        with self._detector_lock:
            detections, times = self._detector.detect_with_timing(rgb)
        self._publisher.publish(detections_to_message(detections, message.header))
        latencies = {
            "preprocess_ms": times.preprocess_ms,
            "inference_ms": times.inference_ms,
            "decode_ms": times.decode_ms,
        }
        stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        age_ms = (self.get_clock().now().nanoseconds - stamp_ns) / 1e6
        if stamp_ns > 0 and age_ms >= 0.0:
            latencies["stamp_to_publish_ms"] = age_ms
        self._health.image_processed(latencies)

    def _publish_diagnostics(self) -> None:
        array = DiagnosticArray()
        array.header.stamp = self.get_clock().now().to_msg()
        array.status.append(self._status(self._health.report()))
        self._diagnostics.publish(array)

    def _status(self, report: HealthReport) -> DiagnosticStatus:
        detector = self._detector
        about = (
            ("model", detector.spec.name),
            ("engine", detector.backend),
            ("provider", detector.engine.provider),
            ("score_threshold", f"{detector.score_threshold:.3f}"),
        )
        level, message = report.level, report.message
        if self._build is not None and (note := self._build.note):
            message = f"{message}; {note}"
            level = max(level, WARN) if self._build.failure else level
        return DiagnosticStatus(
            level=bytes([level]),
            name=f"{self.get_name()}: detection",
            message=message,
            hardware_id=detector.spec.name,
            values=[KeyValue(key=key, value=value) for key, value in (*about, *report.values)],
        )

    def _change_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        if problem := first_problem(PARAMETERS, changes):
            return SetParametersResult(successful=False, reason=problem)
        new = {change.name: change.value for change in changes}
        if not new.keys() & {"model_dir", "score_threshold"}:
            return SetParametersResult(successful=True)
        threshold = new.get("score_threshold", self.get_parameter("score_threshold").value)
        if "model_dir" in new:
            try:
                wanted = detector_settings(self._settings, new["model_dir"], threshold)
                detector, build = load_ready(wanted)
            except (ValueError, OSError, EngineError) as error:
                return SetParametersResult(successful=False, reason=f"the old model stays: {error}")
            with self._detector_lock:
                self._detector, self._build = detector, None
            if build:
                self._start_build(wanted)
            self.get_logger().info(f"model {detector.spec.name} from {new['model_dir']}")
        else:
            own = self._detector.spec.score_threshold
            self._detector.score_threshold = own if threshold < 0 else threshold
        return SetParametersResult(successful=True)


def detector_settings(settings: dict[str, Any], model_dir: str, score_threshold: float) -> DetectorSettings:
    """What to load, as the parameters say it: empty folder, negative threshold and 0 threads mean defaults.

    Raises:
        FileNotFoundError: the folder is empty and no model is shipped.
    """
    return DetectorSettings(
        Path(model_dir).expanduser() if model_dir else find_shipped_model(package_share()),
        score_threshold=None if score_threshold < 0 else score_threshold,
        threads=settings["threads"] or None,
        backend=settings["backend"],
        precision=settings["precision"],
        build_engine=settings["build_engine"],
    )


def message_to_rgb(message: Image | CompressedImage) -> Any:
    """Return the pixels (H, W, 3) uint8 of either image message; raises ImageRefused."""
    if isinstance(message, CompressedImage):
        return compressed_to_rgb(format=message.format, data=message.data)
    return image_to_rgb(
        encoding=message.encoding,
        width=message.width,
        height=message.height,
        step=message.step,
        data=message.data,
        is_bigendian=bool(message.is_bigendian),
    )


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run palletjack_detection palletjack_detector``."""
    return run_node(DetectorNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
