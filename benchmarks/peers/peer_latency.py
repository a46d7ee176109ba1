"""How long networks take on this processor, beside each other in one run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from noise_input import noise_for
from numpy.typing import NDArray

# Runs of a network in a round that are not counted: caches and threads are another network's.
_NOT_COUNTED = 3


def measure_latency(
    networks: Mapping[str, Path], threads: int, rounds: int, repeats: int, seed: int = 0
) -> dict[str, Any]:
    """Time each ONNX file in every round, in an order drawn anew; milliseconds of the network alone.

    ``times_ours`` is the ratio of medians to the first network, ``times_ours_rounds`` the 5th and 95th
    percentile of the ratios of single rounds.
    """
    opened = {name: open_network(path, threads) for name, path in networks.items()}
    calls = {name: call for name, (call, _) in opened.items()}
    times: dict[str, list[list[float]]] = {name: [] for name in networks}
    loads = []
    for number in range(rounds):
        loads.append(round(os.getloadavg()[0], 2))
        for index in np.random.default_rng((seed, number)).permutation(len(calls)):
            name = list(calls)[index]
            times[name].append([calls[name]() for _ in range(_NOT_COUNTED + repeats)][_NOT_COUNTED:])
    table = {name: np.array(rows) for name, rows in times.items()}
    first = next(iter(networks))
    return {
        "threads": threads,
        "rounds": rounds,
        "repeats": repeats,
        "load": loads,
        "compared_with": first,
        "latency_ms": {
            name: {
                "input": opened[name][1],
                "file_bytes": networks[name].stat().st_size,
                **summarise(rows, table[first]),
            }
            for name, rows in table.items()
        },
    }


def summarise(milliseconds: NDArray[np.float64], ours: NDArray[np.float64]) -> dict[str, Any]:
    """Percentiles of (rounds, repeats) milliseconds, and their ratio to those of ours."""
    p50, p95 = np.percentile(milliseconds, [50, 95])
    single = np.median(milliseconds, axis=1) / np.median(ours, axis=1)
    low, high = np.percentile(single, [5, 95])
    return {
        "p50": round(float(p50), 2),
        "p95": round(float(p95), 2),
        "times_ours": round(float(p50 / np.median(ours)), 3),
        "times_ours_rounds": [round(float(low), 3), round(float(high), 3)],
    }


def open_network(path: Path, threads: int) -> tuple[Callable[[], float], list[int]]:
    """A call that runs the file on noise and returns its milliseconds, and the shape of that input."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    image = noise_for(entry)

    def call() -> float:
        began = perf_counter()
        session.run(None, {entry.name: image})
        return 1e3 * (perf_counter() - began)

    return call, list(image.shape)
