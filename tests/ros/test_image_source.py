"""Images made from a video, a folder or a pattern: the frames, and the node on a real graph."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from palletjack_detection.frame_source import (
    FrameSourceError,
    PinholeCamera,
    pattern_frame,
    video_frames,
    video_rate,
)
from palletjack_detection.ground_range import CameraModel
from palletjack_detection.thermal import hottest_zone
from tests.ros.environment import ros_python, start_launch, start_node
from tests.ros.graph_probe import Probe
from tests.ros.test_detector_graph import DETECT


def write_video(path: Path, count: int = 12) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (320, 240))
    for index in range(count):
        writer.write(np.full((240, 320, 3), (255 if index % 2 else 0, 0, 128), np.uint8))
    writer.release()
    return path


def test_a_video_gives_its_frames_in_rgb_and_its_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi")
    frames = list(video_frames(path))
    assert len(frames) == 12
    assert video_rate(path) == pytest.approx(25.0)
    np.testing.assert_allclose(frames[1].mean(axis=(0, 1)), (128, 0, 255), atol=8)


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.mp4").write_bytes(b"no video")
    for path, words in ((tmp_path / "b.mp4", "found no frame"), (tmp_path / "c.mp4", "found none")):
        with pytest.raises(FrameSourceError, match=words):
            list(video_frames(path))


def test_the_pattern_moves_and_has_any_size() -> None:
    first, second = pattern_frame(0, 96, 54), pattern_frame(1, 96, 54)
    assert first.shape == (54, 96, 3)
    assert (first != second).any()
    assert (first == pattern_frame(0, 96, 54)).all()
    for width, height, index in itertools.product((1, 16, 333), (1, 16, 777), (0, 7, 10_000)):
        assert pattern_frame(index, width, height).shape == (height, width, 3)


def test_the_made_camera_sees_the_angle_that_it_states() -> None:
    camera = PinholeCamera(960, 544, 70.0)
    assert 2 * math.degrees(math.atan(480 / camera.focal_length)) == pytest.approx(70.0)
    # As the locator reads it: the optical axis meets the middle, half of the size from the upper left edge.
    model = CameraModel.from_values(960, 544, camera.matrix, [0.0] * 5)
    assert (model.project(np.array([[0.0, 0.0, 1.0]])) + 0.5).tolist() == [[480.0, 272.0]]


def test_the_hottest_zone_that_can_be_read(tmp_path: Path) -> None:
    assert hottest_zone(tmp_path) is None
    for number, (name, text) in enumerate(
        [("cpu", "41500\n"), ("gpu", "55000\n"), ("off", "-256000\n"), ("x", "?")]
    ):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "type").write_text(f"{name}\n")
        (zone / "temp").write_text(text)
    hottest = hottest_zone(tmp_path)
    assert hottest is not None
    assert (hottest.zone, hottest.celsius) == ("gpu", 55.0)


@pytest.mark.ros
def test_the_pattern_arrives_with_a_camera_info_of_each_stamp(
    graph_environment: dict[str, str], tmp_path: Path
) -> None:
    words = ("--ros-args", "-p", "width:=320", "-p", "height:=240", "-p", "rate_hz:=20.0")
    node = start_node(graph_environment, tmp_path / "log", "image_source", *words)
    try:
        with Probe(ros_python(graph_environment), graph_environment) as probe:
            probe.ask("listen_to_camera")
            frames = probe.ask("frames", count=5, timeout=40.0)
            assert len(frames) >= 5, node.text()
            assert frames[0]["size"] == frames[0]["info_size"] == [320, 240]
            assert frames[0]["bytes"] == 320 * 240 * 3
            assert frames[0]["reddest"] == 255
            assert frames[0]["k"] == pytest.approx(PinholeCamera(320, 240, 70.0).matrix)
    finally:
        assert node.stop() == 0, node.text()


@pytest.mark.ros
def test_a_video_goes_through_the_detector_and_its_end_ends_the_launch(
    main_graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    from rosbags.highlevel import AnyReader

    words = (f"video:={write_video(tmp_path / 'a.avi', 60)}", f"model:={tiny_model}")
    bag = (f"record_to:={tmp_path / 'bag'}", "record:=true")
    launch = start_launch(main_graph_environment, tmp_path / "log", *DETECT, "camera:=video", *words, *bag)
    assert launch.wait(timeout=90.0) == 0, launch.text()
    assert launch.text().count("process has finished cleanly") == 3
    # The first image waits for the detector and the recorder, and the end for the last answer.
    with AnyReader([tmp_path / "bag"]) as reader:
        counts = {item.topic: item.msgcount for item in reader.connections}
        stamps = {
            topic: [
                reader.deserialize(data, item.msgtype).header.stamp
                for item, _, data in reader.messages([c for c in reader.connections if c.topic == topic])
            ]
            for topic in ("/image", "/detections")
        }
    assert counts["/image"] >= 55
    assert counts["/detections_info"] == 1, "published before the recorder listens, and all the same recorded"
    # A busy machine answers fewer, but from the beginning on.
    assert counts["/detections"] >= 10
    first = stamps["/detections"][0]
    assert first in stamps["/image"][:20]
    assert stamps["/detections"][-1] == stamps["/image"][-1]


@pytest.mark.ros
@pytest.mark.parametrize("source", ["/nonexistent.mp4", ""])
def test_a_source_that_is_not_there_ends_the_node_with_an_error(
    main_graph_environment: dict[str, str], tmp_path: Path, source: str
) -> None:
    words = ("--ros-args", "-p", f"source:='{source}'")
    node = start_node(main_graph_environment, tmp_path / "log", "image_source", *words)
    assert node.wait(timeout=30.0) == 1
    assert "source:" in node.text()
