"""A training says which frames it was of: recipe, seed and number, not only the folder's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from tests.training.test_train import small  # noqa: E402

from palletjack_sdg.dataset import Dataset, write_manifest  # noqa: E402
from palletjack_training.data_origin import data_entries, data_title, describe_data  # noqa: E402
from palletjack_training.export import export_model  # noqa: E402
from palletjack_training.trainer import RunRequest, run_training  # noqa: E402
from palletjack_training.training_data import other_frames  # noqa: E402
from palletjack_training.weights_file import load_weights  # noqa: E402


def manifest(**changes: Any) -> dict[str, Any]:
    """What ``palletjack generate`` says of a data set, with ``changes``."""
    content = {
        "recipe": "warehouse_v1",
        "recipe_sha256": "1f" * 32,
        "seed": 11,
        "image_format": "png",
        "render": {"spp": 2},
        "labels": {"least_visible": 0.15},
        "extras": {},
        "versions": {"mitsuba": "3.6"},
        "failed": {},
    }
    return {**content, **changes}


def unheard(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture
def frames(tmp_path: Path, write_frames: Callable) -> Path:
    """A folder as ``palletjack generate`` leaves it."""
    folder = tmp_path / "frames"
    write_frames(folder, 6, size=(128, 96))
    write_manifest(Dataset(folder, "png"), manifest())
    return folder


def test_weights_summary_and_model_name_recipe_and_seed(
    tmp_path: Path, frames: Path, write_frames: Callable
) -> None:
    foreign = tmp_path / "photos"
    write_frames(foreign, 3, size=(128, 96), seed=5)
    request = RunRequest((frames, foreign), tmp_path / "run", validation=(frames,))
    summary = run_training(small("trainer.steps=1"), request)
    digest = describe_data(frames, 6, unheard)["identity_sha256"]
    ours = {"name": "frames", "frames": 6, "recipe": "warehouse_v1", "seed": 11, "identity_sha256": digest}
    weights = load_weights(tmp_path / "run/weights.pt")
    model = export_model(weights, tmp_path / "model", "mine").spec.training
    written = json.loads((tmp_path / "run/summary.json").read_text())
    for found in (summary, written, weights.provenance, model):
        assert found["data"] == [ours, {"name": "photos", "frames": 3}]
        assert found["validation_data"] == [ours]
        assert found["frames"] == 9


def test_a_share_that_is_held_back_is_no_data_set_of_its_own(tmp_path: Path, frames: Path) -> None:
    config = small("trainer.steps=1", "trainer.validation_share=0.4")
    summary = run_training(config, RunRequest((frames,), tmp_path / "run"))
    assert "validation_data" not in summary
    assert summary["data"][0]["frames"] == 6
    assert summary["frames"] == 4


def test_the_digest_is_of_what_decides_over_the_frames(frames: Path) -> None:
    def digest(**changes: Any) -> str:
        write_manifest(Dataset(frames, "png"), manifest(**changes))
        return str(describe_data(frames, 6, unheard)["identity_sha256"])

    same = digest()
    for beside in ({"extras": {"masks": "png"}}, {"versions": {}}, {"failed": {"3": "why"}}):
        assert digest(**beside) == same
    others = ({"recipe_sha256": "2e" * 32}, {"seed": 12}, {"render": {"spp": 8}}, {"labels": {}})
    assert len({same, *(digest(**change) for change in others)}) == 5


def test_a_manifest_that_cannot_be_read_is_said_and_ends_nothing(frames: Path) -> None:
    said: list[str] = []
    for text, reason in (("{", "expected JSON"), ('{"format": "theirs/2"}', "format: expected")):
        (frames / "dataset.json").write_text(text)
        assert describe_data(frames, 6, said.append) == {"name": "frames", "frames": 6}
        assert f"{frames / 'dataset.json'}: {reason}" in said[-1]
        assert "not recorded" in said[-1]
    assert len(said) == 2


def test_frames_without_a_recipe_say_what_they_come_from(frames: Path) -> None:
    content = {"source": "KittiWriter", "cameras": [], "unmapped": {}}
    write_manifest(Dataset(frames, "png"), content)
    assert describe_data(frames / ".", 6, unheard) == {"name": "frames", "frames": 6, "source": "KittiWriter"}


def test_older_files_name_folders_alone() -> None:
    assert data_entries(["a", "b"]) == [{"name": "a"}, {"name": "b"}]
    assert data_entries(None) == data_entries("frames") == []
    assert data_title({"name": "a"}) == "a"
    assert data_title({"recipe": "warehouse_v1", "seed": 3}) == "unnamed (recipe warehouse_v1, seed 3)"


def test_going_on_with_frames_of_another_seed_is_noticed() -> None:
    entry = {"name": "frames", "frames": 9, "recipe": "warehouse_v1", "seed": 1, "identity_sha256": "a"}
    begun = {"data": [entry], "frames": 9}
    assert other_frames(begun, begun) is None
    now = {"data": [{**entry, "seed": 2, "identity_sha256": "b"}], "frames": 9}
    assert other_frames(begun, now) == (
        "goes on with 9 frames of frames (recipe warehouse_v1, seed 2); it was begun with 9 of "
        "frames (recipe warehouse_v1, seed 1)"
    )
    # A run that was begun before recipes were recorded is not said to have changed.
    assert other_frames({"data": ["frames"], "frames": 9}, now) is None
