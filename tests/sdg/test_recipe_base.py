"""Recipes on a base: what they take from it, what they replace, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from palletjack_sdg.recipe import Recipe, RecipeError, load_recipe
from palletjack_sdg.recipe_mix import load_recipes


def _write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _load(folder: Path, text: str) -> Recipe:
    return load_recipe(_write(folder, "mine.yaml", text))


def _refusal(folder: Path, text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        _load(folder, text)
    assert "mine.yaml" in str(caught.value)
    return str(caught.value)


def test_what_a_recipe_leaves_out_is_its_bases(tmp_path: Path) -> None:
    base = load_recipe("warehouse_v1")
    assert _load(tmp_path, "base: warehouse_v1\n") == base
    mine = _load(tmp_path, "base: warehouse_v1\nname: mine\ntrucks: {upright: 0.5}\nlight: {sun: 0.3}\n")
    assert mine == base.model_copy(
        update={
            "name": "mine",
            "trucks": base.trucks.model_copy(update={"upright": 0.5}),
            "light": base.light.model_copy(update={"sun": 0.3}),
        }
    )


def test_weights_and_lists_are_replaced_as_a_whole(tmp_path: Path) -> None:
    text = "base: warehouse_v1\ntrucks: {paints: {red: 1}}\nimage: {sizes: [{width: 640, height: 480}]}\n"
    base, mine = load_recipe("warehouse_v1"), _load(tmp_path, text)
    assert mine.trucks.paints == {"red": 1.0}
    assert mine.trucks.states == base.trucks.states
    assert [(size.width, size.height) for size in mine.image.sizes] == [(640, 480)]


def test_a_base_may_be_a_file_and_have_a_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's name counts from the folder of the recipe that names it, wherever the command is given."""
    _write(tmp_path, "hall.yaml", "base: parts/dark.yaml\nname: hall\ntrucks: {upright: 0.5, close: 0.2}\n")
    _write(tmp_path, "parts/dark.yaml", "base: lit.yaml\nlight: {dark_hall: 0.9}\ntrucks: {upright: 0.1}\n")
    _write(tmp_path, "parts/lit.yaml", "base: warehouse_holdout\nlight: {dark_hall: 0.0, daylight: 1.0}\n")
    other = tmp_path / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(other)
    mine = _load(tmp_path, "base: hall.yaml\ntrucks: {close: 0.3}\n")
    assert mine.name == "hall"
    assert (mine.trucks.upright, mine.trucks.close) == (0.5, 0.3)
    assert (mine.light.dark_hall, mine.light.daylight) == (0.9, 1.0)
    assert mine.place == load_recipe("warehouse_holdout").place


def test_a_recipe_that_leads_back_to_itself_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "hall.yaml", "base: mine.yaml\n")
    message = _refusal(tmp_path, "base: hall.yaml\n")
    mine, hall = tmp_path / "mine.yaml", tmp_path / "hall.yaml"
    assert message == f"{mine}: base: expected an end, found {mine} -> {hall} -> {mine}"
    assert f"found {mine} -> {mine}" in _refusal(tmp_path, "base: mine.yaml\n")
    # The same file under ever longer names.
    assert "expected an end, found" in _refusal(tmp_path, f"base: ../{tmp_path.name}/mine.yaml\n")


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (
            "warehouse_v7",
            "base: no recipe file and no shipped recipe 'warehouse_v7'; did you mean 'warehouse_v2'?",
        ),
        ("hall.yaml", "base: no recipe file and no shipped recipe 'hall.yaml'"),
        (
            "palletjack_5k",
            "base: expected one recipe, found a mix of recipes, recipe palletjack_5k",
        ),
        ("[warehouse_v1]", "base: expected the name or file of a recipe, found ['warehouse_v1']"),
        ("", "base: expected the name or file of a recipe, found None"),
        ("3", "base: expected the name or file of a recipe, found 3"),
    ],
)
def test_a_base_that_is_no_recipe_is_refused(tmp_path: Path, base: str, expected: str) -> None:
    assert expected in _refusal(tmp_path, f"base: {base}\n")


def test_a_base_that_is_not_readable_is_named(tmp_path: Path) -> None:
    broken = _write(tmp_path, "hall.yaml", "name: [unclosed")
    assert f"base: {broken}: not readable as YAML" in _refusal(tmp_path, "base: hall.yaml\n")


def test_misfits_on_a_base_are_still_named_with_advice(tmp_path: Path) -> None:
    message = _refusal(tmp_path, "base: warehouse_v1\ntrucks: {stats: {}}\nlights: {sun: 1.0}\nplace: 3\n")
    assert "trucks.stats: unknown key; did you mean 'states'?" in message
    assert "lights: unknown key; did you mean 'light'?" in message
    assert "place: " in message
    # Not a section: a base is a whole recipe's.
    assert "trucks.base: unknown key" in _refusal(tmp_path, "base: warehouse_v1\ntrucks: {base: x}\n")


def test_a_mix_takes_members_that_have_a_base(tmp_path: Path) -> None:
    _write(tmp_path, "hall.yaml", "base: warehouse_v1\nname: hall\n")
    _write(tmp_path, "other.yaml", "base: hall.yaml\nname: other\n")
    tree = {"format": "palletjack-mix/1", "name": "mine", "members": {"hall.yaml": 1, "other.yaml": 1}}
    mix = load_recipes(_write(tmp_path, "mix.yaml", yaml.safe_dump(tree)))
    assert [mix.at(index).name for index in range(4)] == ["hall", "other", "hall", "other"]


def test_warehouse_close_is_warehouse_holdout_but_for_what_it_names() -> None:
    close, base = load_recipe("warehouse_close"), load_recipe("warehouse_holdout")
    trucks = base.trucks.model_copy(
        update={"empty_frames": 0.0, "count": {1: 0.7, 2: 0.3}, "close": 1.0},
    )
    named = {"name": "warehouse_close", "description": close.description, "trucks": trucks}
    assert close == base.model_copy(update=named)
    assert close.description != base.description
