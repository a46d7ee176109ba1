"""Curves and galleries of evaluations, copied beside the page that shows them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from palletjack_detection.model_folder import ModelSpec
from palletjack_sdg.whole_file import write_whole
from palletjack_training.card.own_words import CardError
from palletjack_training.evaluation.record import measurements

FOLDER = "card"
REPORT = "report.json"
# What a report holds, what it is called here, and what it shows. Pictures of many crops are smaller as JPEG.
PICTURES = {
    "precision_recall.png": ("precision_recall.png", "Precision and recall"),
    "f1_threshold.png": ("f1_threshold.png", "Precision, recall and F1 by threshold"),
    "misses.png": ("misses.jpg", "Missed: the label, and the best score that it had"),
    "false_alarms.png": ("false_alarms.jpg", "False alarms, the surest first"),
}
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class Report:
    """An evaluation's folder, its scores, and the names of its data set and precision."""

    folder: Path
    scores: dict[str, Any]
    data: str
    precision: str

    @property
    def pictures(self) -> dict[str, tuple[str, str]]:
        """Of each picture that is there its name beside the page and its caption."""
        prefix = f"{self.data}_{self.precision}"
        return {
            name: (f"{prefix}_{target}", caption)
            for name, (target, caption) in PICTURES.items()
            if (self.folder / name).is_file()
        }


def read_report(folder: Path, spec: ModelSpec) -> Report:
    """The report in ``folder``, of the model of ``spec``.

    Raises CardError where there is none, or where it is of another model or of other numbers than those that
    the model's description has for this data set and precision.
    """
    path = folder / REPORT
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CardError(f"{path}: expected a report of palletjack evaluate, found nothing there") from None
    except ValueError as error:
        raise CardError(f"{path}: expected JSON, found {error}") from None
    ran = scores.get("ran") if isinstance(scores, dict) else None
    data = scores.get("data") if isinstance(scores, dict) else None
    whole = isinstance(scores, dict) and isinstance(scores.get("ap50"), (int, float))
    if not whole or not isinstance(ran, dict) or not isinstance(data, dict):
        raise CardError(f"{path}: expected data, ran and ap50, which a report of a model has, found not all")
    if ran.get("model") != spec.name:
        raise CardError(f"{path}: ran.model: expected {spec.name!r}, found {ran.get('model')!r}")
    report = Report(folder, scores, str(data.get("name")), str(ran.get("precision")))
    for name, precision, recorded in measurements(spec.metrics):
        same = (name, precision) == (report.data, report.precision)
        if same and not math.isclose(recorded["ap50"], scores["ap50"], abs_tol=1e-9):
            raise CardError(
                f"{path}: ap50: expected {recorded['ap50']:.6f} as model.json has it, found "
                f"{scores['ap50']:.6f}: the report is of another evaluation"
            )
    return report


def copy_pictures(reports: list[Report], model: Path) -> list[Path]:
    """Put the pictures of ``reports`` into the folder ``card`` of the model, and nothing else's.

    Raises CardError for two reports of one data set and precision, or a picture that cannot be read.
    """
    target = model / FOLDER
    written: list[Path] = []
    for report in reports:
        for name, (new_name, _) in report.pictures.items():
            path = target / new_name
            if path in written:
                raise CardError(
                    f"{report.folder}: expected one report of {report.data} in {report.precision}"
                )
            target.mkdir(exist_ok=True)
            write_whole(path, _picture(report.folder / name, path.suffix))
            written.append(path)
    if target.is_dir():
        for path in target.iterdir():
            if path.suffix in (".png", ".jpg") and path not in written:
                path.unlink()
        if not any(target.iterdir()):
            target.rmdir()
    return written


def _picture(source: Path, suffix: str) -> bytes:
    """The content of a file with ``suffix`` that shows what ``source`` does."""
    if suffix == source.suffix:
        return source.read_bytes()
    image = cv2.imread(str(source))
    if image is None:
        raise CardError(f"{source}: expected a picture, found none that can be read")
    return cv2.imencode(suffix, image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
