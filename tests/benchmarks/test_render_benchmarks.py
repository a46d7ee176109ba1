"""The arithmetic of the renderer's benchmarks, a small run of each, and their checks of their options."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import yaml

from palletjack_sdg.generate import FrameReport
from palletjack_sdg.render import RenderError, RenderSettings, create_renderer, denoise
from tests.sdg.recipes import small_frames

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def beside_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts import modules that lie in their folder."""
    monkeypatch.syspath_prepend(str(FOLDER))


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_seconds_are_read_off_between_neighbours_and_never_beyond_the_curve() -> None:
    cycles = load("cycles")
    rows = [{"cpu_seconds": 8.0, "psnr_db": 34.0}, {"cpu_seconds": 2.0, "psnr_db": 30.0}]
    assert cycles.seconds_at(rows, 32.0) == pytest.approx(4.0)
    assert cycles.seconds_at(rows, 30.0) == pytest.approx(2.0)
    assert cycles.seconds_at(rows, 29.0) is None
    assert cycles.seconds_at(rows, 35.0) is None
    ours = [{"spp": 4, "cpu_seconds": 2.0, "psnr_db": 32.0}, {"spp": 1, "cpu_seconds": 1.0, "psnr_db": 20.0}]
    assert cycles.ratios(ours, rows) == [{"spp": 4, "psnr_db": 32.0, "ratio": 2.0}]


def test_psnr_is_that_of_the_displayed_image() -> None:
    psnr = load("cycles").psnr
    reference = np.full((4, 4, 3), 0.25**2.2, np.float32)
    brighter = np.full((4, 4, 3), 0.35**2.2, np.float32)
    assert psnr(brighter, reference, 1.0) == pytest.approx(20.0, abs=1e-3)
    assert psnr(reference, reference, 1.0) > 100.0


def test_fingerprints_see_one_changed_byte_and_leave_the_manifest_out(tmp_path: Path) -> None:
    fingerprint = load("reproducibility").fingerprint
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "000000.jpg").write_bytes(b"one")
    (tmp_path / "dataset.json").write_text("{}")
    before = fingerprint(tmp_path)
    assert list(before) == ["images/000000.jpg"]
    (tmp_path / "images" / "000000.jpg").write_bytes(b"two")
    assert fingerprint(tmp_path) != before


def test_what_differs_between_runs_is_named_and_measured(tmp_path: Path) -> None:
    reproducibility = load("reproducibility")
    roots = [tmp_path / name for name in ("one", "two")]
    for number, root in enumerate(roots):
        (root / "images").mkdir(parents=True)
        (root / "labels").mkdir()
        for name in ("same", "other"):
            image = np.full((4, 4, 3), 100 + 7 * number * (name == "other"), np.uint8)
            cv2.imwrite(str(root / f"images/{name}.png"), image)
    (roots[0] / "labels/same.txt").write_text("only here")
    different = reproducibility.differing([reproducibility.fingerprint(root) for root in roots])
    assert different == ["images/other.png", "labels/same.txt"]
    assert reproducibility.largest_difference(roots, different) == 7
    (roots[1] / "images/other.png").unlink()
    assert reproducibility.largest_difference(roots, different) == 255


def test_first_frames_are_left_out_and_parts_add_up_to_stages() -> None:
    benchmark = load("generate")
    first = {"plan": 1.0, "trace": 30.0, "ids": 1.0}
    later = {"plan": 0.25, "build": 0.5, "trace": 2.0, "ids": 0.5, "denoise": 0.125, "write": 0.25}
    order = [(7, first), (7, later), (8, first), (7, later), (8, later), (7, later)]
    finished = [
        benchmark.Finished(at=100.0 + number, report=FrameReport(number, seconds=seconds, process=process))
        for number, (process, seconds) in enumerate(order)
    ]
    found = benchmark.summarize(finished, start=95.0)
    assert (found["first_frame_s"], found["start_s"]) == (5.0, 7.0)
    # Three frames in the three seconds after the second process has made its first one.
    assert (found["frames"], found["frame_s"], found["frames_per_s"]) == (3, 1.0, 1.0)
    means = {name: stage["mean"] for name, stage in found["stages_s"].items()}
    assert means == {
        "scene": 0.75, "render": 2.5, "denoise": 0.125, "labels": 0.0, "sensor": 0.0, "write": 0.25
    }  # fmt: skip
    assert found["parts_s"]["ids"]["max"] == 0.5
    assert found["process_s"]["mean"] == sum(means.values())
    with pytest.raises(RuntimeError, match="--frames: expected more than 3 frames for 2 workers"):
        benchmark.summarize(finished[:3], start=95.0)


@pytest.mark.render
@pytest.mark.long
def test_every_stage_of_a_small_run_takes_time(tmp_path: Path) -> None:
    settings = RenderSettings(spp=1, denoise=denoise.is_available(), variant="cpu")
    try:
        create_renderer(settings)
    except RenderError as error:
        pytest.skip(str(error))
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(small_frames()))
    out = tmp_path / "result.json"
    options = ["--recipe", str(recipe), "--frames", "5", "--workers", "1", "2", "--spp", "1"]
    options += [] if settings.denoise else ["--no-denoise"]
    command = [sys.executable, str(FOLDER / "generate.py"), *options, "--variant", "cpu", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    result = json.loads(out.read_text())
    assert [run["workers"] for run in result["runs"]] == [1, 2]
    for run in result["runs"]:
        timed = {name for name, stage in run["stages_s"].items() if stage["max"] > 0.0}
        assert timed == set(load("generate").STAGES) - (set() if settings.denoise else {"denoise"})
        assert run["renderer"]["backend"] == "cpu"
        assert 0.0 < run["frame_s"] < 60.0


def test_one_number_of_workers_compares_nothing() -> None:
    script = str(FOLDER / "reproducibility.py")
    result = subprocess.run(
        [sys.executable, script, "--workers", "2"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "--workers: expected at least two numbers, found [2]" in result.stderr
