"""The comparison of models on photos seen many times: what it measures, compares and leaves behind."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from tests.detector.tiny_model import paint_rectangle, write_tiny_model

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
BOXES = [(40, 60, 140, 200), (260, 80, 400, 220)]


@pytest.fixture
def photo_views(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("photo_views")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four photos with two red rectangles each; of every second photo one of them is not labelled."""
    (tmp_path / "images").mkdir()
    entries = {}
    for number in range(4):
        image = np.full((272, 480, 3), 90, np.uint8)
        for box in BOXES:
            paint_rectangle(image, box)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image[:, :, ::-1])
        boxes = BOXES[: 1 + number % 2]
        entries[f"{number}.png"] = {
            "boxes": [{"extents": [list(box)], "difficult": False} for box in boxes],
        }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"images": entries}))
    return path


def test_models_are_compared_on_the_same_photos(
    photo_views: ModuleType, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_tiny_model(tmp_path / "good", width=480, height=272)
    # Its threshold is above every score that it gives.
    blind = write_tiny_model(tmp_path / "blind", width=480, height=272, coverage=0.5, score_threshold=0.9)
    out, kept = tmp_path / "out", tmp_path / "kept.json"
    models = ("--model", f"good={good}", "--model", f"again={good}:fp32", "--model", f"blind={blind}")
    photo_views.main(["--data", str(photos), "--out", str(out), *models, "--json", str(kept)])
    document = json.loads(kept.read_text())
    assert document == json.loads((out / "result.json").read_text())
    first, again, blind_row = document["rows"]
    counts = first["views"]["at_threshold"]
    assert (counts["tp"], counts["fp"], counts["fn"]) == (18 * 6, 18 * 2, 0)
    assert first["as_taken"]["f1"] == pytest.approx(12 / 14, abs=1e-4)
    assert "difference_intervals_95" not in first
    assert again["difference_intervals_95"]["f1"] == [0, 0]
    assert blind_row["views"]["at_threshold"]["f1"] == 0
    low, high = blind_row["difference_intervals_95"]["f1"]
    assert -1 <= low <= high < -0.6
    table = (out / "table.md").read_text()
    assert "| again | " in table
    assert "| +0.000 (+0.00 to +0.00) |" in table
    assert "| blind | " in table
    assert table in capsys.readouterr().out
    picture = cv2.imread(str(out / "picture.png"))
    assert picture is not None
    assert picture.std() > 10


def test_what_is_no_model_is_refused(photo_views: ModuleType, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="photo_views: --model: expected NAME=FOLDER"):
        photo_views.main(["--data", str(photos), "--out", str(tmp_path / "out"), "--model", "models"])
