"""TAO's exports as model folders: the right route is taken, the wrong one is refused with its remedy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from google.protobuf import text_format
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_detection.detector import Detector
from palletjack_detection.model_folder import load_model_spec
from palletjack_training.config import load_config
from palletjack_training.export import write_onnx
from palletjack_training.network import build_network
from palletjack_training.tao.import_model import ImportModelError, import_model, read_scales
from palletjack_training.tao.onnx_route import RouteError, keras2onnx_signs, load_graph
from palletjack_training.tao.schema import read_spec
from tests.tao.networks import write_network

ONE = ("palletjack",)


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our port of TAO's network through our exporter: the tf2onnx route's names and pads."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    config = load_config("palletjack_resnet18", ["input.width=128", "input.height=64"])
    torch.manual_seed(0)
    write_onnx(build_network(config, load_weights=False).eval(), config, path)
    return path


def scales_of(path: Path) -> dict[str, float]:
    graph = load_graph(path)
    return {"input_1:0": 1.0, **{node.output[0]: 2.5 for node in graph.node if node.op_type == "Relu"}}


def test_an_export_becomes_a_folder_that_the_detector_runs(
    resnet18: Path, specs: Path, tmp_path: Path
) -> None:
    cal = tmp_path / "cal.json"
    cal.write_text(json.dumps({"tensor_scales": scales_of(resnet18)}))
    spec = specs / "train.txt"
    text = spec.read_text().replace("coverage_threshold: 0.05", "coverage_threshold: 0.01")
    spec.write_text(text.replace("dbscan_eps: 0.15", "dbscan_eps: 0.3"))
    out = tmp_path / "mine"
    words = ["tao", "import", "--onnx", str(resnet18), "--out", str(out), "--spec", str(spec)]
    result = CliRunner().invoke(app, [*words, "--cal-json", str(cal), "--threshold", "0.4"])
    assert result.exit_code == 0, result.output
    assert f"mine, classes palletjack, {len(scales_of(resnet18))} tensor scales" in result.stdout
    found = load_model_spec(out)
    assert (found.name, found.classes, found.score_threshold) == ("mine", ONE, 0.4)
    assert (found.input.width, found.input.height, found.input.resize) == (128, 64, "stretch")
    assert (found.box_scale, found.box_offset) == (35.0, 0.5)
    clustering = found.clustering
    assert (clustering.method, clustering.coverage_threshold, clustering.eps) == ("dbscan", 0.01, 0.3)
    assert clustering.min_samples == 1.0
    assert json.loads((out / "cal.json").read_text()) == json.loads(cal.read_text())
    assert not list(out.glob(".*"))
    detections = Detector.load(out).detect(np.full((300, 400, 3), 90, np.uint8))
    assert np.isfinite(detections.boxes).all()


def test_the_shared_minimum_of_version_4_is_kept_and_of_5_is_whole(
    resnet18: Path, specs: Path, tmp_path: Path
) -> None:
    path = specs / "train.txt"
    path.write_text(path.read_text().replace("dbscan_min_samples: 1", "dbscan_min_samples: 0.05"))
    out = tmp_path / "four"
    import_model(resnet18, out, name="four", classes=ONE, threshold=0.5, spec=read_spec(path, "4.0"))
    assert load_model_spec(out).clustering.min_samples == pytest.approx(0.05)
    path.write_text(path.read_text().replace("dbscan_min_samples: 0.05", "dbscan_min_samples: 0"))
    out = tmp_path / "five"
    import_model(resnet18, out, name="five", classes=ONE, threshold=0.5, spec=read_spec(path, "5.0"))
    assert load_model_spec(out).clustering.min_samples == 1.0


def test_labels_name_the_classes(tmp_path: Path) -> None:
    network = write_network(tmp_path / "m.onnx", classes=2)
    (tmp_path / "labels.txt").write_text("palletjack;forklift\n")
    words = ["tao", "import", "--onnx", str(network), "--out", str(tmp_path / "two")]
    neither = CliRunner().invoke(app, words)
    assert "expected --labels or --spec" in neither.output
    done = CliRunner().invoke(app, [*words, "--labels", str(tmp_path / "labels.txt")])
    assert done.exit_code == 0, done.output
    assert load_model_spec(tmp_path / "two").classes == ("palletjack", "forklift")
    with pytest.raises(
        ImportModelError, match=r"output_.*: expected \(1, 2, 4\) for 1 classes, found \(2, 2, 4\)"
    ):
        import_model(network, tmp_path / "one", name="one", classes=ONE, threshold=0.5)
    assert not (tmp_path / "one").exists()


def test_a_class_that_clusters_otherwise_is_said(specs: Path, tmp_path: Path) -> None:
    network = write_network(tmp_path / "m.onnx", classes=2)
    parsed = read_spec(specs / "train.txt", "5.0")
    entries = parsed.message.postprocessing_config.target_class_config
    entries["forklift"].CopyFrom(entries["palletjack"])
    parsed.message.cost_function_config.target_classes.add(name="forklift")
    (specs / "two.txt").write_text(text_format.MessageToString(parsed.message))
    words = ["tao", "import", "--onnx", str(network), "--spec", str(specs / "two.txt")]
    same = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "same")])
    assert (same.exit_code, "cluster otherwise" in same.stderr) == (0, False)
    entries["forklift"].clustering_config.dbscan_eps = 0.4
    (specs / "two.txt").write_text(text_format.MessageToString(parsed.message))
    other = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "other")])
    assert other.exit_code == 0
    assert "two.txt: postprocessing_config: forklift cluster otherwise there" in other.stderr
    assert load_model_spec(tmp_path / "other").clustering.eps == 0.15


@pytest.mark.parametrize(("keras", "odd_pads"), [(True, True), (True, False), (False, True)])
def test_keras2onnx_is_refused_with_the_remedy(keras: bool, odd_pads: bool, tmp_path: Path) -> None:
    network = write_network(tmp_path / "m.onnx", keras=keras, odd_pads=odd_pads)
    with pytest.raises(RouteError, match=r"keras2onnx .*export again with --onnx_route tf2onnx"):
        import_model(network, tmp_path / "out", name="x", classes=ONE, threshold=0.5)
    assert not (tmp_path / "out").exists()


def test_the_right_route_shows_no_sign(resnet18: Path) -> None:
    assert keras2onnx_signs(load_graph(resnet18)) == []


def test_other_files_are_refused(tmp_path: Path, resnet18: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"TensorRT engine")
    with pytest.raises(RouteError, match=r"no\.onnx: expected an ONNX network"):
        load_graph(tmp_path / "no.onnx")
    model = onnx.load(str(resnet18))
    model.graph.output[0].name = "somewhere"
    onnx.save(model, str(tmp_path / "renamed.onnx"))
    with pytest.raises(RouteError, match=r"expected input input_1:0 .*found input_1:0 and .*somewhere"):
        import_model(tmp_path / "renamed.onnx", tmp_path / "out", name="x", classes=ONE, threshold=0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected"),
        ('{"scales": {}}', "expected"),
        ('{"tensor_scales": {"block_9/Relu:0": 1.0}}', r"found 1 others, such as 'block_9/Relu:0'"),
        (
            '{"tensor_scales": {"input_1:0": 0.0}}',
            r"tensor_scales\.input_1:0: expected more than 0, found 0\.0",
        ),
    ],
)
def test_scales_of_another_graph_are_refused(text: str, message: str, resnet18: Path, tmp_path: Path) -> None:
    path = tmp_path / "cal.json"
    path.write_text(text)
    with pytest.raises(ImportModelError, match=message):
        read_scales(path, load_graph(resnet18))
