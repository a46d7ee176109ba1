"""DeepStream's configuration says what model.json says, and a model that its parser misreads is refused."""

from __future__ import annotations

import configparser
import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palletjack_detection.decode import decode_hot_cells
from palletjack_detection.engine import EngineError
from palletjack_detection.model_folder import load_model_spec, write_model_folder
from palletjack_training.deepstream import (
    CONFIG_NAME,
    DeepStreamError,
    deepstream_files,
    for_tensorrt,
    nvinfer_config,
    write_deepstream,
)

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = sorted(path.parent for path in (REPOSITORY / "models").glob("*/model.json"))


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def test_the_configuration_says_what_the_model_says(tiny: Path) -> None:
    spec = load_model_spec(tiny)
    found = parsed(nvinfer_config(spec, "fp16"))
    values = found["property"]
    assert values["infer-dims"] == "3;64;96"
    assert float(values["net-scale-factor"]) == spec.input.scale
    assert values["output-blob-names"] == f"{spec.outputs.coverage};{spec.outputs.boxes}"
    assert (values["network-mode"], values["cluster-mode"], values["model-color-format"]) == ("2", "2", "0")
    assert (values["maintain-aspect-ratio"], values["symmetric-padding"]) == ("1", "1")
    assert float(found["class-attrs-all"]["pre-cluster-threshold"]) == spec.score_threshold


def test_a_stretched_model_with_dbscan_is_another_configuration(tiny: Path) -> None:
    spec = load_model_spec(tiny)
    spec = dataclasses.replace(
        spec,
        input=dataclasses.replace(spec.input, resize="stretch"),
        clustering=dataclasses.replace(spec.clustering, method="dbscan", eps=0.2),
    )
    found = parsed(nvinfer_config(spec, "fp32"))
    assert (found["property"]["maintain-aspect-ratio"], found["property"]["cluster-mode"]) == ("0", "1")
    assert float(found["class-attrs-all"]["eps"]) == 0.2
    assert float(found["class-attrs-all"]["post-cluster-threshold"]) == spec.score_threshold


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"box_scale": 30.0}, "box_scale: nvinfer takes 35.0, found 30.0"),
        ({"box_offset": 0.0}, "box_offset: nvinfer takes 0.5, found 0.0"),
        ({"input": {"stddev": (0.5, 0.5, 0.5)}}, "input.stddev: nvinfer takes (1.0, 1.0, 1.0)"),
        ({"input": {"pad_value": 114}}, "input.pad_value: nvinfer takes 0, found 114"),
        ({"outputs": {"coverage": "scores"}}, "outputs.coverage: nvinfer looks for a name with 'cov'"),
    ],
)
def test_a_model_that_nvinfer_would_misread_is_refused(
    tiny: Path, changes: dict[str, Any], message: str
) -> None:
    spec = load_model_spec(tiny)
    flat = {
        key: dataclasses.replace(getattr(spec, key), **value) if isinstance(value, dict) else value
        for key, value in changes.items()
    }
    with pytest.raises(DeepStreamError, match=re.escape(message)):
        nvinfer_config(dataclasses.replace(spec, **flat), "fp32")


def test_our_decoding_is_the_parsers_formula() -> None:
    """nvinfer: left = (column * stride + 0.5) - 35 * value, right = ... + 35 * value; rows alike."""
    rng = np.random.default_rng(4)
    coverage = rng.random((1, 4, 6), np.float32)
    distances = rng.random((4, 4, 6), np.float32)
    found = decode_hot_cells(
        coverage, distances, coverage_threshold=0.5, stride=16, box_scale=35.0, box_offset=0.5
    )
    rows, columns = np.nonzero(coverage[0] > 0.5)
    x, y = columns * 16 + 0.5, rows * 16 + 0.5
    picked = distances[:, rows, columns] * 35
    wanted = np.stack([x - picked[0], y - picked[1], x + picked[2], y + picked[3]], axis=1)
    assert len(wanted) > 3
    order, ours = np.lexsort(wanted.T), np.lexsort(found.boxes.T)
    np.testing.assert_allclose(found.boxes[ours], wanted[order], atol=1e-3)


def test_int8_runs_from_an_engine_built_by_trtexec(tiny: Path, tmp_path: Path) -> None:
    network = tiny / "model.onnx"
    spec = write_model_folder(load_model_spec(tiny), network, tmp_path / "m", {"int8": network})
    text = nvinfer_config(spec, "int8")
    assert "trtexec --onnx=../model_int8.onnx" in text
    assert parsed(text)["property"]["network-mode"] == "1"


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda path: path.name)
def test_the_shipped_configuration_is_current(folder: Path, tmp_path: Path) -> None:
    spec = load_model_spec(folder)
    shipped = {path.name: path.read_text() for path in (folder / "deepstream").iterdir()}
    assert shipped == deepstream_files(spec, for_tensorrt(spec), ".."), (
        f"run: palletjack deepstream-config --model models/{folder.name}"
    )
    write_deepstream(folder, spec, for_tensorrt(spec), tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "labels.txt").read_text() == "palletjack\n"
    assert CONFIG_NAME in shipped


def test_each_precision_for_tensorrt_has_a_configuration(tiny: Path, tmp_path: Path) -> None:
    network = tiny / "model.onnx"
    variants = {"int8": network, "int8_cpu": network}
    spec = write_model_folder(load_model_spec(tiny), network, tmp_path / "both", variants)
    assert list(deepstream_files(spec, for_tensorrt(spec), "..")) == [
        "labels.txt",
        "config_infer_primary.txt",
        "config_infer_primary_int8.txt",
    ]
    spec = write_model_folder(load_model_spec(tiny), network, tmp_path / "cpu", {"int8_cpu": network})
    assert for_tensorrt(spec) == ("fp32",)
    with pytest.raises(EngineError, match=r"model_int8_cpu\.onnx: expected a network for TensorRT"):
        nvinfer_config(spec, "int8")
