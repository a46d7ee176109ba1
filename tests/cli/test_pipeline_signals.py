"""A pipeline that is told to end takes its stages along and can go on later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

from tests.sdg.recipes import small_frames

pytest.importorskip("mitsuba", reason="renders: the extra [render]")

PROFILE = """
name: frames
stages:
  - name: frames
    run: generate
    options: {recipe: "RECIPE", frames: 400, seed: 3, spp: 1, workers: 1, out: "{out}/frames"}
    makes: "{out}/frames"
    result: "{out}/frames/done"
    stale: keep
"""


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
def test_sigterm_reaches_the_stages(tmp_path: Path, jobs: int) -> None:
    profile, out, recipe = tmp_path / "frames.yaml", tmp_path / "out", tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(small_frames()))
    profile.write_text(PROFILE.replace("RECIPE", str(recipe)))
    words = ("pipeline", "--profile", profile, "--out", out, "--jobs", jobs)
    command = [sys.executable, "-m", "palletjack_cli.main", *map(str, words)]
    pipeline = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        until(lambda: any((out / "frames" / "images").glob("*.*")), pipeline)
        pipeline.send_signal(signal.SIGTERM)
        said, _ = pipeline.communicate(timeout=90)
    finally:
        pipeline.kill()
    assert pipeline.returncode == 1, said
    assert "the same command goes on from here" in said
    assert processes_about(out) == []
    entry = json.loads((out / "pipeline.json").read_text())["stages"]["frames"]
    assert entry["status"] == "failed"


def until(happened: Callable[[], bool], pipeline: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if happened():
            return
        assert pipeline.poll() is None, "the pipeline ended by itself"
        time.sleep(0.1)
    raise AssertionError("no frame within two minutes")


def processes_about(folder: Path) -> list[list[str]]:
    """Command lines of other processes that name ``folder``."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        words = process.info["cmdline"] or []
        alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if alive and process.info["pid"] != os.getpid() and any(str(folder) in word for word in words):
            found.append(words)
    return found
