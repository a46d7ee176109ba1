"""A folder that shows how good a model is: curves, a gallery of outcomes, and the numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_detection.drawing import draw_box
from palletjack_detection.image_files import ImageFileError, read_image
from palletjack_training.evaluation.ground_truth import GroundTruth
from palletjack_training.evaluation.predictions import Predictions
from palletjack_training.evaluation.scoring import (
    FALSE_ALARM,
    HIT,
    Outcomes,
    f1_by_threshold,
    precision_recall_curve,
)

_TRUTH, _HIT, _ALARM = (64, 160, 255), (64, 224, 96), (255, 80, 64)
_TILE = (240, 200)  # width, height in pixels
_COLUMNS, MOST_PER_KIND = 6, 24
_CAPTION = 18


@dataclass(frozen=True)
class _Tile:
    """One crop of the gallery: the object's box, the prediction's, either may be missing."""

    image: str
    truth: tuple[float, ...] | None
    predicted: tuple[float, ...] | None
    caption: str


def write_report(
    folder: Path,
    scores: dict[str, Any],
    truth: GroundTruth,
    predictions: Predictions,
    outcomes: Outcomes,
    threshold: float,
) -> list[Path]:
    """Write report.json, the two curves and the galleries into ``folder``; return what was written.

    ``outcomes`` are those of ``predictions`` at IoU 0.5; ``threshold`` is the operating point.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []

    def put(name: str, save: Callable[[Path], None]) -> None:
        target = folder / name
        temporary = folder / f".{os.getpid()}.{name}"
        try:
            save(temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        written.append(target)

    put("report.json", lambda p: _save_text(p, json.dumps(scores, indent=2) + "\n"))
    put("precision_recall.png", lambda p: _plot_precision_recall(p, outcomes, threshold, scores["ap50"]))
    put("f1_threshold.png", lambda p: _plot_f1(p, outcomes, threshold))
    for name, (colour, tiles) in gallery_tiles(truth, predictions, outcomes, threshold).items():
        sheet = _contact_sheet(truth.image_dir, tiles, colour)
        if sheet is not None:
            put(f"{name}.png", lambda p, image=sheet: _save_png(p, image))  # type: ignore[misc]
    return written


def gallery_tiles(
    truth: GroundTruth, predictions: Predictions, outcomes: Outcomes, threshold: float
) -> dict[str, tuple[tuple[int, int, int], list[_Tile]]]:
    """Sort what is seen at ``threshold`` into hits, misses and false alarms, with their colours."""
    names = list(truth.images)
    hits, alarms = [], []
    found: set[tuple[int, int]] = set()
    best_score: dict[tuple[int, int], float] = {}
    for k in np.argsort(-outcomes.scores, kind="stable"):
        image, matched = int(outcomes.images[k]), int(outcomes.matched[k])
        name, value = names[image], float(outcomes.scores[k])
        row = tuple(predictions[name][int(outcomes.rows[k])][:4])
        if outcomes.results[k] == HIT:
            best_score[image, matched] = value
        if value < threshold:
            continue
        if outcomes.results[k] == HIT:
            found.add((image, matched))
            box = truth.images[name].boxes[matched].extents[0]
            hits.append(_Tile(name, box, row, f"{value:.2f}"))
        elif outcomes.results[k] == FALSE_ALARM:
            alarms.append(_Tile(name, None, row, f"{value:.2f}"))
    misses = []
    for image, name in enumerate(names):
        for k, item in enumerate(truth.images[name].boxes):
            if not item.difficult and (image, k) not in found:
                value = best_score.get((image, k), 0.0)
                caption = f"scored {value:.2f}" if value else "no box"
                misses.append(_Tile(name, item.extents[0], None, caption))
    return {"hits": (_HIT, hits), "misses": (_TRUTH, misses), "false_alarms": (_ALARM, alarms)}


def _contact_sheet(
    image_dir: Path, tiles: list[_Tile], colour: tuple[int, int, int]
) -> NDArray[np.uint8] | None:
    """Lay crops around each box side by side; None where there is nothing to show."""
    crops = []
    for tile in tiles[:MOST_PER_KIND]:
        try:
            image = read_image(image_dir / tile.image)
        except ImageFileError:
            continue  # reported when the predictions were made; its objects cannot be shown
        crops.append(_crop(image, tile, colour))
    if not crops:
        return None
    width, height = _TILE[0], _TILE[1] + _CAPTION
    columns = min(_COLUMNS, len(crops))
    rows = -(-len(crops) // columns)
    sheet = np.full((rows * height, columns * width, 3), 32, np.uint8)
    for k, crop in enumerate(crops):
        y, x = k // columns * height, k % columns * width
        sheet[y : y + height, x : x + width] = crop
    return sheet


def _crop(image: NDArray[np.uint8], tile: _Tile, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Cut out the box with as much again around it, at the tile's aspect, with a line of text below.

    Boxes are drawn after the enlargement, so that their lines are equally thin in every tile.
    """
    box = tile.predicted if tile.predicted is not None else tile.truth
    assert box is not None
    aspect = _TILE[0] / _TILE[1]
    height = max(box[3] - box[1], (box[2] - box[0]) / aspect, 24.0) * 2
    left, top = (box[0] + box[2] - height * aspect) / 2, (box[1] + box[3] - height) / 2
    scale = zoom = _TILE[1] / height
    if scale < 1:
        # Made smaller first: warpAffine takes single pixels, which leaves thin things in pieces.
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        zoom = 1.0
    # Edges map by scale alone; warpAffine counts from pixel centres, hence the half pixels.
    shift = (0.5 * (zoom - 1) - left * scale, 0.5 * (zoom - 1) - top * scale)
    move = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]], np.float64)
    crop = np.asarray(cv2.warpAffine(image, move, _TILE, borderValue=(32, 32, 32)), np.uint8)
    for drawn, line in ((tile.truth, _TRUTH), (tile.predicted, colour)):
        if drawn is not None:
            draw_box(
                crop, tuple((v - o) * scale for v, o in zip(drawn, (left, top) * 2, strict=True)), "", line
            )
    plate = np.full((_CAPTION, _TILE[0], 3), 32, np.uint8)
    caption = f"{tile.caption} {Path(tile.image).stem[-18:]}"
    ink = (230, 230, 230)
    cv2.putText(plate, caption, (3, _CAPTION - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.38, ink, 1, cv2.LINE_AA)
    return np.concatenate([crop, plate])


def _plot_precision_recall(path: Path, outcomes: Outcomes, threshold: float, ap50: float) -> None:
    recall, precision, scores = precision_recall_curve(outcomes)
    figure, axes = _axes("recall", "precision", f"AP50 {ap50:.3f}")
    axes.step([0.0, *recall], [1.0, *precision], where="post", color="0.7", label="measured")
    envelope = np.maximum.accumulate(precision[::-1])[::-1] if len(precision) else precision
    # A model that finds nothing has a curve of its start alone.
    first = envelope[:1] if len(envelope) else [1.0]
    axes.step([0.0, *recall], [*first, *envelope], where="pre", color="C0", label="interpolated")
    above = np.flatnonzero(scores >= threshold)
    if len(above):
        axes.plot(recall[above[-1]], precision[above[-1]], "o", color="C3", label=f"threshold {threshold:g}")
    axes.legend(loc="best")
    figure.savefig(path, format="png", dpi=110)


def _plot_f1(path: Path, outcomes: Outcomes, threshold: float) -> None:
    thresholds, precision, recall, f1 = f1_by_threshold(outcomes)
    figure, axes = _axes("score threshold", "", "Precision, recall and F1 by score threshold")
    for values, label in ((precision, "precision"), (recall, "recall"), (f1, "F1")):
        # Between two scores nothing changes until the lower one is reached.
        axes.plot(thresholds, values, label=label, drawstyle="steps-pre")
    axes.axvline(threshold, color="C3", linestyle="--", label=f"threshold {threshold:g}")
    axes.legend(loc="best")
    figure.savefig(path, format="png", dpi=110)


def _axes(x_label: str, y_label: str, title: str) -> tuple[Any, Any]:
    # The object interface leaves matplotlib's global state and any open windows alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x_label, ylabel=y_label, title=title, xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    return figure, axes


def _save_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _save_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    _, data = cv2.imencode(".png", rgb[:, :, ::-1])
    path.write_bytes(data.tobytes())
