"""The arithmetic of the benchmark against Cycles, and the two scripts' own checks of their options."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


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


def test_one_number_of_workers_compares_nothing() -> None:
    script = str(FOLDER / "reproducibility.py")
    result = subprocess.run(
        [sys.executable, script, "--workers", "2"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "--workers: expected at least two numbers, found [2]" in result.stderr
