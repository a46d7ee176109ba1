"""Inspection of annotated data sets: a label, a mask or a frame that does not agree is found."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_sdg.inspect_dataset import inspect_dataset
from palletjack_sdg.inspect_report import coverage, write_report
from palletjack_sdg.kitti import KittiObject, write_labels
from palletjack_sdg.near_duplicates import difference_hash, near_duplicates

BOX = (10.0, 8.0, 40.0, 38.0)


def write_set(root: Path, frames: int = 4) -> None:
    """Frames with one object of 30 x 30 pixels, its mask and its annotations."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels", "annotations", "masks"):
        (root / name).mkdir(parents=True)
    for index in range(frames):
        coarse = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f"images/{index:06d}.png"), cv2.resize(coarse, (64, 48)))
        write_labels(root / f"labels/{index:06d}.txt", [KittiObject("palletjack", BOX, 0.0, 0)])
        mask = np.zeros((48, 64), np.uint16)
        mask[8:38, 10:40] = 7
        cv2.imwrite(str(root / f"masks/{index:06d}.png"), mask)
        write_annotations(root, index)


def write_annotations(root: Path, index: int, **changes: Any) -> None:
    item = {
        "id": 7, "class": "palletjack", "family": "palletjack", "kind": "standard", "state": "row",
        "visible_pixels": 900, "visible_box": BOX, "label_box": BOX, "occlusion": 0.25, "truncation": 0.0,
        "decision": "labelled",
    }  # fmt: skip
    document = {"instances": [{**item, **changes}]}
    (root / f"annotations/{index:06d}.json").write_text(json.dumps(document))


def test_a_set_that_agrees_has_no_problem_and_is_counted(tmp_path: Path) -> None:
    write_set(tmp_path)
    report = inspect_dataset(tmp_path)
    assert report.problems == []
    assert report.near_duplicates == []
    lines = report.summary_lines()
    assert {"kind: standard 4", "state: row 4", "family: palletjack 4"} <= set(lines)
    assert "occlusion: median 0.25, over a half 0%" in lines
    heat = coverage(report)
    # The box covers 10..40 of 64 columns and 8..38 of 48 rows.
    assert (heat[3:14, 5:20] == 1.0).all()
    assert heat.sum() == 11 * 15


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"label_box": (11.0, 8.0, 40.0, 38.0)}, "expected a labelled box [11.0, 8.0, 40.0, 38.0]"),
        ({"decision": "DontCare"}, "expected no labelled box [10.0, 8.0, 40.0, 38.0]"),
        ({"visible_pixels": 899}, "instance 7: expected 899 pixels, found 900"),
        ({"visible_box": (10.0, 8.0, 40.0, 39.0)}, "found [10, 8, 40, 38]"),
        ({"visible_box": None}, "a field is wrong"),
    ],
)
def test_what_does_not_agree_is_a_problem(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    write_set(tmp_path)
    write_annotations(tmp_path, 2, **changes)
    problems = inspect_dataset(tmp_path).problems
    assert any(text in problem and "000002" in problem for problem in problems), problems


def test_an_object_labelled_twice_and_a_set_without_any_are_found(tmp_path: Path) -> None:
    write_set(tmp_path)
    for name in ("annotations", "masks"):
        for path in (tmp_path / name).iterdir():
            path.unlink()
    twice = [KittiObject("palletjack", BOX), KittiObject("palletjack", (10.0, 8.0, 40.0, 38.5))]
    write_labels(tmp_path / "labels/000001.txt", twice)
    (problem,) = inspect_dataset(tmp_path).problems
    assert "000001.txt:2: box: expected an object of its own, found the box of line 1 again" in problem
    write_labels(tmp_path / "labels/000001.txt", [])
    write_labels(tmp_path / "labels/000002.txt", [])
    assert inspect_dataset(tmp_path).problems == [], "half of them may be meant"
    write_labels(tmp_path / "labels/000000.txt", [])
    (problem,) = inspect_dataset(tmp_path).problems
    assert "expected at most 50% of the files without a line (--max-empty), found 3 of 4" in problem
    result = CliRunner().invoke(app, ["inspect", str(tmp_path), "--no-plots", "--max-empty", "0.75"])
    assert result.exit_code == 0, result.output
    for index in range(4):
        write_labels(tmp_path / f"labels/{index:06d}.txt", [])
    (problem,) = inspect_dataset(tmp_path).problems
    assert "expected objects in some of the frames, found none" in problem


def test_near_duplicates_are_copies_and_not_other_frames() -> None:
    rng = np.random.default_rng(1)
    scenes = [cv2.resize(rng.integers(0, 255, (9, 16, 3), dtype=np.uint8), (320, 184)) for _ in range(40)]
    noisy = np.clip(scenes[3] + rng.normal(0, 4, scenes[3].shape), 0, 255).astype(np.uint8)
    shrunk = cv2.resize(scenes[8], (160, 92), interpolation=cv2.INTER_AREA)
    hashes = [difference_hash(np.asarray(pixels, np.uint8)) for pixels in (*scenes, noisy, shrunk)]
    assert [(one, other) for one, other, _ in near_duplicates(hashes)] == [(3, 40), (8, 41)]
    assert near_duplicates([]) == []


def test_the_report_shows_pictures_that_exist_and_escapes_names(tmp_path: Path) -> None:
    root = tmp_path / "set <b>"
    write_set(root)
    write_annotations(root, 2, visible_pixels=899)
    result = CliRunner().invoke(app, ["inspect", str(root), "--report", str(tmp_path / "report")])
    assert result.exit_code == 1, result.output
    page = (tmp_path / "report" / "index.html").read_text()
    assert "set &lt;b&gt;" in page
    assert "1 problems" in page
    assert "expected 899 pixels, found 900" in page
    assert "Objects by state" in page
    pictures = re.findall(r'src="([^"]+)"', page)
    assert {"plots.png", "contact_sheet.png", "000000.jpg"} <= set(pictures)
    for name in pictures:
        assert cv2.imread(str(tmp_path / "report" / name)) is not None, name


def test_a_report_of_nothing_says_so(tmp_path: Path) -> None:
    page = write_report(inspect_dataset(tmp_path / "none"), tmp_path / "report").read_text()
    assert "2 problems" in page
