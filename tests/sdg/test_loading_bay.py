"""Loading bays: docks with all that belongs to one, and as possible as every other place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.sdg import test_plan as places
from tests.sdg.recipes import without_goods, without_trucks

from palletjack_sdg.compose import build_scene
from palletjack_sdg.frame_plan import FramePlan
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import Recipe, load_recipe
from palletjack_sdg.scene import Scene

FRAMES = 10
FULL_FRAMES = 4


def bay_recipe(daylight: float) -> Recipe:
    tree = load_recipe("warehouse_v1").model_dump(mode="json")
    tree["place"]["zones"] = {"loading_bay": 1.0}
    tree["light"]["daylight"] = daylight
    return Recipe.model_validate(tree)


@pytest.fixture(scope="module")
def bays() -> list[FramePlan]:
    """Bays with their docks and trucks, without goods."""
    recipe = without_goods(bay_recipe(0.5))
    return [plan_frame(recipe, 7, index) for index in range(FRAMES)]


@pytest.fixture(scope="module")
def full_bays() -> list[FramePlan]:
    return [plan_frame(bay_recipe(0.5), 7, index) for index in range(FULL_FRAMES)]


@pytest.fixture(scope="module")
def scenes(full_bays: list[FramePlan]) -> list[Scene]:
    return [build_scene(plan) for plan in full_bays]


def at_far_wall(plan: FramePlan, family: str) -> dict[float, float]:
    """Heights of the objects of a family on the far wall, by y."""
    return {entry.position[1]: entry.params.get("height", 0.0) for entry in plan.objects
            if entry.family == family and abs(entry.yaw_deg - 180.0) < 1e-6}  # fmt: skip


def openings(plan: FramePlan) -> dict[float, float]:
    return {light.center[1]: 2 * light.v[2] for light in plan.lights if light.kind == "daylight"}


def test_every_dock_has_a_gate_a_plate_and_posts(bays: list[FramePlan]) -> None:
    gates = {"open": 0, "closed": 0}
    for plan in bays:
        plates = sorted(at_far_wall(plan, "dock_leveller"))
        opened, closed = openings(plan), at_far_wall(plan, "door")
        assert plates, f"frame {plan.index}: expected docks, found none"
        for y in plates:
            is_open = any(abs(y - other) < 1e-3 for other in opened)
            is_closed = any(abs(y - other) < 1e-3 for other in closed)
            assert is_open != is_closed, f"frame {plan.index}: the dock at {y} has one gate"
            gates["open" if is_open else "closed"] += 1
        pitches = np.diff(plates)
        assert np.ptp(pitches) < 1e-3 if len(pitches) else True
        posts = [entry for entry in plan.objects if entry.family == "bollard"]
        assert len(posts) >= len(plates), f"frame {plan.index}"
        top = max(corner[2] for surface in plan.surfaces for corner in surface.corners)
        assert max([*opened.values(), *closed.values()]) < top
        # All gates let in the light of one day.
        assert len({light.radiance for light in plan.lights if light.kind == "daylight"}) <= 1
    assert min(gates.values()) > 4


def test_daylight_opens_the_gates() -> None:
    dark, light = (without_trucks(without_goods(bay_recipe(share))) for share in (0.0, 1.0))
    for index in range(4):
        assert openings(plan_frame(dark, 7, index)) == {}
        bright = plan_frame(light, 7, index)
        plates = at_far_wall(bright, "dock_leveller")
        assert len(openings(bright)) == len(plates) > 0


@pytest.mark.long
def test_what_holds_for_every_place_holds_here(full_bays: list[FramePlan], scenes: list[Scene]) -> None:
    places.test_nothing_leaves_the_room_or_sinks_into_the_floor(full_bays, scenes)
    places.test_nothing_floats(full_bays, scenes)
    places.test_objects_of_different_groups_do_not_share_space(full_bays, scenes)
    places.test_camera_stands_free(full_bays, scenes)


def test_trucks_and_the_camera_find_their_place(bays: list[FramePlan]) -> None:
    wanted = sum(int(str(plan.metadata["trucks_wanted"])) for plan in bays)
    placed = sum(entry.role == "truck" for plan in bays for entry in plan.objects)
    assert placed > 0.8 * wanted > 0
    assert all(plan.metadata["camera_free"] for plan in bays)


def test_runs_of_cables_hang_from_wall_to_wall_and_brooms_lean_on_walls() -> None:
    tree = load_recipe("warehouse_v1").model_dump(mode="json")
    tree["trucks"]["occluded"] = 1.0
    recipe = without_goods(Recipe.model_validate(tree))
    wanted = {"fixtures": {"cable_tray": 1.0, "broom": 1.0}, "fixture_count": (4, 6)}
    recipe = recipe.model_copy(update={"distractors": recipe.distractors.model_copy(update=wanted)})
    counts = {"cable_tray": 0, "broom": 0}
    for index in range(8):
        plan = plan_frame(recipe, 7, index)
        corners = np.array([corner for surface in plan.surfaces for corner in surface.corners])
        low, high = corners.min(axis=0), corners.max(axis=0)
        hung = [entry for entry in plan.objects if entry.family in counts]
        # The objects alone: the room's pictures take longer than they.
        scene = build_scene(plan.model_copy(update={"objects": tuple(hung), "surfaces": ()}))
        for instance, entry in zip(scene.instances, hung, strict=True):
            assert entry.role == "fixture", "none is put before a truck"
            counts[entry.family] += 1
            points = np.concatenate([part.vertices for part in instance.prop.parts])
            world = points @ instance.pose[:3, :3].T + instance.pose[:3, 3]
            least, most = world.min(axis=0), world.max(axis=0)
            if entry.family == "cable_tray":
                assert high[2] - 0.01 < most[2] <= high[2] + 1e-6
                assert least[2] > 1.9
                axis = int(np.argmax(most - least))
                assert most[axis] - least[axis] > 0.97 * min(high[axis] - low[axis], 40.0)
            else:
                gaps = np.abs([least[:2] - low[:2], most[:2] - high[:2]])
                assert gaps.min() < 0.05, "against a wall"
    assert min(counts.values()) > 2, counts


@pytest.mark.long
def test_sun_by_day_is_part_of_a_shipped_recipe() -> None:
    recipe = without_trucks(without_goods(load_recipe("warehouse_daylight")))
    frames = [plan_frame(recipe, 3, index) for index in range(24)]
    sunny = [plan for plan in frames if plan.sun is not None]
    assert 4 <= len(sunny) <= 16
    assert {"loading_bay", "rack_aisle"} <= {plan.zone for plan in frames}
    assert any(plan.environment is not None for plan in frames)
    for plan in sunny:
        assert plan.sun is not None
        assert math.isfinite(plan.sun.irradiance[0])
