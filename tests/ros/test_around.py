"""Locator, tracker, visualizer and recorder in one real graph."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ros.environment import REPOSITORY, ros_python

pytestmark = [pytest.mark.ros, pytest.mark.long]
PROBE = Path(__file__).with_name("around_probe.py")
NODES = {
    "palletjack_locator": ("depth_topic:=depth", "object_depth_m:=0.0"),
    "palletjack_tracker": (),
    "palletjack_visualizer": (),
    "palletjack_visualizer of compressed images": (
        "image_topic:=packed",
        "image_transport:=compressed",
        "__node:=second_visualizer",
        "detections_image:=image_from_compressed",
    ),
    "palletjack_recorder": (),
}


@contextlib.contextmanager
def running(
    environment: dict[str, str], executable: str, *parameters: str
) -> Iterator[subprocess.Popen[str]]:
    """A node of the package in a session of its own; it must end in order when interrupted."""
    ros2 = shutil.which("ros2", path=environment["PATH"]) or "ros2"
    # Names of the node and of topics are remapped, all else are parameters.
    remapped = ("__node:=", "detections_image:=", "detections_3d:=")
    words = [word for value in parameters for word in ("-r" if value.startswith(remapped) else "-p", value)]
    node = subprocess.Popen(
        [ros2, "run", "palletjack_detection", executable.split()[0], "--ros-args", *words],
        env=environment,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield node
        assert node.poll() is None, f"{executable} ended by itself with {node.returncode}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGINT)
        _, errors = node.communicate(timeout=30)
    assert node.returncode == 0, errors


@pytest.fixture
def outcome(graph_environment: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    """What the probe saw, and the bag that was recorded meanwhile."""
    bag = tmp_path / "bag"
    with contextlib.ExitStack() as stack:
        for executable, parameters in NODES.items():
            extra = (f"output:={bag}",) if executable == "palletjack_recorder" else ()
            stack.enter_context(running(graph_environment, executable, *parameters, *extra))
        done = subprocess.run(
            # The recorder subscribes only once the probe publishes.
            [ros_python(graph_environment), str(PROBE), "5"],
            env=graph_environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return {**json.loads(done.stdout), "bag": bag}


def test_the_nodes_around_the_detector(outcome: dict[str, Any]) -> None:
    blind = outcome["no_calibration"]
    assert blind["places"], "every message is answered"
    assert not any(blind["places"])
    assert "no camera_info yet" in blind["troubles"]["palletjack_locator: location"]

    floor = outcome["floor"]
    assert set(floor["frames"]) == {"base_link"}
    identity, x, y, _, variance = floor["places"][-1][0]
    assert identity == "", "the locator hears the untracked detections"
    assert x == pytest.approx(3.0, abs=0.06)
    assert abs(y) < 0.2
    assert 0.0 < variance < 0.05
    assert floor["places"][-1][1][2] > 1.0, "the second one stands to the left"
    assert any("3.0 m" in text or "2.9 m" in text or "3.1 m" in text for text in floor["texts"])
    assert min(floor["pictures"]) > 400
    assert min(floor["from_compressed"]) > 400

    ids = [row for row in floor["ids"] if all(row)]
    assert len(ids) >= 5
    assert len({tuple(row) for row in ids}) == 1, "an object keeps its id"
    assert len(set(ids[0])) == 2

    assert len(outcome["nonsense"]["places"][-1]) == 1, "a box that is not finite is left out"

    assert outcome["depth"]["places"][-1][0][1] == pytest.approx(2.0, abs=0.05)

    check_bag(outcome["bag"])


def check_bag(path: Path) -> None:
    """The bag opens, and holds what was published, byte for byte what ROS understands."""
    from rosbags.highlevel import AnyReader

    with AnyReader([path]) as reader:
        counts = {item.topic: item.msgcount for item in reader.connections}
        assert counts["/detections"] > 10
        assert counts["/detections_3d"] > 10
        assert counts["/image"] > 10
        connection = next(item for item in reader.connections if item.topic == "/detections")
        _, _, data = next(iter(reader.messages([connection])))
        message = reader.deserialize(data, connection.msgtype)
        assert message.detections[0].results[0].hypothesis.class_id == "palletjack"
        assert counts["/detections/annotations"] == counts["/detections"], "what Foxglove draws"
    assert list(path.glob("*.mcap"))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("{folder}", "expected a folder that is not there yet"),
        ("", "found none"),
        ("/proc/no/bag", "parameter output: /proc/no/bag cannot be made"),
    ],
)
def test_a_bag_that_cannot_be_made_is_refused_in_a_sentence(
    graph_environment: dict[str, str], tmp_path: Path, output: str, message: str
) -> None:
    """Nor is one ever written over."""
    ros2 = shutil.which("ros2", path=graph_environment["PATH"]) or "ros2"
    words = ["--ros-args", "-p", f"output:={output.format(folder=tmp_path)}"] if output else []
    done = subprocess.run(
        [ros2, "run", "palletjack_detection", "palletjack_recorder", *words],
        env=graph_environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert message in said
    assert "Traceback" not in said


def test_a_recorder_that_is_started_again_records_beside_its_first_bag(
    graph_environment: dict[str, str], tmp_path: Path
) -> None:
    bag, again = tmp_path / "bag", tmp_path / "bag_2"
    bag.mkdir()
    (bag / "bag.mcap").write_bytes(b"cut off")
    with running(graph_environment, "palletjack_recorder", f"output:={bag}", "started_again:=true"):
        deadline = time.monotonic() + 30.0
        while not again.is_dir() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1.0)  # SIGINT before the node spins would end Python, not the node
    assert list(again.glob("*.mcap"))
    assert (bag / "bag.mcap").read_bytes() == b"cut off"


WITHOUT_STAMPS = """
import time
import rclpy
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose
from palletjack_detection.nodes.tracker_node import TrackerNode

rclpy.init()
node = TrackerNode()
ids = []
for pause in (0.0, 0.05, 1.0):
    time.sleep(pause)
    item = Detection2D()
    item.bbox.center.position.x, item.bbox.center.position.y = 100.0, 100.0
    item.bbox.size_x = item.bbox.size_y = 50.0
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = "palletjack", 0.9
    item.results.append(result)
    node._on_detections(Detection2DArray(detections=[item]))
    ids.append(item.id)
print("IDS", *ids)
"""


def test_objects_of_a_camera_without_stamps_are_forgotten_in_time(graph_environment: dict[str, str]) -> None:
    """Seen twice, then not for longer than it is remembered: another one, for all that is known."""
    done = subprocess.run(
        [ros_python(graph_environment), "-c", WITHOUT_STAMPS, "--ros-args", "-p", "memory_s:=0.6"],
        env=graph_environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "IDS 1 1 2" in done.stdout


INTERRUPTED = """
import os, signal, sys, time
from palletjack_detection.nodes.lifetime import run_node
from palletjack_detection.nodes.recorder_node import RecorderNode

class Interrupted(RecorderNode):
    def _look_for_topics(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10.0)

sys.exit(run_node(Interrupted))
"""


def test_a_recorder_that_is_interrupted_while_it_starts_closes_its_bag(
    graph_environment: dict[str, str], tmp_path: Path
) -> None:
    bag = tmp_path / "bag"
    done = subprocess.run(
        [ros_python(graph_environment), "-c", INTERRUPTED, "--ros-args", "-p", f"output:={bag}"],
        env=graph_environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (bag / "metadata.yaml").is_file()


def test_a_recorder_that_is_killed_leaves_what_came_before(
    graph_environment: dict[str, str], tmp_path: Path
) -> None:
    """Its diagnostics, which come once a second, are recorded by itself."""
    from mcap.stream_reader import StreamReader

    bag = tmp_path / "bag"
    ros2 = shutil.which("ros2", path=graph_environment["PATH"]) or "ros2"
    words = ["--ros-args", "-p", f"output:={bag}", "-p", "topics:=/diagnostics"]
    node = subprocess.Popen(
        [ros2, "run", "palletjack_detection", "palletjack_recorder", *words],
        env=graph_environment,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 40.0
        while time.monotonic() < deadline:
            files = list(bag.glob("*.mcap"))
            if files and files[0].stat().st_size > 3000:
                break
            time.sleep(0.2)
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait(timeout=10)
    (file,) = bag.glob("*.mcap")
    names = []
    with file.open("rb") as stream, contextlib.suppress(Exception):  # it ends where it was cut off
        for record in StreamReader(stream, skip_magic=False).records:
            names.append(type(record).__name__)
    assert names.count("Message") >= 2
    assert "Channel" in names


def test_rviz_and_foxglove_show_topics_that_the_nodes_publish() -> None:
    import yaml

    config = REPOSITORY / "ros2_ws/src/palletjack_detection/config"
    rviz = yaml.safe_load((config / "palletjack.rviz").read_text())
    shown = {item["Topic"]["Value"] for item in rviz["Visualization Manager"]["Displays"] if "Topic" in item}
    nodes = REPOSITORY / "ros2_ws/src/palletjack_detection/palletjack_detection/nodes"
    published = {
        name
        for path in nodes.glob("*.py")
        for name in re.findall(r'create_publisher\(\w+,\s*"([^"]+)"', path.read_text())
    }
    assert shown <= published
    layout = json.loads((config / "foxglove.json").read_text())["configById"]
    topics = {layout["Image!detections"]["imageMode"]["imageTopic"], *layout["3D!places"]["topics"]}
    assert {topic.strip("/") for topic in topics} <= published
