"""The detector in a real graph: real processes, started by `ros2 launch`, talking over DDS."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from palletjack_detection.detector import Detector
from tests.ros.environment import Launch, isolated, own_domain, ros_python, start_launch, start_node
from tests.ros.graph_probe import Probe

pytestmark = pytest.mark.ros

Image = NDArray[np.uint8]
DETECT = ("palletjack_detection", "detect.launch.py")


def picture(left: int = 200, top: int = 70, *, width: int = 641, height: int = 359) -> Image:
    """Return a grey RGB image of odd size with a red rectangle of 130x90 pixels."""
    rgb = np.full((height, width, 3), 90, np.uint8)
    rgb[top : top + 90, left : left + 130] = (255, 0, 0)
    return rgb


@pytest.fixture(scope="module")
def graph(
    ros_environment: dict[str, str], tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Launch, Probe]]:
    """A detector that was brought up by the launch file, and a probe that it answers."""
    with own_domain() as domain:
        environment = isolated(ros_environment, domain)
        log = tmp_path_factory.mktemp("graph") / "launch.log"
        launch = start_launch(
            environment,
            log,
            *DETECT,
            f"model:={tiny_model}",
            "respawn:=false",
            "reliability:=reliable",
        )
        try:
            with Probe(ros_python(environment), environment) as probe:
                assert probe.ask("ready", timeout=40.0), launch.text()
                yield launch, probe
        finally:
            code = launch.stop()
        assert code == 0, launch.text()


@pytest.mark.parametrize(
    ("encoding", "code", "padding"),
    [
        ("rgb8", None, 0),
        ("rgb8", None, 7),
        ("bgr8", cv2.COLOR_RGB2BGR, 3),
        ("rgba8", cv2.COLOR_RGB2RGBA, 1),
        ("bgra8", cv2.COLOR_RGB2BGRA, 0),
    ],
)
def test_boxes_on_the_topic_are_those_of_the_library(
    graph: tuple[Launch, Probe], tiny_model: Path, encoding: str, code: int | None, padding: int
) -> None:
    _, probe = graph
    rgb = picture(left=100 + 20 * padding, top=60 + padding)
    pixels = rgb if code is None else np.asarray(cv2.cvtColor(rgb, code), np.uint8)
    stamp = (100 + padding, hash(encoding) % 1_000_000_000)
    probe.publish(pixels, stamp, encoding=encoding, padding=padding, frame_id=f"camera_{encoding}")
    message = probe.detections(stamp)
    expected = Detector.load(tiny_model).detect(rgb)
    assert len(expected) == 1
    np.testing.assert_allclose(message["boxes"], expected.boxes, atol=2.0)
    np.testing.assert_allclose(message["boxes"], expected.boxes, atol=1e-3)
    np.testing.assert_allclose(message["scores"], expected.scores, atol=1e-6)
    assert message["classes"] == ["palletjack"]
    assert message["frame_id"] == f"camera_{encoding}"
    assert message["headers"] == [list(stamp)]


def test_an_image_without_a_truck_is_answered_with_no_boxes(graph: tuple[Launch, Probe]) -> None:
    _, probe = graph
    grey = np.asarray(cv2.cvtColor(picture(), cv2.COLOR_RGB2GRAY), np.uint8)
    probe.publish(grey, (200, 5), encoding="mono8")
    assert probe.detections((200, 5))["boxes"] == []


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"width": 0, "height": 0, "step": 0, "data": b""}, "zero size", "found 0x0"),
        ({"encoding": "jpegxl"}, "unknown encoding", "found 'jpegxl'"),
        ({"data": b"\x00" * 1000}, "truncated data", "found 1000"),
        ({"step": 100}, "wrong step", "found 100"),
    ],
)
def test_a_bad_image_is_reported_and_the_next_one_works(
    graph: tuple[Launch, Probe], fields: dict[str, object], reason: str, words: str
) -> None:
    launch, probe = graph
    before = launch.children()
    rgb = picture()
    number = len(reason)
    probe.publish(rgb, (300, number), **fields)  # type: ignore[arg-type]
    status = probe.status(words)
    assert status["level"] in (1, 2)
    assert status["values"][f"images_refused: {reason}"] == "1"
    probe.publish(rgb, (301, number))
    assert len(probe.detections((301, number))["boxes"]) == 1
    assert probe.ask("detections", stamp=(300, number), timeout=0.1) is None
    assert launch.children() == before


def test_diagnostics_say_what_runs_and_how_fast(graph: tuple[Launch, Probe]) -> None:
    _, probe = graph
    probe.publish(picture(), (400, 1))
    probe.detections((400, 1))
    values = probe.status()["values"]
    assert values["model"] == "tiny"
    assert values["provider"] == "CPUExecutionProvider"
    assert (values["score_threshold"], values["keep_threshold"]) == ("0.500", "0.300")
    assert float(values["rate_hz"]) > 0
    for stage in ("preprocess_ms", "inference_ms", "decode_ms", "stamp_to_publish_ms"):
        assert 0 < float(values[f"{stage}_p50"]) <= float(values[f"{stage}_p99"])


def test_silence_of_the_camera_is_a_warning(graph: tuple[Launch, Probe]) -> None:
    _, probe = graph
    assert probe.status("No image for", timeout=15.0)["level"] == 1


def test_the_newest_image_wins_and_every_other_is_counted(graph: tuple[Launch, Probe]) -> None:
    _, probe = graph
    node = "/palletjack_detector"
    # At two a second the others have to wait, on a machine of any speed.
    assert probe.ask("set_parameter", node=node, name="max_rate_hz", value=2.0)["successful"]
    before = probe.status()["values"]
    for number in range(40):
        probe.publish(picture(left=number), (500, number))
    assert probe.detections((500, 39))["boxes"]
    # Another rate holds at once, and not only after the pause of the old one.
    assert probe.ask("set_parameter", node=node, name="max_rate_hz", value=0.01)["successful"]
    probe.publish(picture(left=0), (500, 40))
    assert probe.ask("detections", stamp=(500, 40), timeout=1.0) is None
    assert probe.ask("set_parameter", node=node, name="max_rate_hz", value=0.0)["successful"]
    assert probe.detections((500, 40))["boxes"]
    values = probe.status("No image for", timeout=15.0)["values"]  # so nothing is under way
    new = {
        key: int(values[key]) - int(before[key])
        for key in ("images_received", "images_processed", "images_dropped", "images_refused")
    }
    # DDS itself replaces what the node has not taken yet, in a history of one image, unseen by the node.
    assert 3 <= new["images_received"] <= 41
    assert new["images_dropped"] > 0
    assert new["images_processed"] + new["images_dropped"] == new["images_received"]


def test_threshold_and_clustering_change_at_run_time_within_their_ranges(graph: tuple[Launch, Probe]) -> None:
    _, probe = graph
    node = "/palletjack_detector"
    assert probe.ask("set_parameter", node=node, name="score_threshold", value=0.99)["successful"]
    probe.publish(picture(), (600, 1))
    assert probe.detections((600, 1))["boxes"] == []
    assert not probe.ask("set_parameter", node=node, name="score_threshold", value=3.0)["successful"]
    assert probe.ask("set_parameter", node=node, name="score_threshold", value=-1.0)["successful"]
    probe.publish(picture(), (600, 2))
    assert len(probe.detections((600, 2))["boxes"]) == 1
    for number, method in enumerate(("dbscan", "plain_nms", "auto"), start=3):
        assert probe.ask("set_parameter", node=node, name="clustering", value=method)["successful"]
        probe.publish(picture(), (600, number))
        assert len(probe.detections((600, number))["boxes"]) == 1
        assert probe.status(clustering="nms" if method == "auto" else method)


def test_what_was_found_is_kept_down_to_the_lower_threshold(graph: tuple[Launch, Probe]) -> None:
    _, probe = graph

    def count(stamp: tuple[int, int], red: int) -> int:
        rgb = picture()
        rgb[rgb[..., 1] == 0] = (red, 0, 0)
        probe.publish(rgb, stamp)
        return len(probe.detections(stamp)["boxes"])

    node, tenth = "/palletjack_detector", 100_000_000
    # Scores are 0.95 times red / 255: 0.95 and 0.75.
    assert probe.ask("set_parameter", node=node, name="score_threshold", value=0.9)["successful"]
    assert count((700, 0), 200) == 0
    assert count((700, tenth), 255) == 1
    assert count((700, 2 * tenth), 200) == 1
    assert count((702, 0), 200) == 0, "two seconds later it is another moment"

    assert count((702, tenth), 255) == 1
    assert probe.ask("set_parameter", node=node, name="keep_threshold", value=0.8)["successful"]
    assert count((702, 2 * tenth), 200) == 0
    for name in ("keep_threshold", "score_threshold"):
        assert probe.ask("set_parameter", node=node, name=name, value=-1.0)["successful"]


def test_a_model_that_cannot_be_loaded_leaves_the_old_one_at_work(
    graph: tuple[Launch, Probe], tmp_path: Path
) -> None:
    _, probe = graph
    answer = probe.ask("set_parameter", node="/palletjack_detector", name="model_dir", value=str(tmp_path))
    assert not answer["successful"]
    assert "model.json" in answer["reason"]
    probe.publish(picture(), (700, 1))
    assert len(probe.detections((700, 1))["boxes"]) == 1
    assert not probe.ask("set_parameter", node="/palletjack_detector", name="depth", value=2)["successful"]


def test_compressed_images_are_detected_and_truncated_ones_refused(
    graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    launch = start_launch(
        graph_environment,
        tmp_path / "log",
        *DETECT,
        f"model:={tiny_model}",
        "image_transport:=compressed",
    )
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture(), cv2.COLOR_RGB2BGR))[1].tobytes()
    try:
        with Probe(ros_python(graph_environment), graph_environment) as probe:
            assert probe.ask("ready", timeout=40.0, compressed=True), launch.text()
            half = base64.b64encode(jpeg[: len(jpeg) // 2]).decode()
            probe.ask("publish_compressed", stamp=(1, 1), format="jpeg", data=half)
            assert "without its end marker" in probe.status("end marker")["message"]
            whole = base64.b64encode(jpeg).decode()
            probe.ask("publish_compressed", stamp=(1, 2), format="jpeg", data=whole)
            (box,) = probe.detections((1, 2))["boxes"]
            np.testing.assert_allclose(box, [200, 70, 330, 160], atol=3.0)
    finally:
        assert launch.stop() == 0


def test_a_remapped_image_topic_is_remapped_for_compressed_images_too(
    main_graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    words = (
        "-p",
        f"model_dir:={tiny_model}",
        "-p",
        "image_transport:=compressed",
        "-p",
        "image_topic:=front",
    )
    remap = ("-r", "front:=image")
    node = start_node(
        main_graph_environment, tmp_path / "log", "palletjack_detector", "--ros-args", *words, *remap
    )
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture(), cv2.COLOR_RGB2BGR))[1].tobytes()
    try:
        with Probe(ros_python(main_graph_environment), main_graph_environment) as probe:
            assert probe.ask("ready", timeout=40.0, compressed=True), node.text()
            data = base64.b64encode(jpeg + bytes(4096)).decode()
            probe.ask("publish_compressed", stamp=(1, 2), format="jpeg", data=data)
            assert len(probe.detections((1, 2))["boxes"]) == 1
        assert "images from /image/compressed" in node.text()
    finally:
        assert node.stop() == 0, node.text()


def test_an_activation_that_fails_says_why(
    main_graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    words = ("--ros-args", "-p", f"model_dir:={tiny_model}", "-p", "image_topic:=/cam-1/image")
    node = start_node(main_graph_environment, tmp_path / "log", "palletjack_detector", *words)
    assert node.wait(timeout=40.0) == 1
    assert "cam-1" in node.text()
    assert "see the lines above" not in node.text()


def test_an_empty_list_of_classes_is_all_of_them(
    main_graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    words = ("--ros-args", "-p", f"model_dir:={tiny_model}", "-p", "classes:=[]")
    node = start_node(main_graph_environment, tmp_path / "log", "palletjack_detector", *words)
    try:
        with Probe(ros_python(main_graph_environment), main_graph_environment) as probe:
            assert probe.ask("ready", timeout=40.0), node.text()
            probe.publish(picture(), (1, 3))
            assert len(probe.detections((1, 3))["boxes"]) == 1
    finally:
        assert node.stop() == 0, node.text()
