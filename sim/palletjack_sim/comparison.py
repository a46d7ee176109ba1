"""Two models in the same runs: what the one drives differently from the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palletjack_sdg.whole_file import write_whole
from palletjack_sim.summary import INTERVAL, METRICS, RESAMPLES, Metric, join_bands
from palletjack_sim.verdict import ERROR, RunResult


def compare_runs(first: Sequence[RunResult], second: Sequence[RunResult]) -> dict[str, Any]:
    """Compare runs of equal scenarios and seeds: what comparison.json holds.

    Raises ValueError where the runs are not the same ones. Runs that ended in an error on either side are
    left out of the numbers.
    """
    keys = [[(run.scenario, run.seed) for run in runs] for runs in (first, second)]
    if keys[0] != keys[1]:
        raise ValueError(f"comparison: expected equal scenarios and seeds, found {keys[0]} and {keys[1]}")
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if ERROR not in (a.verdict, b.verdict)]
    metrics = {name: difference(metric, pairs) for name, metric in METRICS.items()}
    changed = [
        {"scenario": a.scenario, "seed": a.seed, "a": a.verdict, "b": b.verdict}
        for a, b in zip(first, second, strict=True)
        if a.verdict != b.verdict
    ]
    sides = ([a for a, _ in pairs], [b for _, b in pairs])
    return {
        "models": {"a": _model(first), "b": _model(second)},
        "runs": len(pairs),
        "metrics": metrics,
        "bands": _bands(*(join_bands(runs) for runs in sides)),
        "verdicts_that_differ": changed,
    }


def comparison_table(comparison: dict[str, Any]) -> str:
    """The comparison as text for the terminal."""
    models = comparison["models"]
    lines = [f"A: {models['a']}   B: {models['b']}   {comparison['runs']} pairs of runs"]
    lines.append(f"{'':26}{'A':>10}{'B':>10}{'B - A':>10}   95 % interval")
    lines += [_line(name, row) for name, row in comparison["metrics"].items()]
    lines += [
        f"{item['scenario']} seed {item['seed']}: {item['a']} with A, {item['b']} with B"
        for item in comparison["verdicts_that_differ"]
    ]
    return "\n".join(lines)


def write_comparison_file(path: Path, comparison: dict[str, Any]) -> None:
    """Write as JSON, whole or not at all."""
    write_whole(path, (json.dumps(comparison, indent=2, allow_nan=False) + "\n").encode())


def difference(metric: Metric, pairs: Sequence[tuple[RunResult, RunResult]]) -> dict[str, float | None]:
    """``metric`` on both sides, second less first, and the bootstrap interval of that over the pairs."""

    def both(chosen: Sequence[tuple[RunResult, RunResult]]) -> tuple[float | None, float | None]:
        return metric([a for a, _ in chosen]), metric([b for _, b in chosen])

    a, b = both(pairs)
    row: dict[str, float | None] = {"a": a, "b": b, "difference": None, "low": None, "high": None}
    if a is None or b is None:
        return row
    row["difference"] = b - a
    if len(pairs) > 1:
        rng = np.random.default_rng(0)
        draws = [
            both([pairs[i] for i in rng.integers(len(pairs), size=len(pairs))]) for _ in range(RESAMPLES)
        ]
        known = [right - left for left, right in draws if left is not None and right is not None]
        row["low"], row["high"] = (float(bound) for bound in np.percentile(known, INTERVAL))
    return row


def _model(runs: Sequence[RunResult]) -> str | None:
    """The model's name; a run that ended in an error has none."""
    return next((run.model for run in runs if run.model), None)


def _bands(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The bands of both sides by their true range; None where a side saw no truck."""
    sides = [{band["from_m"]: band for band in bands} for bands in (first, second)]
    return [
        {
            "from_m": low,
            "to_m": (sides[0].get(low) or sides[1][low])["to_m"],
            "a": sides[0].get(low),
            "b": sides[1].get(low),
        }
        for low in sorted({*sides[0], *sides[1]})
    ]


def _line(name: str, row: dict[str, Any]) -> str:
    cells = "".join(
        f"{'-' if row[key] is None else format(row[key], '.3f'):>10}" for key in ("a", "b", "difference")
    )
    bounds = "" if row["low"] is None else f"   {row['low']:.3f} to {row['high']:.3f}"
    return f"{name:26}{cells}{bounds}"
