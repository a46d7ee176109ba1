"""Sums up runs of `palletjack simulate` for benchmarks/results/closed_loop.json and docs/closed_loop.md.

    palletjack simulate all --seeds 5 --camera-quality rasterized --resume --out out/rasterized
    palletjack simulate all --seeds 5 --graph direct --resume --out out/path_traced
    python benchmarks/closed_loop.py out/rasterized out/path_traced \\
        --machine "2 cores" --machine "64 cores" --compared out/compare

Writes the JSON and prints the tables of the document. Runs that a folder does not hold yet are not counted;
the number of runs stands beside each result.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from palletjack_sdg.whole_file import write_whole
from palletjack_sim.resume import REQUEST_FILE
from palletjack_sim.run import RESULT_FILE
from palletjack_sim.summary import summarize_runs
from palletjack_sim.verdict import RunResult

RESULTS = Path(__file__).parent / "results" / "closed_loop.json"

Summary = dict[str, Any]


def finished_runs(out: Path) -> list[tuple[RunResult, Summary]]:
    """Results of the runs below ``out`` that were carried to their end, each with what was asked for."""
    found = []
    for path in sorted(out.glob(f"*/seed_*/{RESULT_FILE}")):
        request = path.parent / REQUEST_FILE
        if request.is_file():
            found.append((RunResult.read(path), json.loads(request.read_text(encoding="utf-8"))))
    return found


def block(out: Path, machine: str) -> Summary:
    """The summary of a folder, what its runs have in common, and the ``machine`` that made them."""
    found = finished_runs(out)
    if not found:
        raise SystemExit(f"{out}: expected SCENARIO/seed_N/result.json of finished runs, found none")
    runs = [run for run, _ in found]
    summary = summarize_runs(runs)
    summary["machine"] = machine
    summary["graph"] = " and ".join(sorted({request["graph"] for _, request in found}))
    summary["images_per_s"] = round(statistics.median(run.frames / run.duration_s for run in runs))
    summary["false_detections"] = sum(run.false_detections for run in runs)
    summary["frames"] = sum(run.frames for run in runs)
    summary["camera_quality"] = runs[0].camera_quality
    summary["model"] = runs[0].model
    summary["versions"] = runs[0].versions
    summary["results"] = [
        {
            "scenario": run.scenario,
            "seed": run.seed,
            "verdict": run.verdict,
            "reasons": run.reasons,
            "min_clearance_m": run.min_clearance_m,
            "real_time_factor": run.real_time_factor,
        }
        for run in runs
    ]
    return summary


def overview(summaries: Sequence[Summary]) -> str:
    """Markdown: all runs of each camera in one column."""
    rows: list[list[str]] = [["", *(item["camera_quality"] for item in summaries)]]
    rows.append(["---"] * len(rows[0]))

    def row(name: str, cells: Sequence[object]) -> None:
        rows.append([name, *(str(cell) for cell in cells)])

    row("machine", [item["machine"] for item in summaries])
    row("graph; images/s", [f"{item['graph']}; {item['images_per_s']}" for item in summaries])
    row("runs passed", [f"{item['passed']} of {item['runs']}" for item in summaries])
    row("collisions", [item["collisions"] for item in summaries])
    row("false stops per km", [_value(item, "false_stops_per_km", 0) for item in summaries])
    row(
        "detections that lie on no truck",
        [f"{item['false_detections']} in {item['frames']} frames" for item in summaries],
    )
    row(
        "latency of detections p50, worst p99 (ms)",
        [f"{_value(item, 'latency_p50_ms', 0)}, {_value(item, 'latency_p99_ms', 0)}" for item in summaries],
    )
    row("real-time factor: mean, least to greatest", [_real_time(item) for item in summaries])
    return _table(rows)


def scenario_table(summaries: Sequence[Summary]) -> str:
    """Markdown: a row for each scenario; all of the first camera, the main columns of the others."""
    first, others = summaries[0], summaries[1:]
    rows = [["Scenario", "passed", "collisions", "clearance (m)", "stopping margin (m)", "recall"]]
    rows[0] += ["first sight to detection (s)", *(["passed", "clearance (m)", "recall"] * len(others))]
    rows.append(["---"] * len(rows[0]))
    for name, item in first["scenarios"].items():
        cells = [f"`{name}`", f"{item['passed']} of {item['runs']}", str(item["collisions"]), _least(item)]
        cells += [_interval(item, metric) for metric in ("stopping_margin_m", "recall")]
        cells.append(_interval(item, "first_detection_delay_s"))
        for other in (summary["scenarios"].get(name) for summary in others):
            if other is None:
                cells += ["-"] * 3
            else:
                cells += [f"{other['passed']} of {other['runs']}", _least(other), _interval(other, "recall")]
        rows.append(cells)
    return _table(rows)


def distance_table(summaries: Sequence[Summary]) -> str:
    """Markdown: recall and range error in bands of the true range."""
    rows = [["True range (m)"]]
    for summary in summaries:
        rows[0] += [f"seen, {summary['camera_quality']}", "recall", "range error (m)"]
    rows.append(["---"] * len(rows[0]))
    for band in summaries[0]["by_distance"]:
        cells = [
            f"{band['from_m']:.0f} to {band['to_m']:.0f}" if band["to_m"] else f"{band['from_m']:.0f} on"
        ]
        for summary in summaries:
            found = [item for item in summary["by_distance"] if item["from_m"] == band["from_m"]]
            for item in found or [None]:
                cells += ["-"] * 3 if item is None else [str(item["visible"]), f"{item['recall']:.2f}"]
                if item is not None:
                    error = item["range_mean_absolute_m"]
                    cells.append("-" if error is None else f"{error:.2f}")
        rows.append(cells)
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def _value(item: Summary, metric: str, digits: int) -> str:
    value = item["metrics"][metric]["value"]
    return "-" if value is None else f"{value:.{digits}f}"


def _interval(item: Summary, metric: str, digits: int = 2) -> str:
    """The value, and its interval in brackets where that is wider than the digits shown."""
    found = item["metrics"][metric]
    text = _value(item, metric, digits)
    if found["low"] is not None:
        low, high = (f"{found[end]:.{digits}f}" for end in ("low", "high"))
        text += f" ({low} to {high})" if low != high else ""
    return text


def _least(item: Summary) -> str:
    return "-" if item["min_clearance_m"] is None else f"{item['min_clearance_m']:.2f}"


def _real_time(item: Summary) -> str:
    factors = [run["real_time_factor"] for run in item["results"]]
    return f"{statistics.fmean(factors):.2f}, {min(factors):.2f} to {max(factors):.2f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the JSON and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--machine", action="append", default=[], help="of each folder, in their order")
    parser.add_argument("--compared", type=Path, help="folder of a run with --compare")
    parser.add_argument("--note", default="", help="what else the machines did meanwhile")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    pairs = zip_longest(arguments.folders, arguments.machine, fillvalue="")
    summaries = [block(Path(out), machine) for out, machine in pairs]
    document: Summary = {
        "note": arguments.note,
        "cameras": {summary["camera_quality"]: summary for summary in summaries},
    }
    if arguments.compared:
        document["comparison"] = json.loads((arguments.compared / "comparison.json").read_text())
    write_whole(arguments.out, (json.dumps(document, indent=1) + "\n").encode())
    for table in (overview, scenario_table, distance_table):
        print(f"{table(summaries)}\n")


if __name__ == "__main__":
    main()
