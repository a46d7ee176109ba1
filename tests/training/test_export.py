"""Exported models: names, shapes, equal numbers, equal bytes, and nothing written if they differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from palletjack_detection.model_folder import load_model_spec  # noqa: E402
from palletjack_training import export as exporting  # noqa: E402
from palletjack_training.config import TrainingConfig, load_config  # noqa: E402
from palletjack_training.export import ExportError, export_model, restore_network, write_onnx  # noqa: E402
from palletjack_training.network import build_network  # noqa: E402
from palletjack_training.weights_file import (  # noqa: E402
    Weights,
    WeightsError,
    load_weights,
    save_weights,
)

SMALL = ["input.width=192", "input.height=128", "network.weights=none", "network.freeze_norm=false"]


def random_weights(config: TrainingConfig) -> Weights:
    """A network whose normalization differs from the identity everywhere."""
    torch.manual_seed(1)
    network = build_network(config)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    provenance = {"data": ["set"], "steps": 7, "validation": {"ap50": 0.25}}
    return Weights(config, network.state_dict(), provenance)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return random_weights(load_config("palletjack_light", SMALL))


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("palletjack_lite", ["network.neck_channels=32"]),
        ("palletjack_light", []),
        ("palletjack_resnet18", ["classes=[palletjack, forklift]"]),
    ],
)
def test_onnx_has_the_contract_and_the_numbers_of_the_network(
    tmp_path: Path, name: str, extra: list[str]
) -> None:
    config = load_config(name, [*SMALL, *extra])
    weights = random_weights(config)
    result = export_model(
        weights, tmp_path / "model", "mine", threshold=0.3, metrics={"photos": {"ap50": 0.5}}
    )
    assert result.coverage_difference < 1e-5
    assert result.box_difference < 1e-4

    session = onnxruntime.InferenceSession(str(tmp_path / "model/model.onnx"))
    (given,) = session.get_inputs()
    assert given.name == "input_1:0"
    assert given.shape == ["batch", 3, 128, 192]
    classes = len(config.classes)
    outputs = {output.name: output.shape for output in session.get_outputs()}
    assert outputs == {
        "output_cov/Sigmoid:0": ["batch", classes, 8, 12],
        "output_bbox/BiasAdd:0": ["batch", 4 * classes, 8, 12],
    }
    picture = np.random.default_rng(2).random((3, 3, 128, 192), np.float32)
    coverage, boxes = session.run(list(outputs), {"input_1:0": picture})
    with torch.no_grad():
        logits, distances = restore_network(weights)(torch.from_numpy(picture))
    np.testing.assert_allclose(coverage, logits.sigmoid().numpy(), atol=1e-5)
    np.testing.assert_allclose(boxes, distances.numpy(), atol=1e-4)

    kinds = {node.op_type for node in onnx.load(str(tmp_path / "model/model.onnx")).graph.node}
    assert "BatchNormalization" not in kinds
    assert kinds <= {"Conv", "Clip", "Relu", "Add", "Resize", "Sigmoid", "Constant", "Identity"}

    spec = load_model_spec(tmp_path / "model")
    assert spec.name == "mine"
    assert spec.classes == config.classes
    assert spec.score_threshold == 0.3
    assert spec.metrics == {"synthetic_validation": {"ap50": 0.25}, "photos": {"ap50": 0.5}}
    assert spec.training["steps"] == 7


def test_the_same_weights_give_the_same_bytes(tmp_path: Path, weights: Weights) -> None:
    for name in ("a", "b"):
        write_onnx(restore_network(weights), weights.config, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(("head", "moved"), [("coverage", 1e-2), ("boxes", 5e-4)])
def test_a_graph_with_other_numbers_is_not_written(
    tmp_path: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch, head: str, moved: float
) -> None:
    def wrong(network: torch.nn.Module, config: TrainingConfig, path: Path) -> None:
        bias = getattr(network, head).bias
        with torch.no_grad():
            bias += moved
            write_onnx(network, config, path)
            bias -= moved

    monkeypatch.setattr(exporting, "write_onnx", wrong)
    with pytest.raises(ExportError, match=r"not written: ONNX Runtime and PyTorch differ .*at most 1e-04"):
        export_model(weights, tmp_path / "model", "mine")
    assert not (tmp_path / "model").exists()


def test_no_folder_of_the_training_machine_is_shipped(tmp_path: Path, weights: Weights) -> None:
    network = weights.config.network.model_copy(update={"weights": "/somewhere/private/lite0.pth"})
    moved = Weights(weights.config.model_copy(update={"network": network}), weights.state, weights.provenance)
    export_model(moved, tmp_path / "model", "mine")
    text = (tmp_path / "model/model.json").read_text()
    assert "private" not in text
    assert json.loads(text)["training"]["config"]["network"]["weights"] == "lite0.pth"


def test_weights_survive_their_file(tmp_path: Path, weights: Weights) -> None:
    save_weights(weights, tmp_path / "weights.pt")
    again = load_weights(tmp_path / "weights.pt")
    assert again.config == weights.config
    assert again.provenance == weights.provenance
    assert (tmp_path / "weights.pt").stat().st_size < 8_000_000
    for name, tensor in weights.state.items():
        torch.testing.assert_close(again.state[name], tensor, rtol=1e-3, atol=1e-5)


def test_bad_weights_files_are_named(tmp_path: Path, weights: Weights) -> None:
    path = tmp_path / "weights.pt"
    with pytest.raises(WeightsError, match=r"weights\.pt: expected a checkpoint"):
        load_weights(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match=r"weights\.pt: cannot be read as a checkpoint: no weights of Py"):
        load_weights(path)
    save_weights(weights, path)
    whole = path.read_bytes()
    # PyTorch fails in another way for each, and for the third with an OSError that names no file.
    for length in (0, 100, 5000, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"weights\.pt: cannot be read as a checkpoint, it may be cut"):
            load_weights(path)
    torch.save({"format": "palletjack-weights/1", "config": {}}, path)
    with pytest.raises(WeightsError, match=r"weights\.pt: state: expected in a weights file, found none"):
        load_weights(path)
    torch.save({"a": 1}, path)
    with pytest.raises(
        WeightsError, match=r"weights\.pt: format: expected 'palletjack-weights/1', found None"
    ):
        load_weights(path)
    state = {name: tensor for name, tensor in weights.state.items() if name != "coverage.bias"}
    with pytest.raises(WeightsError, match=r"weights of another network.*coverage\.bias"):
        export_model(Weights(weights.config, state), tmp_path / "model", "mine")


def test_no_network_of_the_model_before_stays(tmp_path: Path, weights: Weights) -> None:
    """DeepStream would go on with its INT8 network, and nobody see that it is another."""
    out = tmp_path / "model"
    (out / "deepstream").mkdir(parents=True)
    for name in ("model_int8.onnx", "model_int8_cpu.onnx", "model_fp16.onnx", "cal.json"):
        (out / name).write_bytes(b"of another model")
    for name in ("config_infer_primary.txt", "config_infer_primary_fp32.txt", "labels.txt"):
        (out / "deepstream" / name).write_text("onnx-file=../model_int8.onnx")
    (out / "README.md").write_text("mine")
    export_model(weights, out, "mine")
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "deepstream",
        "model.json",
        "model.onnx",
    ]
    assert sorted(path.name for path in (out / "deepstream").iterdir()) == [
        "config_infer_primary.txt",
        "labels.txt",
    ]
    assert "onnx-file=../model.onnx" in (out / "deepstream/config_infer_primary.txt").read_text()
    assert (out / "deepstream/labels.txt").read_text().split() == list(weights.config.classes)
