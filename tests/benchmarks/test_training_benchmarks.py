"""The benchmarks of training run and say what they must; their numbers are for an idle machine."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    *("--set", "input.width=64", "--set", "input.height=64", "--set", "trainer.batch_size=2"),
    *("--set", "network.weights=none", "--set", "network.freeze_norm=false"),
]


Measure = Callable[..., dict[str, Any]]


@pytest.fixture
def measure(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Measure]:
    """Run a script as `python benchmarks/NAME.py` does, in this process, which has imported PyTorch already.

    One thread: on a busy machine several wait for each other, minutes for these tiny networks.
    """
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    tuned = torch.backends.cudnn.benchmark
    torch.set_num_threads(1)

    def run(name: str, out: Path, *options: str) -> dict[str, Any]:
        script = ROOT / "benchmarks" / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(script), "--out", str(out), *options])
        monkeypatch.syspath_prepend(str(script.parent))
        runpy.run_path(str(script), run_name="__main__")
        document: dict[str, Any] = json.loads(out.read_text())
        assert json.loads(capsys.readouterr().out) == document
        assert document["benchmark"] == name
        assert document["device"]
        assert document["commit"]
        assert document["date"].startswith("20")
        return document

    yield run
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.benchmark = tuned


def test_the_parts_of_a_step_are_timed(measure: Measure, tmp_path: Path) -> None:
    options = ("--frames", "4", "--repeats", "1", "--steps", "1", *TINY)
    document = measure("training_step", tmp_path / "step.json", *options)
    parts = document["parts_ms"]
    wanted = {"warp", "colours", "rasterize", "forward", "forward_loss_backward", "optimizer", "average"}
    assert wanted < set(parts)
    assert all(0 < part["host"] <= part["total"] for part in parts.values())
    assert document["steps"]["in_turn"]["images_per_second"] > 0


def test_the_rasterizer_is_timed(measure: Measure, tmp_path: Path) -> None:
    document = measure("rasterizer", tmp_path / "r.json", "--batch", "2", "--boxes", "3", "--repeats", "3")
    assert 0 < document["ms"]["p50"] <= document["ms"]["p95"]


def test_the_loader_and_the_time_waited_for_it_are_measured(measure: Measure, tmp_path: Path) -> None:
    options = ("--frames", "8", "--steps", "2", "--workers", "1", *TINY)
    document = measure("loader", tmp_path / "loader.json", *options)
    assert document["loader_frames_per_second"] > document["training_frames_per_second"] > 0
    assert 0 <= document["share_of_time_waiting"] < 1
