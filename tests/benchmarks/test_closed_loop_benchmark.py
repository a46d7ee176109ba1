"""The tables of the closed loop's document hold what the folders of runs hold."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

from palletjack_sim.verdict import RunResult, by_distance

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def closed_loop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("closed_loop")


def leave_run(out: Path, scenario: str, seed: int, quality: str, clearance: float, graph: str) -> Path:
    """What `palletjack simulate` leaves of a run of 20 s with 10 pictures a second."""
    folder = out / scenario / f"seed_{seed}"
    folder.mkdir(parents=True)
    result = RunResult(scenario, seed, "pass", [], quality, "detector", min_clearance_m=clearance)
    result.frames, result.duration_s, result.real_time_factor = 201, 20.0, 0.5 + seed
    result.stopping_margin_m = clearance - 0.5
    result.by_distance = by_distance([(3.0, True), (3.0, False)], [(3.0, 0.2)])
    result.write(folder / "result.json")
    (folder / "request.json").write_text(json.dumps({"graph": graph}))
    return folder


def test_tables_and_file_say_what_the_runs_said(
    closed_loop: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat, traced = tmp_path / "flat", tmp_path / "traced"
    for seed, clearance in enumerate((1.0, 1.2)):
        leave_run(flat, "head_on", seed, "rasterized", clearance, "ros")
    leave_run(flat, "wet_floor", 0, "rasterized", 0.9, "ros")
    leave_run(traced, "head_on", 0, "path_traced", 1.1, "direct")
    unfinished = leave_run(traced, "head_on", 1, "path_traced", 0.1, "direct")
    (unfinished / "request.json").unlink()
    out = tmp_path / "closed_loop.json"
    words = [str(flat), str(traced), "--machine", "small", "--machine", "large", "--out", str(out)]
    closed_loop.main(words)
    document = json.loads(out.read_text())
    assert {name: item["runs"] for name, item in document["cameras"].items()} == {
        "rasterized": 3,
        "path_traced": 1,
    }
    assert document["cameras"]["path_traced"]["machine"] == "large"
    printed = capsys.readouterr().out.splitlines()
    assert "| graph; images/s | ros; 10 | direct; 10 |" in printed
    assert "| runs passed | 3 of 3 | 1 of 1 |" in printed
    assert (
        "| real-time factor: mean, least to greatest | 0.83, 0.50 to 1.50 | 0.50, 0.50 to 0.50 |" in printed
    )
    (head_on,) = (line for line in printed if line.startswith("| `head_on`"))
    assert head_on.startswith("| `head_on` | 2 of 2 | 0 | 1.00 | 0.60 (0.50 to 0.70) | 0.50 |")
    assert head_on.endswith("| 1 of 1 | 1.10 | 0.50 |")
    (wet_floor,) = (line for line in printed if line.startswith("| `wet_floor`"))
    assert wet_floor.endswith("| - | - | - |"), "not run with the other camera"
    assert "| 2 to 4 | 6 | 0.50 | 0.20 | 2 | 0.50 | 0.20 |" in printed


def test_folder_without_runs_is_named(closed_loop: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="expected SCENARIO/seed_N/result"):
        closed_loop.main([str(tmp_path), "--out", str(tmp_path / "x.json")])
