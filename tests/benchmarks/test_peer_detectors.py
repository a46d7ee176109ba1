"""The comparison with other detectors: same frames, boxes put back where they belong, scored as ours."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from palletjack_detection.preprocess import Preprocessor
from palletjack_training.box_labels import IGNORED, PADDING
from palletjack_training.evaluation.ground_truth import load_ground_truth
from palletjack_training.model_spec import input_spec
from palletjack_training.targets import BoxBatch
from tests.detector.tiny_model import write_tiny_model

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
WIDTH, HEIGHT = 128, 64


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts import each other by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))


def script(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three frames of 192x64 with one white object at 48..96 x 16..48, and an ignored region in one."""
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for number in range(3):
        image = np.zeros((64, 192, 3), np.uint8)
        image[16:48, 48:96] = 255
        cv2.imwrite(str(folder / f"images/{number}.png"), image)
        rows = ["palletjack 0 0 0 48 16 96 48 1 1 1 0 0 5 0"]
        rows += ["DontCare -1 -1 -10 120 10 180 60 -1 -1 -1 -1000 -1000 -1000 -10"] * (number == 0)
        (folder / f"labels/{number}.txt").write_text("\n".join(rows) + "\n")
    return folder


class FakePeer:
    """A peer of one convolution: small enough for every test, with the shape of the real ones."""

    name, note = "fake", "for a test"
    learning_rate, weight_decay, gradient_clip = 1e-2, 1e-3, 1.0
    backbone, backbone_factor, needs_nms = ("body.",), 0.1, True

    def __init__(self, options: dict[str, Any], load_weights: bool = True) -> None:
        self.options = options
        self.network = nn.Sequential()
        self.network.add_module("body", nn.Conv2d(3, 4, 3, stride=8, padding=1))
        self.network.add_module("head", nn.Conv2d(4, 1, 1))

    def loss(self, images: Tensor, boxes: BoxBatch) -> Tensor:
        return self.network(images).square().mean() + 0 * boxes.boxes.sum()

    def deployed(self) -> nn.Module:
        return FakeDeployed(self.network)


class FakeDeployed(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.network(image).flatten(1).sigmoid()
        corner = torch.arange(8.0).repeat(1, scores.shape[1] // 8)[..., None]
        return torch.cat((corner, corner, corner + 8, corner + 8), -1), scores


def test_ignored_regions_are_painted_over_but_not_the_objects_in_them() -> None:
    cover = script("detector_data").cover_ignored
    boxes = BoxBatch(
        torch.tensor([[[2.0, 2, 8, 8], [4, 4, 6, 6], [0, 0, 10, 1]]]), torch.tensor([[IGNORED, 0, PADDING]])
    )
    covered = cover(torch.zeros(1, 3, 10, 10), boxes)
    assert covered[0, :, 2:4, 2:8].eq(0.5).all()
    assert covered[0, :, 4:6, 4:6].eq(0).all()
    assert covered.count_nonzero() == 3 * (36 - 4)


def test_objects_are_given_as_shares_of_the_canvas() -> None:
    boxes = BoxBatch(
        torch.tensor([[[32.0, 16, 64, 48], [0, 0, 9, 9]], [[0, 0, 1, 1], [0, 0, 1, 1]]]),
        torch.tensor([[0, IGNORED], [PADDING, PADDING]]),
    )
    first, second = script("detector_data").normalized_objects(boxes, WIDTH, HEIGHT)
    assert first.tolist() == [[0.375, 0.5, 0.25, 0.5]]
    assert second.shape == (0, 4)


def test_a_peer_learns_from_the_images_that_ours_learns_from(data: Path, tmp_path: Path) -> None:
    """The batch is that of our own module for the same seed and step, but for the painted regions."""
    from palletjack_training.frames import FrameOrder
    from palletjack_training.kitti_cache import open_cache
    from palletjack_training.module import DetectNetModule
    from palletjack_training.network import build_network
    from palletjack_training.schedule import Progress

    module = script("detector_data")
    config = module.peer_config(WIDTH, HEIGHT, 2, 4)
    network = nn.Conv2d(3, 1, 1)
    frames = module.TrainingFrames(data, tmp_path / "cache", config, network, torch.device("cpu"))
    images, boxes = frames.batch(1)
    assert len(frames) == 3
    assert images.shape == (2, 3, HEIGHT, WIDTH)

    cache = open_cache([data], config, tmp_path / "cache")
    order = FrameOrder(np.arange(3), 2, config.trainer.seed)
    detector = build_network(config, load_weights=False)
    ours = DetectNetModule(config, detector, cache, order, Progress(4))
    chosen = order.of_step(1)
    wanted, wanted_boxes = ours.prepare(
        chosen, torch.from_numpy(cache.gather(chosen)), np.random.default_rng([config.trainer.seed, 1])
    )
    assert torch.equal(boxes.boxes, wanted_boxes.boxes)
    assert torch.equal(boxes.labels, wanted_boxes.labels)
    assert torch.equal(images, module.cover_ignored(wanted, wanted_boxes))


def test_a_box_returns_to_the_pixels_of_its_image_and_hits(data: Path) -> None:
    module = script("peer_detector")
    config = script("detector_data").peer_config(WIDTH, HEIGHT, 1, 1)

    def network(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # 192x64 letterboxed into 128x64: a scale of 2/3 and 10 or 11 rows above.
        rows, columns = np.nonzero(image[0, 0] > 0.5)
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        boxes = np.array([edges, np.add(edges, 1), [0, 0, 4, 4]], np.float32)
        return boxes, np.array([0.9, 0.8, 0.001], np.float32)

    detector = module.PeerDetector(network, Preprocessor(input_spec(config)), nms_iou=0.7)
    truth = load_ground_truth(data)
    rows = module.predict_truth(detector, truth)
    assert [len(found) for found in rows.values()] == [1, 1, 1]
    np.testing.assert_allclose(rows["0.png"][0], [48, 16, 96, 48, 0.9], atol=1.6)
    scored = module.score_rows(truth, rows)
    assert scored["images"] == scored["boxes"] == 3
    assert scored["ap50"] == scored["best_f1"] == 1
    assert scored["ap50_interval_95"] == [1, 1]


def test_boxes_that_overlap_too_much_are_suppressed() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [5, 0, 15, 10]], np.float32)
    suppress = script("peer_detector").suppress
    assert suppress(boxes, 0.7).tolist() == [0, 2]
    assert suppress(boxes, 0.3).tolist() == [0]
    assert suppress(boxes[:0], 0.7).tolist() == []


def test_backbone_learns_slower_and_biases_do_not_decay() -> None:
    groups = list(script("peer").parameter_groups(FakePeer({})))
    assert {(group["factor"], group["weight_decay"]) for group in groups} == {
        (factor, decay) for factor in (0.1, 1.0) for decay in (1e-3, 0.0)
    }


def test_train_score_and_export_a_peer(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training = script("peer_training")
    monkeypatch.setattr(training, "build_peer", FakePeer)
    monkeypatch.setattr(training, "PART_BYTES", 200)
    parser = argparse.ArgumentParser()
    training.add_options(parser)
    out = tmp_path / "run"
    words = ["--data", str(data), "--out", str(out), "--cache", str(tmp_path / "cache"), "--tiny"]
    training.run("fake", parser.parse_args(words))
    about = json.loads((out / training.RUN_FILE).read_text())
    assert about["steps"] == 2
    assert about["frames_seen"] == 4
    assert about["note"] == "for a test"
    assert len(list(out.glob("weights_*.pt"))) > 1
    assert not list(out.glob(".*"))

    scoring = script("score_detector")
    options = argparse.Namespace(
        run=out, data=[f"frames={data}"], device="cpu", most=2, onnx=[str(out / "m.onnx")], nms_iou=0.7
    )
    document = scoring.scores(options)
    assert document["scores"]["frames"]["images"] == 2
    assert document["onnx"]["largest_score_difference"] < 1e-5
    assert set(json.loads((out / "predictions_frames.json").read_text())) == {"0.png", "1.png"}


def test_a_time_limit_ends_the_training_early(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = script("peer_training")
    parser = argparse.ArgumentParser()
    training.add_options(parser)
    words = ["--data", str(data), "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    options = parser.parse_args([*words, "--device", "cpu", "--time-limit", "1e-9", "--batch", "2"])
    summary = training.train(FakePeer({"width": WIDTH, "height": HEIGHT}), options)
    assert (summary["steps"], summary["planned_steps"]) == (0, 1000)


def test_latency_is_told_as_a_ratio_to_ours(tmp_path: Path) -> None:
    module = script("peer_latency")
    write_tiny_model(tmp_path / "ours")
    path = tmp_path / "ours/model.onnx"
    result = module.measure_latency({"ours": path, "peer": path}, threads=1, rounds=2, repeats=2)
    assert result["latency_ms"]["ours"]["times_ours"] == 1
    assert result["latency_ms"]["peer"]["p50"] > 0
    halves = module.summarise(np.full((3, 4), 10.0), np.full((3, 4), 20.0))
    assert halves == {"p50": 10, "p95": 10, "times_ours": 0.5, "times_ours_rounds": [0.5, 0.5]}


@pytest.mark.long
@pytest.mark.parametrize(
    ("package", "options"),
    [
        ("ultralytics", {"peer": "yolo", "network": "yolo11n", "backbone": "own"}),
        ("ultralytics", {"peer": "yolo", "network": "yolo11n", "backbone": "imagenet"}),
        ("transformers", {"peer": "rtdetr", "channels": 64, "backbone": "imagenet"}),
    ],
)
def test_a_step_of_a_real_peer(
    package: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss and gradients are finite with and without objects, and boxes come out in pixels."""
    monkeypatch.setenv("YOLO_OFFLINE", "1")
    try:
        importlib.import_module(package)
        peer = script("peer").build_peer({**options, "width": WIDTH, "height": WIDTH}, load_weights=False)
    except ImportError as error:
        pytest.skip(f"{package} is no dependency of the project, and not usable here: {error}")
    boxes = BoxBatch(torch.tensor([[[32.0, 16, 64, 48]], [[0.0, 0, 1, 1]]]), torch.tensor([[0], [PADDING]]))
    loss = peer.loss(torch.rand(2, 3, WIDTH, WIDTH), boxes)
    loss.backward()
    gradients = [item.grad for item in peer.network.parameters() if item.grad is not None]
    assert torch.isfinite(loss)
    assert len(gradients) > 50
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    found, scores = peer.deployed().eval()(torch.rand(1, 3, WIDTH, WIDTH))
    assert found.shape == (1, scores.shape[1], 4)
    assert (found[..., 2:] >= found[..., :2]).all()
