"""The demo's report is made of what its steps left on disk; stale or missing results are not papered over."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from palletjack_cli import demo as demo_module
from palletjack_cli import demo_report
from palletjack_cli.main import app
from palletjack_detection.shipped_model import find_shipped_model
from palletjack_sdg.dataset import Dataset, write_manifest
from palletjack_sdg.generate import GenerateJob, job_identity
from palletjack_sdg.kitti import KittiObject
from palletjack_sdg.recipe import load_recipe
from palletjack_sim.verdict import RunResult

GREY = np.full((60, 80, 3), 120, np.uint8)
LOOP = RunResult(
    scenario="head_on",
    seed=0,
    verdict="pass",
    reasons=[],
    camera_quality="path_traced",
    perception="detector",
    min_clearance_m=1.25,
    collisions=0,
    moments=["00_start.jpg"],
    latency_ms={"p50": 80.0, "p99": 90.0},
)


def leave_frames(folder: Path) -> None:
    dataset = Dataset(folder)
    dataset.create_folders(plans=False)
    truck = KittiObject("palletjack", (10.0, 10.0, 40.0, 50.0))
    ignored = KittiObject("DontCare", (50.0, 10.0, 60.0, 20.0))
    dataset.write_frame(0, GREY, [truck, ignored], None)
    dataset.write_frame(1, GREY, [truck, truck], None)


def leave_detections(folder: Path, photos: Path) -> None:
    photos.mkdir(exist_ok=True)
    for name in ("a.png", "<b>.png"):
        cv2.imwrite(str(photos / name), GREY)
    folder.mkdir()
    boxes = {"a.png": [[5, 5, 30, 30, 0.9], [1, 2, 3, 4, 0.7]], "<b>.png": []}
    (folder / "predictions.json").write_text(json.dumps(boxes))
    latency = {"publish_to_detections_ms": {"p50": 71.5, "p99": 99.25}, "skipped": {"c.png": "truncated"}}
    (folder / "latency.json").write_text(json.dumps(latency))


def leave_loop(folder: Path) -> None:
    (folder / "frames").mkdir(parents=True)
    LOOP.write(folder / "result.json")
    for name in ("track.png", "frames/00_start.jpg"):
        cv2.imwrite(str(folder / name), GREY)


def report(out: Path) -> demo_report.Summary:
    return demo_report.write(
        out=out,
        recipe="warehouse_v1",
        dataset=out / "frames",
        photos=out / "photos",
        detections=out / "detections",
        closed_loop=out / "closed_loop",
        model=find_shipped_model(),
        seconds=12.0,
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    leave_frames(tmp_path / "frames")
    leave_detections(tmp_path / "detections", tmp_path / "photos")
    leave_loop(tmp_path / "closed_loop")
    return tmp_path


def test_the_summary_holds_what_lies_on_disk(out: Path) -> None:
    report(out)
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["frames"], summary["labels"]) == (2, 3)
    assert (summary["images"], summary["detections"]) == (2, 2)
    assert summary["latency_ms"] == {"p50": 71.5, "p99": 99.25}
    assert summary["closed_loop"] == {"verdict": "pass", "min_clearance_m": 1.25, "collisions": 0}
    assert set(summary) == {
        *("frames", "labels", "detections", "images"),
        *("closed_loop", "latency_ms", "versions"),
    }
    assert summary["versions"]["onnxruntime"] != "not installed"


def test_the_page_shows_every_picture_and_no_dead_link(out: Path) -> None:
    report(out)
    page = (out / "index.html").read_text()
    shown = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len([path for path in shown if path.startswith("pictures/")]) == 4
    assert [path for path in shown if not (out / path).exists()] == []
    assert "c.png" in page
    assert "<b>.png" not in page
    assert "&lt;b&gt;.png" in page


def test_a_loop_that_left_no_pictures_leaves_no_dead_link(out: Path) -> None:
    (out / "closed_loop" / "track.png").unlink()
    (out / "closed_loop" / "frames" / "00_start.jpg").unlink()
    report(out)
    shown = re.findall(r'(?:src|href)="([^"]+)"', (out / "index.html").read_text())
    assert len(shown) == 4
    assert [path for path in shown if not (out / path).exists()] == []


def test_a_run_without_one_answer_is_named(out: Path) -> None:
    (out / "detections" / "latency.json").write_text(json.dumps({"images": 0, "skipped": {}}))
    with pytest.raises(ValueError, match=r"latency\.json: expected the latency of at least one image"):
        report(out)


def test_a_file_name_that_is_not_utf8_ends_nothing(out: Path) -> None:
    name = "caf\udce9.png"
    (out / "photos" / "a.png").rename(out / "photos" / name)
    (out / "detections" / "predictions.json").write_text(json.dumps({name: [[1, 2, 30, 40, 0.8]]}))
    assert report(out).detections == 1
    assert "caf?.png" in (out / "index.html").read_text()


@pytest.mark.parametrize(
    "missing", ["detections/predictions.json", "detections/latency.json", "closed_loop/result.json"]
)
def test_a_step_that_left_nothing_is_named(out: Path, missing: str) -> None:
    (out / missing).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(missing)):
        report(out)
    assert not (out / "summary.json").exists()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Replace the demo's long steps by ones that leave small results; the loop's exit code can be set."""
    codes = {"loop": 0}

    def drive(scenario: str, model: Path, folder: Path) -> int:
        if codes["loop"] >= 0:
            leave_loop(folder)
        return codes["loop"]

    monkeypatch.setattr(demo_module, "generate", lambda recipe, seed, frames, out: leave_frames(out))
    monkeypatch.setattr(demo_module, "detect", lambda root, model, images, out: leave_detections(out, images))
    monkeypatch.setattr(demo_module, "drive", drive)
    return codes


def run_demo(out: Path) -> tuple[int, str]:
    images = out.parent / "given"
    images.mkdir(exist_ok=True)
    cv2.imwrite(str(images / "a.png"), GREY)
    result = CliRunner().invoke(app, ["demo", "--out", str(out), "--images", str(images)])
    return result.exit_code, result.output


def test_the_exit_code_is_that_of_the_closed_loop(steps: dict[str, int], tmp_path: Path) -> None:
    out = tmp_path / "demo"
    assert run_demo(out)[0] == 0
    steps["loop"] = 1
    assert run_demo(out)[0] == 1


def test_a_killed_simulator_is_not_covered_by_an_earlier_result(
    steps: dict[str, int], tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    assert run_demo(out)[0] == 0
    steps["loop"] = -9
    code, said = run_demo(out)
    assert code == 1
    assert "result.json" in said
    assert not (out / "summary.json").exists()
    assert not (out / "index.html").exists()


@pytest.mark.parametrize(
    ("name", "words"), [("none", "expected a folder of images"), ("empty", "expected images (.jpg")]
)
def test_a_folder_without_images_is_refused_before_anything_runs(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "demo"
    result = CliRunner().invoke(app, ["demo", "--out", str(out), "--images", str(tmp_path / name)])
    assert result.exit_code == 2
    assert words in result.output
    assert result.output.count("\n") == 1
    assert not out.exists()


def test_a_folder_of_someone_else_is_refused_and_kept(steps: dict[str, int], tmp_path: Path) -> None:
    out = tmp_path / "mine"
    (out / "pictures").mkdir(parents=True)
    (out / "pictures" / "holiday.jpg").write_bytes(b"dear")
    code, said = run_demo(out)
    assert code == 2
    assert "expected a new folder or that of an earlier demo, found other files" in said
    assert [path.name for path in out.rglob("*")] == ["pictures", "holiday.jpg"]


def test_images_that_the_demo_would_remove_are_refused_and_kept(
    steps: dict[str, int], tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    assert run_demo(out)[0] == 0
    before = sorted((out / "pictures").iterdir())
    words = ["demo", "--out", str(out), "--images", str(out / "pictures")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "expected --images outside pictures/" in result.output
    assert sorted((out / "pictures").iterdir()) == before


def test_frames_of_another_job_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(demo_module, "run", commands.append)
    out = tmp_path / "frames"
    leave_frames(out)
    job = GenerateJob(recipe="warehouse_v1", out=out, frames=2, seed=7)
    write_manifest(job.dataset, job_identity(job, load_recipe("warehouse_v1")))
    demo_module.generate("warehouse_v1", 7, 2, out)
    assert job.dataset.image(1).exists()
    demo_module.generate("warehouse_v1", 8, 2, out)
    assert not out.exists()
    assert [command[command.index("--seed") + 1] for command in commands] == ["7", "8"]


@pytest.mark.parametrize("code", [1, 2, -9])
def test_a_step_that_fails_ends_the_demo_with_a_line(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        sys.executable,
        "-c",
        f"import os; os.kill(os.getpid(), 9) if {code} < 0 else os._exit({code})",
    ]
    with pytest.raises(typer.Exit) as ended:
        demo_module.run(command)
    assert ended.value.exit_code == code
    assert f"exit code {code}" in capsys.readouterr().err


def test_only_frames_of_the_same_job_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "frames"
    assert demo_module.can_continue("warehouse_v1", 7, 2, out)
    leave_frames(out)
    job = GenerateJob(recipe="warehouse_v1", out=out, frames=2, seed=7)
    write_manifest(job.dataset, job_identity(job, load_recipe("warehouse_v1")))
    assert demo_module.can_continue("warehouse_v1", 7, 2, out)
    assert demo_module.can_continue("warehouse_v1", 7, 8, out)
    assert not demo_module.can_continue("warehouse_v1", 8, 2, out)
    assert not demo_module.can_continue("warehouse_v1", 7, 1, out)
