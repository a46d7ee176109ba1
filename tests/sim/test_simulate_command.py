"""`palletjack simulate` without a graph: exit codes, files, errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from palletjack_sim.commands import simulate
from tests.detector.tiny_model import write_tiny_model

SCENARIO = """
format: palletjack-scenario/1
name: short
description: a pallet truck beside the lane
duration: 1.0
route: {goal: [10, 0]}
camera: {width: 160, height_px: 90}
objects: [{name: truck, family: palletjack, pose: {x: 4, y: 1.5}, vary: {position: 0.3}}]
criteria: {min_distance: DISTANCE}
"""
APP = typer.Typer()
APP.command()(simulate)
WITHOUT_NETWORK = ["--graph", "direct", "--camera-quality", "rasterized", "--perception", "ground_truth"]


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "short.yaml"
    path.write_text(SCENARIO.replace("DISTANCE", "0.1"))
    return path


@pytest.fixture(scope="module")
def too_far(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario that asks for more distance than is driven."""
    path = tmp_path_factory.mktemp("scenario") / "other.yaml"
    path.write_text(SCENARIO.replace("DISTANCE", "50").replace("name: short", "name: too_far"))
    return path


@pytest.fixture(scope="module")
def two_seeds(scenario: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The scenario with two seeds: its folder, and how the command ended."""
    out = tmp_path_factory.mktemp("two_seeds") / "out"
    return out, CliRunner().invoke(APP, [str(scenario), *WITHOUT_NETWORK, "--seeds", "2", "--out", str(out)])


@pytest.fixture(scope="module")
def two_scenarios(
    scenario: Path, too_far: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """Both scenarios with seed 1: their folder, and how the command ended."""
    out = tmp_path_factory.mktemp("two_scenarios") / "out"
    words = [str(scenario), str(too_far), *WITHOUT_NETWORK, "--first-seed", "1", "--out", str(out)]
    return out, CliRunner().invoke(APP, words)


def test_passed_runs_exit_with_zero_and_leave_a_summary(two_seeds: tuple[Path, Result]) -> None:
    out, done = two_seeds
    assert done.exit_code == 0, done.output
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["runs"], summary["passed"]) == (2, 2)
    clearances = [
        json.loads((out / f"seed_{seed}" / "result.json").read_text())["min_clearance_m"] for seed in (0, 1)
    ]
    assert clearances[0] != clearances[1], "the seeds vary the truck's place"


def test_failed_run_exits_with_one_and_its_reason(two_scenarios: tuple[Path, Result]) -> None:
    _, done = two_scenarios
    assert done.exit_code == 1
    assert "expected at least 50.00 m" in done.output


def test_missing_model_exits_with_two_and_names_it(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [str(scenario), "--graph", "direct", "--model", str(tmp_path / "nothing"), "--out", str(out)]
    done = CliRunner().invoke(APP, words)
    assert done.exit_code == 2
    assert "--model: expected a folder with model.json" in done.output
    assert json.loads((out / "result.json").read_text())["verdict"] == "error"


@pytest.mark.skipif(find_library("OSMesa") is not None, reason="OSMesa is installed")
def test_opengl_that_is_not_there_is_named(scenario: Path, tmp_path: Path) -> None:
    words = [str(scenario), *WITHOUT_NETWORK, "--out", str(tmp_path / "out")]
    program = "import typer; from palletjack_sim.commands import simulate; typer.run(simulate)"
    # A process of its own: MuJoCo chooses its OpenGL once.
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "MUJOCO_GL": "osmesa"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "no off-screen OpenGL with MUJOCO_GL=osmesa" in done.stdout
    assert "libosmesa6" in done.stdout


def test_a_machine_without_egl_needs_none_for_the_path_traced_camera() -> None:
    """A GPU server had no libEGL: MuJoCo's import ended every run there."""
    program = (
        "import ctypes.util; ctypes.util.find_library = lambda name: None; import palletjack_sim, os, mujoco;"
        "mujoco.MjModel.from_xml_string('<mujoco/>'); print(os.environ['MUJOCO_GL'])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "MUJOCO_GL"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "disable"), done.stderr


def test_unknown_scenario_exits_with_two() -> None:
    done = CliRunner().invoke(APP, ["head_onn", *WITHOUT_NETWORK])
    assert done.exit_code == 2
    assert "did you mean head_on?" in done.output


def test_duration_before_a_fault_exits_with_two() -> None:
    done = CliRunner().invoke(APP, ["camera_lost", *WITHOUT_NETWORK, "--duration", "3"])
    assert done.exit_code == 2
    assert "duration: expected more than the 4 s at which camera_lost sets in, found 3 s" in done.output


def test_help_shows_an_example() -> None:
    assert "Example:" in CliRunner().invoke(APP, ["--help"]).output


def test_several_scenarios_leave_folders_junit_and_a_page(
    two_scenarios: tuple[Path, Result], scenario: Path
) -> None:
    out, done = two_scenarios
    assert done.exit_code == 1, done.output
    assert (out / "short" / "seed_1" / "track.png").is_file()
    summary = json.loads((out / "summary.json").read_text())
    assert [block["passed"] for block in summary["scenarios"].values()] == [1, 0]
    assert 'failures="1"' in (out / "junit.xml").read_text()
    page = (out / "report.html").read_text()
    assert 'src="too_far/seed_1/track.png"' in page
    again = CliRunner().invoke(APP, [str(scenario), str(scenario), *WITHOUT_NETWORK])
    assert again.exit_code == 2
    assert "expected each once, found short" in again.output


def test_two_models_are_compared_in_the_same_runs(scenario: Path, tmp_path: Path) -> None:
    models = [str(write_tiny_model(tmp_path / name)) for name in ("first", "second")]
    out = tmp_path / "out"
    words = [str(scenario), "--graph", "direct", "--camera-quality", "rasterized", "--out", str(out)]
    done = CliRunner().invoke(APP, [*words, "--compare", *models])
    assert done.exit_code == 0, done.output
    assert "A: first   B: second   1 pairs of runs" in done.output
    comparison = json.loads((out / "comparison.json").read_text())
    assert comparison["metrics"]["recall"]["difference"] == 0.0
    assert (out / "a" / "report.html").is_file()
    assert "<b>first</b>" in (out / "comparison.html").read_text()
    refused = CliRunner().invoke(APP, [str(scenario), *WITHOUT_NETWORK, "--compare", *models])
    assert refused.exit_code == 2
    assert "--compare: expected --perception detector" in refused.output


def test_recording_needs_topics(scenario: Path) -> None:
    done = CliRunner().invoke(APP, [str(scenario), *WITHOUT_NETWORK, "--record"])
    assert done.exit_code == 2
    assert "--record: expected --graph ros" in done.output


@pytest.mark.long
def test_finished_runs_are_kept_and_others_made(
    two_seeds: tuple[Path, Result], scenario: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(two_seeds[0], out)
    words = [*WITHOUT_NETWORK, "--out", str(out), "--resume"]

    def written() -> dict[int, int]:
        return {
            seed: path.stat().st_mtime_ns
            for seed in (0, 1, 2)
            if (path := out / f"seed_{seed}" / "result.json").is_file()
        }

    before = written()
    done = CliRunner().invoke(APP, [str(scenario), *words, "--seeds", "3"])
    assert done.exit_code == 0
    assert done.output.count("kept, was made before") == 2
    assert {seed: written()[seed] for seed in (0, 1)} == before
    assert json.loads((out / "summary.json").read_text())["runs"] == 3
    # Another scenario of the same name is another run; so is one that was cut short.
    (out / "seed_2" / "request.json").unlink()
    done = CliRunner().invoke(APP, [str(scenario), *words, "--seeds", "3"])
    assert done.output.count("kept, was made before") == 2
    other = tmp_path / "short.yaml"
    other.write_text(SCENARIO.replace("DISTANCE", "0.2"))
    done = CliRunner().invoke(APP, [str(other), *words])
    assert done.exit_code == 0
    assert "kept" not in done.output


def test_processes_that_share_a_folder_are_summed_up_by_a_last_call(
    two_scenarios: tuple[Path, Result], scenario: Path, too_far: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(two_scenarios[0], out)
    for path, name, code in ((scenario, "short", 0), (too_far, "too_far", 1)):
        alone = [str(path), *WITHOUT_NETWORK, "--out", str(out / name / "seed_0")]
        assert CliRunner().invoke(APP, alone).exit_code == code
    both = [str(scenario), str(too_far), *WITHOUT_NETWORK]
    done = CliRunner().invoke(APP, [*both, "--seeds", "2", "--resume", "--out", str(out)])
    assert done.output.count("kept, was made before") == 4
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["runs"], summary["passed"]) == (4, 2)
