"""Scores by the size of the object: which box is counted for which object, and the command as a whole."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from palletjack_training.evaluation.ground_truth import GroundTruth, ImageTruth, TruthBox
from tests.detector.tiny_model import write_tiny_model

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def by_size(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("score_by_size")


def labelled(module: ModuleType, *boxes: TruthBox) -> object:
    return module.LabelledData("set", GroundTruth({"a.png": ImageTruth(boxes)}, Path(".")), "digest")


def test_an_object_has_its_best_scored_box_that_fits(by_size: ModuleType) -> None:
    data = labelled(by_size, TruthBox(((0, 0, 100, 50),)), TruthBox(((200, 0, 220, 300),)))
    rows = [
        [0, 0, 100, 50, 0.3],
        [0, 0, 90, 50, 0.6],
        [0, 0, 40, 50, 0.9],
        [300, 0, 400, 300, 0.8],
    ]
    assert by_size.best_boxes(data, {"a.png": rows}) == [
        (100, pytest.approx(0.9), 0.6),
        (300, 0.0, 0.0),
    ]


def test_difficult_objects_are_left_out_and_any_extent_fits(by_size: ModuleType) -> None:
    data = labelled(
        by_size,
        TruthBox(((0, 0, 10, 10),), difficult=True),
        TruthBox(((0, 0, 50, 100), (0, 0, 50, 50))),
    )
    assert by_size.best_boxes(data, {"a.png": [[0, 0, 50, 50, 0.7]]}) == [(100, 1.0, 0.7)]


def test_no_detection_at_all_is_no_box(by_size: ModuleType) -> None:
    data = labelled(by_size, TruthBox(((0, 0, 30, 20),)))
    assert by_size.best_boxes(data, {"a.png": []}) == [(30, 0.0, 0.0)]


def test_lengths_are_summed_up_by_range(by_size: ModuleType) -> None:
    bins = by_size.by_length([(20, 0.6, 0.2), (39, 0.8, 0.4), (30, 0.0, 0.0), (700, 0.9, 0.5)])
    assert [(item["from_px"], item["objects"], item["share_with_box"]) for item in bins] == [
        (0, 3, 0.667),
        (600, 1, 1.0),
    ]
    assert bins[0]["median_iou"] == pytest.approx(0.7)
    assert bins[0]["median_score"] == pytest.approx(0.3)


def test_the_command_leaves_result_table_and_picture(by_size: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = write_tiny_model(tmp_path / "model")
    frames = tmp_path / "set"
    (frames / "images").mkdir(parents=True)
    (frames / "labels").mkdir()
    image = np.zeros((64, 96, 3), np.uint8)
    image[16:48, 10:60] = (0, 0, 255)
    cv2.imwrite(str(frames / "images/0.png"), image)
    (frames / "labels/0.txt").write_text("palletjack 0 0 0 10 16 60 48 1 1 1 0 0 5 0\n")
    out = tmp_path / "out"
    by_size.main(["--out", str(out), "--model", f"tiny={model}:fp32", "--data", f"frames={frames}"])
    result = json.loads((out / "result.json").read_text())
    (row,) = result["rows"]
    (bins,) = row["by_length"]
    assert (bins["from_px"], bins["objects"]) == (40, 1)
    assert row["data"]["frames"]["boxes"] == 1
    assert "| 40 to 80 | 1 |" in (out / "table.md").read_text()
    assert cv2.imread(str(out / "picture.png")) is not None
