"""Simulator, detector and guard as real processes in a real ROS 2 graph."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from palletjack_sim.direct import run_direct
from palletjack_sim.launcher import LoopRequest, run_in_ros
from palletjack_sim.scenario import load_scenario
from palletjack_sim.verdict import RunResult
from tests.detector.tiny_model import write_tiny_model
from tests.ros.environment import REPOSITORY, runs, wait_until
from tests.sim.conftest import StartLoop

pytestmark = [pytest.mark.ros, pytest.mark.long]

TOPICS = REPOSITORY / "ros2_ws/src/palletjack_detection/config/topics.yaml"
# Near, so that slowing, stopping and standing still fit into few seconds.
NEAR = """
format: palletjack-scenario/1
name: near
description: a red pallet truck close ahead
duration: 6
route: {goal: [10, 0], speed: 1.0}
camera: {width: 320, height_px: 180, rate_hz: 5}
objects:
 - name: truck
   family: palletjack
   pose: {x: 4.2, y: 0.0, yaw_deg: 0.0}
   params:
     tiller_lean_deg: 0
     tiller_yaw_deg: 0
     body_color: [1, 0, 0]
     fork_color: [1, 0, 0]
     wear: 0
     stickers: []
criteria: {min_clearance: 0.5, must_stop: true, min_distance: 1.0}
"""


@pytest.fixture
def scenario_file(tmp_path: Path) -> Path:
    path = tmp_path / "near.yaml"
    path.write_text(NEAR)
    return path


def test_graph_stops_the_robot_and_repeats_exactly(
    start_loop: StartLoop, scenario_file: Path, tmp_path: Path
) -> None:
    """Two runs over topics give one track, and it is that of the loop without any topics."""
    launch = start_loop(
        scenario=scenario_file,
        output=tmp_path / "first",
        camera_quality="rasterized",
        perception="ground_truth",
    )
    assert launch.wait(120) == 0, launch.text()
    suite = ElementTree.parse(tmp_path / "first" / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
    assert 'src="./track.png"' in (tmp_path / "first" / "report.html").read_text()
    # Once more, as `palletjack simulate` does it.
    run_in_ros(
        LoopRequest(
            scenario=str(scenario_file),
            seed=0,
            camera_quality="rasterized",
            perception="ground_truth",
            model=None,
            duration=None,
            out=tmp_path / "second",
        )
    )
    for name in ("first", "second"):
        result = RunResult.read(tmp_path / name / "result.json")
        assert (result.verdict, result.collisions, result.stops) == ("pass", 0, 1)
    first, second = ((tmp_path / name / "track.csv").read_bytes() for name in ("first", "second"))
    assert first == second
    direct = run_direct(
        load_scenario(scenario_file),
        seed=0,
        camera_quality="rasterized",
        perception="ground_truth",
        model=None,
        out=tmp_path / "direct",
    )
    assert direct.verdict == "pass"
    assert _numbers(tmp_path / "direct" / "track.csv") == pytest.approx(
        _numbers(tmp_path / "first" / "track.csv"), abs=2e-6
    )


def test_detector_node_is_in_the_loop(start_loop: StartLoop, scenario_file: Path, tmp_path: Path) -> None:
    """The network's detections of rendered frames arrive with their stamps and slow the robot down."""
    model = write_tiny_model(tmp_path / "tiny")
    out = tmp_path / "out"
    launch = start_loop(scenario=scenario_file, camera_quality="rasterized", model=model, duration=3.0)
    code = launch.wait(120)
    result = RunResult.read(out / "result.json")
    assert result.verdict != "error", launch.text()
    assert (code == 0) == (result.verdict == "pass")
    assert result.model == "tiny"
    assert result.frames == 16
    assert result.latency_ms is not None
    with (out / "track.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert any(row["action"] == "slow" for row in rows)
    # This model boxes the red pieces of the truck, so its detections count as lying on no truck.
    assert sum(int(row["false_detections"] or 0) + int(row["trucks_detected"] or 0) for row in rows) >= 8


def test_detector_that_sees_nothing_fails_the_launch(
    start_loop: StartLoop, scenario_file: Path, tmp_path: Path
) -> None:
    """The shipped model with a threshold that nothing reaches: the robot hits the truck."""
    launch = start_loop(scenario=scenario_file, camera_quality="rasterized", score_threshold=1.0)
    assert launch.wait(120) == 1, launch.text()
    result = RunResult.read(tmp_path / "out" / "result.json")
    assert (result.verdict, result.collisions, result.recall) == ("fail", 1, 0.0)
    assert "the scenario failed; 1 collisions, allowed are 0" in launch.text()
    suite = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()
    assert suite.get("failures") == "1"
    assert "1 collisions" in (tmp_path / "out" / "report.html").read_text()
    assert result.model == "palletjack_lite@1"


def test_dead_detector_ends_the_run_as_an_error(
    start_loop: StartLoop, scenario_file: Path, tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    launch = start_loop(scenario=scenario_file, camera_quality="rasterized", model=model, duration=60.0)
    wait_until(lambda: "palletjack_guard]: go" in launch.text(), 90, "the robot drives")
    children = launch.children()
    detector = next(pid for pid in children if "palletjack_detector" in _command_line(pid))
    os.kill(detector, signal.SIGKILL)
    assert launch.wait(60) != 0, launch.text()
    assert not [pid for pid in children if runs(pid)], "no process is left behind"
    assert RunResult.read(tmp_path / "out" / "result.json").verdict == "error"


@pytest.mark.parametrize(
    ("lost_at", "duration", "frames"),
    [
        pytest.param(1.4, 3.6, 7, id="while it drives"),
        pytest.param(0.0, 1.5, 0, id="before its first picture"),
    ],
)
def test_camera_that_is_lost_ends_the_motion_or_lets_none_begin(
    start_loop: StartLoop, tmp_path: Path, lost_at: float, duration: float, frames: int
) -> None:
    content = yaml.safe_load(NEAR)
    faults = [{"kind": "camera_lost", "at": lost_at}]
    content.update(objects=[], duration=duration, faults=faults, criteria={"must_stop": True})
    path = tmp_path / "dark.yaml"
    path.write_text(yaml.safe_dump(content))
    launch = start_loop(
        scenario=path, camera_quality="rasterized", perception="ground_truth", answer_timeout=15
    )
    assert launch.wait(120) == 0, launch.text()
    result = RunResult.read(tmp_path / "out" / "result.json")
    # Five images a second until then.
    assert (result.verdict, result.frames) == ("pass", frames)
    assert (result.distance_m > 0.1) == (lost_at > 0.0)


def test_detector_that_the_scenario_kills_stops_the_robot_and_the_bag_shows_it(
    start_loop: StartLoop, tmp_path: Path
) -> None:
    """The shipped model's process gets SIGKILL; the guard stops the robot and the run is judged."""
    launch = start_loop(
        scenario="detector_killed",
        camera_quality="rasterized",
        duration=6.5,
        record_to=tmp_path / "bag",
        python=sys.executable,
    )
    assert launch.wait(180) == 0, launch.text()
    assert "exit code -9" in launch.text()
    result = RunResult.read(tmp_path / "out" / "result.json")
    assert (result.verdict, result.model) == ("pass", "palletjack_lite")
    assert result.frames == 40, "ten images a second until 4 s"
    assert result.fault_stop_s is not None
    assert result.fault_stop_s < 2.5
    check_bag(tmp_path / "bag")


def check_bag(folder: Path) -> None:
    """Foxglove's own reader opens the file and decodes every message by the schema in it."""
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    entries = yaml.safe_load(TOPICS.read_text())["topics"]
    (file,) = folder.glob("*.mcap")
    counts: Counter[str] = Counter()
    boxes: dict[int, list[float]] = {}
    drawn: dict[int, list[float]] = {}
    first: dict[str, int] = {}
    with file.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        assert summary is not None, "a bag that was closed in order has an index"
        schemas = {channel.topic: summary.schemas[channel.schema_id] for channel in summary.channels.values()}
        for _, channel, envelope, message in reader.iter_decoded_messages():
            assert channel.message_encoding == "cdr"
            if channel.topic in ("/rgb", "/odom", "/cmd_vel"):
                first.setdefault(channel.topic, envelope.log_time)
            counts[channel.topic] += 1
            if channel.topic == "/rgb":
                assert (message.encoding, len(message.data)) == ("rgb8", 640 * 360 * 3)
            if channel.topic == "/detections":
                boxes[nanoseconds(message.header.stamp)] = [
                    value
                    for item in message.detections
                    for value in (item.bbox.center.position.x, item.bbox.size_y)
                ]
            if channel.topic == "/detections/annotations" and message.points:
                drawn[nanoseconds(message.points[0].timestamp)] = [
                    value
                    for item in message.points
                    for value in (
                        (item.points[0].x + item.points[2].x) / 2.0,
                        item.points[2].y - item.points[0].y,
                    )
                ]
                assert {item.type for item in message.points} == {2}, "a closed polygon"
                assert all(0.0 < float(text.text) <= 1.0 for text in message.texts)
            if channel.topic == "/ground_truth/detections_3d":
                assert message.header.frame_id == "odom"
                assert message.detections[0].results[0].hypothesis.class_id == "palletjack"
                assert message.detections[0].bbox.center.position.x == pytest.approx(11.5, abs=1.0)
                assert 1.0 < message.detections[0].bbox.size.x < 2.5
                truck = message.detections[0].bbox
            if channel.topic == "/ground_truth/detections_3d/markers":
                clear, box = message.markers
                assert (clear.action, box.type, box.header.frame_id) == (3, 1, "odom")
                assert box.pose.position.x == truck.center.position.x
                assert box.pose.orientation.z == truck.center.orientation.z
                assert (box.scale.x, box.scale.z) == (truck.size.x, truck.size.z)
    # All but the labels, which only Isaac Sim has: schema names as Foxglove's panels know them.
    del entries["ground_truth_labels"]
    expected = {entry["name"]: entry["type"] for entry in entries.values()}
    expected["/ground_truth/detections_3d/markers"] = "visualization_msgs/msg/MarkerArray"
    for topic in ("/detections", "/ground_truth/detections"):
        expected[f"{topic}/annotations"] = "foxglove_msgs/msg/ImageAnnotations"
        assert counts[f"{topic}/annotations"] == counts[topic]
    assert drawn == {stamp: pytest.approx(box) for stamp, box in boxes.items() if box}
    assert drawn, "the truck was detected at least once"
    assert {topic: schema.name for topic, schema in schemas.items()} == expected
    assert {schema.encoding for schema in schemas.values()} == {"ros2msg"}
    # An image each 0.1 s until the camera's last at 3.9 s, sent again where an answer was late; 20 ticks a
    # second. Nothing of the beginning is missing.
    assert 40 <= counts["/rgb"] <= 45
    assert first == {"/rgb": 0, "/odom": 0, "/cmd_vel": 0}
    assert counts["/cmd_vel"] >= 131
    assert set(counts) == set(expected)


def test_wrong_scenario_ends_the_launch_with_its_reason(start_loop: StartLoop, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(NEAR.replace("speed: 1.0", "sped: 1.0"))
    launch = start_loop(scenario=path, camera_quality="rasterized", perception="ground_truth")
    assert launch.wait(60) != 0
    assert "route.sped: unknown field, did you mean speed?" in launch.text()


def test_a_bag_that_cannot_be_written_ends_the_launch(start_loop: StartLoop, tmp_path: Path) -> None:
    launch = start_loop(scenario="head_on", camera_quality="rasterized", record_to=tmp_path)
    assert launch.wait(60) != 0
    assert "expected a folder that is not there yet" in launch.text()
    assert "palletjack_recorder" in launch.text()
    assert "ended with exit code 1 during the run" in launch.text()


@pytest.mark.parametrize("python", ["/bin/false", "/no/such/python"])
def test_python_without_the_simulator_is_named(start_loop: StartLoop, python: str) -> None:
    launch = start_loop(scenario="head_on", python=python)
    assert launch.wait(60) != 0
    expected = "python: expected one with the palletjack package and its simulator"
    assert expected in launch.text()
    assert f"found {python}" in launch.text()


def test_foxglove_layout_shows_what_the_bag_holds() -> None:
    config = TOPICS.parent
    names = {entry["name"] for entry in yaml.safe_load(TOPICS.read_text())["topics"].values()}
    layout = json.loads((config / "foxglove_closed_loop.json").read_text())
    panels = layout["configById"]
    image = panels["Image!camera"]["imageMode"]
    shown = {image["imageTopic"], image["calibrationTopic"]}
    shown |= {topic.removesuffix("/annotations") for topic in image["annotations"]}
    shown |= {topic.removesuffix("/markers") for topic in panels["3D!hall"]["topics"]}
    shown |= {path["value"].split(".")[0] for path in panels["Plot!speed"]["paths"]}
    shown.add(panels["RawMessages!guard"]["topicPath"].split(".")[0])
    assert shown <= names
    assert all(f'"{panel}"' in json.dumps(layout["layout"]) for panel in panels)


def nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _numbers(track: Path) -> list[float]:
    with track.open() as file:
        return [
            float(row[key])
            for row in csv.DictReader(file)
            for key in ("t", "x", "y", "yaw", "v", "cmd_v", "gap")
        ]


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
