#!/usr/bin/env python3
"""Milliseconds of each part of a training step, and images/s of whole steps, as JSON.

    palletjack benchmark training_step -- --config palletjack_lite --set trainer.cuda_graph=true

Frames are noise with a few boxes each, all on the device. Each part is timed alone: "host" is the time until
its call returns, "total" until the device is done, so that a part whose two are equal is bound by the host.
Whole steps are timed as they run in training, one after the other, the next batch prepared ahead or not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe_machine
from result_file import write_result

from palletjack_training.augment import draw_maps, mosaic, warp_boxes, warp_frames
from palletjack_training.augment_colour import change_colours, cut_out
from palletjack_training.config import TrainingConfig, load_config
from palletjack_training.frames import FrameOrder
from palletjack_training.kitti_cache import FrameCache
from palletjack_training.memory_layout import use_fastest_layout, use_layout
from palletjack_training.module import DetectNetModule
from palletjack_training.network import build_network
from palletjack_training.schedule import Progress
from palletjack_training.targets import BoxBatch, compact

_BOXES = 6


def main() -> None:
    """Parse the options, measure, print and optionally write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="palletjack_lite", help="shipped configuration or YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override a field")
    parser.add_argument("--frames", type=int, default=128, help="frames on the device (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=10, help="timings of a part (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=30, help="whole steps (default: %(default)s)")
    parser.add_argument(
        "--kernels", action="store_true", help="print the kernels that take longest, to stderr"
    )
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    options = parser.parse_args()

    config = load_config(options.config, options.set)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    module, layouts = make_module(config, options.frames, device)
    document = {
        "benchmark": "training_step",
        "config": config.name,
        "overrides": options.set,
        "batch": config.trainer.batch_size,
        "input": f"{config.input.width}x{config.input.height}",
        "layout": str(module.layout),
        "layouts_ms": layouts,
        "parts_ms": time_parts(module, options.repeats),
        "steps": {
            name: time_steps(module, options.steps, ahead=ahead)
            for name, ahead in (("in_turn", False), ("ahead", True))
        },
        **describe_machine("torch"),
    }
    if options.kernels:
        print(longest_kernels(module), file=sys.stderr)
    write_result(document, options.out)


def make_module(
    config: TrainingConfig, frames: int, device: torch.device
) -> tuple[DetectNetModule, dict[str, float]]:
    """A module on ``device`` over noise frames there, and milliseconds of a pass in each memory layout."""
    cache = noise_frames(config, frames)
    resident = torch.from_numpy(cache.frames[0]).to(device)
    network = build_network(config).to(device).train()
    timed: dict[str, float] = {}
    if device.type == "cuda":
        shape = (config.trainer.batch_size, 3, config.input.height, config.input.width)
        seconds = use_fastest_layout(network, torch.rand(shape, device=device), half=True)
        timed = {str(layout): round(1e3 * value, 2) for layout, value in seconds.items()}
    else:
        use_layout(network, torch.channels_last)
    order = FrameOrder(np.arange(frames), config.trainer.batch_size, 0)
    module = DetectNetModule(config, network, cache, order, Progress(10**6), resident).to(device)
    module.on_train_start()
    return module, timed


def noise_frames(config: TrainingConfig, count: int) -> FrameCache:
    """``count`` frames of noise with a few boxes each."""
    rng = np.random.default_rng(0)
    height, width = config.input.height, config.input.width
    frames = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    corner = rng.uniform(0, 0.7, (count, _BOXES, 2)) * (width, height)
    size = rng.uniform(0.05, 0.3, (count, _BOXES, 2)) * (width, height)
    boxes = np.concatenate((corner, corner + size), -1).astype(np.float32)
    return FrameCache((frames,), boxes, np.zeros((count, _BOXES), np.int64), tuple(map(str, range(count))))


def time_parts(module: DetectNetModule, repeats: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of each part of a step, each on the output of the one before."""
    config = module.config
    geometry, colour = config.augment.geometry, config.augment.colour
    width, height = config.input.width, config.input.height
    results: dict[str, dict[str, float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        results[name], value = _time(work, repeats, module.device)
        return value

    def rng() -> np.random.Generator:
        return np.random.default_rng(0)

    indices = module.order.of_step(0)
    resident = module._resident
    assert resident is not None
    images = timed("gather", lambda: module.to_images(resident[torch.from_numpy(indices).to(module.device)]))
    boxes = BoxBatch(
        torch.from_numpy(module._cache.boxes[indices]), torch.from_numpy(module._cache.labels[indices])
    )
    mixed, boxes = timed("mosaic", lambda: mosaic(images, boxes, geometry, rng()))
    maps = timed("draw_maps", lambda: draw_maps(geometry, len(images), width, height, rng()))
    fill = torch.zeros(len(images), 3, device=module.device)
    warped = timed("warp", lambda: warp_frames(mixed, maps, fill))
    boxes = timed("warp_boxes", lambda: warp_boxes(boxes, maps, width, height, geometry))
    covered, boxes = timed("cut_out", lambda: cut_out(warped, boxes, colour, rng()))
    changed = timed("colours", lambda: change_colours(covered, colour, rng()))
    boxes = compact(boxes)
    targets = timed("rasterize", lambda: module.targets(boxes))
    timed("whole_batch", lambda: module.batch_of_step(0))

    network = module.network
    forward = timed("forward", lambda: _forward(module, changed))
    timed("loss", lambda: module.loss(*forward, targets))

    def both() -> None:
        network.zero_grad(set_to_none=True)
        module.loss(*_forward(module, changed), targets).total.backward()

    timed("forward_loss_backward", both)
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Optimizer)
    timed("clip", lambda: module.configure_gradient_clipping(optimizer))
    timed("optimizer", optimizer.step)
    timed("average", module.average.update)
    return results


def _forward(module: DetectNetModule, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.autocast(module.device.type, torch.bfloat16, enabled=module.half_precision):
        return module.run_network(images)


def time_steps(module: DetectNetModule, steps: int, *, ahead: bool) -> dict[str, float]:
    """Images/s of whole steps, and milliseconds of a step; a third of them before the clock starts."""
    preparer = module._ahead
    if not ahead:
        module._ahead = None
    elif preparer is None:
        return {}
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Optimizer)
    warm_up = max(steps // 3, 1)
    start = 0.0
    for step in range(warm_up + steps):
        if step == warm_up:
            _wait(module.device)
            start = time.perf_counter()
        _step(module, optimizer, step)
    host = time.perf_counter() - start
    _wait(module.device)
    seconds = (time.perf_counter() - start) / steps
    module._ahead = preparer
    return {
        "images_per_second": round(module.order.batch_size / seconds, 1),
        "ms": round(1e3 * seconds, 2),
        "host_ms": round(1e3 * host / steps, 2),
    }


def _step(module: DetectNetModule, optimizer: torch.optim.Optimizer, step: int) -> None:
    step_on(module, optimizer, (step, None))


def step_on(
    module: DetectNetModule, optimizer: torch.optim.Optimizer, batch: tuple[int, torch.Tensor | None]
) -> None:
    """One step as a run takes it, on a batch of the loader."""
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(module.device.type, torch.bfloat16, enabled=module.half_precision):
        loss = module.training_step(batch, batch[0])
    loss.backward()
    module.configure_gradient_clipping(optimizer)
    optimizer.step()
    module.on_train_batch_end(None, batch, batch[0])


def longest_kernels(module: DetectNetModule) -> str:
    """A table of where a few steps spend their time on the device."""
    from torch.profiler import ProfilerActivity, profile

    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Optimizer)
    cuda = module.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as recorded:
        for step in range(3):
            _step(module, optimizer, step)
        _wait(module.device)
    key = "self_device_time_total" if cuda else "self_cpu_time_total"
    return str(recorded.key_averages().table(sort_by=key, row_limit=30, max_name_column_width=80))


def _time(work: Callable[[], Any], repeats: int, device: torch.device) -> tuple[dict[str, float], Any]:
    for _ in range(2):
        value = work()
    host, total = [], []
    for _ in range(repeats):
        _wait(device)
        start = time.perf_counter()
        value = work()
        host.append(time.perf_counter() - start)
        _wait(device)
        total.append(time.perf_counter() - start)
    medians = {
        name: round(1e3 * statistics.median(times), 3) for name, times in (("host", host), ("total", total))
    }
    return medians, value


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
