"""The detector's engine in a real graph: what it is told by parameters, and what it says about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.ros.environment import ros_python, start_launch
from tests.ros.graph_probe import Probe

pytestmark = pytest.mark.ros

DETECT = ("palletjack_detection", "detect.launch.py", "respawn:=false")


def parameters(path: Path, **values: object) -> str:
    """Write a parameters file and return the launch argument that names it."""
    lines = [f"    {name}: {str(value).lower()}" for name, value in values.items()]
    path.write_text("\n".join(["/**:", "  ros__parameters:", *lines]) + "\n")
    return f"params_file:={path}"


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU: an engine may be built")
def test_a_robot_without_tensorrt_detects_and_says_that_no_engine_was_built(
    main_graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    file = parameters(tmp_path / "engine.yaml", backend="auto", precision="fp32", build_engine=True)
    environment = {**main_graph_environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    launch = start_launch(environment, tmp_path / "log", *DETECT, f"model:={tiny_model}", file)
    rgb = np.full((360, 640, 3), 90, np.uint8)
    rgb[70:160, 200:330] = (255, 0, 0)
    try:
        with Probe(ros_python(environment), environment) as probe:
            assert probe.ask("ready", timeout=40.0), launch.text()
            probe.publish(rgb, (5, 1))
            (box,) = probe.detections((5, 1))["boxes"]
            np.testing.assert_allclose(box, [200, 70, 330, 160], atol=2.0)
            status = probe.status("no engine was built, ONNX Runtime runs the model: tensorrt")
            assert status["level"] == 1
            assert status["values"]["engine"] == "onnxruntime"
    finally:
        assert launch.stop() == 0


@pytest.mark.parametrize("spinning", ["never", "always"])
def test_however_its_threads_wait_every_image_gets_its_box(
    graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path, spinning: str
) -> None:
    file = parameters(tmp_path / "threads.yaml", spinning=spinning, threads=2)
    words = (f"model:={tiny_model}", "reliability:=reliable", file)
    launch = start_launch(graph_environment, tmp_path / "log", *DETECT, *words)
    try:
        with Probe(ros_python(graph_environment), graph_environment) as probe:
            assert probe.ask("ready", timeout=40.0), launch.text()
            for number in range(3):
                left = 100 + 80 * number
                rgb = np.full((360, 640, 3), 90, np.uint8)
                rgb[70:160, left : left + 130] = (255, 0, 0)
                probe.publish(rgb, (6, number))
                (box,) = probe.detections((6, number))["boxes"]
                np.testing.assert_allclose(box, [left, 70, left + 130, 160], atol=2.0)
            refused = probe.ask("set_parameter", node="/palletjack_detector", name="spinning", value="never")
            assert not refused["successful"]
    finally:
        assert launch.stop() == 0, launch.text()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"precision": "int8"}, "precision: expected one of fp32, found 'int8'"),
        ({"backend": "openvino"}, "expected one of auto, onnxruntime, tensorrt, tensorrt_rtx"),
        ({"backend": "tensorrt"}, "tensorrt cannot be loaded"),
        ({"spinning": "now"}, "parameter spinning: expected one of while_running, never, always"),
    ],
)
@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU, and perhaps TensorRT")
def test_what_cannot_be_is_refused_at_the_start(
    main_graph_environment: dict[str, str],
    tiny_model: Path,
    tmp_path: Path,
    values: dict[str, object],
    words: str,
) -> None:
    file = parameters(tmp_path / "engine.yaml", **values)
    launch = start_launch(main_graph_environment, tmp_path / "log", *DETECT, f"model:={tiny_model}", file)
    assert launch.wait(40) != 0
    assert words in launch.text()
