"""The compression table: counted, scored and timed once, gone on with, and drawn."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from tests.detector.tiny_model import write_tiny_model

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def compression(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("compression")


def write_data(folder: Path) -> Path:
    """Four frames with one red rectangle each; in one of them the label says that it is elsewhere."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for number in range(4):
        image = np.zeros((64, 96, 3), np.uint8)
        image[16:48, 10 + number : 60] = (0, 0, 255)
        cv2.imwrite(str(folder / f"images/{number}.png"), image)
        box = f"{10 + number} 16 60 48" if number else "70 0 90 20"
        (folder / f"labels/{number}.txt").write_text(f"palletjack 0 0 0 {box} 1 1 1 0 0 5 0\n")
    return folder


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, *more: str) -> dict:
    words = ["--data", f"frames={folder / 'set'}", "--out", str(folder / "out")]
    words += ["--threads", "1", "--repeats", "2", *more]
    monkeypatch.setattr("sys.argv", ["compression", *words])
    module.main()
    document: dict = json.loads((folder / "out/table.json").read_text())
    return document


def test_rows_are_measured_once_and_compared_with_the_first(
    compression: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_data(tmp_path / "set")
    write_tiny_model(tmp_path / "good", width=96, height=64)
    # Sees the same and is never sure of it.
    write_tiny_model(tmp_path / "blind", width=96, height=64, coverage=0.3)
    models = ["--model", f"dense={tmp_path / 'good'}", "--model", f"small={tmp_path / 'blind'}:fp32"]
    document = run(compression, monkeypatch, tmp_path, *models, "--rounds", "2")
    first, second = document["rows"]
    assert [first["name"], second["name"]] == ["dense", "small"]
    assert document["data"] == {"frames": {"images": 4, "boxes": 4}}
    assert document["device"]
    assert document["commit"]
    assert first["bytes"] == (tmp_path / "good/model.onnx").stat().st_size
    assert first["ratios"] == {"smaller": 1, "fewer_parameters": 0, "fewer_macs": 0, "faster": 1}
    scores = first["scores"]["frames"]
    assert (scores["precision"], scores["recall"]) == (0.75, 0.75)
    low, high = scores["intervals_95"]["f1"]
    assert low < scores["f1"] < high
    # Below its own threshold the second finds nothing; its curve is that of the first.
    assert second["scores"]["frames"]["f1"] == 0
    assert second["scores"]["frames"]["ap50"] == scores["ap50"]
    assert second["scores"]["frames"]["difference_intervals_95"]["ap50"] == [0, 0]
    assert second["scores"]["frames"]["difference_intervals_95"]["f1"][1] < 0
    time = second["latency_ms"]
    assert 0 < time["network"]["p50"] <= time["network"]["p95"]
    assert time["total"]["p50"] > time["network"]["p50"]
    text = (tmp_path / "out/table.md").read_text()
    assert "| small | 0.562 (" in text
    assert capsys.readouterr().out == text
    assert (tmp_path / "out/table.png").stat().st_size > 5000

    # Going on: two rounds stay, one is added, and no network is asked again for what it found.
    (kept,) = (tmp_path / "out/latency").iterdir()
    before = json.loads(kept.read_text())["rounds"]
    monkeypatch.setattr(importlib.import_module("model_table.rows"), "predict_files", None)
    again = run(compression, monkeypatch, tmp_path, *models, "--rounds", "3")
    after = json.loads(kept.read_text())["rounds"]
    assert after[:2] == before
    assert len(after) == again["rows"][0]["latency_ms"]["rounds"] == 3
    assert sorted(after[2]["order"]) == ["dense", "small"]
    assert again["rows"][1]["scores"] == second["scores"]

    # Another threshold is another model: it is asked again.
    write_tiny_model(tmp_path / "blind", width=96, height=64, coverage=0.3, score_threshold=0.2)
    with pytest.raises(TypeError):
        run(compression, monkeypatch, tmp_path, *models, "--rounds", "3")


def test_every_precision_of_a_folder_is_a_row(compression: ModuleType) -> None:
    rows = importlib.import_module("model_table.rows")
    folder = BENCHMARKS.parent / "models/palletjack_lite"
    found = rows.parse_rows(f"shipped={folder}")
    assert [(row.name, row.network.name) for row in found] == [
        ("shipped FP32", "model.onnx"),
        ("shipped INT8", "model_int8_cpu.onnx"),
    ]
    assert [row.name for row in rows.parse_rows(f"quick={folder}:int8")] == ["quick"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "dense"], "--model: expected NAME=FOLDER"),
        (["--model", "a={}/tiny", "--model", "a={}/tiny"], "expected a name once"),
        (["--model", "a={}/tiny:int8"], "precision: expected one of fp32"),
        (["--model", "a={}/nothing"], "expected a model folder"),
    ],
)
def test_wrong_models_are_named(
    compression: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    message: str,
) -> None:
    write_data(tmp_path / "set")
    write_tiny_model(tmp_path / "tiny", width=96, height=64)
    with pytest.raises(SystemExit, match=message):
        run(compression, monkeypatch, tmp_path, *(word.format(tmp_path) for word in words))
