"""How long each row takes on this processor: all in turn, round after round, so that load hits all alike."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from result_file import write_json

from model_table.rows import FORMAT, Row
from palletjack_detection.detector import Detector, StageTimes

# Images of a row in a round that are not counted: its kernels and weights are not in the caches, and the
# threads of the row before may still be waiting for work.
_NOT_COUNTED = 3


def measure_rounds(
    rows: list[Row],
    images: list[NDArray[np.uint8]],
    folder: Path,
    *,
    rounds: int,
    repeats: int,
    threads: int,
    machine: dict[str, Any],
    seed: int,
    on_round: Callable[[int], None] = lambda number: None,
) -> list[dict[str, Any]]:
    """Time every row in each of ``rounds``, ``repeats`` images each, in an order drawn anew.

    A round is kept in ``folder`` as soon as it is done, and a later call goes on after it; rounds of
    other rows, another machine or other versions are left alone.
    """
    about = {
        "rows": {row.name: row.digest for row in rows},
        "threads": threads,
        "repeats": repeats,
        "machine": {key: machine[key] for key in ("device", "cpus", "python", "onnxruntime")},
        "images": [f"{image.shape[1]}x{image.shape[0]}" for image in images],
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"latency-{key}.json"
    done: list[dict[str, Any]] = json.loads(path.read_text())["rounds"] if path.is_file() else []
    if len(done) >= rounds:
        return done
    detectors = {row.name: row.load(threads) for row in rows}
    while len(done) < rounds:
        # Each round draws from a stream of its own, so that a resumed run takes the same orders.
        order = np.random.default_rng((seed, len(done))).permutation(len(rows))
        round_: dict[str, Any] = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "load": round(os.getloadavg()[0], 2),
            "order": [rows[index].name for index in order],
        }
        round_["ms"] = {name: _burst(detectors[name], images, repeats) for name in round_["order"]}
        done.append(round_)
        write_json(path, {"format": FORMAT, **about, "rounds": done})
        on_round(len(done))
    return done


def _burst(detector: Detector, images: list[NDArray[np.uint8]], repeats: int) -> dict[str, list[float]]:
    times: list[StageTimes] = []
    for number in range(_NOT_COUNTED + repeats):
        stages = detector.detect_with_timing(images[number % len(images)])[1]
        if number >= _NOT_COUNTED:
            times.append(stages)
    return {
        "network": [round(item.inference_ms, 3) for item in times],
        "total": [round(item.total_ms, 3) for item in times],
    }


def summarise(rounds: list[dict[str, Any]], name: str, first: str) -> dict[str, Any]:
    """Percentiles of a row's milliseconds, and how many times faster than ``first`` it is.

    ``faster`` is the ratio of the medians; ``faster_rounds`` the 5th and 95th percentile of the ratios of
    the single rounds.
    """
    result: dict[str, Any] = {"rounds": len(rounds)}
    for part in ("network", "total"):
        p50, p95 = np.percentile(np.concatenate([item["ms"][name][part] for item in rounds]), [50, 95])
        result[part] = {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}
    ours, theirs = (
        float(np.median(np.concatenate([item["ms"][row]["network"] for item in rounds])))
        for row in (name, first)
    )
    ratios = [
        float(np.median(item["ms"][first]["network"]) / np.median(item["ms"][name]["network"]))
        for item in rounds
    ]
    result["faster"] = round(theirs / ours, 3)
    result["faster_rounds"] = [round(float(value), 3) for value in np.percentile(ratios, [5, 95])]
    return result
