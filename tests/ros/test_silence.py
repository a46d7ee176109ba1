"""/diagnostics says why no image comes, and to which node: the sentences, and on a real graph."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from palletjack_detection.silence import Offer, why_silent
from tests.ros.environment import isolated, own_domain, ros_python

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"

PROBE = """
import json, time
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

rclpy.init()
node = Node("silent_camera")
heard = {}
node.create_subscription(
    DiagnosticArray, "/diagnostics", lambda array: heard.update({s.name: s.message for s in array.status}), 10
)

def wait_for(words, seconds=40.0):
    heard.clear()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.2)
        for name, message in heard.items():
            if words in message:
                return [name, message]
    return ["none", json.dumps(heard)]

def publisher(kind, reliability):
    return node.create_publisher(kind, "/front/image", QoSProfile(depth=1, reliability=reliability))

said = [wait_for("nobody publishes")]
other = publisher(CompressedImage, ReliabilityPolicy.RELIABLE)
said.append(wait_for("carries"))
best_effort = publisher(Image, ReliabilityPolicy.BEST_EFFORT)
said.append(wait_for("best effort"))
reliable = publisher(Image, ReliabilityPolicy.RELIABLE)
said.append(wait_for("sends nothing"))
print(json.dumps(said))
"""


@pytest.mark.parametrize(
    ("offers", "sentence"),
    [
        ([], "nobody publishes on /image"),
        (
            [Offer(COMPRESSED, True)],
            f"/image carries {COMPRESSED}, expected {IMAGE}: check image_topic, image_transport",
        ),
        (
            [Offer(IMAGE, False), Offer(COMPRESSED, True)],
            "the publisher on /image is best effort: set reliability to best_effort",
        ),
        ([Offer(IMAGE, True)], "/image has a publisher, which sends nothing"),
    ],
)
def test_the_graph_tells_why_no_image_comes(offers: list[Offer], sentence: str) -> None:
    assert why_silent("/image", Offer(IMAGE, reliable=True), offers) == sentence


def test_best_effort_takes_what_anybody_publishes() -> None:
    said = why_silent("/image", Offer(IMAGE, reliable=False), [Offer(IMAGE, reliable=False)])
    assert said == "/image has a publisher, which sends nothing"


@pytest.mark.ros
@pytest.mark.long
def test_a_silent_detector_names_its_camera_and_the_reason(
    ros_environment: dict[str, str], tiny_model: Path
) -> None:
    with own_domain() as domain:
        environment = isolated(ros_environment, domain)
        ros2 = shutil.which("ros2", path=environment["PATH"]) or "ros2"
        words = [f"model_dir:={tiny_model}", "reliability:=reliable", "stale_after_s:=0.5"]
        node = subprocess.Popen(
            [ros2, "run", "palletjack_detection", "palletjack_detector", "--ros-args", "-r", "__ns:=/front"]
            + [word for value in words for word in ("-p", value)],
            env=environment,
            start_new_session=True,
        )
        try:
            done = subprocess.run(
                [ros_python(environment), "-c", PROBE],
                env=environment,
                capture_output=True,
                text=True,
                timeout=200,
            )
            assert node.poll() is None
        finally:
            os.killpg(node.pid, signal.SIGINT)
            node.wait(30)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    # /diagnostics is one topic: without the namespace, the status of two cameras would be one.
    assert {name for name, _ in said} == {"front/palletjack_detector: detection"}
    sentences = [message.split(": ", 1)[1] for _, message in said]
    assert sentences == [
        "nobody publishes on /front/image",
        f"/front/image carries {COMPRESSED}, expected {IMAGE}: check image_topic, image_transport",
        "the publisher on /front/image is best effort: set reliability to best_effort",
        "/front/image has a publisher, which sends nothing",
    ]
