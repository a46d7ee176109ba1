"""No shipped configuration detects one object twice; the metric is `duplicates` of `palletjack evaluate`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from palletjack_detection.detector import Detector
from palletjack_detection.engine import EngineError
from palletjack_detection.model_folder import PRECISIONS, ModelFolderError
from palletjack_training.evaluation.duplicates import duplicates
from palletjack_training.evaluation.ground_truth import GroundTruth, load_ground_truth
from palletjack_training.evaluation.inference import predict_files

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = ROOT.parent / "shared" / "loco" / "annotations.json"
MODELS = sorted(path.parent for path in (ROOT / "models").glob("*/model.json"))

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def photos() -> GroundTruth:
    if not PHOTOS.is_file():
        pytest.skip(f"no labelled photos: {PHOTOS} is absent")
    return load_ground_truth(PHOTOS)


def count(model: Path, photos: GroundTruth, precision: str = "auto") -> dict[str, Any]:
    """The metric at the model's own threshold. Raises EngineError, ModelFolderError."""
    detector = Detector.load(model, precision=precision, threads=2)
    paths = [photos.image_dir / name for name in photos.images]
    found = predict_files(detector, paths)
    assert not found.unreadable
    return duplicates(photos.images, found.predictions, detector.score_threshold)


def with_clustering(model: Path, folder: Path, **changes: Any) -> Path:
    """A copy of the model folder with other clustering."""
    shutil.copytree(model, folder)
    document = json.loads((folder / "model.json").read_text())
    document["clustering"].update(changes)
    (folder / "model.json").write_text(json.dumps(document))
    return folder


def test_there_are_shipped_models() -> None:
    assert MODELS


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.name)
def test_no_object_is_found_twice_in_any_precision(model: Path, photos: GroundTruth) -> None:
    seen = []
    for precision in PRECISIONS:
        try:
            result = count(model, photos, precision)
        except (EngineError, ModelFolderError):
            continue  # the folder does not hold it
        assert result["objects_detected"] >= 10, precision
        assert result["objects_detected_more_than_once"] == 0, (precision, result)
        seen.append(precision)
    assert seen


@pytest.mark.parametrize("model", MODELS[:1], ids=lambda path: path.name)
def test_the_metric_sees_duplicates_where_nothing_is_clustered(
    model: Path, photos: GroundTruth, tmp_path: Path
) -> None:
    result = count(
        with_clustering(model, tmp_path / "loose", method="plain_nms", iou_threshold=0.999), photos
    )
    assert result["objects_detected_more_than_once"] > 5
