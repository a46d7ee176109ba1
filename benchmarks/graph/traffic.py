"""Camera or listener of the node benchmark, each a process of its own, driven by lines of JSON.

    python traffic.py send --frames frames.npy --topic /image
    python traffic.py listen --topic /detections --type vision_msgs/msg/Detection2DArray

Runs in a ROS environment; the benchmark itself needs none. Stamps are the system's clock, ns, which both
processes share.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosidl_runtime_py.utilities import get_message
from sensor_msgs.msg import Image

NANOSECONDS = 1_000_000_000
# Nothing that the executor must look at before each answer: its time would count as the node's.
BARE: dict[str, Any] = {"start_parameter_services": False, "enable_rosout": False}


class Camera(Node):
    """Publishes ready-made rgb8 messages at a rate, as a driver does."""

    def __init__(self, frames: str, topic: str, reliability: str) -> None:
        super().__init__("benchmark_camera", **BARE)
        policy = ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT
        self._publisher = self.create_publisher(Image, topic, QoSProfile(depth=5, reliability=policy))
        self._messages = [_image(pixels) for pixels in np.load(frames, mmap_mode="r")]
        self._count = 0

    def matched(self) -> int:
        """How many listen to the images."""
        return int(self._publisher.get_subscription_count())

    def send(self, rate: float, seconds: float) -> dict[str, Any]:
        """Publish for ``seconds`` at ``rate`` Hz; the stamps that were sent and the seconds it took."""
        stamps = []
        start = time.perf_counter()
        for number in range(max(1, round(rate * seconds))):
            time.sleep(max(0.0, start + number / rate - time.perf_counter()))
            stamps.append(self._publish())
        time.sleep(max(0.0, start + len(stamps) / rate - time.perf_counter()))
        return {"stamps": stamps, "seconds": time.perf_counter() - start}

    def spoil(self) -> None:
        """Publish an image whose step is too short, and one of an encoding that nobody knows."""
        for fields in ({"encoding": "rgb8", "step": 1}, {"encoding": "imaginary", "step": 192}):
            message = Image(width=64, height=4, **fields)
            message.data.frombytes(bytes(4 * 192))
            self._publisher.publish(message)

    def _publish(self) -> int:
        message = self._messages[self._count % len(self._messages)]
        self._count += 1
        stamp = time.time_ns()
        message.header.stamp = Time(sec=stamp // NANOSECONDS, nanosec=stamp % NANOSECONDS)
        self._publisher.publish(message)
        return stamp


class Listener(Node):
    """Keeps when the answer to each stamp came."""

    def __init__(self, topic: str, kind: str) -> None:
        super().__init__("benchmark_listener", **BARE)
        self._answers: list[tuple[int, int]] = []
        # Best effort hears reliable and best-effort publishers alike.
        qos = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.create_subscription(get_message(kind), topic, self._keep, qos)

    def _keep(self, message: Any) -> None:
        stamp = message.header.stamp
        self._answers.append((stamp.sec * NANOSECONDS + stamp.nanosec, time.time_ns()))

    def collect(self) -> list[tuple[int, int]]:
        """Stamp and time of arrival, ns, of what came since the last call."""
        answers, self._answers = self._answers, []
        return answers


def _image(pixels: np.ndarray) -> Image:
    height, width = pixels.shape[:2]
    message = Image(width=width, height=height, encoding="rgb8", step=3 * width)
    message.header.frame_id = "camera"
    message.data.frombytes(np.ascontiguousarray(pixels).tobytes())
    return message


def _answer_lines(operations: dict[str, Callable[..., Any]]) -> None:
    for line in sys.stdin:
        call = json.loads(line)
        print(json.dumps(operations[call.pop("operation")](**call)), flush=True)


def _spin(executor: SingleThreadedExecutor) -> None:
    with contextlib.suppress(ExternalShutdownException):
        executor.spin()


def main() -> None:
    """Serve one of the two parts until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("send", "listen"))
    parser.add_argument("--topic", required=True)
    parser.add_argument("--frames", help="npy file (N, H, W, 3) uint8")
    parser.add_argument("--reliability", default="best_effort", choices=("best_effort", "reliable"))
    parser.add_argument("--type", default="vision_msgs/msg/Detection2DArray")
    options = parser.parse_args()
    rclpy.init(args=[])
    if options.part == "send":
        camera = Camera(options.frames, options.topic, options.reliability)
        _answer_lines({"send": camera.send, "spoil": camera.spoil, "matched": camera.matched})
        camera.destroy_node()
        rclpy.shutdown()
        return
    listener = Listener(options.topic, options.type)
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    spinner = threading.Thread(target=_spin, args=(executor,))
    spinner.start()
    _answer_lines({"collect": listener.collect})
    rclpy.shutdown()
    spinner.join()


if __name__ == "__main__":
    main()
