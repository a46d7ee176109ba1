#!/usr/bin/env python3
"""Latency of the detector's stages on this machine, as JSON.

    palletjack benchmark detector -- --model models/palletjack_lite --threads 2

Frames are noise of the given size with the model's own input; what the network finds in noise is little,
so pass --images for the decoding time of real frames.
"""

from __future__ import annotations

import argparse
import sys
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from machine import describe_machine
from numpy.typing import NDArray
from result_file import write_result

from palletjack_detection.detector import AUTO, BACKENDS, Detector, StageTimes
from palletjack_detection.engine import EngineError
from palletjack_detection.image_files import list_images, read_image
from palletjack_detection.model_folder import PRECISIONS


def main() -> None:
    """Parse the options, measure, print and optionally write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--images", type=Path, help="folder of images; noise if left out")
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT of the noise (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=100, help="frames to measure (default: %(default)s)")
    parser.add_argument("--warmup", type=int, default=5, help="frames not counted (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads in ONNX Runtime; its own choice if left out")
    parser.add_argument("--provider", action="append", help="ONNX Runtime provider; repeat for a fallback")
    parser.add_argument(
        "--precision", default="auto", choices=("auto", *PRECISIONS), help="auto: what suits this machine"
    )
    parser.add_argument(
        "--backend",
        default=AUTO,
        choices=BACKENDS,
        help="auto: an engine built here, else ONNX Runtime",
    )
    parser.add_argument("--build", action="store_true", help="build the engine first if there is none")
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    options = parser.parse_args()
    if options.frames < 1 or options.warmup < 0:
        parser.error("--frames: expected 1 or more; --warmup: expected 0 or more")

    detector = load(options)
    frames = (
        [read_image(p) for p in list_images(options.images)] if options.images else [_noise(options.size)]
    )
    times, boxes = measure(detector, frames, options.frames, options.warmup)
    document = {
        "benchmark": "detector",
        "model": detector.spec.name,
        "input": f"{detector.spec.input.width}x{detector.spec.input.height}",
        "images": sorted({f"{f.shape[1]}x{f.shape[0]}" for f in frames}),
        "frames": len(times),
        "boxes_per_frame": boxes / len(times),
        "latency_ms": summarise(times),
        "precision": detector.precision,
        "backend": detector.backend,
        "provider": detector.engine.provider,
        "threads": options.threads,
        **describe_machine("onnxruntime"),
    }
    write_result(document, options.out)


def load(options: argparse.Namespace) -> Detector:
    """Load the detector as the options say; ends the program with the reason where that cannot be."""
    try:
        return Detector.load(
            options.model,
            providers=options.provider,
            threads=options.threads,
            precision=options.precision,
            backend=options.backend,
            build=options.build,
            say=lambda text: print(text, file=sys.stderr),
        )
    except (EngineError, OSError, ValueError) as error:
        raise SystemExit(f"Error: {error}") from None


def measure(
    detector: Detector, frames: list[NDArray[np.uint8]], count: int, warmup: int
) -> tuple[list[StageTimes], int]:
    """Run the detector over ``frames`` in turn; return ``count`` timings and the boxes found in them."""
    times, boxes = [], 0
    for number, frame in enumerate(islice(cycle(frames), warmup + count)):
        detections, stages = detector.detect_with_timing(frame)
        if number >= warmup:
            times.append(stages)
            boxes += len(detections)
    return times, boxes


def summarise(times: list[StageTimes]) -> dict[str, dict[str, float]]:
    """Return p50, p95, p99 and the mean of each stage in milliseconds."""
    result = {}
    for stage in ("preprocess", "inference", "decode", "total"):
        values = np.array([getattr(t, f"{stage}_ms") for t in times])
        p50, p95, p99 = np.percentile(values, [50, 95, 99])
        numbers = {"p50": p50, "p95": p95, "p99": p99, "mean": values.mean()}
        result[stage] = {name: round(float(v), 3) for name, v in numbers.items()}
    return result


def _noise(size: str) -> NDArray[np.uint8]:
    try:
        width, height = (int(v) for v in size.split("x"))
    except ValueError:
        raise SystemExit(f"--size: expected WIDTHxHEIGHT, found '{size}'") from None
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


if __name__ == "__main__":
    main()
