"""The rows of the ablation are ones that the project takes, and each changes what it says and no more."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "ablation.py"


@pytest.fixture(scope="module")
def ablation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ablation", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ablation"] = module
    spec.loader.exec_module(module)
    return module


def test_every_row_is_a_recipe_and_a_configuration_that_exist(ablation: ModuleType) -> None:
    plan = ablation.load_plan(ablation.ROWS)
    ablation.check(plan)
    names = [row.name for row in plan.rows]
    assert names[0] == "base"
    assert len(names) == len(set(names))
    assert all(row.set or row.recipe or row.model or row.frames for row in plan.rows[1:])


def test_a_change_leaves_the_rest_of_the_recipe_alone(ablation: ModuleType) -> None:
    base = {"trucks": {"states": {"row": 1.0}, "upright": 0.7}, "camera": {"k1": [0, 1]}}
    changed = ablation.merged(base, {"trucks": {"states": {"free_standing": 1.0}}})
    assert changed == {
        "trucks": {"states": {"free_standing": 1.0}, "upright": 0.7},
        "camera": {"k1": [0, 1]},
    }
    assert base["trucks"]["states"] == {"row": 1.0}


def test_an_unknown_row_is_named(ablation: ModuleType) -> None:
    with pytest.raises(SystemExit, match="found no_such"):
        ablation.choose(ablation.load_plan(ablation.ROWS), ["base", "no_such"])


def test_a_row_is_scored_once_and_the_table_shows_it(
    ablation: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verbs are replaced; what is tested is what the script asks of them and makes of their answers."""
    asked: list[tuple[str, ...]] = []

    def verb(*words: str, log: Path, environment: dict[str, str] | None = None) -> str:
        asked.append(words)
        options = dict(zip(words[1::2], words[2::2], strict=False))
        if words[0] == "train":
            folder = Path(options["--out"])
            folder.mkdir(parents=True)
            (folder / "summary.json").write_text('{"frames": 90, "wall_seconds": 2.0, "device": "cpu"}')
        if words[0] == "export":
            Path(options["--out"]).mkdir()
            (Path(options["--out"]) / "model.json").write_text('{"clustering": {"method": "nms", "eps": 1}}')
        scores: dict[str, Any] = {"ap50": 0.5, "ap50_95": 0.3, "at_best_f1": {"f1": 0.6}}
        return json.dumps(scores) if words[0] == "evaluate" else ""

    monkeypatch.setattr(ablation, "palletjack", verb)
    plan = ablation.load_plan(ablation.ROWS)
    options = argparse.Namespace(
        out=tmp_path, steps=7, frames=None, data=tmp_path / "frames", held_out=tmp_path / "held",
        photos=tmp_path / "annotations.json", workers=1, gpus=2, set=[],
    )  # fmt: skip
    rows = ablation.choose(plan, ["base", "dbscan"])
    results = [ablation.run_row(plan, row, options, number) for number, row in enumerate(rows)]
    again = [ablation.run_row(plan, row, options, number) for number, row in enumerate(rows)]
    assert again == results
    assert [words[0] for words in asked] == ["train", "export", "evaluate", "evaluate"] * 2
    model = json.loads((tmp_path / "dbscan" / "model" / "model.json").read_text())
    assert model["clustering"] == {"method": "dbscan", "eps": 1}
    ablation.write_table(results, plan, options)
    assert (
        "| dbscan | TAO's DBSCAN instead of NMS | 90 | 0.500 | 0.500 | 0.600 |"
        in (tmp_path / "table.md").read_text()
    )
    assert (tmp_path / "table.png").stat().st_size > 5000
