#!/usr/bin/env python3
"""Frames/s of the loader, and the share of the time that the device waits for it, as JSON. Goal: under 10 %.

    palletjack benchmark loader -- --source stream --workers 8

The loader alone: batches as fast as they come. Then with training steps: the share of the wall time that the
host spends in taking the next batch, as it does where the device has nothing to do for want of data. Frames
are noise, in a memory-mapped file as the cache of a run (--source stream) or on the device (device).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe_machine
from result_file import write_result
from torch.utils.data import DataLoader
from training_step import make_module, noise_frames, step_on

from palletjack_training.config import TrainingConfig, load_config
from palletjack_training.frames import StepBatches
from palletjack_training.kitti_cache import FrameCache


def main() -> None:
    """Parse the options, measure, print and optionally write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="palletjack_lite", help="shipped configuration or YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override a field")
    parser.add_argument("--source", choices=("stream", "device"), default="stream")
    parser.add_argument("--workers", type=int, default=8, help="reading processes (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=512, help="frames in the cache (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=30, help="steps of each part (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    options = parser.parse_args()
    config = load_config(options.config, options.set)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module, _ = make_module(config, options.frames, device)
    with tempfile.TemporaryDirectory(prefix="palletjack-loader-") as folder:
        cache = None
        if options.source == "stream":
            cache = _on_disk(config, options.frames, Path(folder))
            module._ahead = None
        loader = DataLoader(
            StepBatches(cache, module.order),
            batch_size=None,
            num_workers=options.workers if cache is not None else 0,
            pin_memory=cache is not None and device.type == "cuda",
        )
        alone = _alone(iter(loader), options.steps) if cache is not None else None
        waiting = _with_steps(module, iter(loader), options.steps)
    document = {
        "benchmark": "loader",
        "source": options.source,
        "workers": options.workers if cache is not None else 0,
        "batch": config.trainer.batch_size,
        "input": f"{config.input.width}x{config.input.height}",
        "loader_frames_per_second": None if alone is None else round(config.trainer.batch_size / alone, 1),
        **waiting,
        **describe_machine("torch"),
    }
    write_result(document, options.out)


def _on_disk(config: TrainingConfig, count: int, folder: Path) -> FrameCache:
    made = noise_frames(config, count)
    path = folder / "frames.u8"
    made.frames[0].tofile(path)
    return replace(made, frames=(np.memmap(path, np.uint8, "r", shape=made.frames[0].shape),))


def _alone(batches: Iterator[Any], steps: int) -> float:
    """Seconds a batch, after a few to fill the queue."""
    for _ in range(3):
        next(batches)
    start = time.perf_counter()
    for _ in range(steps):
        next(batches)
    return (time.perf_counter() - start) / steps


def _with_steps(module: Any, batches: Iterator[Any], steps: int) -> dict[str, float]:
    optimizer = module.configure_optimizers()
    warm_up = max(steps // 3, 1)
    waited = start = 0.0
    for number in range(warm_up + steps):
        if number == warm_up:
            waited, start = 0.0, time.perf_counter()
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        step_on(module, optimizer, batch)
        if module.device.type == "cuda":
            torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return {
        "training_frames_per_second": round(steps * module.order.batch_size / seconds, 1),
        "share_of_time_waiting": round(waited / seconds, 4),
    }


if __name__ == "__main__":
    main()
