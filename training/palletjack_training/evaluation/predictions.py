"""Predictions as a file: {"<image>": [[xmin, ymin, xmax, ymax, score], ...]} in original pixels."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from palletjack_detection.detections import Detections
from palletjack_sdg.whole_file import write_whole

Row = list[float]
Predictions = dict[str, list[Row]]


class PredictionsError(ValueError):
    """A predictions file that cannot be used: the message names file, image and row."""


def to_rows(detections: Detections, class_id: int = 0) -> list[Row]:
    """Return the rows of one class, boxes to a hundredth of a pixel, scores to six places."""
    rows = []
    for box, score, found in zip(detections.boxes, detections.scores, detections.class_ids, strict=True):
        if found == class_id:
            rows.append([*(round(float(v), 2) for v in box), round(float(score), 6)])
    return rows


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write the file whole or not at all, one image a line."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(rows)}" for name, rows in predictions.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, ("{\n" + lines + "\n}\n").encode())


def read_predictions(path: Path, known: Iterable[str]) -> Predictions:
    """Read a predictions file; a row without a score has score 1.

    Raises:
        PredictionsError: it is no such file, a row is malformed, or an image is not in ``known``.
    """
    if not path.is_file():
        raise PredictionsError(f"{path}: expected a predictions file, found nothing there")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PredictionsError(f"{path}: expected JSON, found {error}") from None
    if not isinstance(document, dict):
        raise PredictionsError(f"{path}: expected an object of image names, found {type(document).__name__}")
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise PredictionsError(
            f"{path}: expected labelled images, found {len(unknown)} others: {unknown[:3]}"
        )
    return {
        name: [
            _parse_row(row, f"{path}: {name}[{k}]") for k, row in enumerate(_rows(rows, f"{path}: {name}"))
        ]
        for name, rows in document.items()
    }


def _rows(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise PredictionsError(f"{where}: expected a list of boxes, found {value!r:.60}")
    return value


def _parse_row(row: Any, where: str) -> Row:
    if (
        not isinstance(row, list)
        or len(row) not in (4, 5)
        or not all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in row)
    ):
        raise PredictionsError(f"{where}: expected [xmin, ymin, xmax, ymax, score], found {row!r:.80}")
    return [*row[:4], row[4] if len(row) == 5 else 1.0]
