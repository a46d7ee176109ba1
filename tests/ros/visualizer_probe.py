"""Plays camera, detector, locator and listener to a visualizer in this very process, and prints what came.

Needs ROS. Within one process no image is lost between two nodes, and the memory measured is the visualizer's:
the camera sends one and the same array again and again.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import (
    Detection2D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    ObjectHypothesisWithPose,
)

from palletjack_detection.drawing import CLASS_COLOURS, draw_box
from palletjack_detection.nodes.visualizer_node import VisualizerNode

GREY = 90
BOXES = ((60.0, 100.0, 200.0, 300.0), (300.0, 100.0, 440.0, 300.0))
PLACES = (2.0, 7.0)
# 6.2 MB: 30 of them, which is as many as are kept by number, weigh 187 MB.
LARGE = (1920, 1080)
LARGE_IMAGES = 36


class Surroundings(Node):
    """What is around a visualizer."""

    def __init__(self) -> None:
        super().__init__("surroundings")
        self.images = self.create_publisher(Image, "image", 5)
        self.detections = self.create_publisher(Detection2DArray, "detections", 10)
        self.pictures: list[Image] = []
        self.listener: Any = None

    def listen(self) -> None:
        self.listener = self.create_subscription(Image, "detections_image", self.pictures.append, 10)

    def turn_away(self) -> None:
        self.destroy_subscription(self.listener)


class Story:
    """The two nodes and what is done with them."""

    def __init__(self) -> None:
        self.around, self.visualizer = Surroundings(), VisualizerNode()
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.around)
        self.executor.add_node(self.visualizer)

    def until(self, condition: Any, what: str, timeout: float = 20.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                sys.exit(f"not within {timeout:g} s: {what}")
            self.executor.spin_once(timeout_sec=0.02)

    def settle(self, seconds: float = 0.5) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def large_images(self) -> tuple[int, int]:
        """Send them with no detections; growth of this process's memory in bytes, and how many are kept."""
        width, height = LARGE
        image = Image(width=width, height=height, encoding="rgb8", step=3 * width)
        image.data.frombytes(np.full((height, width, 3), GREY, np.uint8).tobytes())
        self._send(image, -1)  # what the middleware keeps for itself is there now
        before = memory()
        for number in range(LARGE_IMAGES):
            self._send(image, number)
        return memory() - before, image.width * image.height * 3

    def _send(self, image: Image, number: int) -> None:
        image.header.stamp = Time(sec=1000 + number)
        self.around.images.publish(image)
        self.settle(0.1)

    def ask_for(self, number: int) -> int:
        """Send detections of large image ``number``; how many pictures come of it."""
        self.around.pictures.clear()
        self.around.detections.publish(Detection2DArray(header=Header(stamp=Time(sec=1000 + number))))
        self.settle(1.5)
        return len(self.around.pictures)


def memory() -> int:
    """Resident memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def labelled(item: Any) -> Any:
    """``item`` with a class and a score that all have in common."""
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = "palletjack", 0.9
    item.results.append(result)
    return item


def equal_scores(story: Story) -> bool:
    """Whether two boxes of one score are drawn each with its own distance."""
    places = story.around.create_publisher(Detection3DArray, "detections_3d", 10)
    story.until(lambda: places.get_subscription_count() == 1, "a visualizer that hears places")
    story.until(lambda: story.visualizer.count_publishers("detections_3d") == 1, "it knows of them")
    header = Header(stamp=Time(sec=10), frame_id="camera")
    image = Image(header=header, width=640, height=360, encoding="rgb8", step=3 * 640)
    image.data.frombytes(np.full((360, 640, 3), GREY, np.uint8).tobytes())
    found, located = Detection2DArray(header=header), Detection3DArray(header=header)
    for (left, top, right, bottom), distance in zip(BOXES, PLACES, strict=True):
        box = labelled(Detection2D(header=header))
        box.bbox.center.position.x, box.bbox.center.position.y = (left + right) / 2, (top + bottom) / 2
        box.bbox.size_x, box.bbox.size_y = right - left, bottom - top
        found.detections.append(box)
        place = labelled(Detection3D(header=header))
        place.bbox.center.position.x, place.bbox.size.x = distance + 0.25, 0.5
        located.detections.append(place)
    story.around.images.publish(image)
    story.settle()
    story.around.detections.publish(found)
    story.settle()
    places.publish(located)
    story.until(lambda: story.around.pictures, "a picture")
    drawn = np.frombuffer(story.around.pictures[-1].data, np.uint8).reshape(360, 640, 3)
    expected = np.full((360, 640, 3), GREY, np.uint8)
    for corners, distance in zip(BOXES, PLACES, strict=True):
        draw_box(expected, np.array(corners), f"0.90 {distance:.1f} m", CLASS_COLOURS[0])
    # The rate stands in the upper corner, once there is one.
    story.around.destroy_publisher(places)
    return bool((drawn[60:] == expected[60:]).all())


def main() -> None:
    """Go through the story, print."""
    rclpy.init()
    story = Story()
    story.until(lambda: story.around.images.get_subscription_count() == 1, "a visualizer that hears images")
    unseen, size = story.large_images()
    story.around.listen()
    publisher = story.visualizer._publisher
    story.until(lambda: publisher.get_subscription_count() == 1, "the visualizer knows of its listener")
    watched, _ = story.large_images()
    newest, oldest = story.ask_for(LARGE_IMAGES - 1), story.ask_for(0)
    story.around.pictures.clear()
    told_apart = equal_scores(story)
    story.around.turn_away()
    story.until(lambda: publisher.get_subscription_count() == 0, "the visualizer knows that nobody listens")
    before = memory()
    story.large_images()
    freed = before - memory()
    answers = {
        "image": size,
        "unseen": unseen,
        "watched": watched,
        "newest": newest,
        "oldest": oldest,
        "freed": freed,
        "told_apart": told_apart,
    }
    print("ANSWERS " + json.dumps(answers))
    rclpy.shutdown()


if __name__ == "__main__":
    main()
