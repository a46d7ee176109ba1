"""Numbers, JUnit, page and comparison made of many runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from palletjack_sim.comparison import compare_runs, comparison_table, write_comparison_file
from palletjack_sim.junit import write_junit
from palletjack_sim.report import write_comparison, write_report
from palletjack_sim.summary import METRICS, interval, join_bands, summarize_runs
from palletjack_sim.verdict import RunResult, by_distance


def run(seed: int, clearance: float, verdict: str = "pass", **values: object) -> RunResult:
    result = RunResult("aisle", seed, verdict, [], "rasterized", "detector", min_clearance_m=clearance)
    return replace(result, distance_m=100.0, **values)  # type: ignore[arg-type]


RUNS = [run(0, 1.0, false_stops=1), run(1, 1.2), run(2, 1.4, "fail", reasons=["<too> near"])]


def test_bands_split_recall_and_range_error_by_distance() -> None:
    bands = by_distance([(1.0, True), (3.0, True), (3.5, False), (20.0, False)], [(3.0, 0.2), (1.0, -0.1)])
    assert [(b["from_m"], b["visible"], b["detected"]) for b in bands] == [(0, 1, 1), (2, 2, 1), (12, 1, 0)]
    assert [b["range_mean_absolute_m"] for b in bands] == [0.1, 0.2, None]
    assert bands[-1]["to_m"] is None
    joined = join_bands([replace(RUNS[0], by_distance=bands), replace(RUNS[1], by_distance=bands)])
    assert [(b["visible"], b["recall"]) for b in joined] == [(2, 1.0), (4, 0.5), (2, 0.0)]


def test_intervals_hold_the_value_and_repeat() -> None:
    clearance = interval(METRICS["min_clearance_m"], RUNS)
    assert clearance == interval(METRICS["min_clearance_m"], RUNS)
    assert clearance["value"] == pytest.approx(1.2)
    assert clearance["low"] is not None
    assert clearance["high"] is not None
    assert 1.0 <= clearance["low"] < 1.2 < clearance["high"] <= 1.4
    assert interval(METRICS["min_clearance_m"], RUNS[:1])["low"] is None
    # Median of the runs' medians and the worst of their 99th percentiles.
    slow = [
        replace(r, end_to_end_ms={"p50": 10.0 * n, "p99": 20.0 * n}, collisions=n == 3)
        for n, r in enumerate(RUNS, 1)
    ]
    assert interval(METRICS["end_to_end_p50_ms"], slow)["value"] == 20.0
    assert interval(METRICS["end_to_end_p99_ms"], slow)["value"] == 60.0
    assert interval(METRICS["collisions_per_run"], slow)["value"] == pytest.approx(1 / 3, abs=1e-4)
    # One false stop in 300 m.
    assert interval(METRICS["false_stops_per_km"], RUNS)["value"] == pytest.approx(3.3333)


def test_page_and_junit_name_the_failure(tmp_path: Path) -> None:
    runs = [RUNS[0], replace(RUNS[1], moments=["00_first_detection.jpg"]), RUNS[2]]
    write_report(
        tmp_path / "report.html", [(r, tmp_path / f"seed_{r.seed}") for r in runs], summarize_runs(runs)
    )
    page = (tmp_path / "report.html").read_text()
    assert '<p class="fail"><a href="#aisle-2">aisle, seed 2</a>:' in page, "failures come first"
    assert page.count('id="aisle-1"') == 1
    assert '<a href="seed_1/frames/00_first_detection.jpg">' in page
    assert "<figcaption>first detection</figcaption>" in page
    assert "100 to 100" not in page, "an interval of no width says nothing"
    assert "2 of 3 runs passed" in page
    assert "picture to command" in page
    assert "&lt;too&gt; near" in page
    assert 'src="seed_1/track.png"' in page
    write_junit(tmp_path / "junit.xml", RUNS)
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "<too> near"


def test_comparison_pairs_runs_and_names_changed_verdicts(tmp_path: Path) -> None:
    worse = [run(r.seed, (r.min_clearance_m or 0) - 0.3, "fail", model="b") for r in RUNS]
    better = [replace(r, model="a") for r in RUNS]
    document = compare_runs(better, worse)
    assert "aisle seed 0: pass with A, fail with B" in comparison_table(document)
    write_comparison_file(tmp_path / "comparison.json", document)
    assert json.loads((tmp_path / "comparison.json").read_text()) == document
    row = document["metrics"]["min_clearance_m"]
    assert row["difference"] == pytest.approx(-0.3)
    assert row["low"] == pytest.approx(-0.3)
    assert len(document["verdicts_that_differ"]) == 2
    with pytest.raises(ValueError, match="expected equal scenarios and seeds"):
        compare_runs(better, worse[:2])
    sides = [
        [(r, tmp_path / side / f"seed_{r.seed}") for r in runs]
        for side, runs in (("a", better), ("b", worse))
    ]
    write_comparison(tmp_path / "comparison.html", sides[0], sides[1], document)
    page = (tmp_path / "comparison.html").read_text()
    assert '<span class="fail">fail</span> with B' in page
    assert 'src="b/seed_1/track.png"' in page
    assert '<td class="sure">-0.300</td>' in page
