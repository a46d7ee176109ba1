"""The rows of the ablation are ones that the project takes, and each changes what it says and no more."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from ablation_rows import frames as data_sets  # noqa: E402
from ablation_rows import run, table, verbs  # noqa: E402
from ablation_rows.plan import Plan, Row, check, choose, load_plan, merged  # noqa: E402

from palletjack_sdg.dataset import Dataset  # noqa: E402


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(BENCHMARKS / "ablation.yaml")


def test_every_row_is_a_recipe_and_a_configuration_that_exist(plan: Plan) -> None:
    check(plan, [row for row in plan.rows if not row.needs])
    names = [row.name for row in plan.rows]
    assert names[0] == "base"
    assert len(names) == len(set(names))
    assert all(row.set or row.recipe or row.model or row.has_own_frames for row in plan.rows[1:])


def test_a_row_without_its_asset_pack_says_what_to_install(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PALLETJACK_ASSETS", str(tmp_path / "none.yaml"))
    with pytest.raises(ValueError, match=r"row asset_packs: (.|\n)*assets install miniworld, then"):
        check(plan, [row for row in plan.rows if row.name == "asset_packs"])


def test_a_change_leaves_the_rest_of_the_recipe_alone() -> None:
    base = {"trucks": {"states": {"row": 1.0}, "upright": 0.7}, "camera": {"k1": [0, 1]}}
    changed = merged(base, {"trucks": {"states": {"free_standing": 1.0}}})
    assert changed == {
        "trucks": {"states": {"free_standing": 1.0}, "upright": 0.7},
        "camera": {"k1": [0, 1]},
    }
    assert base["trucks"]["states"] == {"row": 1.0}


def test_the_row_that_the_others_differ_from_always_runs(plan: Plan) -> None:
    assert [row.name for row in choose(plan, ["tao_loss"])] == ["base", "tao_loss"]
    with pytest.raises(SystemExit, match="found no_such"):
        choose(plan, ["base", "no_such"])


class Verbs:
    """Stands in for the command line: renders empty frames, trains and exports at once, and remembers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.fails = ""

    def __call__(self, *words: str, log: Path, environment: dict[str, str] | None = None) -> str:
        self.asked.append(words)
        options = dict(zip(words[1::2], words[2::2], strict=False))
        out = Path(options["--out"])
        if self.fails and self.fails in str(out):
            raise verbs.VerbError(f"palletjack {words[0]} ended with exit code 1")
        if words[0] == "generate":
            dataset = Dataset(out)
            dataset.create_folders(plans=False)
            dataset.manifest.write_text("{}")
            for index in range(int(options["--frames"])):
                dataset.label(index).touch()
                dataset.image(index).touch()
        if words[0] == "train":
            out.mkdir(parents=True)
            frames = len(list((Path(options["--data"]) / "images").iterdir()))
            summary = {"frames": frames, "wall_seconds": 2.0, "device": "cpu"}
            (out / "summary.json").write_text(json.dumps(summary))
        if words[0] == "export":
            out.mkdir()
            (out / "model.json").write_text('{"clustering": {"method": "nms", "eps": 1}}')
        return ""

    def of(self, verb: str) -> list[tuple[str, ...]]:
        return [words for words in self.asked if words[0] == verb]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Verbs:
    stand_in = Verbs()
    monkeypatch.setattr(verbs, "palletjack", stand_in)
    monkeypatch.setattr(run._Run, "_score", lambda *_: {"ap50": 0.5, "ap50_95": 0.3, "best_f1": 0.6})
    return stand_in


def settings_in(folder: Path, **changes: Any) -> run.Settings:
    return run.Settings(out=folder, steps=7, frames=4, jobs=2, render_jobs=2, **changes)


def test_rows_share_frames_where_they_can(plan: Plan, tmp_path: Path, stand_in: Verbs) -> None:
    """Two rows use the base's frames, one its own recipe, one more frames that begin with the base's."""
    more = Row(name="more", change="six frames", frames_times=1.5)
    rows = [*choose(plan, ["dbscan", "no_distortion"]), more]
    outcome = run.run_rows(plan, rows, settings_in(tmp_path), lambda _: None)
    assert outcome.failed == {}
    assert [row["name"] for row in outcome.rows] == ["base", "no_distortion", "dbscan", "more"]
    assert [row["frames"] for row in outcome.rows] == [4, 4, 4, 6]
    rendered = {
        Path(words[words.index("--out") + 1]).relative_to(tmp_path) for words in stand_in.of("generate")
    }
    assert {str(path) for path in rendered} == {
        "held_out", "base_frames", "no_distortion/frames", "more/frames",
    }  # fmt: skip
    model = json.loads((tmp_path / "dbscan" / "model" / "model.json").read_text())
    assert model["clustering"] == {"method": "dbscan", "eps": 1}


def test_a_row_that_is_done_is_not_run_again(plan: Plan, tmp_path: Path, stand_in: Verbs) -> None:
    rows = choose(plan, ["dbscan"])
    first = run.run_rows(plan, rows, settings_in(tmp_path), lambda _: None)
    asked = len(stand_in.asked)
    assert run.run_rows(plan, rows, settings_in(tmp_path), lambda _: None) == first
    assert len(stand_in.asked) == asked


def test_a_row_that_fails_does_not_stop_the_others(plan: Plan, tmp_path: Path, stand_in: Verbs) -> None:
    stand_in.fails = "no_distortion"
    rows = choose(plan, ["no_distortion", "dbscan"])
    outcome = run.run_rows(plan, rows, settings_in(tmp_path), lambda _: None)
    assert [row["name"] for row in outcome.rows] == ["base", "dbscan"]
    assert list(outcome.failed) == ["no_distortion"]
    assert "exit code 1" in outcome.failed["no_distortion"]


def test_no_row_begins_after_the_time_limit(plan: Plan, tmp_path: Path, stand_in: Verbs) -> None:
    settings = settings_in(tmp_path, time_limit_s=1e-9)
    outcome = run.run_rows(plan, choose(plan, ["dbscan"]), settings, lambda _: None)
    assert set(outcome.failed) == {"base", "dbscan"}
    assert stand_in.of("train") == []


def test_half_a_data_set_is_its_first_half(tmp_path: Path) -> None:
    whole = Dataset(tmp_path / "whole")
    whole.create_folders(plans=False)
    whole.manifest.write_text("{}")
    for index in (0, 1, 2, 4):
        whole.label(index).write_text(f"label {index}")
        whole.image(index).write_text(f"image {index}")
    assert data_sets.take_first(tmp_path / "whole", tmp_path / "half", 3) == 3
    half = Dataset(tmp_path / "half")
    assert [index for index in range(6) if half.is_complete(index)] == [0, 1, 2]
    assert half.image(2).read_text() == "image 2"
    assert data_sets.take_first(tmp_path / "whole", tmp_path / "half", 6) == 1


def test_the_table_marks_what_is_beyond_chance(tmp_path: Path) -> None:
    def scores(ap50: float, low: float, high: float, difference: list[float] | None = None) -> dict[str, Any]:
        found = {"ap50": ap50, "best_f1": ap50, "intervals_95": {"ap50": [low, high]}}
        return found | ({"difference_intervals_95": {"ap50": difference}} if difference else {})

    rows = [
        {"name": "base", "change": "nothing", "frames": 1000, "held_out": scores(0.6, 0.5, 0.7)},
        {"name": "worse", "change": "a", "frames": 1000, "held_out": scores(0.4, 0.3, 0.5, [-0.3, -0.1])},
        {"name": "alike", "change": "b", "frames": 1000, "held_out": scores(0.62, 0.5, 0.7, [-0.02, 0.06])},
    ]
    text = table.markdown(rows)
    assert "| worse | a | 1,000 | 0.400 | **-0.200 (-0.30 to -0.10)** |" in text
    assert "| alike | b | 1,000 | 0.620 | +0.020 (-0.02 to +0.06) |" in text
    table.draw(rows, tmp_path / "table.png")
    assert (tmp_path / "table.png").stat().st_size > 5000
