"""Average precision against pycocotools and TAO, by height, and the share of duplicates."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palletjack_training.evaluation.duplicates import duplicates
from palletjack_training.evaluation.ground_truth import ImageTruth, TruthBox
from palletjack_training.evaluation.height_bands import BANDS, by_height, match_band
from palletjack_training.evaluation.scoring import IOU_THRESHOLDS, coco_average_precision, match
from palletjack_training.evaluation.tao_average_precision import BoxLimits, tao_average_precisions

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "tao_golden" / "ap_case.json"
Images = dict[str, ImageTruth]
Predictions = dict[str, list[list[float]]]


def crowd(seed: int) -> tuple[Images, Predictions]:
    """Images of overlapping objects of all heights, and predictions near them, doubled and astray."""
    rng = np.random.default_rng(seed)
    images: Images = {}
    predictions: Predictions = {}
    for number in range(40):
        boxes, rows = [], []
        for _ in range(rng.integers(0, 6)):
            corner, size = rng.uniform(0, 400, 2), np.exp(rng.uniform(2.3, 5.5, 2))
            box = (*corner, *(corner + size))
            boxes.append(TruthBox((tuple(float(v) for v in box),), difficult=False))  # type: ignore[arg-type]
            for _ in range(rng.integers(0, 3)):
                moved = np.array(box) + rng.normal(0, 0.12, 4) * np.tile(size, 2)
                if (moved[2:] > moved[:2] + 1).all():
                    rows.append([*moved.tolist(), float(rng.random())])
        for _ in range(rng.integers(0, 3)):
            corner, size = rng.uniform(0, 400, 2), np.exp(rng.uniform(2.3, 5.5, 2))
            rows.append([*corner.tolist(), *(corner + size).tolist(), float(rng.random())])
        images[f"{number}.png"] = ImageTruth(tuple(boxes))
        predictions[f"{number}.png"] = rows
    return images, predictions


def coco_precisions(images: Images, predictions: Predictions) -> np.ndarray:
    """pycocotools' AP (thresholds, ranges) over all heights and each band; its "area" is the height here."""
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    annotations, results = [], []
    for number, (name, truth) in enumerate(images.items()):
        for box in truth.boxes:
            x1, y1, x2, y2 = box.extents[0]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0,
                 "bbox": [x1, y1, x2 - x1, y2 - y1], "area": y2 - y1}
            )  # fmt: skip
        for x1, y1, x2, y2, score in predictions[name]:
            results.append(
                {"image_id": number, "category_id": 1, "score": score, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            )
    truths = coco.COCO()
    truths.dataset = {
        "info": {},
        "images": [{"id": number} for number in range(len(images))],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "palletjack"}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truths.createIndex()
        found = truths.loadRes(results)
        for item in found.anns.values():
            item["area"] = item["bbox"][3]
        run = evaluation.COCOeval(truths, found, "bbox")
        # Its ranges contain both ends, ours the lower one; random heights meet neither.
        run.params.areaRng = [[0, 1e9], *([low, min(high, 1e9)] for low, high in BANDS.values())]
        run.params.areaRngLbl = ["all", *BANDS]
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, 0, :, -1]  # thresholds, recalls, ranges
    return np.asarray(precision.mean(axis=1))


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_that_of_pycocotools(seed: int) -> None:
    images, predictions = crowd(seed)
    wanted = coco_precisions(images, predictions)
    ours = [coco_average_precision(match(images, predictions, iou)) for iou in IOU_THRESHOLDS]
    assert 0.2 < wanted[0, 0] < 0.95
    np.testing.assert_allclose(ours, wanted[:, 0], atol=1e-9)
    for column, band in enumerate(BANDS.values(), start=1):
        ours = [coco_average_precision(match_band(images, predictions, band, iou)) for iou in IOU_THRESHOLDS]
        np.testing.assert_allclose(ours, wanted[:, column], atol=1e-9)


def test_heights_share_out_the_objects() -> None:
    images, predictions = crowd(5)
    bands = by_height(images, predictions, 0.3)
    total = sum(len(truth.boxes) for truth in images.values())
    assert sum(band["boxes"] for band in bands.values()) == total
    assert all(band["tp"] + band["fn"] == band["boxes"] > 5 for band in bands.values())
    assert bands["large"]["height_px"] == [120.0, None]
    assert by_height({"a": ImageTruth(())}, {}, 0.5)["small"]["ap50"] is None


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the golden vectors (../shared/tao_golden) are not here")
def test_both_modes_are_those_of_tao() -> None:
    case: dict[str, Any] = json.loads(GOLDEN.read_text())
    images = {
        str(number): ImageTruth(tuple(TruthBox((tuple(box),)) for box in boxes))
        for number, boxes in enumerate(case["gts"])
    }
    predictions = {str(n): [[*box, score] for box, score in rows] for n, rows in enumerate(case["dets"])}
    low_h, high_h, low_w, high_w = case["box_cfg"]
    limits = BoxLimits(low_w, high_w, low_h, high_h)
    found = tao_average_precisions(images, predictions, limits=limits, iou_threshold=case["iou"])
    assert found["integrate"] == pytest.approx(case["integrate"], abs=1e-9)
    assert found["sample"] == pytest.approx(case["sample"], abs=1e-9)
    assert found["integrate_corrected"] > found["integrate"]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_perfect_detector_is_perfect_only_when_corrected(count: int) -> None:
    boxes = [(100.0 * k, 10.0, 100.0 * k + 60, 90.0) for k in range(count)]
    images = {"a": ImageTruth(tuple(TruthBox((box,)) for box in boxes))}
    found = tao_average_precisions(images, {"a": [[*box, 0.9 - 0.1 * k] for k, box in enumerate(boxes)]})
    assert found["integrate"] == pytest.approx((count - 1) / count)
    assert found["integrate_corrected"] == 1
    assert found["sample"] == found["sample_corrected"] == 1


def test_small_objects_are_dropped_by_tao_and_left_out_when_corrected() -> None:
    """A detection just over the limit on an object just under it is a false alarm to TAO alone."""
    images = {"a": ImageTruth((TruthBox(((0.0, 0.0, 24.0, 24.0),)), TruthBox(((50.0, 0.0, 90.0, 60.0),))))}
    rows = {"a": [[0.0, 0.0, 25.0, 25.0, 0.9], [50.0, 0.0, 90.0, 60.0, 0.8]]}
    found = tao_average_precisions(images, rows)
    assert found["sample"] == pytest.approx(0.5)
    assert found["sample_corrected"] == found["integrate_corrected"] == 1


def test_duplicates_are_overlapping_or_nested_and_over_the_threshold() -> None:
    truck, other = TruthBox(((0, 0, 100, 100),)), TruthBox(((200, 0, 300, 100),), difficult=True)
    images = {"a": ImageTruth((truck, other)), "b": ImageTruth((truck,))}
    whole, shifted, inside = [0, 0, 100, 100, 0.9], [30, 0, 130, 100, 0.8], [10, 10, 40, 40, 0.7]
    astray, second = [70, 70, 170, 170, 0.9], [200, 0, 300, 100, 0.9]

    def count(rows: list[list[float]], threshold: float = 0.5) -> tuple[int, int]:
        found = duplicates(images, {"a": rows}, threshold)
        return found["objects_detected"], found["objects_detected_more_than_once"]

    assert count([whole]) == (1, 0)
    assert count([whole, shifted]) == (1, 1)
    assert count([whole, inside]) == (1, 1)
    assert count([whole, inside], 0.75) == (1, 0)
    assert count([whole, astray]) == (1, 0)
    assert count([whole, second]) == (2, 0)
    assert duplicates(images, {"a": [whole, inside, second]}, 0.5)["share"] == 0.5
    assert duplicates(images, {}, 0.5)["share"] == 0


def test_a_box_around_two_objects_is_a_duplicate_of_one() -> None:
    images = {"a": ImageTruth((TruthBox(((0, 0, 50, 100),)), TruthBox(((50, 0, 100, 100),))))}
    rows = {"a": [[0.0, 0.0, 50.0, 100.0, 0.9], [50.0, 0.0, 100.0, 100.0, 0.9], [0.0, 0.0, 98.0, 100.0, 0.8]]}
    assert duplicates(images, rows, 0.5)["objects_detected_more_than_once"] == 1
