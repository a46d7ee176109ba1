"""The intake alone: it goes on after a failure of the middleware, drops old images, and closes at once."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.ros.environment import ros_python

SCRIPT = """
import contextlib, json, threading, time
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from palletjack_detection.nodes.image_intake import ImageIntake
from palletjack_detection.serialized_image import parse_image

class Failing(ImageIntake):
    failures_left = 2
    def _receive_one(self, *arguments):
        if self.failures_left:
            self.failures_left -= 1
            raise RuntimeError("the middleware stumbles")
        super()._receive_one(*arguments)

rclpy.init()
node = rclpy.create_node("intake")
heard, failed = [], []
intake = Failing(node, Image, "image", QoSProfile(depth=5), heard.append, lambda e: failed.append(str(e)))
executor = SingleThreadedExecutor()
executor.add_node(node)
def spin():
    with contextlib.suppress(ExternalShutdownException):
        executor.spin()

spinner = threading.Thread(target=spin)  # it must leave the images alone
spinner.start()
publisher = node.create_publisher(Image, "image", 5)
deadline = time.monotonic() + 20.0
while not publisher.get_subscription_count() or intake.failures_left:
    assert time.monotonic() < deadline
    time.sleep(0.02)
for number in range(3):
    message = Image(width=number, encoding="rgb8")
    publisher.publish(message)
    while len(heard) <= number:
        assert time.monotonic() < deadline
        time.sleep(0.02)
newest = parse_image(intake.take(lambda: 0.0)).width
begin = time.monotonic()
intake.close()
took = time.monotonic() - begin
print(json.dumps({"failed": failed, "replaced": heard, "newest": newest, "closing_s": took,
                  "after": intake.take(lambda: 0.0)}))
rclpy.shutdown()
spinner.join()
"""


@pytest.mark.ros
def test_the_intake_survives_failures_keeps_the_newest_and_closes_at_once(
    graph_environment: dict[str, str],
) -> None:
    done = subprocess.run(
        [ros_python(graph_environment), "-c", SCRIPT],
        env=graph_environment,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["failed"] == ["the middleware stumbles"] * 2
    assert found["replaced"] == [False, True, True]
    assert found["newest"] == 2
    # Not the second that the thread waits at most: it is woken.
    assert found["closing_s"] < 0.9
    assert found["after"] is None
    assert "the executor took an image" not in done.stderr
