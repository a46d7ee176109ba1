"""model.json: what is accepted, what is refused and with which words, and writing it whole."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from palletjack_detection import model_folder
from palletjack_detection.model_folder import (
    ModelFolderError,
    ModelSpec,
    load_model_spec,
    parse_model_spec,
    write_model_folder,
)
from tests.detector.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"), width=96, height=64)


@pytest.fixture
def document(tiny: Path) -> dict[str, Any]:
    return json.loads((tiny / "model.json").read_text())


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(document)
    *parents, last = path.split(".")
    target = result
    for key in parents:
        target = target[key]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return result


def test_a_valid_folder_is_read_field_for_field(tiny: Path) -> None:
    spec = load_model_spec(tiny)
    assert (spec.name, spec.classes, spec.stride) == ("tiny", ("palletjack",), 16)
    assert (spec.input.width, spec.input.height, spec.input.mean) == (96, 64, (0.0, 0.0, 0.0))
    assert spec.input.scale == 1 / 255
    assert (spec.clustering.method, spec.clustering.min_samples) == ("nms", 0.05)
    assert spec.grid == (4, 6)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("format", "palletjack-model/9", "format: expected 'palletjack-model/1', found 'palletjack-model/9'"),
        ("format", ..., "format: expected 'palletjack-model/1', found no such field"),
        ("classes", ..., "classes: expected a list of strings, found no field"),
        ("clustering.coverage_threshold", ..., "clustering.coverage_threshold: expected a finite number"),
        ("clasess", ["x"], "clasess: expected one of .*; did you mean 'classes'"),
        ("input.hight", 544, "input.hight: .*did you mean 'height'"),
        ("input.width", "960", 'input.width: expected a whole number, found "960"'),
        ("input.width", 96.0, "input.width: expected a whole number, found 96.0"),
        ("input.width", True, "input.width: expected a whole number, found true"),
        ("input.width", 100, "input.width: expected a multiple of stride 16, found 100"),
        ("input.height", 0, "input.height: expected 1 to 16384, found 0"),
        ("input.resize", "letterboxed", "input.resize: expected one of letterbox, stretch.*mean 'letterbox'"),
        ("input.mean", [0, 0], "input.mean: expected a list of 3 finite numbers, found a list of 2"),
        ("input.mean", [0, "a", 0], r'input.mean\[1\]: expected a finite number, found "a"'),
        ("input.stddev", [1, 0, 1], r"input.stddev\[1\]: expected more than 0, found 0"),
        ("input.scale", float("nan"), "input.scale: expected a finite number, found NaN"),
        ("input", None, "input: expected an object, found null"),
        ("box_scale", -35.0, "box_scale: expected more than 0, found -35"),
        ("score_threshold", 1.5, "score_threshold: expected 0.0 to 1.0, found 1.5"),
        ("clustering.method", "dbscann", "clustering.method: .*did you mean 'dbscan'"),
        ("clustering.min_samples", -1, "clustering.min_samples: expected 0.0 or more, found -1"),
        ("classes", [], "classes: expected at least one name"),
        ("classes", ["a", "a"], "classes: expected at least one name, each once"),
        ("classes", [" "], r"classes\[0\]: expected a name, found an empty string"),
        ("outputs.boxes", "output_cov/Sigmoid:0", "outputs.boxes: expected another tensor"),
        ("architecture", "yolo", "architecture: expected one of detectnet_v2, found 'yolo'"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(
    document: dict[str, Any], path: str, value: Any, message: str
) -> None:
    with pytest.raises(ModelFolderError, match="^model.json: " + message):
        parse_model_spec(changed(document, path, value))


def test_missing_pieces_are_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="absent: expected a model folder, found nothing there"):
        load_model_spec(tmp_path / "absent")
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(
        ModelFolderError, match=r"model\.json: expected the model's description, found nothing"
    ):
        load_model_spec(folder)
    (folder / "model.json").write_text((tiny / "model.json").read_text())
    with pytest.raises(ModelFolderError, match=r"model\.onnx: expected the network, found nothing there"):
        load_model_spec(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format": ', "expected JSON, found Expecting value at line 1, column 12"),
        (b"\xff\xfe{}", "expected UTF-8 text"),
        (b"[]", "document: expected an object, found a list of 0"),
        (b'{"name": "a", "name": "b"}', "name: expected once, found twice"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(ModelFolderError, match=re.escape(str(path)) + ": " + message):
        load_model_spec(tmp_path)


def test_writing_and_reading_give_the_same_spec(tiny: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(
        load_model_spec(tiny), name="copy", training={"frames": 8}, metrics={"ap50": 0.5}
    )
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "README.md").write_text("kept")
    written = write_model_folder(spec, tiny / "model.onnx", folder)
    assert load_model_spec(folder) == written
    assert dataclasses.replace(written, onnx_sha256="") == spec
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "model.json", "model.onnx"]
    assert (folder / "model.onnx").read_bytes() == (tiny / "model.onnx").read_bytes()


def test_a_network_of_another_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    write_model_folder(load_model_spec(tiny), tiny / "model.onnx", tmp_path)
    write_tiny_model(tmp_path / "other", width=96, height=64, coverage=0.5)
    (tmp_path / "model.onnx").write_bytes((tmp_path / "other" / "model.onnx").read_bytes())
    with pytest.raises(ModelFolderError, match=r"onnx_sha256: expected .*not of the same model"):
        load_model_spec(tmp_path)


def test_a_failed_write_leaves_the_old_model(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_model_spec(tiny)
    old = write_model_folder(spec, tiny / "model.onnx", tmp_path)

    def full(source: object, target: object) -> None:
        raise OSError("no space left on device")

    new = dataclasses.replace(spec, name="new")
    with monkeypatch.context() as patch:
        patch.setattr(model_folder.shutil, "copyfile", full)
        with pytest.raises(OSError, match="no space left"):
            write_model_folder(new, tiny / "model.onnx", tmp_path)
    invalid: ModelSpec = dataclasses.replace(spec, score_threshold=7.0)
    with pytest.raises(ModelFolderError, match=r"score_threshold: expected 0\.0 to 1\.0, found 7\.0"):
        write_model_folder(invalid, tiny / "model.onnx", tmp_path)
    with pytest.raises(ModelFolderError, match="expected an ONNX file, found nothing there"):
        write_model_folder(spec, tmp_path / "absent.onnx", tmp_path)
    assert load_model_spec(tmp_path) == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.onnx"]


def with_variants(tiny: Path, folder: Path, **changes: Any) -> ModelSpec:
    """A copy of the tiny model with its own network as both INT8 variants."""
    spec = dataclasses.replace(load_model_spec(tiny), **changes)
    network = tiny / "model.onnx"
    return write_model_folder(spec, network, folder, {"int8": network, "int8_cpu": network})


def test_variants_are_written_and_read(tiny: Path, tmp_path: Path) -> None:
    written = with_variants(tiny, tmp_path)
    assert load_model_spec(tmp_path) == written
    assert written.precisions == ("fp32", "int8")
    assert (tmp_path / "model_int8.onnx").read_bytes() == (tiny / "model.onnx").read_bytes()
    assert written.network_file("int8", "cpu") == "model_int8_cpu.onnx"
    assert written.network_file("int8", "tensorrt") == "model_int8.onnx"
    assert written.network_file("auto", "cpu") == "model.onnx"


def test_the_model_says_what_runs_where_nothing_is_asked_for(tiny: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(load_model_spec(tiny), precision="int8")
    network = tiny / "model.onnx"
    written = write_model_folder(spec, network, tmp_path, {"int8": network})
    assert written.network_file("auto", "cpu") == "model_int8.onnx", "any file of the precision will do"
    assert written.network_file("fp32") == "model.onnx"


def test_a_precision_that_is_not_there_is_refused_with_those_that_are(tiny: Path, tmp_path: Path) -> None:
    spec = with_variants(tiny, tmp_path)
    with pytest.raises(ModelFolderError, match="expected one of fp32, int8, found 'fp16'"):
        spec.network_file("fp16")
    with pytest.raises(ModelFolderError, match="precision: expected one of fp32, which the folder holds"):
        write_model_folder(dataclasses.replace(spec, precision="int8"), tiny / "model.onnx", tmp_path)


def test_a_variant_of_another_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    with_variants(tiny, tmp_path)
    (tmp_path / "model_int8_cpu.onnx").write_bytes(b"something else")
    with pytest.raises(
        ModelFolderError, match=r"variants\.int8_cpu\.sha256: expected .* not of the same model"
    ):
        load_model_spec(tmp_path)
    (tmp_path / "model_int8_cpu.onnx").unlink()
    with pytest.raises(ModelFolderError, match=r"model_int8_cpu\.onnx: expected the network, found nothing"):
        load_model_spec(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("file", "../model.onnx", "variants.int8.file: expected an .onnx file beside model.json"),
        ("precision", "int9", "variants.int8.precision: expected one of fp32, fp16, int8, found 'int9'"),
        ("runtime", "gpu", "variants.int8.runtime: expected one of cpu, tensorrt, any, found 'gpu'"),
        ("fil", "x", "variants.int8.fil: expected one of file, sha256, precision, runtime"),
        ("sha256", 5, "variants.int8.sha256: expected a string, found 5"),
    ],
)
def test_a_wrong_variant_is_named(tiny: Path, tmp_path: Path, field: str, value: Any, message: str) -> None:
    with_variants(tiny, tmp_path)
    path = tmp_path / "model.json"
    content = json.loads(path.read_text())
    content["variants"]["int8"][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ModelFolderError, match=re.escape(message)):
        load_model_spec(tmp_path)


def test_an_unknown_variant_is_not_written(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="expected one of int8, int8_cpu, fp16, found 'int4'"):
        write_model_folder(
            load_model_spec(tiny), tiny / "model.onnx", tmp_path, {"int4": tiny / "model.onnx"}
        )
