"""Shipped recipes with less in their frames, for tests that look at some of it: the rest costs most time."""

from __future__ import annotations

from typing import Any

from palletjack_sdg.recipe import Recipe, load_recipe


def without_goods(recipe: Recipe) -> Recipe:
    """The recipe with rooms, racks and trucks, and nothing that its distractors would be."""
    nothing = (0, 0)
    none = {
        "instances": nothing,
        "vehicle_count": nothing,
        "trolley_count": nothing,
        "people_count": nothing,
        "near_person": 0.0,
        "behind_truck": 0.0,
        "clutter_count": nothing,
        "fixture_count": nothing,
    }
    return recipe.model_copy(update={"distractors": recipe.distractors.model_copy(update=none)})


def without_trucks(recipe: Recipe) -> Recipe:
    """The recipe without trucks."""
    return recipe.model_copy(update={"trucks": recipe.trucks.model_copy(update={"empty_frames": 1.0})})


def small_frames() -> dict[str, Any]:
    """The default recipe as a tree, with small images of a few objects."""
    tree = load_recipe("warehouse_v1").model_dump(mode="json")
    tree["image"]["sizes"] = [{"width": 192, "height": 112, "weight": 1.0}]
    # Racks take longest to build.
    tree["place"]["zones"] = {"open_floor": 1.0, "staging": 1.0}
    tree["trucks"]["count"] = {1: 1.0}
    tree["distractors"].update(instances=[2, 4], near_person=0.0, behind_truck=0.0)
    for name in ("vehicle_count", "trolley_count", "people_count", "clutter_count", "fixture_count"):
        tree["distractors"][name] = [0, 1]
    return tree
