"""A folder of images as a camera: publishes every file, and can keep the detector's answers.

In lock-step the next image goes out when the detections of the last one are in, so that none is
dropped on a slow machine; this is how a folder is predicted through the graph.
"""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from palletjack_detection.image_files import ImageFileError, list_images, read_image
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.message_conversion import detections_from_message, rgb_to_message
from palletjack_detection.nodes.parameters import declare
from palletjack_detection.nodes.source_parameters import FOLDER_PARAMETERS
from palletjack_detection.prediction_log import PredictionLog

# In lock-step an image without an answer is sent again after this time: on a graph that has just
# come up, the first message can be lost between two nodes that have not matched yet.
RESEND_AFTER_S = 5.0


class ImageFolderNode(Node):
    """Publishes a folder of images once or in a loop; shuts down after the last one.

    ``exit_code`` is 1 where no image could be read, an answer stayed out, or writing failed.
    """

    def __init__(self) -> None:
        super().__init__("image_folder")
        try:
            settings = declare(self, FOLDER_PARAMETERS)
            self._paths = list_images(Path(settings["image_dir"]).expanduser())
        except (ValueError, OSError) as error:
            raise StartupError(f"image_dir: {error}") from error
        self._frame_id: str = settings["frame_id"]
        self._period_s = 1.0 / settings["rate_hz"] if settings["rate_hz"] > 0 else 0.0
        self._lock_step: bool = settings["lock_step"]
        self._loop: bool = settings["loop"]
        self._answer_timeout_s: float = settings["answer_timeout_s"]
        self._output_dir = Path(settings["output_dir"]).expanduser() if settings["output_dir"] else None
        if not self._lock_step and not self._period_s:
            raise StartupError("rate_hz: expected more than 0 where lock_step is false, found 0")
        if self._output_dir is not None and (self._loop or not self._lock_step):
            raise StartupError("output_dir: expected lock_step true and loop false with it")
        self.exit_code = 0
        self._log = PredictionLog()
        self._answered = threading.Condition()
        self._answer: Detection2DArray | None = None
        self._awaited: set[tuple[int, int]] = set()
        self._stop = threading.Event()
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._publisher = self.create_publisher(Image, settings["image_topic"], qos)
        self._subscription = self.create_subscription(Detection2DArray, "detections", self._receive, 10)
        self._worker = threading.Thread(target=self._run, name="image_folder", daemon=True)
        self._worker.start()

    def destroy_node(self) -> None:
        """Stop publishing, then take the node apart."""
        self._stop.set()
        with self._answered:
            self._answered.notify_all()
        self._worker.join(timeout=10.0)
        super().destroy_node()

    def _receive(self, message: Detection2DArray) -> None:
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        with self._answered:
            if stamp in self._awaited:
                self._answer = message
                self._answered.notify_all()

    def _run(self) -> None:
        try:
            self._wait_for_detector()
            self._publish_all()
            if self._output_dir is not None and not self._stop.is_set():
                self._log.write(self._output_dir)
                self.get_logger().info(
                    f"{len(self._log.predictions)} images answered, {len(self._log.skipped)} skipped, "
                    f"predictions in {self._output_dir}"
                )
        except Exception as error:
            if not self._stop.is_set() and self.context.ok():
                self.exit_code = 1
                self.get_logger().fatal(f"{type(error).__name__}: {error}")
        finally:
            self.context.try_shutdown()

    def _wait_for_detector(self) -> None:
        """Return when somebody listens to the images and, in lock-step, somebody answers."""
        detections = self._subscription.topic_name
        for attempt in itertools.count():
            listening = self._publisher.get_subscription_count() > 0
            answering = not self._lock_step or self.count_publishers(detections) > 0
            if (listening and answering) or self._stop.wait(0.05):
                return
            if attempt % 100 == 99:
                self.get_logger().info(f"waiting for a detector on {self._publisher.topic_name}")

    def _publish_all(self) -> None:
        """Publish every readable file, again and again where that is asked for.

        Raises ImageFileError where no file could be read, TimeoutError where an answer stayed out.
        """
        for lap in itertools.count():
            readable = 0
            for path in self._paths:
                if self._stop.is_set():
                    return
                started = time.monotonic()
                try:
                    rgb = read_image(path)
                except ImageFileError as error:
                    self._log.skip(path.name, str(error).removeprefix(f"{path}: "))
                    if lap == 0:
                        self.get_logger().warning(f"skipped: {error}")
                    continue
                readable += 1
                self._show(path.name, rgb)
                self._stop.wait(max(0.0, self._period_s - (time.monotonic() - started)))
            if not readable:
                raise ImageFileError(f"{self._paths[0].parent}: no image of {len(self._paths)} can be read")
            if not self._loop:
                self._publisher.wait_for_all_acked(Duration(seconds=5.0))
                return

    def _show(self, name: str, rgb: NDArray[np.uint8]) -> None:
        """Publish one image; in lock-step wait for its answer and keep it."""
        if not self._lock_step:
            self._publisher.publish(self._message(rgb))
            return
        with self._answered:
            self._answer = None
            self._awaited.clear()
        deadline = time.monotonic() + self._answer_timeout_s
        while not self._stop.is_set():
            message = self._message(rgb)
            with self._answered:
                self._awaited.add((message.header.stamp.sec, message.header.stamp.nanosec))
            sent = time.monotonic()
            self._publisher.publish(message)
            answer = self._wait_for_answer(min(deadline, sent + RESEND_AFTER_S))
            if answer is not None:
                latency_ms = 1e3 * (time.monotonic() - sent)
                self._log.add(name, detections_from_message(answer), latency_ms)
                return
            if time.monotonic() >= deadline:
                raise TimeoutError(
                    f"{name}: no detections on {self._subscription.topic_name} "
                    f"within {self._answer_timeout_s:g} s; does the detector run?"
                )

    def _wait_for_answer(self, until: float) -> Detection2DArray | None:
        with self._answered:
            self._answered.wait_for(
                lambda: self._answer is not None or self._stop.is_set(), max(0.0, until - time.monotonic())
            )
            return self._answer

    def _message(self, rgb: NDArray[np.uint8]) -> Image:
        return rgb_to_message(rgb, self._frame_id, self.get_clock().now().to_msg())


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run palletjack_detection image_folder``."""
    return run_node(ImageFolderNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
