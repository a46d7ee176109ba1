"""Scoring: against the official score.py, by hand, and its reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from palletjack_sdg.kitti import KittiFormatError
from palletjack_training.evaluation.bootstrap import bootstrap_intervals
from palletjack_training.evaluation.ground_truth import (
    GroundTruth,
    GroundTruthError,
    ImageTruth,
    TruthBox,
    load_annotations,
    load_ground_truth,
)
from palletjack_training.evaluation.predictions import PredictionsError, read_predictions, write_predictions
from palletjack_training.evaluation.report import gallery_tiles, write_report
from palletjack_training.evaluation.scoring import (
    FALSE_ALARM,
    HIT,
    IGNORED,
    at_threshold,
    average_precision,
    match,
    score,
)

LOCO = Path(__file__).resolve().parents[3] / "shared" / "loco"
loco = pytest.mark.skipif(not LOCO.is_dir(), reason="the labelled photos are not beside the repository")
A, B = (0, 0, 10, 10), (20, 0, 30, 10)


def one_image(*boxes: TruthBox, ignored: tuple[Any, ...] = ()) -> dict[str, ImageTruth]:
    return {"a.png": ImageTruth(boxes, ignored)}


def random_predictions(images: dict[str, Any], rng: np.random.Generator) -> dict[str, list[list[float]]]:
    """Boxes near the true ones, doubles and strays; scores to a tenth, so that many are equal."""
    predictions = {}
    for name, truth in images.items():
        rows = []
        for box in truth["boxes"]:
            for _ in range(rng.integers(0, 4)):
                extent = np.array(box["extents"][rng.integers(len(box["extents"]))])
                size = (extent[2] - extent[0] + extent[3] - extent[1]) / 2
                rows.append([*(extent + rng.normal(0, 0.1, 4) * size), round(float(rng.random()), 1)])
        for _ in range(rng.integers(0, 3)):
            x, y = rng.random(2) * 400
            rows.append([x, y, x + 50, y + 80, float(rng.random())])
        if rng.random() < 0.9:
            predictions[name] = rows
    return predictions


@loco
@pytest.mark.parametrize("seed", range(3))
def test_the_score_is_the_official_one_to_the_last_digit(seed: int, tmp_path: Path) -> None:
    images = json.loads((LOCO / "annotations.json").read_text())["images"]
    rng = np.random.default_rng(seed)
    predictions, threshold = random_predictions(images, rng), round(float(rng.random()), 2)
    path = tmp_path / "predictions.json"
    write_predictions(path, predictions)
    official = subprocess.run(
        [sys.executable, str(LOCO / "score.py"), str(path), "--threshold", str(threshold)],
        capture_output=True,
        text=True,
        check=True,
    )
    truth = load_annotations(LOCO / "annotations.json")
    ours = score(truth.images, read_predictions(path, truth.images), threshold)
    assert 0 < ours["ap50_95"] < ours["ap50"] < 1
    assert json.dumps(ours, indent=2) == official.stdout.strip()


def test_average_precision_by_hand() -> None:
    truth = one_image(TruthBox((A,)), TruthBox((B,)))
    # Hit, false alarm, hit: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
    rows = [[*A, 0.9], [50, 50, 60, 60, 0.8], [*B, 0.7]]
    outcomes = match(truth, {"a.png": rows})
    np.testing.assert_array_equal(outcomes.results, [HIT, FALSE_ALARM, HIT])
    assert average_precision(outcomes) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    counts = at_threshold(outcomes, 0.75)
    assert (counts["tp"], counts["fp"], counts["fn"]) == (1, 1, 1)
    assert (counts["precision"], counts["recall"], counts["f1"]) == (0.5, 0.5, 0.5)
    assert average_precision(match(truth, {})) == 0
    assert score(truth, {"a.png": rows})["at_best_f1"]["threshold"] == 0.7


def test_one_object_is_hit_once_and_the_best_prediction_takes_it() -> None:
    rows = [[0, 0, 10, 9, 0.6], [*A, 0.9], [0, 0, 9, 10, 0.7]]
    outcomes = match(one_image(TruthBox((A,))), {"a.png": rows})
    np.testing.assert_array_equal(outcomes.rows, [1, 2, 0])
    np.testing.assert_array_equal(outcomes.results, [HIT, FALSE_ALARM, FALSE_ALARM])


def test_any_extent_counts_and_iou_must_reach_the_threshold() -> None:
    box = TruthBox((A, (0, 0, 10, 30)))
    for row, result in (((0, 0, 10, 28), HIT), ((0, 0, 10, 5), HIT), ((0, 0, 10, 4.9), FALSE_ALARM)):
        outcomes = match(one_image(box), {"a.png": [[*row, 1.0]]})
        assert outcomes.results.tolist() == [result]


def test_difficult_objects_count_neither_way() -> None:
    truth = one_image(TruthBox((A,), difficult=True), TruthBox((B,)))
    found = score(truth, {"a.png": [[*A, 0.9], [*B, 0.8]]})
    assert (found["boxes"], found["ap50"], found["at_threshold"]["fp"]) == (1, 1.0, 0)
    assert score(truth, {"a.png": [[*B, 0.8]]})["at_threshold"]["f1"] == 1.0


def test_regions_swallow_unmatched_predictions_only() -> None:
    truth = one_image(TruthBox((A,)), ignored=((0, 0, 100, 20),))
    rows = [[*A, 0.9], [40, 0, 60, 20, 0.8], [80, 0, 115, 20, 0.7], [80, 0, 125, 20, 0.6]]
    outcomes = match(truth, {"a.png": rows})
    np.testing.assert_array_equal(outcomes.results, [HIT, IGNORED, IGNORED, FALSE_ALARM])


def write_kitti(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    rest = "-1 -1 -1 -1000 -1000 -1000 -10"
    for k, lines in enumerate(
        (
            f"palletjack 0 0 -10 10 10 30 40 {rest}\nperson 0 0 -10 50 10 60 40 {rest}\n",
            f"PalletJack 0 0 -10 12 10 32 40 {rest}\nDontCare -1 -1 -10 40 0 64 48 {rest}\n",
            "",
        )
    ):
        Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(folder / "images" / f"{k}.png")
        (folder / "labels" / f"{k}.txt").write_text(lines)
    return folder


def test_a_kitti_folder_is_scored(tmp_path: Path) -> None:
    truth = load_ground_truth(write_kitti(tmp_path / "set"))
    assert list(truth.images) == ["0.png", "1.png", "2.png"]
    rows = {
        "0.png": [[10, 10, 30, 40, 0.9], [50, 10, 60, 40, 0.8]],  # the person is a false alarm
        "1.png": [[45, 5, 60, 40, 0.95]],  # in DontCare
        "2.png": [[5, 5, 20, 20, 0.1]],
    }
    found = score(truth.images, rows)
    assert (found["images"], found["boxes"]) == (3, 2)
    counts = found["at_threshold"]
    assert (counts["tp"], counts["fp"], counts["fn"]) == (1, 1, 1)
    people = load_ground_truth(tmp_path / "set", class_name="person")
    assert sum(len(image.boxes) for image in people.images.values()) == 1


def test_wrong_data_is_named(tmp_path: Path) -> None:
    folder = write_kitti(tmp_path / "set")
    (folder / "labels" / "1.txt").write_text("palletjack 0 0\n")
    with pytest.raises(KittiFormatError, match=r"1\.txt:1: columns: expected 15, found 3"):
        load_ground_truth(folder)
    outside = "palletjack 0 0 -10 70 10 90 40 -1 -1 -1 -1000 -1000 -1000 -10\n"
    (folder / "labels" / "1.txt").write_text(outside)
    with pytest.raises(GroundTruthError, match=r"1\.txt: object 1: box: .*inside the 64 x 48 .*found \(70"):
        load_ground_truth(folder)
    (folder / "labels" / "1.txt").unlink()
    with pytest.raises(GroundTruthError, match=r"1\.txt: expected the labels of 1\.png, found nothing there"):
        load_ground_truth(folder)
    with pytest.raises(GroundTruthError, match=r"absent: expected annotations.json.*found nothing there"):
        load_ground_truth(tmp_path / "absent")
    path = tmp_path / "annotations.json"
    for content, message in (
        ("{", "expected JSON"),
        ("[]", "images: expected an object of file names, found None"),
        ('{"images": {"a.jpg": {}}}', "images: a.jpg: boxes: expected a list, found None"),
        ('{"images": {"a.jpg": {"boxes": [{"extents": []}]}}}', r"boxes\[0\]: extents: expected a list of"),
        (
            '{"images": {"a.jpg": {"boxes": [{"extents": [[5, 0, 1, 9]]}]}}}',
            r"extents\[0\]: expected \[xmin, .*found \[5, 0, 1, 9\]",
        ),
    ):
        path.write_text(content)
        with pytest.raises(GroundTruthError, match=message):
            load_ground_truth(path)


def test_wrong_predictions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    for content, message in (
        ("nonsense", "expected JSON"),
        ("[1]", "expected an object of image names, found list"),
        ('{"b.png": []}', r"expected labelled images, found 1 others: \['b.png'\]"),
        ('{"a.png": 3}', "a.png: expected a list of boxes, found 3"),
        ('{"a.png": [[1, 2, 3, 4, 0.5], [1, 2, 3]]}', r"a.png\[1\]: expected \[xmin, .*found \[1, 2, 3\]"),
        ('{"a.png": [[1, 2, 3, NaN, 0.5]]}', r"a.png\[0\]: expected \[xmin"),
    ):
        path.write_text(content)
        with pytest.raises(PredictionsError, match=message):
            read_predictions(path, ["a.png"])
    path.write_text('{"a.png": [[1, 2, 3, 4]]}')
    assert read_predictions(path, ["a.png"]) == {"a.png": [[1, 2, 3, 4, 1.0]]}


def many_images(count: int) -> tuple[dict[str, ImageTruth], dict[str, list[list[float]]]]:
    """``count`` images of one object: three in four hit, every fifth with a false alarm."""
    truth, predictions = {}, {}
    for k in range(count):
        truth[f"{k}.png"] = ImageTruth((TruthBox((A,)),))
        rows = [[*A, 0.9 - 0.001 * k]] if k % 4 else []
        predictions[f"{k}.png"] = [*rows, [40, 0, 50, 10, 0.85]] if k % 5 == 0 else rows
    return truth, predictions


def test_weighting_an_image_is_the_same_as_repeating_it() -> None:
    truth, predictions = many_images(12)
    weights = np.array([0, 2, 1, 3, 0, 1, 1, 1, 2, 0, 1, 1])
    repeated_truth, repeated_rows = {}, {}
    for (name, image), count in zip(truth.items(), weights, strict=True):
        for copy in range(count):
            repeated_truth[f"{name}.{copy}"] = image
            repeated_rows[f"{name}.{copy}"] = predictions[name]
    repeated = match(repeated_truth, repeated_rows)
    outcomes = match(truth, predictions)
    assert at_threshold(outcomes, 0.6, weights) == at_threshold(repeated, 0.6)
    assert average_precision(outcomes, weights) == pytest.approx(average_precision(repeated), abs=1e-12)


def test_bootstrap_intervals_hold_the_score_and_narrow_with_data() -> None:
    widths = []
    for count in (20, 320):
        truth, predictions = many_images(count)
        outcomes = match(truth, predictions)
        intervals = bootstrap_intervals(outcomes, 0.5, np.random.default_rng(0), resamples=300)
        f1, ap = at_threshold(outcomes, 0.5)["f1"], average_precision(outcomes)
        assert intervals["f1"][0] < f1 < intervals["f1"][1]
        assert intervals["ap50"][0] < ap < intervals["ap50"][1]
        assert intervals == bootstrap_intervals(outcomes, 0.5, np.random.default_rng(0), resamples=300)
        widths.append(intervals["f1"][1] - intervals["f1"][0])
    # Sixteen times the images: about a quarter of the width.
    assert widths[1] < 0.5 * widths[0]
    with pytest.raises(ValueError, match="expected at least one counted object, found none"):
        bootstrap_intervals(match({"a": ImageTruth(())}, {}), 0.5, np.random.default_rng(0))


def test_the_report_shows_every_outcome_at_the_threshold(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    truth = load_ground_truth(write_kitti(tmp_path / "set"))
    rows = {
        "0.png": [[10, 10, 30, 40, 0.9], [40, 10, 60, 40, 0.8], [40, 10, 60, 40, 0.2]],
        "1.png": [[12, 10, 32, 40, 0.3]],
    }
    outcomes = match(truth.images, rows)
    tiles = {kind: found for kind, (_, found) in gallery_tiles(truth, rows, outcomes, 0.5).items()}
    assert [t.caption for t in tiles["hits"]] == ["0.90"]
    assert [(t.image, t.caption) for t in tiles["misses"]] == [("1.png", "scored 0.30")]
    assert [t.predicted for t in tiles["false_alarms"]] == [(40, 10, 60, 40)]

    scores = score(truth.images, rows)
    written = write_report(tmp_path / "report", scores, truth, rows, outcomes, 0.5)
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == sorted(p.name for p in written)
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == scores
    with Image.open(tmp_path / "report" / "hits.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    # The crop is twice the object's height around its middle, 200 pixels high: the box is the middle half.
    assert ((pixels == (64, 224, 96)).all(axis=2)).sum(axis=1).argmax() in (50, 149)
    assert len(pixels) == 218


def test_thin_things_survive_in_the_crop_of_a_large_object(tmp_path: Path) -> None:
    """One bright column in twenty: single pixels of it would be all of the crop's brightness, or none."""
    (tmp_path / "images").mkdir()
    picture = np.zeros((1000, 1200, 3), np.uint8)
    picture[:, ::20] = 255
    Image.fromarray(picture).save(tmp_path / "images" / "a.png")
    box = (300.0, 0.0, 900.0, 1000.0)
    truth = GroundTruth({"a.png": ImageTruth((TruthBox((box,)),))}, tmp_path / "images")
    rows = {"a.png": [[*box, 0.9]]}
    write_report(tmp_path / "report", score(truth.images, rows), truth, rows, match(truth.images, rows), 0.5)
    with Image.open(tmp_path / "report" / "hits.png") as sheet:
        crop = np.asarray(sheet.convert("L"))[60:140, 95:145]
    assert crop.mean() == pytest.approx(255 / 20, rel=0.25)
    assert crop.max() < 100


def test_a_failed_write_keeps_the_old_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "predictions.json"
    write_predictions(path, {"a.png": [[1.0, 2.0, 3.0, 4.0, 0.5]]})
    before = path.read_text()

    def full(source: object, target: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("palletjack_sdg.whole_file.os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        write_predictions(path, {"a.png": []})
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.json"]
