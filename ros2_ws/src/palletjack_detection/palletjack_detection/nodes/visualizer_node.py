"""The visualizer node: the camera's image with boxes, scores, ids, distances and the rate drawn on it.

It draws only while somebody listens, and never holds the detector up.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2D, Detection2DArray, Detection3D, Detection3DArray

from palletjack_detection.drawing import CLASS_COLOURS, draw_box, draw_text
from palletjack_detection.image_conversion import ImageRefused, compressed_to_rgb, image_to_rgb
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.message_conversion import rgb_to_message
from palletjack_detection.nodes.parameters import declare
from palletjack_detection.nodes.visualizer_parameters import PARAMETERS
from palletjack_detection.place_matching import Label, match_places

IMAGES_KEPT = 30
# Of what is kept for detections to come; at least one image is, however large.
BYTES_KEPT = 100_000_000
RATE_WINDOW = 30
Stamp = tuple[int, int]


class VisualizerNode(Node):
    """Joins images, detections and places by their stamps."""

    def __init__(self) -> None:
        super().__init__("palletjack_visualizer")
        try:
            settings = declare(self, PARAMETERS)
        except ValueError as error:
            raise StartupError(str(error)) from error
        self._images: OrderedDict[Stamp, Image | CompressedImage] = OrderedDict()
        self._waiting: OrderedDict[Stamp, Detection2DArray] = OrderedDict()
        self._times: deque[float] = deque(maxlen=RATE_WINDOW)
        self._last_drawn = -np.inf
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._publisher = self.create_publisher(Image, "detections_image", 2)
        sensor = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
        compressed = settings["image_transport"] == "compressed"
        # A remapping is of the image's topic, not of the compressed one beside it.
        topic = self.resolve_topic_name(settings["image_topic"]) + ("/compressed" if compressed else "")
        self.create_subscription(CompressedImage if compressed else Image, topic, self._on_image, sensor)
        self.create_subscription(Detection2DArray, "detections", self._on_detections, 10)
        self.create_subscription(Detection3DArray, "detections_3d", self._on_places, 10)

    def _on_image(self, message: Image | CompressedImage) -> None:
        if not self._publisher.get_subscription_count():
            self._images.clear()  # nobody looks
            return
        _keep(self._images, _stamp(message), message, IMAGES_KEPT)
        while len(self._images) > 1 and sum(len(item.data) for item in self._images.values()) > BYTES_KEPT:
            self._images.popitem(last=False)

    def _on_detections(self, message: Detection2DArray) -> None:
        self._times.append(self._clock.now().nanoseconds * 1e-9)
        if self.count_publishers("detections_3d"):
            # The places of these boxes follow.
            _keep(self._waiting, _stamp(message), message, IMAGES_KEPT)
        else:
            self._draw(message, {})

    def _on_places(self, message: Detection3DArray) -> None:
        detections = self._waiting.pop(_stamp(message), None)
        if detections is not None:
            self._draw(detections, ranges_of_boxes(detections, message))

    def _draw(self, message: Detection2DArray, ranges: dict[int, float]) -> None:
        image = self._images.pop(_stamp(message), None)
        now = self._clock.now().nanoseconds * 1e-9
        period = 1.0 / self.get_parameter("max_rate_hz").value
        if image is None and self._images and _stamp(message) < next(iter(self._images)):
            self.get_logger().warning(
                f"detections come after more than {len(self._images)} newer images: none is drawn",
                throttle_duration_sec=5.0,
            )
        if image is None or not self._publisher.get_subscription_count() or now - self._last_drawn < period:
            return
        self._last_drawn = now
        try:
            rgb = np.array(_to_rgb(image), order="C")
        except ImageRefused as error:
            self.get_logger().warning(f"image not drawn: {error}", throttle_duration_sec=2.0)
            return
        draw_message(rgb, message, ranges, self._rate())
        out = rgb_to_message(rgb, image.header.frame_id, image.header.stamp)
        self._publisher.publish(out)

    def _rate(self) -> float:
        if len(self._times) < 2 or self._times[-1] <= self._times[0]:
            return 0.0
        return (len(self._times) - 1) / (self._times[-1] - self._times[0])


def draw_message(
    rgb: NDArray[np.uint8],
    message: Detection2DArray,
    ranges: dict[int, float],
    rate_hz: float,
) -> None:
    """Draw on ``rgb`` (H, W, 3) in place; ``ranges`` in metres by the place of the box in ``message``."""
    names = sorted({result.hypothesis.class_id for item in message.detections for result in item.results})
    for index, item in enumerate(message.detections):
        if not item.results:
            continue
        best = max(item.results, key=lambda result: result.hypothesis.score).hypothesis
        centre, half_x, half_y = item.bbox.center.position, item.bbox.size_x / 2, item.bbox.size_y / 2
        box = np.array([centre.x - half_x, centre.y - half_y, centre.x + half_x, centre.y + half_y])
        if not np.all(np.isfinite(box)):
            continue
        words = [f"#{item.id}"] if item.id else []
        words += [best.class_id] if len(names) > 1 else []
        words.append(f"{best.score:.2f}")
        if index in ranges:
            words.append(f"{ranges[index]:.1f} m")
        draw_box(rgb, box, " ".join(words), CLASS_COLOURS[names.index(best.class_id) % len(CLASS_COLOURS)])
    if rate_hz > 0:
        draw_text(rgb, f"{rate_hz:.1f} Hz")


def ranges_of_boxes(boxes: Detection2DArray, places: Detection3DArray) -> dict[int, float]:
    """Distance on the floor to each box's near side, metres, by the box's place in ``boxes``."""
    shown = [index for index, item in enumerate(boxes.detections) if item.results]
    placed = [item for item in places.detections if item.results]
    found = match_places(
        [_label(boxes.detections[index]) for index in shown], [_label(item) for item in placed]
    )
    ranges = {}
    for box, place in found.items():
        centre = placed[place].bbox.center.position
        ranges[shown[box]] = float(np.hypot(centre.x, centre.y)) - placed[place].bbox.size.x / 2
    return ranges


def _label(item: Detection2D | Detection3D) -> Label:
    best = max(item.results, key=lambda result: result.hypothesis.score).hypothesis
    return Label(best.class_id, best.score, item.id)


def _to_rgb(message: Image | CompressedImage) -> Any:
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


def _stamp(message: Any) -> Stamp:
    return message.header.stamp.sec, message.header.stamp.nanosec


def _keep(store: OrderedDict[Stamp, Any], stamp: Stamp, message: Any, most: int) -> None:
    store[stamp] = message
    while len(store) > most:
        store.popitem(last=False)


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run palletjack_detection palletjack_visualizer``."""
    return run_node(VisualizerNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
