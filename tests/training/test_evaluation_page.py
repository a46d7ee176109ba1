"""The page of an evaluation: what it says and shows must be what was computed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.detector.tiny_model import write_tiny_model
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_training.evaluation.frame_pictures import FrameCounts, choose_frames

TRUCKS = {"a.png": (40.0, 20.0, 90.0, 110.0), "b.png": (10.0, 10.0, 50.0, 40.0)}


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Two grey images with one object each."""
    folder = tmp_path / "photos"
    (folder / "images").mkdir(parents=True)
    for name in TRUCKS:
        Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(folder / "images" / name)
    images = {name: {"boxes": [{"extents": [list(box)], "difficult": False}]} for name, box in TRUCKS.items()}
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": images}))
    return path


def evaluate(annotated: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["evaluate", "--data", str(annotated), *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_page_shows_both_models_frame_by_frame(annotated: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    ours.write_text(json.dumps({"a.png": [[*TRUCKS["a.png"], 0.9]], "b.png": [[100, 60, 150, 110, 0.8]]}))
    theirs.write_text(json.dumps({"b.png": [list(TRUCKS["b.png"])]}))
    report = tmp_path / "report"
    evaluate(annotated, "--predictions", str(ours), "--compare", str(theirs), "--report", str(report))
    html = (report / "index.html").read_text()
    assert "<th>ours</th><th>theirs</th>" in html
    assert re.search(r"Precision there</td><td>0\.500 \(1 false alarm\)</td><td>1\.000 \(0 false", html)
    assert re.search(r"Recall there</td><td>0\.500 \(1 missed\)</td><td>0\.500", html)
    assert "a.png: 1 found, 0 missed, 0 false alarms" in html
    assert "b.png: 0 found, 1 missed, 1 false alarm (left: ours); 1 found, 0 missed, 0 false alarms (" in html
    assert "All detections of theirs have one score" in html
    assert "All detections of ours" not in html
    shown = re.findall(r'src="([^"]+)"', html)
    assert len(shown) == len(set(shown)) >= 8
    for path in shown:
        assert (report / path).is_file(), path
    colours = {"a": (64, 224, 96), "b": (255, 80, 64)}
    for number, (name, colour) in enumerate(colours.items()):
        drawn = np.asarray(Image.open(report / "frames" / f"{number:03d}_a.jpg")).astype(int)
        assert (np.abs(drawn - colour).max(-1) < 60).sum() > 40, f"{name} has no box of its colour"
    assert "intervals_95" in json.loads((report / "report.json").read_text())


def test_the_page_says_what_ran_and_how_much_of_a_gallery_is_shown(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny", width=96, height=64)
    (tmp_path / "images").mkdir()
    images = {}
    for number in range(30):
        name = f"{number}.png"
        Image.fromarray(np.full((64, 96, 3), 60, np.uint8)).save(tmp_path / "images" / name)
        images[name] = {"boxes": [{"extents": [[10, 10, 30, 40]], "difficult": False}]}
    data = tmp_path / "annotations.json"
    data.write_text(json.dumps({"images": images}))
    evaluate(data, "--model", str(model), "--report", str(tmp_path / "report"))
    html = (tmp_path / "report/index.html").read_text()
    assert "<h1>tiny, FP32, onnxruntime</h1>" in html
    assert "and the best score that they had. The first 24 of 30.</p>" in html


def test_a_model_that_finds_nothing_gets_its_page_too(annotated: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.json"
    nothing.write_text("{}")
    report = tmp_path / "report"
    evaluate(annotated, "--predictions", str(nothing), "--report", str(report))
    assert json.loads((report / "report.json").read_text())["at_threshold"]["fn"] == 2
    html = (report / "index.html").read_text()
    assert "0 found, 1 missed, 0 false alarms" in html
    assert (report / "precision_recall.png").stat().st_size > 3000


def test_the_printed_numbers_are_complete_and_need_no_report(annotated: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice.json"
    box = TRUCKS["a.png"]
    twice.write_text(json.dumps({"a.png": [[*box, 0.9], [box[0], box[1], box[2], box[3] - 9, 0.8]]}))
    scores = json.loads(evaluate(annotated, "--predictions", str(twice), "--no-report"))
    assert scores["duplicates"] == {
        "objects_detected": 1,
        "objects_detected_more_than_once": 1,
        "share": 1.0,
    }
    assert scores["by_height"]["medium"]["boxes"] == scores["by_height"]["small"]["boxes"] == 1
    assert set(scores["tao"]) == {"sample", "integrate", "sample_corrected", "integrate_corrected"}
    assert 0 < scores["coco"]["ap50"] < 1


def test_the_page_has_a_place_of_its_own_and_shows_the_reference_that_came_along(
    annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "ours.json"
    ours.write_text(json.dumps({"a.png": [[*TRUCKS["a.png"], 0.9]]}))
    reference = annotated.parent / "reference_predictions.json"
    reference.write_text(json.dumps({"b.png": [list(TRUCKS["b.png"])]}))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    evaluate(annotated, "--predictions", str(ours))
    html = (tmp_path / "here/out/evaluate/ours/photos/index.html").read_text()
    assert "<th>ours</th><th>reference_predictions</th>" in html
    evaluate(annotated, "--predictions", str(ours), "--compare", str(ours))
    html = (tmp_path / "here/out/evaluate/ours/photos/index.html").read_text()
    assert "<th>ours</th><th>reference_predictions</th>" not in html


@pytest.mark.parametrize("option", ["--compare", "--report"])
def test_what_a_report_is_for_is_refused_without_one(annotated: Path, tmp_path: Path, option: str) -> None:
    empty = tmp_path / "p.json"
    empty.write_text("{}")
    command = ["evaluate", "--data", str(annotated), "--predictions", str(empty), "--no-report"]
    result = CliRunner().invoke(app, [*command, option, str(empty)])
    assert result.exit_code == 1
    assert f"--no-report: expected no {option}" in result.output


def test_data_without_an_object_gets_its_numbers_and_its_page(tmp_path: Path) -> None:
    """A folder of negatives: there is no recall to speak of, but every false alarm is to be seen."""
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "annotations.json").write_text(json.dumps({"images": {"a.png": {"boxes": []}}}))
    alarms = tmp_path / "alarms.json"
    alarms.write_text(json.dumps({"a.png": [[10, 10, 60, 60, 0.9]]}))
    report = tmp_path / "report"
    evaluate(tmp_path / "annotations.json", "--predictions", str(alarms), "--report", str(report))
    scores = json.loads((report / "report.json").read_text())
    assert (scores["at_threshold"]["fp"], scores["boxes"], scores["intervals_95"]) == (1, 0, {})
    assert "0 found, 0 missed, 1 false alarm" in (report / "index.html").read_text()


def test_of_many_images_those_with_most_mistakes_are_shown_in_order() -> None:
    mistakes = [(0, 1), (2, 2), (0, 0), (0, 3), (1, 0)]
    counts = [FrameCounts(str(k), 1, missed, alarms) for k, (missed, alarms) in enumerate(mistakes)]
    assert [frame.name for frame in choose_frames(counts, 2)] == ["1", "3"]
    assert choose_frames(counts, 60) == counts
