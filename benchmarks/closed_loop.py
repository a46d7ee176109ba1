"""Sums up runs of `palletjack simulate` for benchmarks/results/closed_loop.json and docs/closed_loop.md.

    palletjack simulate all --seeds 5 --camera-quality rasterized --resume --out out/rasterized
    palletjack simulate all --seeds 5 --resume --out out/path_traced
    python benchmarks/closed_loop.py out/rasterized out/path_traced --compared out/compare

Runs that OUT does not hold yet are not counted; the number of runs stands beside each result.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

from palletjack_sim.files import replace_file
from palletjack_sim.resume import REQUEST_FILE
from palletjack_sim.run import RESULT_FILE
from palletjack_sim.summary import summarize_runs
from palletjack_sim.verdict import RunResult

RESULTS = Path(__file__).parent / "results" / "closed_loop.json"
COLUMNS = (
    ("min_clearance_m", 2),
    ("stopping_margin_m", 2),
    ("false_stops_per_km", 0),
    ("recall", 2),
    ("first_detection_delay_s", 2),
    ("range_mean_absolute_m", 2),
)


def finished_runs(out: Path) -> list[RunResult]:
    """Results of the runs below ``out`` that were carried to their end."""
    files = sorted(out.glob(f"*/seed_*/{RESULT_FILE}"))
    return [RunResult.read(path) for path in files if (path.parent / REQUEST_FILE).is_file()]


def block(out: Path) -> dict[str, Any]:
    """The summary of a folder, and what its runs have in common."""
    runs = finished_runs(out)
    if not runs:
        raise SystemExit(f"{out}: expected SCENARIO/seed_N/result.json of finished runs, found none")
    summary = summarize_runs(runs)
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


def table(summary: dict[str, Any]) -> str:
    """Markdown: one row for each scenario."""
    lines = []
    for name, item in summary["scenarios"].items():
        cells = [f"`{name}`", f"{item['passed']} of {item['runs']}", str(item["collisions"])]
        cells.append("-" if item["min_clearance_m"] is None else f"{item['min_clearance_m']:.2f}")
        for metric, digits in COLUMNS:
            found = item["metrics"][metric]
            text = "-" if found["value"] is None else f"{found['value']:.{digits}f}"
            if found["low"] is not None and found["low"] != found["high"]:
                text += f" ({found['low']:.{digits}f} to {found['high']:.{digits}f})"
            cells.append(text)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Write the JSON and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--compared", type=Path, help="folder of a run with --compare")
    parser.add_argument("--note", default="", help="what else the machine did meanwhile")
    arguments = parser.parse_args()
    summaries = [block(out) for out in arguments.folders]
    document: dict[str, Any] = {
        "machine": f"{platform.machine()}, {platform.system()}",
        "note": arguments.note,
        "cameras": {summary["camera_quality"]: summary for summary in summaries},
    }
    if arguments.compared:
        document["comparison"] = json.loads((arguments.compared / "comparison.json").read_text())
    replace_file(RESULTS, (json.dumps(document, indent=1) + "\n").encode())
    for summary in summaries:
        print(f"\n{summary['camera_quality']}: {summary['passed']} of {summary['runs']} passed")
        print(table(summary))
        for band in summary["by_distance"]:
            print(band)


if __name__ == "__main__":
    main()
