"""A mix of recipes: which recipe plans which frame, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml

from palletjack_sdg.generate import GenerateJob, job_identity
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import RecipeError, load_recipe
from palletjack_sdg.recipe_mix import RecipeMix, load_recipes


def _write(folder: Path, members: dict[str, int], **more: object) -> Path:
    path = folder / "mine.yaml"
    tree = {"format": "palletjack-mix/1", "name": "mine", "members": members, **more}
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


def test_reference_mix_takes_its_recipes_in_the_references_shares() -> None:
    mix = load_recipes("palletjack_5k")
    assert isinstance(mix, RecipeMix)
    counts = Counter(mix.at(index).name for index in range(5000))
    assert counts == {"distractors_warehouse": 2000, "distractors_additional": 2000, "no_distractors": 1000}
    # Every stretch of the data set holds about the same shares, so one that was stopped early does too.
    for start in (0, 3, 1717):
        part = Counter(mix.at(index).name for index in range(start, start + 50))
        assert part["no_distractors"] == 10


def test_frame_of_a_mix_is_the_frame_of_its_recipe() -> None:
    mix = load_recipes("palletjack_5k")
    plan = plan_frame(mix.at(2), 4, 2)
    assert plan.recipe == "no_distractors"
    assert plan == plan_frame(load_recipe("no_distractors"), 4, 2)
    assert not [entry for entry in plan.objects if entry.role in ("goods", "clutter", "vehicle", "person")]


def test_plain_recipe_is_the_recipe_of_every_frame() -> None:
    recipe = load_recipes("warehouse_v1")
    assert recipe == load_recipe("warehouse_v1")
    assert recipe.at(0) is recipe.at(41) is recipe


def test_members_are_shipped_recipes_or_files_beside_the_mix(tmp_path: Path) -> None:
    tree = load_recipe("warehouse_v1").model_dump(mode="json")
    (tmp_path / "hall.yaml").write_text(yaml.safe_dump({**tree, "name": "hall"}))
    mix = load_recipes(_write(tmp_path, {"hall.yaml": 1, "no_distractors": 3}))
    assert Counter(mix.at(index).name for index in range(8)) == {"hall": 2, "no_distractors": 6}


def test_data_set_of_a_mix_changes_with_any_member(tmp_path: Path) -> None:
    tree = load_recipe("warehouse_v1").model_dump(mode="json")
    prints = []
    for upright in (0.5, 0.6):
        tree["trucks"]["upright"] = upright
        (tmp_path / "hall.yaml").write_text(yaml.safe_dump(tree))
        path = _write(tmp_path, {"hall.yaml": 1, "no_distractors": 1})
        job = GenerateJob(str(path), tmp_path / "out", frames=1)
        prints.append(job_identity(job, load_recipes(path))["recipe_sha256"])
    assert prints[0] != prints[1]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"no_distractor": 1}, "members.no_distractor: no recipe file and no shipped recipe 'no_distractor'"),
        (
            {"palletjack_5k": 1},
            "members.palletjack_5k: recipe palletjack_5k: expected one recipe, found a mix",
        ),
        ({"no_distractors": 0}, "members.no_distractors"),
        ({}, "members"),
        ({"no_distractors": 100_001, "warehouse_v1": 7}, "no common divisor"),
    ],
)
def test_misfit_is_refused(tmp_path: Path, members: dict[str, int], expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipes(_write(tmp_path, members))
    assert "mine.yaml" in str(caught.value)
    assert expected in str(caught.value)


def test_unknown_key_and_other_label_rules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="weigths: unknown key"):
        load_recipes(_write(tmp_path, {"no_distractors": 1}, weigths={}))
    tree = load_recipe("warehouse_v1").model_dump(mode="json")
    tree["labels"]["min_height_px"] = 30.0
    (tmp_path / "hall.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(RecipeError, match=r"members.hall.yaml: expected the label rules of no_distractors"):
        load_recipes(_write(tmp_path, {"no_distractors": 1, "hall.yaml": 1}))


def test_one_recipe_is_asked_for_where_a_mix_makes_no_sense() -> None:
    with pytest.raises(RecipeError, match="palletjack_5k: expected one recipe, found a mix"):
        load_recipe("palletjack_5k")
