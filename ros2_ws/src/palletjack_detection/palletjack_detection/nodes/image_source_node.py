"""A video, a folder or a test pattern as a camera: images at a rate, each with a camera_info."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from palletjack_detection.frame_source import (
    PATTERN,
    Frame,
    FrameSourceError,
    PinholeCamera,
    pattern_frame,
    video_frames,
    video_rate,
)
from palletjack_detection.image_files import ImageFileError, list_images, read_images
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.message_conversion import rgb_to_message
from palletjack_detection.nodes.parameters import declare
from palletjack_detection.nodes.source_parameters import PARAMETERS

DEFAULT_RATE_HZ = 10.0
# An engine that is built first takes longer; then the images are not waited for.
LONGEST_WAIT_S = 60.0
LAST_ANSWER_S = 1.0


class ImageSourceNode(Node):
    """Publishes frames at a rate until it is stopped, or once. ``exit_code`` is 1 where there was none."""

    def __init__(self) -> None:
        super().__init__("image_source")
        try:
            self._settings = declare(self, PARAMETERS)
            self._source = Path(self._settings["source"]).expanduser()
            first = next(self._lap(), None)
        except (ValueError, OSError) as error:
            raise StartupError(f"source: {error}") from error
        if first is None:
            raise StartupError(f"source: {self._source}: expected at least one image, found none")
        self.exit_code = 0
        self._stop = threading.Event()
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._images = self.create_publisher(Image, self._settings["image_topic"], qos)
        self._infos = self.create_publisher(CameraInfo, self._settings["camera_info_topic"], qos)
        self._worker = threading.Thread(target=self._run, name="image_source", daemon=True)
        self._worker.start()

    def destroy_node(self) -> None:
        """Stop publishing, then take the node apart."""
        self._stop.set()
        self._worker.join(timeout=10.0)
        super().destroy_node()

    def _lap(self) -> Iterator[Frame]:
        """The frames of the source once; the pattern never ends."""
        if self._settings["source"] == PATTERN:
            width, height = self._settings["width"], self._settings["height"]
            return (pattern_frame(index, width, height) for index in itertools.count())
        if self._source.is_dir():
            return self._folder()
        return video_frames(self._source)

    def _folder(self) -> Iterator[Frame]:
        for file in read_images(list_images(self._source)):
            if file.rgb is None:
                self.get_logger().warning(f"skipped: {file.path}: {file.error}", throttle_duration_sec=10.0)
            else:
                yield file.rgb

    def _rate(self) -> float:
        if self._settings["rate_hz"] > 0:
            return float(self._settings["rate_hz"])
        stated = video_rate(self._source) if self._source.is_file() else 0.0
        return stated or DEFAULT_RATE_HZ

    def _run(self) -> None:
        period = 1.0 / self._rate()
        try:
            self._wait_for_listeners()
            while not self._stop.is_set():
                due = time.monotonic()
                for frame in self._lap():
                    self._publish(frame)
                    # A late frame is not made up for: a camera would not send two at once either.
                    due = max(due + period, time.monotonic())
                    if self._stop.wait(max(0.0, due - time.monotonic())):
                        return
                if not self._settings["loop"]:
                    self._images.wait_for_all_acked(Duration(seconds=5.0))
                    # Who answers the last image needs a moment for it, before a launch ends with this node.
                    self._stop.wait(LAST_ANSWER_S if self._settings["wait_for_listeners"] else 0.0)
                    return
        except (FrameSourceError, ImageFileError) as error:
            self.exit_code = 1
            self.get_logger().fatal(str(error))
        except Exception as error:
            if not self._stop.is_set() and self.context.ok():
                self.exit_code = 1
                self.get_logger().fatal(f"{type(error).__name__}: {error}")
        finally:
            self.context.try_shutdown()

    def _wait_for_listeners(self) -> None:
        """Hold the first image back until as many listen as are expected; after a while go on without."""
        expected = self._settings["wait_for_listeners"]
        began = time.monotonic()
        while self._images.get_subscription_count() < expected:
            if self._stop.wait(0.05):
                return
            self.get_logger().info(
                f"waiting for {expected} to listen to {self._images.topic_name}", throttle_duration_sec=5.0
            )
            if time.monotonic() - began > LONGEST_WAIT_S:
                self.get_logger().warning(
                    f"{self._images.get_subscription_count()} of {expected} listen to "
                    f"{self._images.topic_name} after {LONGEST_WAIT_S:g} s: begins without the others"
                )
                return

    def _publish(self, rgb: Frame) -> None:
        height, width = rgb.shape[:2]
        stamp = self.get_clock().now().to_msg()
        message = rgb_to_message(rgb, self._settings["frame_id"], stamp)
        camera = PinholeCamera(width, height, self._settings["horizontal_fov"])
        info = CameraInfo(header=message.header, width=width, height=height, distortion_model="plumb_bob")
        info.d = [0.0] * 5
        info.k = camera.matrix
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        k = camera.matrix
        info.p = [*k[0:3], 0.0, *k[3:6], 0.0, *k[6:9], 0.0]
        self._infos.publish(info)
        self._images.publish(message)


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run palletjack_detection image_source``."""
    return run_node(ImageSourceNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
