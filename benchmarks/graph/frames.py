"""The images that the node benchmark sends: files, rendered frames, or noise."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from graph.session import BenchmarkError, say
from palletjack_detection.image_files import list_images, read_image

FRAMES_KEPT = 16


def source_images(options: argparse.Namespace, folder: Path) -> list[NDArray[np.uint8]]:
    """The images to send, of any size: files, rendered frames, or noise.

    Raises:
        BenchmarkError: the renderer failed.
        ValueError: no readable image.
    """
    source = options.images
    if options.render:
        source = folder / "rendered"
        words = ["generate", "--frames", str(options.render), "--seed", "5", "--out", str(source)]
        say(f"rendering {options.render} frames")
        done = subprocess.run(
            [sys.executable, "-c", "from palletjack_cli.main import app; app()", *words],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise BenchmarkError(f"palletjack generate: {(done.stderr or done.stdout)[-1000:]}")
        source = next(path for path in (source / "images", source) if path.is_dir())
    if source is None:
        noise = np.random.default_rng(0)
        return [noise.integers(0, 256, (720, 1280, 3), np.uint8) for _ in range(4)]
    return [read_image(path) for path in list_images(source)[:FRAMES_KEPT]]


def scaled(images: list[NDArray[np.uint8]], size: str) -> NDArray[np.uint8]:
    """The images (N, H, W, 3) at ``size`` WIDTHxHEIGHT. Raises ValueError where that is no size."""
    width, cross, height = size.partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise ValueError(f"--size: expected WIDTHxHEIGHT, found {size!r}")
    shape = (int(width), int(height))
    return np.stack([cv2.resize(image, shape, interpolation=cv2.INTER_AREA) for image in images])
