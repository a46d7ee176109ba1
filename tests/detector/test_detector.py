"""The detector end to end through a real ONNX file, and networks that do not fit their model.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from palletjack_detection.detector import Detector
from palletjack_detection.engine import EngineError, OnnxRuntimeEngine, choose_providers
from palletjack_detection.model_folder import ModelFolderError, load_model_spec
from tests.detector.tiny_model import paint_rectangle, write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def detector(tiny: Path) -> Detector:
    return Detector.load(tiny, threads=1)


def grey_image(width: int, height: int, seed: int = 0) -> np.ndarray:
    grey = np.random.default_rng(seed).integers(90, 150, (height, width, 1), dtype=np.uint8)
    return np.repeat(grey, 3, axis=2)


@pytest.mark.parametrize(
    ("width", "height"), [(640, 480), (1280, 720), (1280, 800), (1920, 1080), (961, 545), (123, 457)]
)
def test_boxes_are_in_the_images_own_pixels(detector: Detector, width: int, height: int) -> None:
    image = grey_image(width, height)
    left = (width // 10, height // 4, width // 10 + width // 4, height // 4 + height // 2)
    corner = (width - width // 6, 0, width, height // 5)
    for box in (left, corner):
        paint_rectangle(image, box)
    found = detector.detect(image)
    assert len(found) == 2
    assert found.class_names == ("palletjack",)
    order = np.argsort(found.boxes[:, 0])
    # One network pixel, seen from the image.
    tolerance = max(1.0, width / 960, height / 544)
    np.testing.assert_allclose(found.boxes[order], [left, corner], atol=tolerance)
    np.testing.assert_allclose(found.scores, 0.95, rtol=1e-6)


def test_without_resizing_boxes_are_exact(detector: Detector) -> None:
    image = grey_image(960, 544)
    boxes = [(33, 41, 97, 203), (400, 300, 417, 317), (700, 10, 960, 544)]
    for box in boxes:
        paint_rectangle(image, box)
    found = detector.detect(image)
    np.testing.assert_allclose(found.boxes[np.argsort(found.boxes[:, 0])], boxes, atol=1e-3)


@pytest.mark.parametrize("method", ["nms", "plain_nms", "dbscan"])
@pytest.mark.parametrize(("resize", "padding"), [("letterbox", "bottom_right"), ("stretch", "center")])
def test_every_resize_and_clustering_finds_the_box(
    tmp_path: Path, method: str, resize: str, padding: str
) -> None:
    folder = write_tiny_model(tmp_path, width=320, height=192, method=method, resize=resize, padding=padding)
    image = grey_image(640, 480)
    paint_rectangle(image, (100, 120, 300, 400))
    detector = Detector.load(folder, threads=1)
    for chosen in ("auto", "nms", "plain_nms", "dbscan"):
        detector.cluster_by(chosen)
        assert detector.clustering.method == (method if chosen == "auto" else chosen)
        np.testing.assert_allclose(detector.detect(image).boxes, [(100, 120, 300, 400)], atol=2.6)
    with pytest.raises(ValueError, match=r"clustering: expected one of auto, nms, .*; found 'kmeans'"):
        detector.cluster_by("kmeans")


def test_each_class_has_its_own_channels(tmp_path: Path) -> None:
    classes = ("palletjack", "forklift", "person")
    folder = write_tiny_model(tmp_path, width=320, height=192, classes=classes)
    image = grey_image(320, 192)
    paint_rectangle(image, (10, 10, 80, 90), (230, 20, 20))
    paint_rectangle(image, (120, 20, 200, 150), (20, 20, 230))
    found = Detector.load(folder, threads=1).detect(image)
    names = {
        found.class_names[c]: tuple(b.round()) for c, b in zip(found.class_ids, found.boxes, strict=True)
    }
    assert names == {"palletjack": (10, 10, 80, 90), "person": (120, 20, 200, 150)}


def test_nothing_to_see_gives_no_box(detector: Detector) -> None:
    found = detector.detect(grey_image(640, 480))
    assert found.boxes.shape == (0, 4)
    assert len(detector.detect(np.zeros((1, 1, 3), np.uint8))) == 0


def test_the_threshold_is_the_models_own_unless_given(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, width=96, height=64, coverage=0.4, score_threshold=0.5)
    image = grey_image(96, 64)
    paint_rectangle(image, (10, 10, 60, 60))
    strict = Detector.load(folder, threads=1)
    assert len(strict.detect(image)) == 0
    strict.score_threshold = 0.4
    assert len(strict.detect(image)) == 1
    assert len(Detector.load(folder, threads=1, score_threshold=0.05).detect(image)) == 1
    with pytest.raises(ValueError, match="score_threshold: expected 0 to 1, found 50"):
        Detector.load(folder, score_threshold=50)


def test_boxes_in_the_padding_are_dropped_and_others_clipped(detector: Detector) -> None:
    """Feeds the decoder a grid by hand: one box over the image's edge, one wholly beside the image."""
    _, geometry = detector._preprocess(grey_image(640, 480))
    coverage, boxes = np.zeros((1, 34, 60), np.float32), np.zeros((4, 34, 60), np.float32)
    coverage[0, 10, 10], boxes[:, 10, 10] = 0.9, np.array([100, 30, 30, 30]) / 35
    coverage[0, 10, 2], boxes[:, 10, 2] = 0.8, np.array([20, 20, 20, 20]) / 35
    found = detector.decode(coverage, boxes, geometry)
    assert len(found) == 1
    assert found.boxes[0, 0] == 0.0
    np.testing.assert_allclose(found.boxes[0, 2], (160.5 + 30 - 117) * 640 / 725, atol=1e-3)


def test_stage_times_are_measured(detector: Detector) -> None:
    _, times = detector.detect_with_timing(grey_image(640, 480))
    assert min(times.preprocess_ms, times.inference_ms, times.decode_ms) > 0
    assert times.total_ms == pytest.approx(times.preprocess_ms + times.inference_ms + times.decode_ms)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"input_name": "input_1"}, r"input tensors: expected \['input_1:0'\], found \['input_1'\]"),
        (
            {"coverage_name": "output_cov", "boxes_name": "output_bbox"},
            r"output tensors: expected \['output_bbox/BiasAdd:0', 'output_cov/Sigmoid:0'\], "
            r"found \['output_bbox', 'output_cov'\]",
        ),
        (
            {"coverage_name": "output_bbox/BiasAdd:0", "boxes_name": "output_cov/Sigmoid:0"},
            r"output 'output_cov/Sigmoid:0': expected shape .*1, 4, 6\], found \['N', 4, 4, 6\]",
        ),
    ],
)
def test_other_tensor_names_are_refused(tmp_path: Path, names: dict[str, str], message: str) -> None:
    folder = write_tiny_model(tmp_path, width=96, height=64, **names)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match=r"model\.onnx: " + message):
        Detector.load(folder)


def test_another_size_or_class_count_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, width=96, height=64, changes={"classes": ["a", "b"]})
    with pytest.raises(EngineError, match=r"output 'output_cov/Sigmoid:0': expected shape .*2, 4, 6"):
        Detector.load(folder)
    spec = load_model_spec(write_tiny_model(tmp_path / "large", width=128, height=64))
    with pytest.raises(
        EngineError, match=r"input 'input_1:0': expected shape .*3, 64, 128\], found .*3, 64, 96"
    ):
        OnnxRuntimeEngine(tmp_path / "model.onnx", spec)


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_a_damaged_network_is_named(tmp_path: Path, keep: float) -> None:
    path = write_tiny_model(tmp_path, width=96, height=64) / "model.onnx"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if keep < 1 else int(keep)])
    with pytest.raises(EngineError, match=r"model\.onnx: expected a network that ONNX Runtime can load"):
        Detector.load(tmp_path)


def test_a_model_without_json_is_named(tmp_path: Path) -> None:
    (write_tiny_model(tmp_path, width=96, height=64) / "model.json").unlink()
    with pytest.raises(ModelFolderError, match=r"model\.json: expected the model's description"):
        Detector.load(tmp_path)


def test_a_bad_image_leaves_the_detector_working(detector: Detector) -> None:
    with pytest.raises(ValueError, match="at least 1 x 1"):
        detector.detect(np.zeros((0, 0, 3), np.uint8))
    image = grey_image(960, 544)
    paint_rectangle(image, (100, 100, 200, 200))
    assert len(detector.detect(image)) == 1


def test_the_engine_takes_batches(tiny: Path) -> None:
    engine = OnnxRuntimeEngine(tiny / "model.onnx", load_model_spec(tiny), threads=1)
    batch = np.zeros((2, 3, 544, 960), np.float32)
    batch[1, 0, 160:320, 160:320] = 1.0
    coverage, boxes = engine.run(batch)
    assert coverage.shape == (2, 1, 34, 60)
    assert boxes.shape == (2, 4, 34, 60)
    assert coverage[0].max() == 0
    assert (coverage[1] > 0).sum() == 100
    with pytest.raises(EngineError, match="running the network failed"):
        engine.run(batch[:, :, :, :100])


@pytest.mark.parametrize(("channels", "colour"), [("rgb", (230, 20, 20)), ("bgr", (20, 20, 230))])
def test_a_network_that_takes_bytes_gives_the_same_boxes(
    tmp_path: Path, channels: str, colour: tuple[int, int, int]
) -> None:
    folders = {}
    for pixels in (False, True):
        folder = write_tiny_model(tmp_path / str(pixels), pixels=pixels, pad_value=114)
        document = json.loads((folder / "model.json").read_text())
        document["input"]["channels"] = channels
        (folder / "model.json").write_text(json.dumps(document))
        folders[pixels] = Detector.load(folder, backend="onnxruntime", threads=1)
    assert [folders[pixels].engine.takes_pixels for pixels in (False, True)] == [False, True]
    for width, height in ((960, 544), (640, 480), (1280, 1024)):
        image = grey_image(width, height)
        paint_rectangle(image, (100, 100, 300, 200), colour)
        floats, pixels = folders[False].detect(image), folders[True].detect(image)
        assert len(floats) == 1
        np.testing.assert_array_equal(pixels.boxes, floats.boxes)
        np.testing.assert_array_equal(pixels.scores, floats.scores)


def test_bytes_are_refused_where_the_tensor_is_normalised_in_another_way(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, width=96, height=64, pixels=True)
    document = json.loads((folder / "model.json").read_text())
    document["input"]["mean"] = [0.5, 0.5, 0.5]
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(EngineError, match=r"'input_1:0' takes bytes, .* mean 0 and stddev 1; found .*0\.5"):
        Detector.load(folder)
    spec = load_model_spec(write_tiny_model(tmp_path / "large", width=128, height=64))
    with pytest.raises(EngineError, match=r"expected shape .*64, 128, 4\], found .*64, 96, 4"):
        OnnxRuntimeEngine(folder / "model.onnx", spec)


@pytest.mark.parametrize(
    ("spinning", "entry"),
    [
        ("while_running", ("session.force_spinning_stop", "1")),
        ("never", ("session.intra_op.allow_spinning", "0")),
        ("always", ("session.intra_op.allow_spinning", "1")),
    ],
)
def test_how_its_threads_wait_is_told_to_onnx_runtime(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, spinning: str, entry: tuple[str, str]
) -> None:
    made: list[Any] = []

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    Detector.load(tiny, backend="onnxruntime", spinning=spinning)
    assert made[0].get_session_config_entry(entry[0]) == entry[1]
    with pytest.raises(EngineError, match="expected one of while_running, never, always, found 'now'"):
        Detector.load(tiny, backend="onnxruntime", spinning="now")


def test_providers_are_chosen_from_what_is_installed() -> None:
    assert choose_providers()[-1] == "CPUExecutionProvider"
    assert choose_providers(["CPUExecutionProvider"]) == ["CPUExecutionProvider"]
    assert set(choose_providers()) <= set(onnxruntime.get_available_providers())
    with pytest.raises(EngineError, match=r"providers: expected some of .*found \['GpuExecutionProvider'\]"):
        choose_providers(["GpuExecutionProvider"])
