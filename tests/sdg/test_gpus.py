"""Workers share the GPUs of a machine: each is shown one of them."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from palletjack_sdg import workers
from palletjack_sdg.generate import GenerateJob
from palletjack_sdg.render import RenderSettings


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs, as its nvidia-smi tells it."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_the_gpus_are_those_of_the_machine(two_gpus: None) -> None:
    assert workers.visible_gpus() == ["0", "1"]


def test_a_choice_made_by_the_user_is_kept(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert workers.visible_gpus() == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert workers.visible_gpus() == []


def test_no_driver_means_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert workers.visible_gpus() == []


@pytest.mark.parametrize(("variant", "shown"), [("auto", ["0", "1", "0"]), ("cpu", [None, None, None])])
def test_workers_take_turns_on_the_gpus(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variant: Any, shown: list[str | None]
) -> None:
    seen: list[str | None] = []

    class Process:
        def __init__(self, **_: Any) -> None: ...

        def start(self) -> None:
            seen.append(os.environ.get("CUDA_VISIBLE_DEVICES"))

    class Context:
        Pipe = staticmethod(multiprocessing.Pipe)

    Context.Process = Process  # type: ignore[attr-defined]
    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda method: Context)
    job = GenerateJob("warehouse_v1", tmp_path / "out", 3, workers=3, render=RenderSettings(variant=variant))
    staff = workers.ProcessStaff(job)
    for _ in range(3):
        staff.hire()
    assert seen == shown
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
