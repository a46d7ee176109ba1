"""A truck close beside another: where a recipe asks for it, and no frame of another recipe changes."""

from __future__ import annotations

import math

import pytest
from tests.sdg.recipes import without_goods

from palletjack_sdg.frame_plan import FramePlan, ObjectPlan
from palletjack_sdg.layouts import trucks as layout
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import Recipe, load_recipe

SEED = 3
STATES = {"free_standing": 0.4, "under_rack": 0.3, "beside": 0.3}


def _recipe(neighbour: float) -> Recipe:
    recipe = load_recipe("warehouse_v1")
    trucks = {"states": STATES, "empty_frames": 0.0, "close": 0.0, "neighbour": neighbour}
    return without_goods(recipe.model_copy(update={"trucks": recipe.trucks.model_copy(update=trucks)}))


def _trucks(plan: FramePlan) -> list[ObjectPlan]:
    return [entry for entry in plan.objects if entry.role == "truck"]


def _neighbours(plan: FramePlan) -> int:
    """Trucks that have another one beside them, headed alike."""
    count = 0
    for first in _trucks(plan):
        for second in _trucks(plan):
            x, y = second.position[0] - first.position[0], second.position[1] - first.position[1]
            yaw = math.radians(first.yaw_deg)
            aside = abs(y * math.cos(yaw) - x * math.sin(yaw))
            along = abs(x * math.cos(yaw) + y * math.sin(yaw))
            turn = abs((second.yaw_deg - first.yaw_deg + 180) % 360 - 180)
            if (
                second is not first
                and layout.NEIGHBOUR_M[0] <= aside <= layout.NEIGHBOUR_M[1]
                and along < 0.6
                and turn < 20
            ):
                count += 1
                break
    return count


def test_trucks_stand_close_together_where_asked_for() -> None:
    asked = [plan_frame(_recipe(1.0), SEED, index) for index in range(7)]
    without = [plan_frame(_recipe(0.0), SEED, index) for index in range(7)]
    trucks = sum(len(_trucks(plan)) for plan in asked)
    assert trucks > 7
    assert sum(map(_neighbours, asked)) > 0.6 * trucks
    assert sum(map(_neighbours, without)) < 0.2 * sum(len(_trucks(plan)) for plan in without)


def test_a_recipe_without_keeps_its_key_and_draws_nothing_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "neighbour" not in load_recipe("warehouse_v1").trucks.model_dump()
    assert load_recipe("warehouse_v2").trucks.model_dump()["neighbour"] == 0.3
    with_the_field = plan_frame(_recipe(0.0), SEED, 1)
    # As it was before there were neighbours.
    monkeypatch.setattr(layout, "_with_neighbour", lambda stage, groups, fleet, rng: groups)
    assert plan_frame(_recipe(0.0), SEED, 1) == with_the_field
    assert plan_frame(_recipe(1.0), SEED, 1).objects == with_the_field.objects
