"""`palletjack evaluate --record` keeps a measurement in the model's own model.json, and nothing else does."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_detection.model_folder import ModelFolderError, load_model_spec, write_model_folder
from palletjack_sdg.dataset import Dataset, write_manifest
from palletjack_training.evaluation.record import measurements, record_measurement
from tests.detector.tiny_model import paint_rectangle, write_tiny_model

BOX = (100, 60, 180, 200)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    source = write_tiny_model(tmp_path / "source", width=320, height=256, coverage=0.4, score_threshold=0.3)
    write_model_folder(load_model_spec(source), source / "model.onnx", tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    """Three frames with an object each, as `palletjack generate` leaves them; one object is not found."""
    folder = tmp_path / "held_out"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for index, colour in enumerate([(230, 20, 20), (230, 20, 20), (120, 120, 120)]):
        image = np.full((256, 320, 3), 120, np.uint8)
        paint_rectangle(image, BOX, colour)
        Image.fromarray(image).save(folder / "images" / f"{index:06d}.png")
        box = " ".join(map(str, BOX))
        line = f"palletjack 0 0 0 {box} 1.2 0.5 1.5 0 0 5 0\n"
        (folder / "labels" / f"{index:06d}.txt").write_text(line)
    write_manifest(Dataset(folder, "png"), {"recipe": "warehouse_holdout", "seed": 77})
    return folder


def evaluate(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["evaluate", *(str(word) for word in words)])
    return result.exit_code, result.output


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "model.json").read_text())["metrics"]
    return found


def test_the_result_is_kept_by_data_set_and_precision(tiny: Path, held_out: Path) -> None:
    code, said = evaluate("--model", tiny, "--data", held_out, "--no-report", "--record")
    assert code == 0, said
    assert f"{tiny}: metrics.held_out.fp32: recorded" in said
    entry = metrics(tiny)["held_out"]["fp32"]
    described = {key: entry["data"][key] for key in ("name", "frames", "recipe", "seed")}
    assert described == {"name": "held_out", "frames": 3, "recipe": "warehouse_holdout", "seed": 77}
    assert entry["ran"]["precision"] == "fp32"
    assert "CPU" in entry["ran"]["provider"]
    assert (entry["images"], entry["boxes"]) == (3, 3)
    counts = entry["at_threshold"]
    assert (counts["threshold"], counts["tp"], counts["fn"], counts["fp"]) == (0.3, 2, 1, 0)
    assert entry["ap50"] == pytest.approx(2 / 3)
    assert entry["at_best_f1"]["f1"] == pytest.approx(0.8)
    low, high = entry["intervals_95"]["ap50"]
    assert low < entry["ap50"] < high
    assert entry["by_height"]["large"]["boxes"] == 3
    assert list(measurements(metrics(tiny))) == [("held_out", "fp32", entry)]


def test_without_it_the_folder_is_only_read(tiny: Path, held_out: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in tiny.iterdir()}
    code, said = evaluate("--model", tiny, "--data", held_out, "--report", tmp_path / "report")
    assert code == 0, said
    assert {path.name: path.read_bytes() for path in tiny.iterdir()} == before
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert report["data"]["recipe"] == "warehouse_holdout"
    assert report["ran"]["model"] == "tiny"


def test_other_measurements_and_fields_stay_as_they_are(tiny: Path, held_out: Path) -> None:
    path = tiny / "model.json"
    document = json.loads(path.read_text())
    document["training"] = {"steps": 3}
    document["metrics"] = {"synthetic_validation": {"ap50": 0.5}, "held_out": {"int8": {"ap50": 0.4}}}
    path.write_text(json.dumps(document))
    assert evaluate("--model", tiny, "--data", held_out, "--no-report", "--record")[0] == 0
    once = json.loads(path.read_text())
    fresh = once["metrics"]["held_out"].pop("fp32")
    assert once == document
    assert evaluate("--model", tiny, "--data", held_out, "--no-report", "--record")[0] == 0
    assert metrics(tiny)["held_out"]["fp32"] == fresh, "the same measurement again, not beside it"
    assert [item.name for item in tiny.iterdir() if item.name.startswith(".")] == []
    load_model_spec(tiny)


def test_views_are_kept_without_the_names_of_photos(tiny: Path, held_out: Path) -> None:
    assert evaluate("--model", tiny, "--data", held_out, "--no-report", "--record", "--views")[0] == 0
    views = metrics(tiny)["held_out"]["fp32"]["views"]
    assert (views["views"], set(views["intervals_95"])) == (18, {"f1", "ap50"})
    assert "000000.png" not in (tiny / "model.json").read_text()


def test_what_is_no_measurement_is_not_overwritten(tiny: Path, held_out: Path) -> None:
    """Said before the images are looked at, which can take long."""
    path = tiny / "model.json"
    document = json.loads(path.read_text())
    document["metrics"] = {"held_out": {"ap50": 0.5, "boxes": 3}}
    path.write_text(json.dumps(document))
    (held_out / "images/000000.png").write_bytes(b"no image")
    code, said = evaluate("--model", tiny, "--data", held_out, "--no-report", "--record")
    assert code == 1
    assert "model.json: metrics.held_out: expected scores by precision (fp32, fp16, int8), found ap50" in said
    assert "no image" not in said
    assert "skipped" not in said
    assert json.loads(path.read_text()) == document


def test_predictions_have_no_model_to_be_kept_in(tiny: Path, held_out: Path) -> None:
    code, said = evaluate("--predictions", held_out / "none.json", "--data", held_out, "--record")
    assert code == 1
    assert "--record: expected --model alone" in said


def test_another_class_would_take_the_place_of_the_first(tiny: Path, held_out: Path) -> None:
    code, said = evaluate("--model", tiny, "--data", held_out, "--record", "--class", "forklift")
    assert code == 1
    assert "--record: expected the class 'palletjack', found --class forklift" in said
    assert metrics(tiny) == {}


SCORES = {"images": 1, "at_best_f1": {"threshold": float("inf")}, "ran": {"backend": "b", "provider": "p"}}


def scores(precision: str = "fp32", **more: Any) -> dict[str, Any]:
    return {**SCORES, "ran": {"backend": "b", "provider": "p", "precision": precision}, **more}


def test_networks_that_were_replaced_meanwhile_get_no_measurement(tiny: Path, tmp_path: Path) -> None:
    measured = load_model_spec(tiny)
    other = write_tiny_model(tmp_path / "other", width=640, height=256)
    write_model_folder(load_model_spec(other), other / "model.onnx", tiny)
    with pytest.raises(ModelFolderError, match=r"onnx_sha256: .* the model was replaced meanwhile"):
        record_measurement(tiny, measured, "held_out", scores())
    assert metrics(tiny) == {}


def test_a_number_that_json_does_not_have_is_null(tiny: Path) -> None:
    record_measurement(tiny, load_model_spec(tiny), "held_out", scores())
    assert metrics(tiny)["held_out"]["fp32"]["at_best_f1"] == {"threshold": None}


def test_evaluations_that_end_together_wait_for_each_other(tiny: Path) -> None:
    """Each reads, adds and writes: without a lock the last one to write would undo the others."""
    spec = load_model_spec(tiny)
    handle = os.open(tiny, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    threads = [
        threading.Thread(target=record_measurement, args=(tiny, spec, f"set{number}", scores()))
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    assert metrics(tiny) == {}
    os.close(handle)
    for thread in threads:
        thread.join(30)
    assert sorted(metrics(tiny)) == ["set0", "set1", "set2"]
