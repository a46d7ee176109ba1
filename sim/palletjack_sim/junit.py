"""Runs as JUnit XML, which CI servers read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from palletjack_sdg.whole_file import write_whole
from palletjack_sim.verdict import ERROR, FAILED, RunResult


def write_junit(path: Path, results: Sequence[RunResult]) -> None:
    """Write one test case for each run; ``time`` is the simulated one in seconds."""
    suite = ElementTree.Element(
        "testsuite",
        name="palletjack simulate",
        tests=str(len(results)),
        failures=str(sum(result.verdict == FAILED for result in results)),
        errors=str(sum(result.verdict == ERROR for result in results)),
    )
    for result in results:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=result.scenario,
            name=f"seed_{result.seed}",
            time=f"{result.duration_s:.3f}",
        )
        if result.verdict in (FAILED, ERROR):
            kind = "failure" if result.verdict == FAILED else "error"
            ElementTree.SubElement(case, kind, message="; ".join(result.reasons))
    ElementTree.indent(suite)
    text = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    write_whole(path, text + b"\n")
