"""Small KITTI data sets for the training tests: bright rectangles on a noisy floor."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Box = tuple[int, int, int, int]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Keep PyTorch to one thread: these networks are tiny, and waiting threads slow each other down."""
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)


@pytest.fixture
def write_frames() -> Callable[..., list[Box]]:
    """A function that writes a data set and returns its boxes."""
    return _write_frames


def _write_frames(
    folder: Path, count: int, *, size: tuple[int, int] = (192, 128), seed: int = 0
) -> list[Box]:
    """Write ``count`` frames of ``size`` (width, height) with one object each; return the boxes."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    rng = np.random.default_rng(seed)
    width, height = size
    boxes = []
    for index in range(count):
        image = rng.integers(60, 120, (height, width, 3), dtype=np.uint8)
        w, h = (int(side) for side in rng.integers(40, 70, 2))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        image[y : y + h, x : x + w] = (30, 40, 230)
        cv2.imwrite(str(folder / "images" / f"{index:06d}.png"), image)
        line = f"palletjack 0.00 0 0.0 {x} {y} {x + w} {y + h} 1.2 0.5 1.5 0 0 5 0\n"
        (folder / "labels" / f"{index:06d}.txt").write_text(line)
        boxes.append((x, y, x + w, y + h))
    return boxes
