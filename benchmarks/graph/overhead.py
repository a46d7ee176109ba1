"""What a node adds to its network's time: nodes and detector library in turn, a little of each at a time.

Two runs of one program differ by more, from minute to minute, than what is to be measured. So all nodes are
started, and each gets images for a moment, then the next, and so on round.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph.session import say
from graph.steps import Answers, answers, percentiles
from graph.targets import Target, running
from palletjack_detection.detector import Detector

STAGES = ("preprocess", "inference", "decode", "total")


def library_alone(
    detector: Detector, frames: NDArray[np.uint8], rate: float, seconds: float
) -> dict[str, list[float]]:
    """Milliseconds of each stage, of images that come ``rate`` times a second."""
    detector.detect(frames[0])
    stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
    start = time.perf_counter()
    for number in range(max(1, round(rate * seconds))):
        time.sleep(max(0.0, start + number / rate - time.perf_counter()))
        times = detector.detect_with_timing(frames[number % len(frames)])[1]
        for stage, values in stages.items():
            values.append(getattr(times, f"{stage}_ms"))
    return stages


def measure_overhead(
    targets: list[Target],
    environment: dict[str, str],
    detector: Detector,
    frames: NDArray[np.uint8],
    file: Path,
    options: argparse.Namespace,
    results: list[dict[str, Any]],
) -> None:
    """Add an entry for each rate to ``results``; ``file`` holds the ``frames`` for the cameras."""
    seconds = options.seconds / options.rounds
    with contextlib.ExitStack() as nodes:
        started = {
            target.name: nodes.enter_context(
                running(target, environment, file, options, file.with_suffix(f".{number}.log"))
            )
            for number, target in enumerate(targets)
        }
        for rate in options.overhead_rates:
            alone: list[dict[str, list[float]]] = []
            found: dict[str, list[Answers]] = {name: [] for name in started}
            for _ in range(options.rounds):
                alone.append(library_alone(detector, frames, rate, seconds))
                for name, one in started.items():
                    found[name].append(answers(one.camera, one.listener, one.node, rate, seconds))
            comparable = {target.name for target in targets if target.own_library}
            entry = {"rate_hz": rate, **summary(alone, found, comparable)}
            results.append(entry)
            for name, node in entry["nodes"].items():
                over = (node.get("over_library_ms") or {}).get("p50", "-")
                say(f"  {rate:g} Hz, {name}: {node['latency_ms']} ms, over the library {over}")


def summary(
    alone: list[dict[str, list[float]]], found: Mapping[str, list[Answers]], comparable: Collection[str]
) -> dict[str, Any]:
    """The percentiles of all rounds, and what the medians of ``comparable`` nodes lie over the library's.

    Differences are taken round by round, and the median of the rounds counts.
    """
    library = {stage: [float(np.median(one[stage])) for one in alone] for stage in STAGES}
    nodes = {}
    for name, rounds in found.items():
        entry: dict[str, Any] = {
            "sent": sum(one.sent for one in rounds),
            "answered": sum(len(one.latencies) for one in rounds),
            "latency_ms": percentiles([value for one in rounds for value in one.latencies]),
            "cpu_percent": round(float(np.mean([one.cpu_percent for one in rounds])), 1),
        }
        if name in comparable:
            entry["over_inference_ms"] = _difference(rounds, library["inference"])
            entry["over_library_ms"] = _difference(rounds, library["total"])
        nodes[name] = entry
    library_ms = {stage: percentiles([v for one in alone for v in one[stage]]) for stage in STAGES}
    return {"library_ms": library_ms, "nodes": nodes}


def _difference(rounds: Sequence[Answers], library: Sequence[float]) -> dict[str, Any] | None:
    pairs = zip(rounds, library, strict=True)
    over = [round(float(np.median(one.latencies)) - alone, 3) for one, alone in pairs if one.latencies]
    return {"p50": round(float(np.median(over)), 3), "by_round": over} if over else None
