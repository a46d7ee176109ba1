"""Recipes: what is shipped loads, and what does not fit is refused with its path and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from palletjack_sdg.recipe import Recipe, RecipeError, load_recipe, shipped_recipes
from palletjack_sdg.recipe_mix import load_recipes


def _tree() -> dict[str, object]:
    """The default recipe as a YAML tree that a test may spoil."""
    return load_recipe("warehouse_v1").model_dump(mode="json")


def _load(tmp_path: Path, tree: dict[str, object] | str) -> Recipe:
    path = tmp_path / "mine.yaml"
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree), encoding="utf-8")
    return load_recipe(path)


def _change(tree: dict[str, object], dotted: str, value: object) -> dict[str, object]:
    node: object = tree
    *parents, last = dotted.split(".")
    for step in parents:
        node = node[int(step)] if isinstance(node, list) else node[step]  # type: ignore[index]
    node[last] = value  # type: ignore[index]
    return tree


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_carries_its_own_name(name: str) -> None:
    assert load_recipes(name).name == name


def test_default_recipe_is_shipped_and_survives_a_round_trip(tmp_path: Path) -> None:
    recipe = load_recipe("warehouse_v1")
    assert _load(tmp_path, recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("trucks.stats", {}, "trucks.stats: unknown key; did you mean 'states'?"),
        ("labels.min_heigth_px", 9, "labels.min_heigth_px: unknown key; did you mean 'min_height_px'?"),
        ("camera.hfov", [60, 70], "camera.hfov: unknown key; did you mean 'hfov_deg'?"),
        ("image.sizes.0.widht", 3, "image.sizes.0.widht: unknown key; did you mean 'width'?"),
        ("lights", {}, "lights: unknown key; did you mean 'light'?"),
        ("sensor.jpeg_qality", [3, 4], "did you mean 'jpeg_quality'?"),
        ("camera.hfov_deg", [90, 60], "camera.hfov_deg: a range goes from low to high, found [90, 60]"),
        ("camera.hfov_deg", "wide", "camera.hfov_deg"),
        (
            "light.fixture_radiance",
            [0.0, 2.0],
            "light.fixture_radiance: a range drawn on a logarithmic scale",
        ),
        ("trucks.count", {"0": 1.0}, "trucks.count: numbers of trucks lie in 1..8"),
        ("trucks.count", {}, "trucks.count: weights are at least 0"),
        ("trucks.upright", 1.4, "trucks.upright"),
        ("trucks.kinds", {"standart": 1.0}, "trucks.kinds.standart"),
        ("trucks.paints", {"oragne": 1.0}, "trucks.paints: no paint 'oragne'; did you mean 'orange'?"),
        ("trucks.paints", {"red": 0.0}, "trucks.paints: weights are at least 0"),
        ("trucks.fork_length_m", [0.5, 1.2], "trucks.fork_length_m: both ends lie in 0.8..2"),
        ("trucks.tiler_lean_deg", [0, 9], "unknown key; did you mean 'tiller_lean_deg'?"),
        ("trucks.families", {"paletjack": 1.0}, "no object family 'paletjack'; did you mean 'palletjack'?"),
        ("distractors.goods", {"mesh_bx": 1.0}, "did you mean 'mesh_box'?"),
        ("place.zones", {"rack_aisl": 1.0}, "place.zones.rack_aisl"),
        ("place.floors", {"concreet": 1.0}, "place.floors: no texture 'concreet'; did you mean 'concrete'?"),
        ("place.walls", {"asphalt": 1.0}, "place.walls: no texture 'asphalt'"),
        ("place.ceilings", {"deck": 0.0}, "place.ceilings: weights are at least 0"),
    ],
)
def test_misfit_is_refused_with_file_path_and_advice(
    tmp_path: Path, path: str, value: object, expected: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        _load(tmp_path, _change(_tree(), path, value))
    assert "mine.yaml" in str(caught.value)
    assert expected in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    tree = _change(_change(_tree(), "camera.zoom", 2), "trucks.upright", -1)
    with pytest.raises(RecipeError) as caught:
        _load(tmp_path, tree)
    assert "camera.zoom" in str(caught.value)
    assert "trucks.upright" in str(caught.value)


def test_missing_section_is_named(tmp_path: Path) -> None:
    tree = _tree()
    del tree["distractors"]
    with pytest.raises(RecipeError, match=r"distractors: this key is required"):
        _load(tmp_path, tree)


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text", ""])
def test_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError, match="expected a mapping"):
        _load(tmp_path, text)


def test_broken_yaml_and_repeated_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not readable as YAML"):
        _load(tmp_path, "name: [unclosed")
    with pytest.raises(RecipeError, match="'name' is given twice"):
        _load(tmp_path, "name: a\nname: b\n")


def test_unknown_name_gets_the_nearest_shipped_one() -> None:
    with pytest.raises(RecipeError, match=r"did you mean 'warehouse_v[12]'"):
        load_recipe("warehouse")
