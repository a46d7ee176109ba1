"""Contact sheets of frames with their boxes drawn in."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from palletjack_detection.drawing import CLASS_COLOURS, draw_box
from palletjack_training.box_labels import IGNORED, PADDING
from palletjack_training.evaluation.ground_truth import ImageTruth
from palletjack_training.targets import BoxBatch

_IGNORED_COLOUR = (150, 150, 150)
_TRUTH_COLOUR = (255, 160, 64)
_FOUND_COLOUR = (64, 224, 96)
MOST_PICTURES = 12
_COLUMNS = 3
_WIDTH = 480

Drawn = list[tuple[NDArray[np.float32], str, tuple[int, int, int]]]


def save_overlays(images: Tensor, boxes: BoxBatch, path: Path) -> None:
    """Write the first images (B, 3, H, W), float in 0..1, with their boxes; ignored ones are grey."""
    pictures, drawn = [], []
    for row in range(min(len(images), MOST_PICTURES)):
        pictures.append((images[row].permute(1, 2, 0).float().cpu().numpy() * 255).astype(np.uint8))
        drawn.append(_labelled(boxes.boxes[row].numpy(), boxes.labels[row].numpy()))
    save_sheet(pictures, drawn, path)


def draw_outcome(truth: ImageTruth, found: list[list[float]]) -> Drawn:
    """Objects in orange, ignored regions in grey, and on top what was found, with its score."""
    items: Drawn = [(np.array(region, np.float32), "", _IGNORED_COLOUR) for region in truth.ignored_regions]
    items += [(np.array(item.extents[0], np.float32), "", _TRUTH_COLOUR) for item in truth.boxes]
    return items + [(np.array(row[:4], np.float32), f"{row[4]:.2f}", _FOUND_COLOUR) for row in found]


def save_sheet(pictures: list[NDArray[np.uint8]], drawn: list[Drawn], path: Path) -> NDArray[np.uint8]:
    """Write RGB pictures (H, W, 3), all of one size, as one PNG, each with its boxes, and return it."""
    tiles = []
    for picture, items in zip(pictures, drawn, strict=True):
        canvas = np.ascontiguousarray(picture)
        for box, text, colour in items:
            draw_box(canvas, box, text, colour)
        height = round(canvas.shape[0] * _WIDTH / canvas.shape[1])
        tiles.append(cv2.resize(canvas, (_WIDTH, height), interpolation=cv2.INTER_AREA))
    while len(tiles) % _COLUMNS:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[at : at + _COLUMNS]) for at in range(0, len(tiles), _COLUMNS)]
    sheet = np.vstack(rows).astype(np.uint8)
    encoded, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise OSError(f"{path}: the picture could not be encoded")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data.tobytes())
    os.replace(temporary, path)
    return sheet


def _labelled(boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> Drawn:
    items: Drawn = []
    for box, label in zip(boxes, labels, strict=True):
        if label == PADDING:
            continue
        colour = _IGNORED_COLOUR if label == IGNORED else CLASS_COLOURS[int(label) % len(CLASS_COLOURS)]
        items.append((box, "ignored" if label == IGNORED else "", colour))
    return items
