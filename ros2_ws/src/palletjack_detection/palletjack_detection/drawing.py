"""Boxes and scores drawn on an image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_detection.detections import Detections

Colour = tuple[int, int, int]
# One colour for each class, told apart on grey floors and blue racks (RGB).
CLASS_COLOURS: tuple[Colour, ...] = ((255, 64, 160), (64, 224, 96), (255, 176, 0), (0, 192, 255))


def draw_detections(rgb: NDArray[np.uint8], detections: Detections) -> NDArray[np.uint8]:
    """Return a copy of ``rgb`` (H, W, 3) with each box, its score and, given several classes, its name."""
    canvas = np.array(rgb, order="C")
    rows = zip(detections.boxes, detections.scores, detections.class_ids, strict=True)
    for box, score, class_id in sorted(rows, key=lambda row: float(row[1])):
        name = detections.class_names[class_id] + " " if len(detections.class_names) > 1 else ""
        draw_box(canvas, box, f"{name}{score:.2f}", CLASS_COLOURS[int(class_id) % len(CLASS_COLOURS)])
    return canvas


def draw_box(
    canvas: NDArray[np.uint8], box: NDArray[np.floating] | tuple[float, ...], text: str, colour: Colour
) -> None:
    """Draw one box xyxy (edges, pixels) in place, with ``text`` on a plate above it.

    Line and letters grow with the image. Where there is no room above, the plate goes inside.
    """
    height, width = canvas.shape[:2]
    thickness = max(1, round(max(height, width) / 500))
    # An edge x lies left of pixel x: the last pixel of the box is xmax - 1.
    xmin, ymin = (
        int(np.clip(round(float(v)), 0, m - 1)) for v, m in zip(box[:2], (width, height), strict=True)
    )
    xmax, ymax = (
        int(np.clip(round(float(v)) - 1, 0, m - 1)) for v, m in zip(box[2:4], (width, height), strict=True)
    )
    cv2.rectangle(canvas, (xmin, ymin), (xmax, ymax), colour, thickness)
    if not text:
        return
    draw_text(canvas, text, colour, xmin, ymin)


def draw_text(
    canvas: NDArray[np.uint8], text: str, colour: Colour = (32, 32, 32), left: int = 0, bottom: int = 0
) -> None:
    """Write ``text`` on a plate that ends at row ``bottom``, or begins there where there is no room above."""
    height, width = canvas.shape[:2]
    thickness = max(1, round(max(height, width) / 500))
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, max(0.35, max(height, width) / 2400)
    (text_width, text_height), below = cv2.getTextSize(text, font, scale, thickness)
    plate = text_height + below + 2
    top = bottom - plate if bottom >= plate else bottom
    left = min(left, max(0, width - text_width - 2))
    cv2.rectangle(canvas, (left, top), (left + text_width + 2, top + plate), colour, -1)
    brightness = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
    ink = (0, 0, 0) if brightness > 110 else (255, 255, 255)
    cv2.putText(canvas, text, (left + 1, top + text_height + 1), font, scale, ink, thickness, cv2.LINE_AA)
