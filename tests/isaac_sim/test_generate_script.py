"""The generate script from its command line to a data set, in a process of its own against the stand-in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from palletjack_sdg.generate import GenerateJob, generate
from palletjack_sdg.inspect_dataset import inspect_dataset
from palletjack_sdg.kitti import read_labels
from palletjack_sdg.render import RenderSettings
from tests.isaac_sim.forked_runs import run_forked

pytest.importorskip("pxr")
pytest.importorskip("mitsuba")
pytestmark = pytest.mark.render

ROOT = Path(__file__).parents[2]
SEED = "2"
STAGE = "isaacsim.core.experimental.utils.stage."


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shipped = ROOT / "sdg" / "palletjack_sdg" / "recipes" / "warehouse_v1.yaml"
    content = yaml.safe_load(shipped.read_text())
    content["name"] = "small"
    content["image"] = {"sizes": [{"width": 256, "height": 144, "weight": 1.0}]}
    # Few objects of few kinds, for planning and building them is most of a small frame.
    content["distractors"].update(
        instances=[2, 4],
        goods={"loaded_pallet": 0.5, "drum": 0.5},
        vehicle_count=[0, 0],
        people_count=[0, 0],
        trolley_count=[0, 1],
        clutter_count=[0, 2],
        fixture_count=[0, 2],
        near_person=0.0,
        behind_truck=0.0,
        close_up=0.0,
    )
    content["place"].update(zones={"open_floor": 1.0}, room_size_m=[9, 14])
    content["trucks"].update(
        empty_frames=0.0, count={1: 0.5, 2: 0.5}, states={"free_standing": 0.7, "pair": 0.3}, close=0.0
    )
    content["trucks"]["box_height_px"] = [120, 450]
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def command(setting: dict[str, Any], *arguments: object) -> list[str]:
    words = [sys.executable, "-m", "tests.isaac_sim.run_generate", json.dumps(setting)]
    return [*words, "--seed", SEED, *map(str, arguments)]


def run(setting: dict[str, Any], *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_forked("tests.isaac_sim.run_generate", command(setting, *arguments)[3:])


@pytest.fixture(scope="module")
def smoke(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list, str]:
    folder = tmp_path_factory.mktemp("smoke")
    log = folder / "calls.json"
    out = folder / "frames"
    done = run(
        {"release": "6", "log": str(log)},
        "--recipe",
        recipe,
        "--smoke",
        "--annotations",
        "--masks",
        "--out",
        out,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out, json.loads(log.read_text()), done.stdout


def test_smoke_makes_five_frames_and_passes_its_checks(smoke: tuple[Path, list, str]) -> None:
    out, _, told = smoke
    report = json.loads((out / "smoke.json").read_text())
    assert all(check["passed"] for check in report["checks"])
    assert report["isaac_sim"] == "6.2.0"
    assert len(report["frames"]) == 5
    assert told.count("[x]") == len(report["checks"]) + 1
    found = inspect_dataset(out)
    assert found.problems == []
    assert len(found.frames) == 5
    assert sorted(path.stem for path in (out / "plans").glob("*.json")) == [f"{k:06d}" for k in range(5)]


def test_labels_are_those_of_the_embedded_renderer(
    smoke: tuple[Path, list, str], recipe: Path, tmp_path: Path
) -> None:
    """Through USD, a wider pinhole and the bending: the same objects, boxes within two pixels."""
    settings = RenderSettings(spp=1, max_depth=2, denoise=False, variant="cpu")
    job = GenerateJob(str(recipe), tmp_path / "embedded", 3, int(SEED), render=settings)
    assert not generate(job).failed
    compared = 0
    for index in range(3):
        ours = read_labels(smoke[0] / "labels" / f"{index:06d}.txt")
        theirs = read_labels(tmp_path / "embedded" / "labels" / f"{index:06d}.txt")
        assert [item.class_name for item in ours] == [item.class_name for item in theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert a.location == b.location
            if a.box[3] - a.box[1] > 30:
                assert np.abs(np.subtract(a.box, b.box)).max() <= 2.0
                compared += 1
    assert compared >= 4


def test_calls_are_in_the_order_of_the_capture(smoke: tuple[Path, list, str]) -> None:
    names = [name for name, _ in smoke[1]]
    assert names[0] == "SimulationApp"
    assert names[-1] == "SimulationApp.close"
    first = names.index(STAGE + "open_stage")
    assert names.index("omni.replicator.core.orchestrator.set_capture_on_play") < first
    steps = [given for name, given in smoke[1] if name.endswith("orchestrator.step")]
    assert len(steps) == 5
    assert {step["delta_time"] for step in steps} == {0.0}
    assert names.count("RenderProduct.destroy") == 5
    assert not [name for name in names if "seed" in name or "trigger" in name]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "dataset.json"
    }


def test_replicators_writer_leaves_the_files_of_the_annotators(
    smoke: tuple[Path, list, str], recipe: Path, tmp_path: Path
) -> None:
    """Images, labels, annotations, masks and plans, to the byte; every frame in a call to write().

    The smoke run's frames came from the writer.
    """
    log = tmp_path / "calls.json"
    words = ("--recipe", recipe, "--frames", 2, "--plans", "--annotations", "--masks")
    done = run(
        {"release": "6", "log": str(log)}, *words, "--capture", "annotators", "--out", tmp_path / "out"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    asked = contents(tmp_path / "out")
    written = {name: content for name, content in contents(smoke[0]).items() if name in asked}
    assert written == asked
    assert {name.split("/")[0] for name in asked} == {"images", "labels", "annotations", "masks", "plans"}
    # Two masks have a table beside each.
    assert len(asked) == 2 * 6
    of_the_writer = [name for name, _ in smoke[1]]
    assert of_the_writer.count("Writer.write of PalletjackWriter") == 5
    assert of_the_writer.count("Writer.detach") == 5
    assert of_the_writer.count("omni.replicator.core.WriterRegistry.register") == 1
    assert "Writer.write_metadata" not in of_the_writer
    assert not [name for name, _ in json.loads(log.read_text()) if "Writer" in name]


def test_both_stagings_make_the_same_frames(
    smoke: tuple[Path, list, str], recipe: Path, tmp_path: Path
) -> None:
    """The smoke run's frames were set by the functional API, on one stage."""
    log = tmp_path / "calls.json"
    words = ("--recipe", recipe, "--frames", 2, "--staging", "stages", "--spp", 64, "--out", tmp_path / "out")
    done = run({"release": "6", "log": str(log)}, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    one, each = ([name for name, _ in calls] for calls in (smoke[1], json.loads(log.read_text())))
    assert one.count(STAGE + "open_stage") == 1
    assert one.count("omni.replicator.core.functional.create.reference") == 5
    assert each.count(STAGE + "open_stage") == 2
    assert not [name for name in each if "functional" in name]
    for index in range(2):
        label = f"labels/{index:06d}.txt"
        assert (tmp_path / "out" / label).read_text() == (smoke[0] / label).read_text()
        ours, theirs = (
            cv2.imread(str(out / f"images/{index:06d}.jpg")) for out in (tmp_path / "out", smoke[0])
        )
        assert np.abs(ours.astype(float) - theirs).mean() < 1.0


@pytest.fixture(scope="module")
def faulty(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list, str]:
    """A frame that stays half black, one whose writer is not called, one on a full disk, and one after it."""
    folder = tmp_path_factory.mktemp("faulty")
    log, out = folder / "calls.json", folder / "frames"
    setting = {"release": "6", "log": str(log), "faults": ["black", "deaf", "full_disk", ""]}
    done = run(setting, "--recipe", recipe, "--frames", 4, "--out", out)
    assert done.returncode == 1, done.stdout + done.stderr
    return out, json.loads(log.read_text()), done.stdout


def test_a_half_black_frame_is_tried_again_and_then_refused(faulty: tuple[Path, list, str]) -> None:
    out, calls, told = faulty
    assert "frame 0: RenderError: " in told
    assert "stayed black after 64 subframes" in told
    steps = [given["rt_subframes"] for name, given in calls if name.endswith("orchestrator.step")]
    # The two frames after it come at once.
    assert steps == [16, 32, 64, 16, 16]
    assert not (out / "images" / "000000.jpg").exists()


def test_a_writer_that_is_not_called_fails_the_frame(faulty: tuple[Path, list, str]) -> None:
    out, _, told = faulty
    assert "PalletjackWriter: expected a call to write() in this step, found none" in told
    assert not (out / "images" / "000001.jpg").exists()


def test_a_full_disk_in_the_writer_stops_the_run(faulty: tuple[Path, list, str]) -> None:
    """The stand-in swallows what write() raises, as Replicator's graph does."""
    out, _, told = faulty
    assert "stopped: OSError: [Errno 28]" in told
    assert "0 frames written" in told
    assert "1 left" in told
    assert list((out / "images").iterdir()) == []


@pytest.mark.parametrize("release", ["4.5", "5"])
def test_older_releases_by_their_own_names(release: str, recipe: Path, tmp_path: Path) -> None:
    log = tmp_path / "calls.json"
    setting = {"release": release, "log": str(log)}
    done = run(setting, "--recipe", recipe, "--frames", 1, "--mode", "real_time", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    calls = json.loads(log.read_text())
    names = {name for name, _ in calls}
    assert "isaacsim.core.utils.stage.open_stage" in names
    assert not any("experimental" in name or "functional" in name for name in names)
    # Its default renderer has another name in each release.
    assert "renderer" not in calls[0][1]["launch_config"]
    assert inspect_dataset(tmp_path / "out").problems == []


@pytest.mark.long
def test_smoke_finds_a_mirrored_mask(recipe: Path, tmp_path: Path) -> None:
    log = str(tmp_path / "calls.json")
    setting = {"release": "6", "smoke_frames": 1, "faults": ["mirrored"], "log": log}
    done = run(setting, "--recipe", recipe, "--smoke", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "[ ] masks lie within 2 px of their object's corners" in done.stdout


@pytest.mark.long
def test_a_killed_run_goes_on_and_ends_in_the_same_frames(
    smoke: tuple[Path, list, str], recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    setting = {"release": "6", "log": str(tmp_path / "calls.json")}
    words = command(setting, "--recipe", recipe, "--frames", 3, "--out", out)
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (out / "images" / "000000.jpg").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert (out / "images" / "000000.jpg").exists()
    assert not (out / "images" / "000002.jpg").exists()
    done = run(setting, "--recipe", recipe, "--frames", 3, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 there before" not in done.stdout
    for folder, suffix in (("labels", "txt"), ("images", "jpg")):
        for index in range(3):
            name = f"{folder}/{index:06d}.{suffix}"
            assert (out / name).read_bytes() == (smoke[0] / name).read_bytes()


def test_another_backends_folder_is_refused(
    smoke: tuple[Path, list, str], recipe: Path, tmp_path: Path
) -> None:
    setting = {"release": "6", "log": str(tmp_path / "calls.json")}
    done = run(setting, "--recipe", recipe, "--frames", 1, "--spp", 8, "--out", smoke[0])
    assert done.returncode == 2
    assert "dataset.json: render: expected" in done.stderr


def test_without_isaac_sim_it_says_what_to_do(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "palletjack_sdg.isaac_sim.generate", "--out", str(tmp_path / "out")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "python.sh" in done.stderr
    assert not (tmp_path / "out").exists()
