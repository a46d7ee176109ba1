"""Generation: equal bytes however it is run, nothing lost when it is stopped, and checks of the result."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from tests.sdg.recipes import small_frames
from typer.testing import CliRunner

from palletjack_sdg import dataset as dataset_module
from palletjack_sdg import generate as generate_module
from palletjack_sdg.dataset import DatasetError, read_manifest
from palletjack_sdg.dispatch import Died, Dispatcher, Worker
from palletjack_sdg.frame_plan import FramePlan
from palletjack_sdg.generate import FrameMaker, FrameReport, GenerateJob, generate
from palletjack_sdg.inspect_dataset import inspect_dataset
from palletjack_sdg.kitti import KittiObject, read_labels, write_labels
from palletjack_sdg.render import RenderError, RenderResult, RenderSettings, create_renderer, denoise
from palletjack_sdg.scene import Scene


class FlatRenderer:
    """Stands in for the path tracer where only what surrounds it is tested: a grey frame without objects."""

    description: dict[str, object] = {"engine": "flat"}  # noqa: RUF012

    def render(self, scene: Scene, seed: int = 0) -> RenderResult:
        size = (scene.camera.height, scene.camera.width)
        linear = np.random.default_rng(seed).uniform(0.1, 0.3, (*size, 3)).astype(np.float32)
        return RenderResult(linear, np.zeros(size, np.int32), np.full(size, 5.0, np.float32))


@pytest.fixture(scope="module")
def small_recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The default recipe with small images of a few objects."""
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(yaml.safe_dump(small_frames()))
    return str(path)


@pytest.fixture
def job(small_recipe: str, tmp_path: Path) -> GenerateJob:
    settings = RenderSettings(spp=1, max_depth=3, denoise=denoise.is_available(), variant="cpu")
    return GenerateJob(small_recipe, tmp_path / "data", frames=3, seed=11, render=settings)


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_module, "create_renderer", lambda settings: FlatRenderer())


@pytest.fixture
def real(job: GenerateJob) -> None:
    try:
        create_renderer(job.render)
    except RenderError as error:
        pytest.skip(str(error))


def digests(job: GenerateJob) -> dict[str, str]:
    files = [path for path in job.out.rglob("*") if path.is_file() and path != job.dataset.manifest]
    return {str(path.relative_to(job.out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.render
@pytest.mark.long
def test_two_workers_of_which_one_is_killed_give_the_bytes_of_one(job: GenerateJob, real: None) -> None:
    job = replace(job, frames=4)
    alone = generate(job)
    assert (alone.written, alone.failed, alone.stopped) == ((0, 1, 2, 3), {}, None)
    reports: list[FrameReport] = []
    killed: list[int] = []

    def kill_one(report: FrameReport) -> None:
        reports.append(report)
        if not killed:
            child = multiprocessing.active_children()[0]
            assert child.pid is not None
            killed.append(child.pid)
            os.kill(child.pid, signal.SIGKILL)

    together = replace(job, out=job.out.with_name("together"), workers=2)
    summary = generate(together, kill_one)
    assert len(killed) == 1
    assert sorted(report.index for report in reports) == list(range(4))
    assert (summary.written, summary.failed) == (tuple(range(4)), {})
    assert all(together.dataset.is_complete(index) for index in range(4))
    assert digests(job) == digests(together)
    assert len(digests(job)) == 8
    counts = read_manifest(job.out)["counts"]
    assert counts["frames"] == 4
    image = cv2.imread(str(job.dataset.image(0)))
    assert image is not None
    assert image.shape == (112, 192, 3)
    assert image.std() > 5.0
    assert inspect_dataset(job.out).problems == []


class MortalStaff:
    """Workers that announce themselves and die of every frame in ``deadly``."""

    tries = 2
    max_deaths = 5

    def __init__(self, deadly: frozenset[int], ready: bool = True) -> None:
        self.deadly = deadly
        self.ready = ready
        self.given: list[int] = []
        self.ended = 0

    def hire(self) -> Worker:
        return Worker([{"engine": "flat"} if self.ready else Died("it fell")])

    def give(self, worker: Worker, frame: int) -> Died | None:
        self.given.append(frame)
        worker.handle.append(Died("it fell") if frame in self.deadly else FrameReport(frame))
        return None

    def hear(self, workers: Sequence[Worker], timeout: float | None) -> list[tuple[Worker, object]]:
        return [(worker, worker.handle.pop(0)) for worker in workers if worker.handle]

    def dismiss(self, worker: Worker) -> None:
        self.ended += 1

    kill = dismiss


def test_a_frame_that_kills_two_workers_is_given_up() -> None:
    reports: list[FrameReport] = []
    staff = MortalStaff(frozenset({1}))
    dispatcher = Dispatcher(staff, 2, [0, 1, 2, 3], reports.append, None)
    assert dispatcher.run() == (None, {"engine": "flat"})
    assert {report.index: report.error for report in reports} == {0: None, 1: "it fell", 2: None, 3: None}
    assert sorted(staff.given) == [0, 1, 1, 2, 3]
    assert dispatcher.workers == []


def test_many_deaths_stop_the_run_and_workers_that_never_start_end_it() -> None:
    reports: list[FrameReport] = []
    dispatcher = Dispatcher(MortalStaff(frozenset(range(9))), 2, range(9), reports.append, None)
    stopped, _ = dispatcher.run()
    assert stopped == "5 workers died; the last: it fell"
    assert dispatcher.queue
    with pytest.raises(RenderError, match="it fell before its first frame"):
        Dispatcher(MortalStaff(frozenset(), ready=False), 2, range(9), reports.append, None).run()


def test_resuming_gives_the_same_bytes_and_keeps_what_is_there(job: GenerateJob, flat: None) -> None:
    generate(job)
    before = digests(job)
    job.dataset.image(1).unlink()
    (job.out / "images" / ".000001.jpg.77.tmp").write_bytes(b"half")
    kept = job.dataset.image(0).stat().st_mtime_ns
    summary = generate(job)
    assert (summary.written, summary.skipped) == ((1,), 2)
    assert digests(job) == before
    assert job.dataset.image(0).stat().st_mtime_ns == kept


def test_frames_do_not_depend_on_where_a_run_starts(job: GenerateJob, flat: None) -> None:
    generate(job)
    later = replace(job, out=job.out.with_name("later"), start=2, frames=1)
    generate(later)
    assert digests(later).items() <= digests(job).items()


def test_one_failing_frame_is_reported_and_the_others_are_made(
    job: GenerateJob, flat: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = FrameMaker.make

    def fail_once(self: FrameMaker, index: int) -> dict[str, float]:
        if index == 1:
            raise ValueError("instance 7 (carton): uvs are missing")
        return make(self, index)

    monkeypatch.setattr(FrameMaker, "make", fail_once)
    summary = generate(job)
    assert summary.written == (0, 2)
    assert summary.failed.keys() == {1}
    assert summary.failed[1].startswith("ValueError: instance 7 (carton): uvs are missing")
    assert read_manifest(job.out)["failed"].keys() == {"1"}
    assert not job.dataset.image(1).exists()


def test_a_full_disk_stops_the_run_and_leaves_it_resumable(
    job: GenerateJob, flat: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = dataset_module.write_whole

    def full(path: Path, data: bytes) -> None:
        if path.name == "000001.jpg":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(dataset_module, "write_whole", full)
        summary = generate(job)
    assert summary.written == (0,)
    assert summary.stopped is not None
    assert "No space left" in summary.stopped
    assert summary.remaining == 1
    assert generate(job).written == (1, 2)


def test_a_full_disk_stops_several_workers_in_order() -> None:
    staff = MortalStaff(frozenset())
    dispatcher = Dispatcher(staff, 2, [0, 1, 2], lambda report: None, None)
    dispatcher.workers = [Worker([], frame=frame, ready=True) for frame in (0, 1)]
    for worker in list(dispatcher.workers):
        dispatcher.hear(worker, FrameReport(worker.frame or 0, error="No space left on device", fatal=True))
    assert dispatcher.workers == []
    assert dispatcher.stopped == "No space left on device"
    assert (staff.given, staff.ended) == ([], 2)


def test_a_run_with_nothing_to_do_keeps_what_the_manifest_knew(
    job: GenerateJob, flat: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = FrameMaker.write

    def fail_once(maker: FrameMaker, plan: FramePlan, seconds: dict[str, float]) -> None:
        if plan.index == 1:
            raise ValueError("bad frame")
        write(maker, plan, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(FrameMaker, "write", fail_once)
        generate(job)
    made = read_manifest(job.out)
    assert made["renderer"] == FlatRenderer.description
    assert list(made["failed"]) == ["1"]
    assert "bad frame" in made["failed"]["1"]
    generate(replace(job, frames=1))
    assert read_manifest(job.out) == made
    generate(job)
    mended = read_manifest(job.out)
    assert (mended["renderer"], mended["failed"]) == (made["renderer"], {})


def test_the_time_limit_begins_no_further_frame(job: GenerateJob, flat: None) -> None:
    start = time.monotonic()
    summary = generate(replace(job, frames=500, time_limit_s=0.5))
    assert summary.stopped == "time limit"
    assert summary.remaining == 500 - len(summary.written) > 0
    assert time.monotonic() - start < 30.0


def test_ctrl_c_keeps_what_is_done(job: GenerateJob, flat: None) -> None:
    def interrupt(report: FrameReport) -> None:
        raise KeyboardInterrupt

    summary = generate(job, interrupt)
    assert (summary.written, summary.remaining, summary.stopped) == ((0,), 2, "interrupted")
    assert generate(job).written == (1, 2)


def test_data_sets_are_not_mixed(job: GenerateJob, flat: None) -> None:
    generate(replace(job, frames=1))
    with pytest.raises(DatasetError, match=r"dataset.json: seed: expected 12 .* found 11"):
        generate(replace(job, seed=12))
    with pytest.raises(DatasetError, match=r"render: expected .*'spp': 2"):
        generate(replace(job, render=replace(job.render, spp=2)))
    job.dataset.manifest.unlink()
    with pytest.raises(DatasetError, match="found images without one"):
        generate(job)


class PatchRenderer(FlatRenderer):
    """A grey frame in which 20 x 30 pixels show the first labelled object, if there is one."""

    def render(self, scene: Scene, seed: int = 0) -> RenderResult:
        result = super().render(scene, seed)
        labelled = [item.instance_id for item in scene.instances if item.label is not None]
        result.instance_ids[40:70, 50:70] = labelled[0] if labelled else 0
        return result


def test_the_rules_of_labels_are_the_recipes(
    job: GenerateJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate_module, "create_renderer", lambda settings: PatchRenderer())
    tree = yaml.safe_load(Path(job.recipe).read_text())
    tree["trucks"]["empty_frames"] = 0.0
    easy = {"min_visible_share": 0.0, "max_truncated": 1.0, "min_box_fill": 0.0}
    found = {}
    for name, rules in (("easy", easy), ("strict", {**easy, "min_height_px": 31.0})):
        recipe = tmp_path / f"{name}.yaml"
        recipe.write_text(yaml.safe_dump({**tree, "labels": rules}))
        made = replace(job, recipe=str(recipe), out=tmp_path / name, frames=1)
        generate(made)
        found[name] = [(item.class_name, item.box) for item in read_labels(made.dataset.label(0))]
    box = (50.0, 40.0, 70.0, 70.0)
    assert found == {"easy": [("palletjack", box)], "strict": [("DontCare", box)]}
    with pytest.raises(DatasetError, match=r"labels: expected .*'min_height_px': 31"):
        generate(replace(job, recipe=str(tmp_path / "strict.yaml"), out=tmp_path / "easy", frames=1))


def test_plans_rebuild_the_same_frame(job: GenerateJob, flat: None) -> None:
    from palletjack_sdg.frame_plan import FramePlan

    generate(replace(job, frames=1, plans=True))
    image = job.dataset.image(0).read_bytes()
    plan = FramePlan.model_validate_json(job.dataset.plan(0).read_text())
    elsewhere = replace(job, out=job.out.with_name("elsewhere"))
    elsewhere.dataset.create_folders(plans=False)
    FrameMaker(elsewhere).write(plan, {})
    assert elsewhere.dataset.image(0).read_bytes() == image


def test_the_command_reports_errors_in_one_line(small_recipe: str, tmp_path: Path) -> None:
    import typer

    from palletjack_sdg import commands

    app = typer.Typer()
    app.command()(commands.generate)
    app.command()(commands.inspect)
    result = CliRunner().invoke(app, ["generate", "--recipe", "warehouse_v9", "--out", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert "warehouse_v9" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "x" / "images").exists()
    result = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert result.exit_code == 1
    assert "images: expected a folder" in result.output


def test_inspect_finds_what_is_wrong_and_draws_the_rest(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    truck = KittiObject("palletjack", (10.0, 5.0, 40.0, 45.0), 0.0, 0)
    for index in range(5):
        cv2.imwrite(
            str(tmp_path / f"images/{index:06d}.png"), rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        )
        write_labels(tmp_path / f"labels/{index:06d}.txt", [truck])
    assert inspect_dataset(tmp_path).problems == []

    (tmp_path / "images/000001.png").write_bytes(b"\x89PNG torn")
    (tmp_path / "labels/000002.txt").unlink()
    write_labels(tmp_path / "labels/000003.txt", [replace(truck, box=(10.0, 5.0, 70.0, 45.0))])
    (tmp_path / "labels/000004.txt").write_text("palletjack 0 0\n")
    (tmp_path / "images/000005.png").write_bytes((tmp_path / "images/000000.png").read_bytes())
    write_labels(tmp_path / "labels/000005.txt", [truck, truck])
    write_labels(tmp_path / "labels/000009.txt", [])
    report = inspect_dataset(tmp_path)
    wanted = (
        "000009.txt: expected an image",
        "000001.png: expected an image, found a file that does not decode",
        "000002.png: expected labels/000002.txt",
        "000003.txt:1: box: expected it within 64x48",
        "000004.txt:1: columns: expected 15, found 3",
        "000005.png: expected a frame of its own, found a copy of 000000.png",
        "000005.txt: expected each object once",
    )
    for text in wanted:
        assert sum(text in problem for problem in report.problems) == 1, text
    assert len(report.problems) == len(wanted)

    from palletjack_sdg.inspect_dataset import draw_contact_sheet

    draw_contact_sheet(report, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    # The box of the first frame is drawn in green, scaled with its cell.
    scale = 480 / 64
    assert tuple(sheet[round(25 * scale), round(10.5 * scale)]) == (60, 220, 60)


def test_mix_of_recipes_is_generated_and_continued(job: GenerateJob, flat: None) -> None:
    folder = Path(job.recipe).parent
    for name in ("some", "few"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**small_frames(), "name": name}))
    mix = {"format": "palletjack-mix/1", "name": "mixed", "members": {"some.yaml": 2, "few.yaml": 1}}
    (folder / "mixed.yaml").write_text(yaml.safe_dump(mix))
    mixed = replace(job, recipe=str(folder / "mixed.yaml"), plans=True)
    assert generate(replace(mixed, frames=2)).written == (0, 1)
    assert generate(mixed).written == (2,)
    names = [json.loads(path.read_text())["recipe"] for path in sorted((job.out / "plans").iterdir())]
    assert names == ["some", "few", "some"]
    assert read_manifest(job.out)["recipe"] == "mixed"
    with pytest.raises(DatasetError, match="recipe: expected 'few'"):
        generate(replace(mixed, recipe=str(folder / "few.yaml")))
