"""Many runs in numbers: per scenario and together, with bootstrap intervals over the runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palletjack_sdg.whole_file import write_whole
from palletjack_sim.verdict import DISTANCE_BANDS_M, RunResult

RESAMPLES = 2000
INTERVAL = (2.5, 97.5)

Metric = Callable[[Sequence[RunResult]], float | None]


def _share_passed(runs: Sequence[RunResult]) -> float | None:
    return sum(run.verdict == "pass" for run in runs) / len(runs) if runs else None


def _mean(name: str) -> Metric:
    def metric(runs: Sequence[RunResult]) -> float | None:
        values = [getattr(run, name) for run in runs if getattr(run, name) is not None]
        return float(np.mean(values)) if values else None

    return metric


def _false_stops_per_km(runs: Sequence[RunResult]) -> float | None:
    driven = sum(run.distance_m for run in runs)
    return 1000.0 * sum(run.false_stops for run in runs) / driven if driven > 0.0 else None


def _recall(runs: Sequence[RunResult]) -> float | None:
    visible = sum(band["visible"] or 0 for run in runs for band in run.by_distance)
    detected = sum(band["detected"] or 0 for run in runs for band in run.by_distance)
    return detected / visible if visible else None


def _milliseconds(name: str, percentile: str, join: Callable[[list[float]], float]) -> Metric:
    def metric(runs: Sequence[RunResult]) -> float | None:
        values = [found[percentile] for run in runs if (found := getattr(run, name))]
        return float(join(values)) if values else None

    return metric


def _range_error(runs: Sequence[RunResult]) -> float | None:
    errors = [run.range_error for run in runs if run.range_error]
    count = sum(item["count"] for item in errors)
    return sum(item["count"] * item["mean_absolute_m"] for item in errors) / count if count else None


METRICS: dict[str, Metric] = {
    "passed": _share_passed,
    "collisions_per_run": _mean("collisions"),
    "min_clearance_m": _mean("min_clearance_m"),
    "stopping_margin_m": _mean("stopping_margin_m"),
    "false_stops_per_km": _false_stops_per_km,
    "recall": _recall,
    "first_detection_delay_s": _mean("first_detection_delay_s"),
    "range_mean_absolute_m": _range_error,
    "latency_p50_ms": _milliseconds("latency_ms", "p50", np.median),
    "latency_p99_ms": _milliseconds("latency_ms", "p99", np.max),
    "end_to_end_p50_ms": _milliseconds("end_to_end_ms", "p50", np.median),
    "end_to_end_p99_ms": _milliseconds("end_to_end_ms", "p99", np.max),
    "real_time_factor": _mean("real_time_factor"),
}


def summarize_runs(results: Sequence[RunResult]) -> dict[str, Any]:
    """What summary.json holds. Each metric has value, low and high: the 95 % bootstrap interval over runs."""
    scenarios = list(dict.fromkeys(result.scenario for result in results))
    summary = _block(results)
    if len(scenarios) == 1:
        summary["scenario"] = scenarios[0]
    summary["scenarios"] = {
        name: _block([result for result in results if result.scenario == name]) for name in scenarios
    }
    summary["by_distance"] = join_bands(results)
    summary["results"] = [
        {"scenario": r.scenario, "seed": r.seed, "verdict": r.verdict, "reasons": r.reasons} for r in results
    ]
    return summary


def interval(metric: Metric, runs: Sequence[RunResult], seed: int = 0) -> dict[str, float | None]:
    """``metric`` of ``runs`` and its bootstrap interval; with fewer than two runs there is none."""
    value = metric(runs)
    low = high = None
    if len(runs) > 1 and value is not None:
        rng = np.random.default_rng(seed)
        draws = [metric([runs[i] for i in rng.integers(len(runs), size=len(runs))]) for _ in range(RESAMPLES)]
        known = [draw for draw in draws if draw is not None]
        low, high = (round(float(bound), 4) for bound in np.percentile(known, INTERVAL))
    return {"value": None if value is None else round(value, 4), "low": low, "high": high}


def join_bands(results: Sequence[RunResult]) -> list[dict[str, float | None]]:
    """The bands of all runs together, with the recall of each."""
    joined: list[dict[str, float | None]] = []
    for low in DISTANCE_BANDS_M[:-1]:
        bands = [band for result in results for band in result.by_distance if band["from_m"] == low]
        visible = sum(band["visible"] or 0 for band in bands)
        if not visible:
            continue
        counts = [band["range_count"] or 0 for band in bands]
        errors = [band["range_mean_absolute_m"] or 0.0 for band in bands]
        measured = sum(counts)
        detected = sum(band["detected"] or 0 for band in bands)
        joined.append(
            {
                "from_m": low,
                "to_m": bands[0]["to_m"],
                "visible": visible,
                "detected": detected,
                "recall": round(detected / visible, 4),
                "range_mean_absolute_m": round(float(np.dot(counts, errors)) / measured, 4)
                if measured
                else None,
            }
        )
    return joined


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write as JSON, whole or not at all."""
    write_whole(path, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())


def _block(results: Sequence[RunResult]) -> dict[str, Any]:
    clearances = [r.min_clearance_m for r in results if r.min_clearance_m is not None]
    smallest = min(clearances, default=math.nan)
    finished = [result for result in results if result.verdict != "error"]
    return {
        "runs": len(results),
        "passed": sum(r.verdict == "pass" for r in results),
        "failed": sum(r.verdict == "fail" for r in results),
        "errors": sum(r.verdict == "error" for r in results),
        "collisions": sum(r.collisions for r in results),
        "min_clearance_m": None if math.isnan(smallest) else smallest,
        "metrics": {name: interval(metric, finished) for name, metric in METRICS.items()},
    }
