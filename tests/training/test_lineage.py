"""Weights and models say what made them: every stage since the first training, and the teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from tests.training.test_train import small  # noqa: E402

from palletjack_training.compression.prune import PruneRequest, prune_weights  # noqa: E402
from palletjack_training.export import export_model  # noqa: E402
from palletjack_training.lineage import split_stages, stages_of  # noqa: E402
from palletjack_training.network import build_network  # noqa: E402
from palletjack_training.trainer import RunRequest, run_training  # noqa: E402
from palletjack_training.weight_soup import average_weights  # noqa: E402
from palletjack_training.weights_file import Weights, load_weights, save_weights  # noqa: E402


def weights_of(provenance: dict[str, Any]) -> Weights:
    config = small()
    return Weights(config, build_network(config, load_weights=False).state_dict(), provenance)


def test_a_model_names_each_stage_and_its_teacher(tmp_path: Path, write_frames: Callable) -> None:
    write_frames(tmp_path / "set", 6, size=(128, 96))

    def train(out: str, *more: str, **paths: Path) -> dict[str, Any]:
        request = RunRequest((tmp_path / "set",), tmp_path / out, (tmp_path / "set",), **paths)
        return run_training(small("trainer.batch_size=2", *more), request)

    dense = train("dense", "trainer.steps=3")
    assert "before" not in dense
    assert (dense["stage"], dense["config"]) == ("train", "palletjack_light")
    teacher = train("teacher", "trainer.steps=2")
    taught = tmp_path / "teacher/weights.pt"
    prune_weights(tmp_path / "dense/weights.pt", tmp_path / "pruned.pt", PruneRequest(macs=0.8))
    tuned = train("tuned", "trainer.steps=2", initial=tmp_path / "pruned.pt", teacher=taught)
    last = train("last", "trainer.steps=1", initial=tmp_path / "tuned/weights.pt")

    spec = export_model(load_weights(tmp_path / "last/weights.pt"), tmp_path / "model", "mine").spec
    before = spec.training["before"]
    assert [stage["stage"] for stage in before] == ["train", "prune", "train"]
    assert not any("before" in stage for stage in before), "one list, not one within the other"
    for stage, summary in ((before[0], dense), (before[2], tuned), (spec.training, last)):
        for key in ("steps", "data", "frames", "seed"):
            assert stage[key] == summary[key]
        assert 0 < stage["seconds"] <= summary["wall_seconds"]
    assert before[0]["validation"] == dense["validation"]
    assert "ap50" in before[2]["validation"]
    assert before[1]["pruning"] == before[2]["pruning"] == spec.training["pruning"]
    assert before[1]["pruning"][0]["macs_kept"] <= 0.8
    assert "validation" not in before[1], "what was measured before is not what is left"
    assert "steps" not in before[1]
    kept = ("stage", "config", "steps", "validation", "data")
    assert {key: before[2]["taught_by"][key] for key in kept} == {key: teacher[key] for key in kept}
    assert before[2]["teacher"] == "weights.pt"
    assert "taught_by" not in spec.training, "the last training had none"
    assert spec.training["config"]["name"] == "palletjack_light"

    # A training from the model's folder begins with all of that.
    again = load_weights(tmp_path / "model")
    stages = stages_of(again)
    assert [stage["stage"] for stage in stages] == ["train", "prune", "train", "train"]
    assert (stages[-1]["model"], stages[-1]["config"]) == ("mine", "palletjack_light")
    assert stages[-1]["validation"] == last["validation"]
    assert again.provenance["pruning"] == spec.training["pruning"]


def test_a_resumed_training_is_still_one_stage(tmp_path: Path, write_frames: Callable) -> None:
    write_frames(tmp_path / "set", 4, size=(128, 96))
    save_weights(weights_of({"stage": "train", "steps": 70, "pruning": [{"macs": 0.7}]}), tmp_path / "a.pt")
    config = small("trainer.steps=2")
    request = RunRequest((tmp_path / "set",), tmp_path / "run", initial=tmp_path / "a.pt", stop_after=1)
    begun = run_training(config, request)
    resumed = RunRequest((tmp_path / "set",), tmp_path / "run", initial=tmp_path / "a.pt", resume=True)
    ended = run_training(config, resumed)
    assert ended["steps"] == 2
    assert ended["before"] == begun["before"]
    assert [(stage["stage"], stage["steps"]) for stage in ended["before"]] == [("train", 70)]
    assert ended["pruning"] == [{"macs": 0.7}]


def test_an_average_holds_the_trainings_that_it_is_of(tmp_path: Path) -> None:
    for seed in (1, 2):
        stage = {"stage": "train", "seed": seed, "validation": {"ap50": 0.5}}
        save_weights(weights_of({**stage, "before": [{"stage": "prune"}]}), tmp_path / f"{seed}.pt")
    soup = average_weights([tmp_path / "1.pt", tmp_path / "2.pt"], tmp_path / "soup.pt").provenance
    assert (soup["stage"], soup["before"]) == ("average", [{"stage": "prune"}])
    averaged = [(item["weights"], item["seed"], "before" in item) for item in soup["averaged"]]
    assert averaged == [("1.pt", 1, False), ("2.pt", 2, False)]
    assert "validation" not in soup


def test_weights_from_before_there_were_stages_are_one_training() -> None:
    old = {"data": ["frames"], "frames": 6000, "steps": 9, "initial": None, "validation": {"ap50": 0.8}}
    assert split_stages(old) == [old]
    assert stages_of(weights_of(old)) == [{"config": "palletjack_light", **old}]
    assert split_stages({}) == []
    assert stages_of(weights_of({})) == [{"config": "palletjack_light"}]
