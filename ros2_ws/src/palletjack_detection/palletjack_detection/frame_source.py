"""Endless or finite streams of RGB frames that stand in for a camera: a video file, or a test pattern."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
PATTERN = "pattern"


class FrameSourceError(ValueError):
    """A source that gives no frame; the message names it and the reason."""


@dataclass(frozen=True)
class PinholeCamera:
    """A camera without distortion whose optical axis meets the middle of the image."""

    width: int
    height: int
    horizontal_fov_degrees: float

    @property
    def focal_length(self) -> float:
        """In pixels, the same on both axes."""
        return self.width / (2.0 * math.tan(math.radians(self.horizontal_fov_degrees) / 2.0))

    @property
    def matrix(self) -> list[float]:
        """The intrinsic matrix K, row by row; it counts from the centre of the first pixel."""
        f = self.focal_length
        return [f, 0.0, (self.width - 1) / 2.0, 0.0, f, (self.height - 1) / 2.0, 0.0, 0.0, 1.0]


def video_rate(path: Path) -> float:
    """Return the frames in a second that the file states; 0.0 where it states none."""
    capture = cv2.VideoCapture(str(path))
    try:
        rate = float(capture.get(cv2.CAP_PROP_FPS))
    finally:
        capture.release()
    return rate if math.isfinite(rate) and 0.0 < rate <= 1000.0 else 0.0


def video_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames (H, W, 3) RGB of a video once.

    Raises:
        FrameSourceError: the file is missing or OpenCV cannot read a frame of it.
    """
    if not path.is_file():
        raise FrameSourceError(
            f"{path}: expected a video file, found {'a folder' if path.is_dir() else 'none'}"
        )
    capture = cv2.VideoCapture(str(path))
    try:
        count = 0
        while True:
            read, bgr = capture.read()
            if not read:
                break
            count += 1
            yield np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    finally:
        capture.release()
    if not count:
        raise FrameSourceError(f"{path}: expected a video that OpenCV can read, found no frame")


def pattern_frame(index: int, width: int, height: int) -> Frame:
    """Return frame ``index`` of the test pattern: grey bars, and a red box that moves to the right."""
    bars = (np.arange(width) * 8 // width * 24 + 32).astype(np.uint8)
    frame = np.repeat(np.repeat(bars[None, :, None], height, axis=0), 3, axis=2)
    box_width, box_height = max(1, width // 5), max(1, height // 4)
    left = index * max(1, width // 60) % max(1, width - box_width)
    top = (height - box_height) // 2
    frame[top : top + box_height, left : left + box_width] = (255, 0, 0)
    return frame
