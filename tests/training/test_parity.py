"""The parity report: nothing where two forms are the same, and by how much they differ otherwise."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from tests.training.settled_network import settled_network  # noqa: E402

from palletjack_cli.main import app  # noqa: E402
from palletjack_detection import detector as detector_module  # noqa: E402
from palletjack_detection.model_folder import load_model_spec, write_model_folder  # noqa: E402
from palletjack_training.config import load_config  # noqa: E402
from palletjack_training.export import export_model  # noqa: E402
from palletjack_training.network import build_network  # noqa: E402
from palletjack_training.parity import compare_boxes  # noqa: E402
from palletjack_training.weights_file import Weights, load_weights, save_weights  # noqa: E402

THIN = ["network.neck_channels=16", "network.neck_blocks=1"]
SMALL = ["input.width=128", "input.height=96", "network.weights=none", "network.freeze_norm=false"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights.pt, the model exported from them, a changed variant, and a data set."""
    folder = tmp_path_factory.mktemp("parity")
    config = load_config("palletjack_light", [*SMALL, *THIN])
    network, _ = settled_network(config, spread_coverage=True)
    weights = Weights(config, network.state_dict())
    save_weights(weights, folder / "weights.pt")
    export_model(load_weights(folder / "weights.pt"), folder / "model", "tiny")
    graph = onnx.load(str(folder / "model/model.onnx"))
    head = next(tensor for tensor in graph.graph.initializer if list(tensor.dims) == [4])
    # Each side one pixel further out: the box scale is 35.
    head.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(head) + np.float32(1 / 35), head.name))
    onnx.save(graph, str(folder / "moved.onnx"))
    spec, path = load_model_spec(folder / "model"), folder / "model/model.onnx"
    write_model_folder(spec, path, folder / "both", {"int8_cpu": folder / "moved.onnx"})

    rng = np.random.default_rng(1)
    (folder / "set/images").mkdir(parents=True)
    (folder / "set/labels").mkdir()
    for number in range(3):
        picture = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"set/images/{number}.png")
        line = "palletjack 0.00 0 0.0 20 20 80 70 1.2 0.5 1.5 0 0 5 0\n"
        (folder / f"set/labels/{number}.txt").write_text(line)
    return folder


def run(folder: Path, *options: str, checkpoint: str = "weights.pt", model: str = "both") -> tuple[int, str]:
    command = ["parity", "--model", str(folder / model), "--data", str(folder / "set")]
    if checkpoint:
        command += ["--checkpoint", str(folder / checkpoint)]
    result = CliRunner().invoke(app, [*command, *options])
    return result.exit_code, result.output


def test_every_form_is_compared(exported: Path, tmp_path: Path) -> None:
    predictions = tmp_path / "node.json"
    command = ["predict", "--model", str(exported / "model"), "--images", str(exported / "set/images")]
    assert CliRunner().invoke(app, [*command, "--out", str(predictions)]).exit_code == 0
    out = tmp_path / "parity.json"
    code, text = run(exported, "--node", str(predictions), "--out", str(out))
    assert code == 0, text
    report = json.loads(out.read_text())
    forms = report["forms"]
    assert list(forms) == ["pytorch", "onnx", "onnx_int8_cpu", "node"]
    assert report["images"] == 3
    assert all(name in text for name in forms)
    paired = forms["pytorch"]["boxes"]["paired"]
    assert paired > 0
    assert forms["onnx"]["coverage_max_difference"] < 1e-4
    assert forms["onnx"]["boxes"]["edge_px_max"] < 0.05
    assert forms["onnx"]["boxes"]["paired"] == paired
    moved = forms["onnx_int8_cpu"]
    assert moved["coverage_max_difference"] < 1e-4
    assert moved["boxes"]["edge_px_max"] == pytest.approx(1, abs=0.05)
    assert forms["node"]["compared_with"] == "onnx"
    assert forms["node"]["boxes"]["edge_px_max"] < 0.02


def test_without_a_checkpoint_the_onnx_files_are_compared_with_each_other(
    exported: Path, tmp_path: Path
) -> None:
    """A shipped folder comes without the weights that it was made from."""
    code, text = run(exported, "--out", str(tmp_path / "parity.json"), checkpoint="")
    assert code == 0, text
    assert "compared with onnx" in text
    report = json.loads((tmp_path / "parity.json").read_text())
    assert (report["reference"], list(report["forms"])) == ("onnx", ["onnx", "onnx_int8_cpu"])
    assert "coverage_max_difference" not in report["forms"]["onnx"]
    assert report["forms"]["onnx_int8_cpu"]["boxes"]["edge_px_max"] == pytest.approx(1, abs=0.05)
    code, text = run(exported, checkpoint="", model="model")
    assert code == 1
    assert "model: holds model.onnx alone: expected a checkpoint" in text.replace("\n", " ")


@pytest.mark.parametrize(("fast", "asked"), [(True, ()), (False, ()), (False, ("--node-precision", "int8"))])
def test_the_node_is_compared_with_the_file_that_it_runs(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool, asked: tuple[str, ...]
) -> None:
    """INT8 where the processor is fast in it: against FP32 the rounding looks like a fault of the node."""
    monkeypatch.setattr(detector_module, "multiplies_int8", lambda: fast)
    int8 = fast or bool(asked)
    spec = dataclasses.replace(load_model_spec(exported / "both"), precision="int8")
    files = {"int8_cpu": exported / "moved.onnx"}
    write_model_folder(spec, exported / "model/model.onnx", tmp_path / "int8", files)
    out, rows = tmp_path / "parity.json", tmp_path / "node.json"
    command = ["predict", "--model", str(tmp_path / "int8"), "--images", str(exported / "set/images")]
    command += ["--precision", "int8"] if asked else []
    assert CliRunner().invoke(app, [*command, "--out", str(rows)]).exit_code == 0
    code, text = run(
        exported, "--node", str(rows), *asked, "--out", str(out), checkpoint="", model=str(tmp_path / "int8")
    )
    assert code == 0, text
    node = json.loads(out.read_text())["forms"]["node"]
    assert node["compared_with"] == ("onnx_int8_cpu" if int8 else "onnx")
    assert node["boxes"]["paired"] > 0
    assert node["boxes"]["edge_px_max"] < 0.02


def test_a_checkpoint_of_another_network_is_refused(exported: Path, tmp_path: Path) -> None:
    config = load_config("palletjack_light", [*SMALL, "classes=[forklift]"])
    save_weights(Weights(config, build_network(config).state_dict()), tmp_path / "other.pt")
    code, text = run(exported, checkpoint=str(tmp_path / "other.pt"))
    assert code == 1
    assert "other.pt: classes: expected ('palletjack',)" in text.replace("\n", " ")


def test_boxes_are_paired_best_first_and_the_rest_is_counted() -> None:
    reference = {"a": [[0.0, 0.0, 10.0, 10.0, 0.9], [50.0, 0.0, 60.0, 10.0, 0.9]], "b": []}
    found = {"a": [[0.0, 0.0, 10.0, 12.0, 0.8], [1.0, 0.0, 10.0, 10.0, 0.8]], "b": [[0.0, 0, 5, 5, 0.9]]}
    result = compare_boxes(found, reference, 0.5)
    assert result == {
        "paired": 1,
        "only_here": 2,
        "only_in_reference": 1,
        "edge_px_mean": 1.0,
        "edge_px_max": 1.0,
    }
    assert compare_boxes(found, reference, 0.95)["paired"] == 0


def test_predict_and_evaluate_take_the_precision_asked_for(exported: Path, tmp_path: Path) -> None:
    def predict(precision: str) -> tuple[int, str, Path]:
        out = tmp_path / f"{precision}.json"
        command = ["predict", "--model", str(exported / "both"), "--images", str(exported / "set/images")]
        result = CliRunner().invoke(app, [*command, "--out", str(out), "--precision", precision])
        return result.exit_code, result.output, out

    rows = {name: json.loads(predict(name)[2].read_text()) for name in ("fp32", "int8")}
    result = compare_boxes(rows["int8"], rows["fp32"], 0.3)
    assert result["paired"] > 0
    assert result["edge_px_mean"] == pytest.approx(1, abs=0.3)
    code, text, _ = predict("fp16")
    assert code == 1
    assert "precision: expected one of fp32, int8, found 'fp16'" in text
