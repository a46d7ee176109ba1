"""An ONNX file of ours says what it is, in any tool that shows metadata."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import onnx
import onnxruntime
import pytest
from tests.detector.tiny_model import write_tiny_model

from palletjack_detection.model_folder import load_model_spec
from palletjack_training.half import add_half_precision
from palletjack_training.onnx_metadata import stamp_file, stamp_metadata


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny", width=96, height=64)


def test_onnx_runtime_shows_what_the_network_is(tiny: Path) -> None:
    spec = load_model_spec(tiny)
    path = tiny / "model.onnx"
    stamp_file(path, spec)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shown = session.get_modelmeta().custom_metadata_map
    assert shown["palletjack.name"] == spec.name
    assert json.loads(shown["palletjack.classes"]) == list(spec.classes)
    assert json.loads(shown["palletjack.input"])["resize"] == spec.input.resize
    assert (int(shown["palletjack.stride"]), float(shown["palletjack.box_scale"])) == (16, 35.0)
    assert shown["palletjack.precision"] == "fp32"


def test_the_stamp_is_deterministic_and_leaves_other_keys_alone(tiny: Path) -> None:
    spec = load_model_spec(tiny)
    model = onnx.load(str(tiny / "model.onnx"))
    onnx.helper.set_model_props(model, {"author": "someone", "palletjack.name": "old"})
    stamp_metadata(model, spec)
    once = model.SerializeToString()
    stamp_metadata(model, spec)
    assert model.SerializeToString() == once
    keys = [item.key for item in model.metadata_props]
    assert keys.count("palletjack.name") == 1
    assert "author" in keys
    other = dataclasses.replace(spec, training={"config": {"steps": 1}})
    stamp_metadata(model, other)
    assert model.SerializeToString() != once


def test_a_half_precision_file_says_so(tiny: Path) -> None:
    model = onnx.load(str(add_half_precision(tiny)))
    assert {item.key: item.value for item in model.metadata_props}["palletjack.precision"] == "fp16"
