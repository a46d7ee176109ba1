"""Pictures of whole images with what was found in them, for the page of a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_detection.drawing import Colour, draw_box
from palletjack_detection.image_files import ImageFileError, read_image
from palletjack_training.evaluation.ground_truth import GroundTruth
from palletjack_training.evaluation.predictions import Predictions
from palletjack_training.evaluation.scoring import FALSE_ALARM, HIT, Outcomes

MOST_FRAMES = 60
_WIDTH = 960
_TRUTH, _HIT, _ALARM, _NEUTRAL = (64, 160, 255), (64, 224, 96), (255, 80, 64), (170, 170, 170)


@dataclass(frozen=True)
class FrameCounts:
    """What was right and wrong in one image at the threshold."""

    name: str
    hits: int
    misses: int
    false_alarms: int


def count_frames(truth: GroundTruth, outcomes: Outcomes, threshold: float) -> list[FrameCounts]:
    """The counts of each image, in the data set's order."""
    kept = outcomes.scores >= threshold
    counts = []
    for number, name in enumerate(truth.images):
        here = outcomes.results[(outcomes.images == number) & kept]
        hits, alarms = int((here == HIT).sum()), int((here == FALSE_ALARM).sum())
        counts.append(FrameCounts(name, hits, int(outcomes.positives[number]) - hits, alarms))
    return counts


def choose_frames(counts: list[FrameCounts], most: int = MOST_FRAMES) -> list[FrameCounts]:
    """All images if they are few, otherwise those with the most mistakes; in the data set's order."""
    worst = sorted(range(len(counts)), key=lambda k: -(counts[k].misses + counts[k].false_alarms))
    return [counts[k] for k in sorted(worst[:most])]


def draw_frame(
    truth: GroundTruth, name: str, predictions: Predictions, outcomes: Outcomes, threshold: float
) -> NDArray[np.uint8] | None:
    """One image (H, W, 3), at most 960 wide, with its boxes; None if it cannot be read.

    Objects are blue, hits green, false alarms red, and what counts neither way grey.
    """
    try:
        image = read_image(truth.image_dir / name)
    except ImageFileError:
        return None
    scale = min(1.0, _WIDTH / image.shape[1])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    canvas = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def draw(box: tuple[float, ...] | list[float], text: str, colour: Colour) -> None:
        draw_box(canvas, tuple(value * scale for value in box[:4]), text, colour)

    for item in truth.images[name].boxes:
        draw(item.extents[0], "", _NEUTRAL if item.difficult else _TRUTH)
    number = list(truth.images).index(name)
    for k in np.flatnonzero((outcomes.images == number) & (outcomes.scores >= threshold))[::-1]:
        row = predictions[name][int(outcomes.rows[k])]
        colour = {HIT: _HIT, FALSE_ALARM: _ALARM}.get(int(outcomes.results[k]), _NEUTRAL)
        draw(row, f"{outcomes.scores[k]:.2f}", colour)
    return canvas


def save_jpeg(rgb: NDArray[np.uint8], path: Path) -> None:
    """Write a picture for the page."""
    encoded, data = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not encoded:
        raise OSError(f"{path}: the picture could not be encoded")
    path.write_bytes(data.tobytes())
