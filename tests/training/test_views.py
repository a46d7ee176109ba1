"""Views of labelled photos: labels follow the pixels, and the numbers are those of all views together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.detector.tiny_model import paint_rectangle, write_tiny_model

from palletjack_detection.detector import Detector
from palletjack_training.evaluation.ground_truth import ImageTruth, TruthBox, load_ground_truth
from palletjack_training.evaluation.views import VIEWS, View, look_at_views

BOXES = [(32, 48, 128, 192), (300, 100, 420, 180)]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    folder = write_tiny_model(tmp_path_factory.mktemp("tiny"), width=480, height=272)
    return Detector.load(folder, threads=1, score_threshold=0.05)


def photo(boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    image = np.full((272, 480, 3), 110, np.uint8)
    for box in boxes:
        paint_rectangle(image, box)
    return image


def photos(folder: Path, labelled: list[list[tuple[int, int, int, int]]]) -> Path:
    """Each photo shows BOXES and is labelled with what is given."""
    (folder / "images").mkdir(parents=True)
    images = {}
    for number, boxes in enumerate(labelled):
        Image.fromarray(photo(BOXES)).save(folder / "images" / f"{number}.png")
        images[f"{number}.png"] = {"boxes": [{"extents": [list(box)]} for box in boxes]}
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": images}))
    return path


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_labels_are_where_the_view_shows_the_object(view: View, detector: Detector) -> None:
    image = photo(BOXES)
    seen = view.image(image)
    assert (seen.shape, seen.dtype) == (image.shape, np.uint8)
    truth = view.truth(ImageTruth(tuple(TruthBox((box,)) for box in BOXES)), 480, 272)
    found = detector.detect(seen)
    expected = sorted(item.extents[0] for item in truth.boxes)
    # Shrinking blurs an edge by a pixel.
    np.testing.assert_allclose(sorted(found.boxes.tolist()), expected, atol=1.1)


def test_a_view_as_taken_changes_nothing_and_the_others_do() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    before = image.copy()
    seen = [view.image(image) for view in VIEWS]
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(seen[0], image)
    assert len({item.tobytes() for item in seen}) == len(VIEWS) == 18
    assert seen[1].mean() > image.mean() > seen[2].mean()


def test_numbers_are_of_all_views_and_intervals_over_photos(tmp_path: Path, detector: Detector) -> None:
    # Of the second photo one object is not labelled: a false alarm in each view.
    truth = load_ground_truth(photos(tmp_path, [BOXES, BOXES[:1]]))
    done: list[str] = []
    seen = look_at_views(detector, truth, on_image=lambda path: done.append(path.name))
    result = seen.scores(0.5, np.random.default_rng(0))
    assert done == ["0.png", "1.png"]
    assert result["views"] == 18
    counts = result["at_threshold"]
    assert (counts["tp"], counts["fp"], counts["fn"]) == (18 * 3, 18, 0)
    assert result["found_in"] == {"0.png": [18, 18], "1.png": [18]}
    assert set(result["by_view"]) == {view.name for view in VIEWS}
    assert all(item["f1"] == pytest.approx(6 / 7) for item in result["by_view"].values())
    # Draws of two photos: twice the first (1.0), twice the second (2/3), or both.
    assert result["intervals_95"]["f1"] == pytest.approx((2 / 3, 1.0))


def test_an_object_that_some_views_hide_is_found_in_the_others(tmp_path: Path) -> None:
    # Colours below 0.6 are not found, which these are where levels are darkened.
    folder = write_tiny_model(tmp_path / "model", width=480, height=272)
    detector = Detector.load(folder, threads=1, score_threshold=0.05)
    path = photos(tmp_path / "set", [BOXES])
    image = photo(BOXES[:1])
    paint_rectangle(image, BOXES[1], (170, 20, 20))
    Image.fromarray(image).save(tmp_path / "set" / "images" / "0.png")
    result = look_at_views(detector, load_ground_truth(path)).scores(0.5, np.random.default_rng(0))
    assert result["found_in"] == {"0.png": [18, 12]}
    assert result["at_threshold"]["fn"] == 6


def test_a_photo_that_cannot_be_read_is_left_out(tmp_path: Path, detector: Detector) -> None:
    path = photos(tmp_path, [BOXES, BOXES])
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    result = look_at_views(detector, load_ground_truth(path)).scores(0.5, np.random.default_rng(0))
    assert (result["at_threshold"]["tp"], result["at_threshold"]["fn"]) == (18 * 2, 0)
