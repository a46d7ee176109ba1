"""The launch file: what it accepts and refuses, a folder of images end to end, and how it all ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from palletjack_detection.detector import Detector
from palletjack_detection.image_files import read_image
from tests.detector.tiny_model import write_tiny_model
from tests.ros.environment import runs, start_launch, wait_until

pytestmark = pytest.mark.ros

DETECT = ("palletjack_detection", "detect.launch.py")


def write_folder(folder: Path) -> Path:
    """Write three images with a red rectangle each, of different sizes, and a truncated one."""
    folder.mkdir()
    for number, (width, height) in enumerate([(640, 480), (333, 777), (1280, 720)]):
        bgr = np.full((height, width, 3), 70, np.uint8)
        bgr[80 : 80 + 150, 60 + 9 * number : 60 + 9 * number + 120] = (0, 0, 255)
        cv2.imwrite(str(folder / f"{number}.png"), bgr)
    whole = (folder / "0.png").read_bytes()
    (folder / "1_truncated.png").write_bytes(whole[: len(whole) // 2])
    return folder


def test_a_folder_goes_through_the_graph_and_a_truncated_file_is_skipped(
    graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    images, output = write_folder(tmp_path / "images"), tmp_path / "output"
    words = (f"image_dir:={images}", f"model:={tiny_model}", f"output:={output}")
    launch = start_launch(graph_environment, tmp_path / "log", *DETECT, "camera:=images", *words)
    assert launch.wait(timeout=60.0) == 0, launch.text()
    predictions = json.loads((output / "predictions.json").read_text())
    detector = Detector.load(tiny_model)
    assert sorted(predictions) == ["0.png", "1.png", "2.png"]
    for name, rows in predictions.items():
        expected = detector.detect(read_image(images / name))
        assert len(expected) == 1
        np.testing.assert_allclose([row[:4] for row in rows], expected.boxes, atol=1e-3)
        np.testing.assert_allclose([row[4] for row in rows], expected.scores, atol=1e-3)
    latency = json.loads((output / "latency.json").read_text())
    assert latency["images"] == 3
    assert list(latency["skipped"]) == ["1_truncated.png"]
    assert 0 < latency["publish_to_detections_ms"]["p50"] <= latency["publish_to_detections_ms"]["p99"]
    assert "1_truncated.png" in launch.text()


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["backend:=cuda"], ["backend", "'auto', 'isaac_ros', 'tensorrt', 'onnxruntime'"]),
        (["camera:=webcam"], ["camera", "'topic', 'images', 'video', 'usb'"]),
        (["model:=/nonexistent"], ["model: expected a folder with model.json, found /nonexistent"]),
        (["score_threshold:=2"], ["score_threshold: expected a number from -1 to 1, found '2'"]),
        (["score_threshold:=high"], ["score_threshold: expected a number from -1 to 1, found 'high'"]),
        (["keep_threshold:=2"], ["keep_threshold: expected a number from -1 to 1, found '2'"]),
        (["camera:=images", "image_dir:=/nonexistent"], ["image_dir: expected a folder of images"]),
        (["params_file:=/nonexistent.yaml"], ["params_file: expected a YAML file, found /nonexistent.yaml"]),
    ],
)
def test_a_wrong_argument_is_refused_at_launch(
    main_graph_environment: dict[str, str],
    tiny_model: Path,
    tmp_path: Path,
    words: list[str],
    messages: list[str],
) -> None:
    launch = start_launch(main_graph_environment, tmp_path / "log", *DETECT, f"model:={tiny_model}", *words)
    assert launch.wait() == 1
    for message in messages:
        assert message in launch.text()
    assert "process started" not in launch.text()


def test_a_network_with_other_tensor_names_ends_the_launch_with_an_error(
    main_graph_environment: dict[str, str], tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "model", coverage_name="coverage:0")
    images = write_folder(tmp_path / "images")
    words = ("camera:=images", f"image_dir:={images}", f"model:={model}", f"output:={tmp_path / 'output'}")
    launch = start_launch(main_graph_environment, tmp_path / "log", *DETECT, *words)
    assert launch.wait(timeout=60.0) == 1
    assert "output_cov/Sigmoid:0" in launch.text()
    assert "coverage:0" in launch.text()
    assert not (tmp_path / "output").exists()


def test_a_folder_without_a_readable_image_ends_the_launch_with_an_error(
    main_graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"")
    words = ("camera:=images", f"image_dir:={tmp_path / 'images'}", f"model:={tiny_model}")
    launch = start_launch(main_graph_environment, tmp_path / "log", *DETECT, *words)
    assert launch.wait(timeout=60.0) == 1
    assert "no image of 1 can be read" in launch.text()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_launch(
    graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path, signum: signal.Signals
) -> None:
    images = write_folder(tmp_path / "images")
    words = ("camera:=images", f"image_dir:={images}", "loop:=true", "rate:=20", f"model:={tiny_model}")
    launch = start_launch(graph_environment, tmp_path / "log", *DETECT, *words)
    children = launch.wait_for_children(2)
    wait_until(lambda: "skipped" in launch.text(), 40.0, f"images through the graph\n{launch.text()}")
    code = launch.stop(signum)
    assert code == (-signal.SIGKILL if signum == signal.SIGKILL else 0), launch.text()
    wait_until(lambda: not any(map(runs, children)), 30.0, f"the end of {children}\n{launch.text()}")
    assert "Traceback" not in launch.text()
    if signum != signal.SIGKILL:
        assert launch.text().count("process has finished cleanly") == 2


def test_a_detector_that_dies_is_started_again(
    graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    launch = start_launch(graph_environment, tmp_path / "log", *DETECT, f"model:={tiny_model}")
    (first,) = launch.wait_for_children(1)
    wait_until(lambda: "model tiny on" in launch.text(), 40.0, launch.text())
    subprocess.run(["kill", "-KILL", str(first)], check=True)
    wait_until(lambda: launch.text().count("model tiny on") == 2, 40.0, f"a second start\n{launch.text()}")
    assert launch.stop() == 0


def test_show_args_explains_every_argument(main_graph_environment: dict[str, str], tmp_path: Path) -> None:
    launch = start_launch(main_graph_environment, tmp_path / "log", *DETECT, "-s")
    assert launch.wait() == 0
    sections = re.split(r"\n    '(\w+)':\n", launch.text())
    described = dict(zip(sections[1::2], sections[2::2], strict=True))
    expected = {"backend", "camera", "image_dir", "image_topic", "model", "score_threshold", "namespace"}
    assert expected | {"use_sim_time", "output", "params_file"} <= set(described)
    for name, text in described.items():
        description = text.strip().splitlines()[0]
        assert len(description.split()) >= 3, f"{name}: {description!r}"
        assert "no description" not in description
