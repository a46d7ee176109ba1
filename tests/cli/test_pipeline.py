"""The pipeline runs each stage once, goes on where it was cut short, and never mixes two recipes' results."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_cli.pipeline import check_commands, check_packages
from palletjack_cli.pipeline_profile import PipelineError, expand, load_profiles, shipped_profiles
from palletjack_cli.pipeline_run import STATE, Machine, Place, Processes, run_stages

PROFILE = """
name: tiny
stages:
  - name: frames
    run: generate
    options: {recipe: warehouse_v1, frames: 4, out: "{out}/frames"}
    makes: "{out}/frames"
    result: "{out}/frames/dataset.json"
    stale: keep
  - name: train
    run: train
    needs: [frames]
    options: {data: ["{out}/frames"], out: "{out}/train", set: [trainer.steps=5]}
    makes: "{out}/train"
    result: "{out}/train/weights.pt"
    resume: {flag: resume, when: "{out}/train/last.ckpt"}
  - name: photos
    run: evaluate
    needs: [train]
    requires: photos
    options: {data: "{photos}", report: "{out}/photos"}
    makes: "{out}/photos"
"""


class Verbs:
    """Stands in for the verbs: remembers commands and leaves the files that they would leave."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.commands: list[tuple[str, ...]] = []
        self.fails: set[str] = set()

    @property
    def verbs(self) -> list[str]:
        return [command[0] for command in self.commands]

    def __call__(self, command: tuple[str, ...], place: Place) -> int:
        self.commands.append(command)
        leaves = {"generate": "frames/dataset.json", "train": "train/weights.pt", "evaluate": "photos/r.json"}
        path = self.out / leaves[command[0]]
        path.parent.mkdir(parents=True, exist_ok=True)
        if command[0] in self.fails:
            (path.parent / "last.ckpt").write_text("half")
            return 3
        path.write_text("done")
        return 0


@pytest.fixture
def profile_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(PROFILE)
    return path


def run(profile_file: Path, out: Path, verbs: Verbs, *changes: str, photos: str = "") -> None:
    profile = load_profiles([str(profile_file)], changes)
    variables = {"out": str(out), "workers": "1", **({"photos": photos} if photos else {})}
    run_stages(profile, expand(profile, variables), out, verbs)


def test_a_second_run_does_nothing_again(profile_file: Path, tmp_path: Path) -> None:
    verbs = Verbs(tmp_path / "out")
    run(profile_file, verbs.out, verbs)
    run(profile_file, verbs.out, verbs)
    assert verbs.verbs == ["generate", "train"]
    record = json.loads((verbs.out / STATE).read_text())
    assert {name: stage["status"] for name, stage in record["stages"].items()} == {
        "frames": "done",
        "train": "done",
    }


def test_a_failed_stage_is_resumed_alone(profile_file: Path, tmp_path: Path) -> None:
    verbs = Verbs(tmp_path / "out")
    verbs.fails = {"train"}
    with pytest.raises(PipelineError, match="stage train failed: exit code 3"):
        run(profile_file, verbs.out, verbs)
    verbs.fails = set()
    run(profile_file, verbs.out, verbs)
    assert verbs.verbs == ["generate", "train", "train"]
    assert "--resume" not in verbs.commands[1]
    assert verbs.commands[2][-1] == "--resume"


def test_changed_options_keep_the_old_result_aside(profile_file: Path, tmp_path: Path) -> None:
    verbs = Verbs(tmp_path / "out")
    run(profile_file, verbs.out, verbs)
    run(profile_file, verbs.out, verbs, "train.set=trainer.steps=9")
    assert verbs.verbs == ["generate", "train", "train"]
    assert verbs.commands[2][-2:] == ("--set", "trainer.steps=9")
    assert (verbs.out / "train.old1" / "weights.pt").read_text() == "done"


def test_a_change_upstream_reaches_what_builds_on_it(profile_file: Path, tmp_path: Path) -> None:
    verbs = Verbs(tmp_path / "out")
    run(profile_file, verbs.out, verbs)
    run(profile_file, verbs.out, verbs, "frames.frames=6")
    assert verbs.verbs == ["generate", "train", "generate", "train"]
    assert not (verbs.out / "frames.old1").exists(), "frames are continued, not set aside"


def test_a_result_that_was_deleted_is_made_again(profile_file: Path, tmp_path: Path) -> None:
    verbs = Verbs(tmp_path / "out")
    run(profile_file, verbs.out, verbs)
    (verbs.out / "train" / "weights.pt").unlink()
    run(profile_file, verbs.out, verbs)
    assert verbs.verbs == ["generate", "train", "train"]


def test_what_builds_on_a_result_that_was_made_anew_is_made_again(profile_file: Path, tmp_path: Path) -> None:
    """A model that was exported once more lacked the measurements that had been put into the one before."""
    verbs = Verbs(tmp_path / "out")
    run(profile_file, verbs.out, verbs, photos="a.json")
    shutil.rmtree(verbs.out / "train")
    verbs.fails = {"evaluate"}
    with pytest.raises(PipelineError):
        run(profile_file, verbs.out, verbs, photos="a.json")
    verbs.fails = set()
    run(profile_file, verbs.out, verbs, photos="a.json")
    assert verbs.verbs == ["generate", "train", "evaluate", "train", "evaluate", "evaluate"]
    run(profile_file, verbs.out, verbs, photos="a.json")
    assert len(verbs.verbs) == 6


def test_a_result_that_is_gone_on_with_is_the_same_one(profile_file: Path, tmp_path: Path) -> None:
    """The same frames once more, and a training from its checkpoint, are what was built on."""
    verbs = Verbs(tmp_path / "out")
    run(profile_file, verbs.out, verbs, photos="a.json")
    (verbs.out / "frames/dataset.json").unlink()
    (verbs.out / "train/weights.pt").unlink()
    (verbs.out / "train/last.ckpt").write_text("whole")
    run(profile_file, verbs.out, verbs, photos="a.json")
    assert verbs.verbs == ["generate", "train", "evaluate", "generate", "train"]
    assert verbs.commands[-1][-1] == "--resume"


def test_a_stage_may_add_to_what_it_builds_on(profile_file: Path, tmp_path: Path) -> None:
    """As an evaluation does, which puts its numbers into the model: that changes nobody's input."""
    verbs = Verbs(tmp_path / "out")
    run(profile_file, verbs.out, verbs, photos="a.json")
    (verbs.out / "train/weights.pt").write_text("done, and measured")
    run(profile_file, verbs.out, verbs, photos="a.json")
    assert verbs.verbs == ["generate", "train", "evaluate"]


def test_a_record_from_before_makings_were_named_still_counts(profile_file: Path, tmp_path: Path) -> None:
    verbs = Verbs(tmp_path / "out")
    run(profile_file, verbs.out, verbs)
    record = json.loads((verbs.out / STATE).read_text())
    for stage in record["stages"].values():
        del stage["made"], stage["builds_on"]
    (verbs.out / STATE).write_text(json.dumps(record))
    run(profile_file, verbs.out, verbs)
    assert verbs.verbs == ["generate", "train"]


def test_more_workers_in_another_folder_are_the_same_work(profile_file: Path, tmp_path: Path) -> None:
    profile = load_profiles([str(profile_file)])
    verbs = Verbs(tmp_path / "out")
    run(profile_file, verbs.out, verbs)
    moved = verbs.out.rename(tmp_path / "moved")
    verbs.out = moved
    run_stages(profile, expand(profile, {"out": str(moved), "workers": "9"}), moved, verbs)
    assert verbs.verbs == ["generate", "train"]


def test_a_verb_that_leaves_nothing_has_failed(profile_file: Path, tmp_path: Path) -> None:
    profile = load_profiles([str(profile_file)])
    out = tmp_path / "out"
    with pytest.raises(PipelineError, match=r"stage frames failed: it left no .*dataset\.json"):
        run_stages(profile, expand(profile, {"out": str(out), "workers": "1"}), out, lambda *_: 0)


def test_photos_are_evaluated_only_where_there_are_some(profile_file: Path, tmp_path: Path) -> None:
    verbs = Verbs(tmp_path / "out")
    run(profile_file, verbs.out, verbs)
    assert "evaluate" not in verbs.verbs
    run(profile_file, verbs.out, verbs, photos="annotations.json")
    assert verbs.commands[-1][:3] == ("evaluate", "--data", "annotations.json")


def test_another_profile_in_the_same_folder_is_refused(profile_file: Path, tmp_path: Path) -> None:
    verbs = Verbs(tmp_path / "out")
    run(profile_file, verbs.out, verbs)
    profile_file.write_text(PROFILE.replace("name: tiny", "name: other", 1))
    with pytest.raises(PipelineError, match="profile: expected 'other', found 'tiny'"):
        run(profile_file, verbs.out, verbs)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("needs: [frames]", "needs: [framse]", "expected an earlier stage, found 'framse'"),
        ("name: train", "name: frames", "given twice"),
        ("stale: keep", "stale: throw", "stages.0.stale"),
        ("run: train", "run: train\n    options2: {}", "stages.1.options2"),
    ],
)
def test_a_wrong_profile_is_refused_by_name(
    profile_file: Path, before: str, after: str, message: str
) -> None:
    profile_file.write_text(PROFILE.replace(before, after, 1))
    with pytest.raises(PipelineError, match=message):
        load_profiles([str(profile_file)])


def test_an_unknown_variable_is_named(profile_file: Path) -> None:
    profile_file.write_text(PROFILE.replace("{out}/frames", "{outt}/frames", 1))
    with pytest.raises(PipelineError, match=r"stages\.frames.*'outt'"):
        expand(load_profiles([str(profile_file)]), {"out": "o", "workers": "1"})


def test_a_change_of_an_unknown_stage_names_the_nearest(profile_file: Path) -> None:
    with pytest.raises(PipelineError, match="did you mean 'train'"):
        load_profiles([str(profile_file)], ["trian.out=x"])


def test_a_wrong_option_is_found_before_anything_runs(profile_file: Path) -> None:
    profile = load_profiles([str(profile_file)], ["train.stepz=5"])
    with pytest.raises(PipelineError, match=r"stages\.train: No such option"):
        check_commands(expand(profile, {"out": "o", "workers": "1"}), typer.main.get_command(app))


@pytest.mark.parametrize("name", shipped_profiles())
def test_every_command_of_a_shipped_profile_is_one_that_the_verbs_take(name: str) -> None:
    words = ["pipeline", "--profile", name, "--out", "out/x", "--photos", "a.json", "--dry-run"]
    shown = CliRunner().invoke(app, words, env={"COLUMNS": "300"})
    assert shown.exit_code == 0, shown.output
    assert len(shown.output.splitlines()) == len(load_profiles([name]).stages)


def test_a_package_that_a_later_stage_needs_is_missed_before_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Quantization came after a quarter of an hour of training, and ended there."""
    variables = {"out": "o", "workers": "1", "frames": "o/frames", "held_out": "o/held_out"}
    stages = expand(load_profiles(["smoke"]), variables)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "modelopt" else find(name))
    with pytest.raises(PipelineError, match=r"stages\.qat: needs the package modelopt: pip install"):
        check_packages(stages)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    check_packages(stages)


SIDE_BY_SIDE = """
name: wide
stages:
  - {name: frames, run: generate, makes: "{out}/frames"}
  - {name: one, run: train, needs: [frames], makes: "{out}/one"}
  - {name: two, run: train, needs: [frames], makes: "{out}/two"}
  - {name: three, run: train, needs: [frames], makes: "{out}/three"}
  - {name: report, run: evaluate, needs: [one], makes: "{out}/report"}
"""


class Slow:
    """Stands in for verbs that take their time: `one` and `two` wait for each other."""

    def __init__(self, together: int) -> None:
        self.meet = threading.Barrier(together, timeout=20)
        self.places: list[tuple[str, Place]] = []
        self.fails: set[str] = set()

    def __call__(self, command: tuple[str, ...], place: Place) -> int:
        assert place.log is not None
        self.places.append((place.log.stem, place))
        if place.log.stem in ("one", "two"):
            self.meet.wait()
        if place.log.stem in self.fails:
            return 1
        made = place.log.parent.parent / place.log.stem
        made.write_text("done")
        return 0


def run_wide(tmp_path: Path, verbs: Slow, machine: Machine) -> list[str]:
    file = tmp_path / "wide.yaml"
    file.write_text(SIDE_BY_SIDE)
    profile = load_profiles([str(file)])
    out = tmp_path / "out"
    run_stages(profile, expand(profile, {"out": str(out)}), out, verbs, machine)
    return [name for name, _ in verbs.places]


def test_stages_that_do_not_build_on_each_other_train_side_by_side_on_gpus_of_their_own(
    tmp_path: Path,
) -> None:
    verbs = Slow(2)
    order = run_wide(tmp_path, verbs, Machine(2, ("0", "1")))
    assert order[0] == "frames"
    assert set(order[1:3]) == {"one", "two"}, "the third waits for a GPU"
    gpus = {name: place.gpu for name, place in verbs.places}
    assert {gpus["one"], gpus["two"]} == {"0", "1"}
    assert gpus["frames"] == gpus["report"] == "", "only training is bound to a GPU"


def test_more_jobs_than_gpus_share_them_evenly(tmp_path: Path) -> None:
    verbs = Slow(2)
    run_wide(tmp_path, verbs, Machine(4, ("5", "7")))
    gpus = {name: place.gpu for name, place in verbs.places}
    assert {gpus["one"], gpus["two"]} == {"5", "7"}


def test_a_stage_that_fails_takes_along_only_what_needs_it(tmp_path: Path) -> None:
    verbs = Slow(2)
    verbs.fails = {"one"}
    with pytest.raises(PipelineError, match=r"stage one failed: exit code 1; see .*one\.log"):
        run_wide(tmp_path, verbs, Machine(2))
    assert sorted(name for name, _ in verbs.places) == ["frames", "one", "three", "two"]
    record = json.loads((tmp_path / "out" / STATE).read_text())["stages"]
    assert {name: stage["status"] for name, stage in record.items()} == {
        "frames": "done",
        "one": "failed",
        "two": "done",
        "three": "done",
    }


def test_two_profiles_in_one_pipeline_share_what_they_have_in_common() -> None:
    both = load_profiles(["flagship", "resnet18"])
    names = [stage.name for stage in both.stages]
    assert both.name == "flagship+resnet18"
    assert names.count("teacher") == 1
    assert {"qat", "qat_deep", "resnet18_qat"} <= set(names)
    assert len(names) == len(set(names))


def test_a_change_reaches_the_shared_stage_of_every_profile() -> None:
    both = load_profiles(["flagship", "resnet18"], ["frames.frames=9"])
    frames = next(stage for stage in both.stages if stage.name == "frames")
    assert frames.options["frames"] == 9


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("frames: 4", "frames: 5", r"stages\.frames: differs from that of another profile"),
        ("name: train", "name: learn", r"stages\.learn\.makes: .*expected a place of its own, found that of"),
    ],
)
def test_profiles_that_contradict_each_other_are_refused(
    profile_file: Path, before: str, after: str, message: str
) -> None:
    other = profile_file.with_name("other.yaml")
    other.write_text(PROFILE.replace(before, after, 1).replace("needs: [train]", "needs: [frames]"))
    with pytest.raises(PipelineError, match=message):
        load_profiles([str(profile_file), str(other)])


def test_a_stage_that_is_being_started_when_the_signal_comes_ends_too() -> None:
    """It was not among those that run yet, so nobody told it, and the pipeline waited for it to its end."""
    processes = Processes()
    with pytest.raises(KeyboardInterrupt), processes.ended_together():
        os.kill(os.getpid(), signal.SIGTERM)
    assert processes(("train", "--help"), Place()) == -signal.SIGTERM
