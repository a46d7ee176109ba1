#!/usr/bin/env python3
"""Milliseconds to turn a batch of boxes into training targets, as JSON. Goal: under 5 ms on a GPU.

    palletjack benchmark rasterizer -- --batch 32 --boxes 12

Boxes are random, of all sizes, on a 960x544 frame; they start on the host, as in training.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from machine import describe_machine
from result_file import write_result

from palletjack_training.config import TargetConfig
from palletjack_training.targets import BoxBatch, rasterize

_WIDTH, _HEIGHT = 960, 544


def main() -> None:
    """Parse the options, measure, print and optionally write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=32, help="frames at once (default: %(default)s)")
    parser.add_argument("--boxes", type=int, default=12, help="boxes of a frame (default: %(default)s)")
    parser.add_argument("--classes", type=int, default=1, help="classes (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=50, help="timings (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    milliseconds = measure(options.batch, options.boxes, options.classes, options.repeats, device)
    p50, p95 = np.percentile(milliseconds, [50, 95])
    document = {
        "benchmark": "rasterizer",
        "batch": options.batch,
        "boxes_per_frame": options.boxes,
        "classes": options.classes,
        "input": f"{_WIDTH}x{_HEIGHT}",
        "ms": {"p50": round(p50, 3), "p95": round(p95, 3), "mean": round(statistics.mean(milliseconds), 3)},
        **describe_machine("torch"),
    }
    write_result(document, options.out)


def measure(batch: int, boxes: int, classes: int, repeats: int, device: torch.device) -> list[float]:
    """Milliseconds of each repeat, the copy of the boxes to the device included."""
    rng = np.random.default_rng(0)
    config = TargetConfig()
    grid = (_HEIGHT // config.stride, _WIDTH // config.stride)
    corner = rng.uniform(-0.1, 0.9, (batch, boxes, 2)) * (_WIDTH, _HEIGHT)
    size = rng.uniform(0.02, 0.6, (batch, boxes, 2)) * (_WIDTH, _HEIGHT)
    objects = BoxBatch(
        torch.from_numpy(np.concatenate((corner, corner + size), -1).astype(np.float32)),
        torch.from_numpy(rng.integers(0, classes, (batch, boxes))),
    )
    milliseconds = []
    for repeat in range(repeats + 3):
        start = time.perf_counter()
        rasterize(objects.to(device), classes, grid, config)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if repeat >= 3:
            milliseconds.append(1e3 * (time.perf_counter() - start))
    return milliseconds


if __name__ == "__main__":
    main()
