"""Each shipped folder: what its files say of the network is what the network is."""

from __future__ import annotations

import configparser
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import numpy_helper  # noqa: E402

from palletjack_detection.model_folder import load_model_spec  # noqa: E402
from palletjack_training.evaluation.record import measurements  # noqa: E402
from palletjack_training.onnx_graph import OPSET  # noqa: E402
from palletjack_training.onnx_metadata import PREFIX, describe  # noqa: E402
from palletjack_training.tao.import_model import import_model, read_scales  # noqa: E402

MODELS = Path(__file__).resolve().parents[2] / "models"
FOLDERS = sorted(path.parent for path in MODELS.glob("*/model.json"))
each_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)


def shape(value: Any) -> list[int | str]:
    """Sizes of a tensor; a free one by its name."""
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def constants(graph: Any) -> dict[str, np.ndarray]:
    """Weights and constants by tensor name."""
    held = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    nodes = (node for node in graph.node if node.op_type == "Constant")
    return {**held, **{node.output[0]: numpy_helper.to_array(node.attribute[0].t) for node in nodes}}


def test_three_models_ship() -> None:
    assert [folder.name for folder in FOLDERS] == [
        "palletjack_lite",
        "palletjack_lite_pruned",
        "palletjack_resnet18",
    ]


@each_folder
def test_every_graph_has_the_contract_and_says_what_it_is(folder: Path) -> None:
    spec = load_model_spec(folder)
    files = {"model.onnx": "fp32", **{item.file: item.precision for item in spec.variants.values()}}
    assert len(files) == 3
    for file, precision in files.items():
        model = onnx.load(str(folder / file))
        (given,) = model.graph.input
        height, width = spec.input.height, spec.input.width
        bytes_ = ["batch", height, width, 4]
        assert shape(given) == (bytes_ if file == "model_int8_cpu.onnx" else ["batch", 3, height, width])
        grid = [spec.input.height // spec.stride, spec.input.width // spec.stride]
        assert {item.name: shape(item) for item in model.graph.output} == {
            "output_cov/Sigmoid:0": ["batch", len(spec.classes), *grid],
            "output_bbox/BiasAdd:0": ["batch", 4 * len(spec.classes), *grid],
        }
        assert {item.domain: item.version for item in model.opset_import}[""] == OPSET
        stamped = {item.key: item.value for item in model.metadata_props}
        assert {PREFIX + key: value for key, value in describe(spec, precision).items()}.items() <= (
            stamped.items()
        ), file
    assert f"opset {OPSET}" in spec.training["exported_with"]


@each_folder
def test_the_description_names_what_made_the_model(folder: Path) -> None:
    training = load_model_spec(folder).training
    dense, prune, tuned = training["before"]
    assert [stage["stage"] for stage in (dense, prune, tuned, training)] == [
        "train",
        "prune",
        "train",
        "train",
    ]
    assert prune["pruning"] == tuned["pruning"] == training["pruning"]
    for stage in (tuned, training):
        assert stage["taught_by"]["config"] == "palletjack_lite2"
    for stage in (dense, tuned, tuned["taught_by"]):
        assert stage["steps"] > 0
        assert 0.7 < stage["validation"]["ap50"] < 1
    (frames,), (held_out,) = training["data"], training["validation_data"]
    assert (frames["recipe"], frames["seed"], frames["frames"]) == ("warehouse_v1", 2026, training["frames"])
    assert (held_out["recipe"], held_out["seed"]) == ("warehouse_holdout", 77)
    assert training["quantization"] == "trained"


@each_folder
def test_the_description_has_measurements_by_data_set_and_precision(folder: Path) -> None:
    spec = load_model_spec(folder)
    found = {(name, precision): scores for name, precision, scores in measurements(spec.metrics)}
    assert set(found) == {("loco", "int8"), ("loco", "fp32"), ("held_out", "int8"), ("close", "int8")}
    for scores in found.values():
        assert scores["at_threshold"]["threshold"] == spec.score_threshold
        low, high = scores["intervals_95"]["ap50"]
        assert low < scores["ap50"] < high
    assert found["held_out", "int8"]["data"]["seed"] == spec.training["validation_data"][0]["seed"]
    assert found["loco", "int8"]["views"]["views"] == 18


@each_folder
def test_cal_json_holds_the_ranges_of_the_rounded_graph(folder: Path, tmp_path: Path) -> None:
    plain = onnx.load(str(folder / "model.onnx")).graph
    scales = read_scales(folder / "cal.json", plain)
    rounded = onnx.load(str(folder / "model_int8.onnx")).graph
    held = constants(rounded)
    steps = {node.input[0]: held[node.input[1]] for node in rounded.node if node.op_type == "QuantizeLinear"}
    tensors = {name: 127 * float(step) for name, step in steps.items() if step.size == 1}
    assert tensors == pytest.approx(scales, rel=1e-6)
    assert len(scales) > 20
    # As a network of TAO's: the folder that comes back holds the same.
    out = tmp_path / "back"
    found = import_model(
        folder / "model.onnx",
        out,
        name="back",
        classes=load_model_spec(folder).classes,
        threshold=0.5,
        cal_json=folder / "cal.json",
    )
    assert found.scales == len(scales)
    assert json.loads((out / "cal.json").read_text()) == json.loads((folder / "cal.json").read_text())


@each_folder
def test_deepstream_reads_the_network_that_is_there(folder: Path) -> None:
    spec = load_model_spec(folder)
    texts = sorted((folder / "deepstream").glob("config_infer_primary*.txt"))
    assert [path.name for path in texts] == ["config_infer_primary.txt", "config_infer_primary_fp32.txt"]
    modes = []
    for path in texts:
        parser = configparser.ConfigParser()
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(path.read_text())
        values = parser["property"]
        graph = onnx.load(str(path.parent / values["onnx-file"])).graph
        (given,) = graph.input
        assert values["infer-dims"].split(";") == [str(size) for size in shape(given)[1:]]
        outputs = {item.name: shape(item) for item in graph.output}
        names = values["output-blob-names"].split(";")
        assert set(names) == set(outputs)
        # nvinfer's parser looks for these words, and takes four channels of boxes for each of coverage.
        (coverage,) = (name for name in names if "cov" in name)
        (boxes,) = (name for name in names if "bbox" in name)
        assert outputs[coverage][1] == int(values["num-detected-classes"])
        assert outputs[boxes][1] == 4 * int(values["num-detected-classes"])
        labels = (path.parent / values["labelfile-path"]).read_text().split()
        assert labels == list(spec.classes)
        assert float(values["net-scale-factor"]) == pytest.approx(1 / 255)
        assert values["maintain-aspect-ratio"] == str(int(spec.input.resize == "letterbox"))
        rounds = any(node.op_type == "QuantizeLinear" for node in graph.node)
        modes.append((values["network-mode"], rounds))
        assert values["onnx-file"].removeprefix("../") in path.read_text().split("[property]")[0]
    assert modes == [("1", True), ("0", False)]
