"""Training on from a model folder: its network is got back, and starts by doing what it did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from palletjack_training.config import load_config
from palletjack_training.export import export_model, restore_network
from palletjack_training.model_spec import BOXES_NAME, COVERAGE_NAME, INPUT_NAME
from palletjack_training.model_weights import restore_normalization
from palletjack_training.network import DetectNet, ExportableDetectNet
from palletjack_training.weights_file import Weights, WeightsError, load_weights

MODELS = Path(__file__).resolve().parents[2] / "models"
SHIPPED = sorted(path.parent.name for path in MODELS.glob("*/model.json"))


def _outputs(network: DetectNet, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        coverage, boxes = ExportableDetectNet(network).eval()(images)
    return coverage.numpy(), boxes.numpy()


def _pictures(count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    # Smooth, as pictures are: of pure noise every channel of the network sees the same.
    coarse = torch.rand(count, 3, 17, 30, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(544, 960), mode="bilinear")


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_of_a_shipped_model_do_what_its_graph_does(name: str) -> None:
    weights = load_weights(MODELS / name)
    assert weights.folded
    network = restore_network(weights)
    images = _pictures(1)
    session = onnxruntime.InferenceSession(
        str(MODELS / name / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    wanted = session.run([COVERAGE_NAME, BOXES_NAME], {INPUT_NAME: images.numpy()})
    found = _outputs(network, images)
    np.testing.assert_allclose(found[0], wanted[0], atol=1e-5)
    np.testing.assert_allclose(found[1], wanted[1], atol=1e-4)


@pytest.mark.parametrize("name", ["palletjack_lite", "palletjack_resnet18"])
def test_restored_normalization_changes_nothing_and_normalizes(name: str) -> None:
    network = restore_network(load_weights(MODELS / name))
    images = _pictures()
    before = _outputs(network, images)
    restore_normalization(network, images)
    after = _outputs(network, images)
    np.testing.assert_allclose(after[0], before[0], atol=1e-4)
    np.testing.assert_allclose(after[1], before[1], atol=1e-3)

    # In training each batch is normalized by itself: on these very images that is to be the same.
    network.train()
    with torch.no_grad():
        logits, _ = network(images)
    np.testing.assert_allclose(logits.sigmoid().numpy(), before[0], atol=0.02)
    network.train(False)


def test_weights_of_a_model_that_never_was_quantized(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = load_config("smoke")
    network = DetectNet(config).eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.uniform_(-0.1, 0.1)
                layer.weight.uniform_(0.5, 1.5)
    weights = Weights(config, network.state_dict())
    export_model(weights, tmp_path / "model", "small")
    images = torch.rand(1, 3, config.input.height, config.input.width)
    found = _outputs(restore_network(load_weights(tmp_path / "model")), images)
    for ours, theirs in zip(found, _outputs(network, images), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_folder_of_another_network_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MODELS / "palletjack_lite", folder)
    path = folder / "model.json"
    content = json.loads(path.read_text())
    content["training"]["config"]["network"]["neck_blocks"] = 2
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=r"model\.onnx: expected a tensor network\.neck.*found none"):
        load_weights(folder)

    del content["training"]["config"]
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=r"model\.json: training\.config: expected a configuration"):
        load_weights(folder)

    with pytest.raises(WeightsError, match=r"model\.json"):
        load_weights(tmp_path)


def test_pruning_history_is_kept() -> None:
    weights = load_weights(MODELS / "palletjack_lite")
    assert weights.provenance["pruning"][0]["time"] == 0.7
    assert weights.config.quantization.enabled is False
