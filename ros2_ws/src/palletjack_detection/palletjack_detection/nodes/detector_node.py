"""The detector node: sensor_msgs/Image in, vision_msgs/Detection2DArray out, with a lifecycle.

Configure loads the model, activate subscribes, deactivate ends subscription and worker, cleanup frees the
model. With ``autostart`` (the default) the node does the first two by itself.

The intake, on a thread of its own, keeps only the newest image; a worker thread converts, detects and
publishes. So a slow model drops old images instead of queueing them, and parameters, diagnostics and
discovery go on while the network runs.
"""

from __future__ import annotations

import threading
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterUninitializedException
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2DArray

from palletjack_detection.detector import Detector
from palletjack_detection.engine import EngineError
from palletjack_detection.health import ERROR, OK, WARN, DetectorHealth, HealthReport
from palletjack_detection.hysteresis import ScoreHysteresis, keep_threshold
from palletjack_detection.image_conversion import ImageRefused
from palletjack_detection.loading import BackgroundBuild, DetectorSettings, load_ready
from palletjack_detection.nodes.detector_model import about, check_classes, close, detector_settings
from palletjack_detection.nodes.detector_parameters import PARAMETERS
from palletjack_detection.nodes.diagnostic_name import diagnostic_name
from palletjack_detection.nodes.image_info import ImageInfoPublisher
from palletjack_detection.nodes.image_intake import ImageIntake
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.managed_node import ManagedNode
from palletjack_detection.nodes.message_conversion import detections_to_message
from palletjack_detection.nodes.parameters import declare, first_problem
from palletjack_detection.pace import Pace
from palletjack_detection.serialized_image import parse_compressed_image, parse_image
from palletjack_detection.thermal import hottest_zone

DIAGNOSTICS_PERIOD_S = 1.0
# A bad camera must not fill the disk with log lines.
WARNING_PERIOD_S = 2.0
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
LOAD_ERRORS = (ValueError, OSError, EngineError)


class DetectorNode(ManagedNode):
    """Publishes the detections of the newest image on ``detections``, and its health on /diagnostics."""

    def __init__(self) -> None:
        super().__init__("palletjack_detector")
        try:
            self._settings = declare(self, PARAMETERS)
        except ValueError as error:
            raise StartupError(str(error)) from error
        self._detector: Detector | None = None
        self._detector_lock = threading.Lock()
        self._hysteresis = ScoreHysteresis()
        self._build: BackgroundBuild | None = None
        self._enabled = True
        self._active = False
        self._problem = ""
        self._worker: threading.Thread | None = None
        self._intake: ImageIntake | None = None
        self._publisher: Any = None
        self._image_info: ImageInfoPublisher | None = None
        self._ended = threading.Event()
        self._health = DetectorHealth(self._settings["stale_after_s"])
        self._show_phase()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_service(SetBool, "~/enable", self._enable)
        self.add_on_set_parameters_callback(self._change_parameters)
        # A thread, not a timer: the health must show while configuring holds the executor for the minutes
        # that an engine takes, and under simulated time also when the simulation stands still.
        self._reporter = threading.Thread(target=self._report, name="diagnostics", daemon=True)
        self._reporter.start()
        if self._settings["autostart"]:
            self._start()

    def destroy_node(self) -> None:
        """Stop the threads, then take the node apart."""
        self._ended.set()
        self._stop_working()
        self._reporter.join(timeout=5.0)
        super().destroy_node()

    def _start(self) -> None:
        """Configure and activate; raises StartupError where the model cannot be loaded."""
        if self.trigger_configure() != SUCCESS or self.trigger_activate() != SUCCESS:
            self._ended.set()
            raise StartupError(self._problem or "the node could not be activated: see the lines above")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model."""
        self._problem = ""
        try:
            self._configure()
        except Exception as error:  # rclpy would swallow it, and nobody learn why
            known = isinstance(error, LOAD_ERRORS)
            self._problem = str(error) if known else f"{type(error).__name__}: {error}"
            self.get_logger().error(f"not configured: {self._problem}")
            self._release()
            self._show_phase()
            return FAILURE
        return SUCCESS

    def _configure(self) -> None:
        values = {spec.name: self._parameter(spec.name) for spec in PARAMETERS}
        self._settings = values
        self._health.set_phase(OK, "Loading the model")
        self.get_logger().info("loading the model")
        try:
            topic = self._topic()
        except Exception as error:
            name = values["image_topic"]
            raise ValueError(
                f"image_topic: expected a topic name that ROS allows, found {name!r}: {error}"
            ) from error
        wanted = detector_settings(values, values["model_dir"], values["score_threshold"])
        self._detector, build = load_ready(wanted)
        self._detector.cluster_by(values["clustering"])
        check_classes(values["classes"], self._detector)
        self._publisher = self.create_publisher(Detection2DArray, "detections", 10)
        self._image_info = ImageInfoPublisher(self)
        if build:
            self._start_build(wanted)
        self._show_phase()
        detector = self._detector
        self.get_logger().info(
            f"model {detector.spec.name} on {detector.engine.provider}, "
            f"threshold {detector.score_threshold:.2f}, images from {topic}"
        )

    def _parameter(self, name: str) -> Any:
        """The value of a parameter; None where it was given an empty list, which ROS takes for no value."""
        try:
            return self.get_parameter(name).value
        except ParameterUninitializedException:
            return None

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the images."""
        try:
            if self._enabled:
                self._work_on()
        except Exception as error:  # rclpy would swallow it, and nobody learn why
            self._problem = f"{type(error).__name__}: {error}"
            self.get_logger().error(f"not activated: {self._problem}")
            self._show_phase()
            return FAILURE
        self._active = True
        self._problem = ""
        self._show_phase()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End subscription and worker; the model stays loaded."""
        self._active = False
        self._stop_working()
        self._show_phase()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model."""
        self._release()
        self._show_phase()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        self._active = False
        self._stop_working()
        self._release()
        self._show_phase()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an unforeseen error: back to unconfigured, from where it can be configured again."""
        return self.on_shutdown(state)

    def _release(self) -> None:
        with self._detector_lock:
            detector, self._detector, self._build = self._detector, None, None
            close(detector)
        if self._publisher is not None:
            self.destroy_publisher(self._publisher)
            self._publisher = None
        if self._image_info is not None:
            self._image_info.close()
            self._image_info = None

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        if self._active and request.data and self._intake is None:
            self._work_on()
        elif not request.data:
            self._stop_working()
        self._show_phase()
        word = "enabled" if request.data else "disabled"
        response.success = True
        response.message = word if self._active else f"{word} from the activation on"
        return response

    def _show_phase(self) -> None:
        """Tell /diagnostics what keeps the node from detecting, if anything does."""
        if self._active and self._enabled:
            self._health.set_phase(OK, "")
        elif self._active:
            switch = f"{self.get_fully_qualified_name()}/enable"
            self._health.set_phase(OK, f"Disabled, call {switch} with true to detect")
        elif self._problem and self._detector is not None:
            self._health.set_phase(ERROR, f"Not active, mend this and activate again: {self._problem}")
        elif self._problem:
            self._health.set_phase(ERROR, f"Not configured, mend this and configure again: {self._problem}")
        elif self._detector is None:
            self._health.set_phase(OK, "Not configured, waiting for the transition 'configure'")
        else:
            self._health.set_phase(OK, "Not active, waiting for the transition 'activate'")

    def _start_build(self, wanted: DetectorSettings) -> None:
        self._build = BackgroundBuild(wanted, self._take_over)
        self._build.start()

    def _take_over(self, build: BackgroundBuild, detector: Detector) -> None:
        """Run on the engine that was built, unless another model was set meanwhile, or none."""
        with self._detector_lock:
            old = self._detector
            if build is not self._build or old is None:
                close(detector)
                return
            detector.score_threshold, detector.clustering = old.score_threshold, old.clustering
            self._detector = detector
            close(old)
        self.get_logger().info(f"the engine is ready: {detector.engine.provider}")

    def _topic(self) -> str:
        compressed = self._settings["image_transport"] == "compressed"
        topic: str = self.resolve_topic_name(self._settings["image_topic"])
        return topic + ("/compressed" if compressed else "")

    def _work_on(self) -> None:
        settings = self._settings
        reliable = settings["reliability"] == "reliable"
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=settings["depth"],
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        )
        compressed = settings["image_transport"] == "compressed"
        self._parse = parse_compressed_image if compressed else parse_image
        self._hysteresis.reset()
        kind = CompressedImage if compressed else Image
        intake = ImageIntake(self, kind, self._topic(), qos, self._health.image_received, self._note_failure)
        self._intake = intake
        self._worker = threading.Thread(target=self._work, args=(intake,), name="detector", daemon=True)
        self._worker.start()

    def _stop_working(self) -> None:
        if self._intake is not None:
            self._intake.close()
            self._intake = None
        if self._worker is not None:
            self._worker.join(timeout=10.0)
            self._worker = None

    def _work(self, intake: ImageIntake) -> None:
        pace = Pace(lambda: float(self._settings["max_rate_hz"]))
        while (message := intake.take(pace.due)) is not None:
            pace.took_one()
            try:
                self._answer(message)
            except ImageRefused as error:
                self._health.image_refused(error.reason, str(error))
                self.get_logger().warning(f"image refused: {error}", throttle_duration_sec=WARNING_PERIOD_S)
            except Exception as error:  # whatever one image does, the next one must be answered
                if not self.context.ok():
                    return
                self._note_failure(error)

    def _note_failure(self, error: Exception) -> None:
        what = f"{type(error).__name__}: {error}"
        self._health.detection_failed(what)
        self.get_logger().error(f"detection failed: {what}", throttle_duration_sec=WARNING_PERIOD_S)

    def _answer(self, message: bytes) -> None:
        image = self._parse(message)
        rgb = image.to_rgb()
        with self._detector_lock:
            if self._detector is None:
                return
            threshold = self._detector.score_threshold
            lowest = keep_threshold(threshold, self._settings["keep_threshold"])
            found, times = self._detector.detect_with_timing(rgb, lowest)
            detections = self._hysteresis.choose(found, image.stamp.total_ns / 1e9, threshold)
        if any(self._settings["classes"] or ()):
            detections = detections.of_classes(self._settings["classes"])
        header = Header(
            stamp=Time(sec=image.stamp.seconds, nanosec=image.stamp.nanoseconds),
            frame_id=image.stamp.frame_id,
        )
        if (info := self._image_info) is not None:
            info.say(header, width=rgb.shape[1], height=rgb.shape[0])
        self._publisher.publish(detections_to_message(detections, header))
        latencies = {
            "preprocess_ms": times.preprocess_ms,
            "inference_ms": times.inference_ms,
            "decode_ms": times.decode_ms,
        }
        age_ms = (self.get_clock().now().nanoseconds - image.stamp.total_ns) / 1e6
        if image.stamp.total_ns > 0 and age_ms >= 0.0:
            latencies["stamp_to_publish_ms"] = age_ms
        self._health.image_processed(latencies)

    def _report(self) -> None:
        while not self._ended.wait(DIAGNOSTICS_PERIOD_S):
            array = DiagnosticArray()
            array.header.stamp = self.get_clock().now().to_msg()
            array.status.append(self._status(self._health.report()))
            if not self.context.ok():
                return
            self._diagnostics.publish(array)

    def _status(self, report: HealthReport) -> DiagnosticStatus:
        values = [*about(self._detector, self._settings["keep_threshold"]), *report.values]
        if (temperature := hottest_zone()) is not None:
            values.append(("temperature_c", f"{temperature.celsius:.1f} ({temperature.zone})"))
        level, message, build = report.level, report.message, self._build
        if report.silent and (intake := self._intake):
            message = f"{message}: {intake.why_silent()}"
        if build is not None and (note := build.note):
            message = f"{message}; {note}"
            level = max(level, WARN) if build.failure else level
        return DiagnosticStatus(
            level=bytes([level]),
            name=diagnostic_name(self, "detection"),
            message=message,
            hardware_id=dict(values).get("model", ""),
            values=[KeyValue(key=key, value=value) for key, value in values],
        )

    def _change_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        if problem := first_problem(PARAMETERS, changes):
            return SetParametersResult(successful=False, reason=problem)
        new = {change.name: change.value for change in changes if change.name in self._settings}
        settings = {**self._settings, **new}
        if self._detector is not None:
            try:
                self._apply(new, settings)
            except LOAD_ERRORS as error:
                return SetParametersResult(successful=False, reason=f"the old model stays: {error}")
        self._settings = settings
        if (intake := self._intake) is not None:
            intake.wake()  # the rate may be another
        return SetParametersResult(successful=True)

    def _apply(self, new: dict[str, Any], settings: dict[str, Any]) -> None:
        """Bring changed parameters to the loaded detector; on an error nothing is changed."""
        old = self._detector
        assert old is not None
        if "model_dir" in new:
            wanted = detector_settings(settings, new["model_dir"], settings["score_threshold"])
            detector, build = load_ready(wanted)
            detector.cluster_by(settings["clustering"])
            check_classes(settings["classes"], detector)
            with self._detector_lock:
                self._detector, self._build = detector, None
                self._hysteresis.reset()
                close(old)
            if build:
                self._start_build(wanted)
            self.get_logger().info(f"model {detector.spec.name} from {new['model_dir']}")
            return
        check_classes(settings["classes"], old)
        if "score_threshold" in new:
            threshold = new["score_threshold"]
            with self._detector_lock:
                old.score_threshold = old.spec.score_threshold if threshold < 0 else threshold
                # What the old threshold let through is no reason to keep it at the new one.
                self._hysteresis.reset()
        if "clustering" in new:
            old.cluster_by(new["clustering"])


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run palletjack_detection palletjack_detector``."""
    return run_node(DetectorNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
