"""What sums up runs, beside them: summary.json, junit.xml and report.html."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from palletjack_sim.junit import write_junit
from palletjack_sim.report import write_report
from palletjack_sim.summary import summarize_runs, write_summary
from palletjack_sim.verdict import RunResult

SUMMARY_FILE, JUNIT_FILE, REPORT_FILE = "summary.json", "junit.xml", "report.html"


def write_outcome(out: Path, runs: Sequence[tuple[RunResult, Path]]) -> None:
    """Write the three files into ``out``; the folders of ``runs`` lie at or below it."""
    results = [result for result, _ in runs]
    summary = summarize_runs(results)
    write_summary(out / SUMMARY_FILE, summary)
    write_junit(out / JUNIT_FILE, results)
    write_report(out / REPORT_FILE, runs, summary)


def write_outcome_of_one(out: Path, result: RunResult) -> None:
    """The same of one run in its own folder; raises nothing, for the verdict stands whatever comes of it."""
    try:
        write_outcome(out, [(result, out)])
    except (ImportError, OSError) as error:
        print(f"{out / REPORT_FILE}: not written: {error}", file=sys.stderr, flush=True)
