"""Frame plans: pure, complete, and physically possible; checked on the meshes, not on the plan's boxes."""

from __future__ import annotations

import colorsys
import itertools
import math
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.sdg.recipes import without_goods, without_trucks

from palletjack_sdg.camera_plan import CameraPlan, bearing_of_column, project
from palletjack_sdg.compose import build_scene, object_pose
from palletjack_sdg.frame_plan import FramePlan, ObjectPlan
from palletjack_sdg.layouts.fleet import truck_piece
from palletjack_sdg.layouts.stage import Piece
from palletjack_sdg.objects import catalog
from palletjack_sdg.objects.paint import FLEET_COLORS
from palletjack_sdg.objects.pallet_truck import sample_pallet_truck
from palletjack_sdg.placement import FloorArea, FloorBox, Occupancy, overlap_m
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import Recipe, load_recipe
from palletjack_sdg.scene import Camera, Instance, Scene
from palletjack_sdg.seeding import substream

FRAMES = 18
FULL_FRAMES = 7
VOXEL_M = 0.04
# More voxels than a room has in any direction.
VOXEL_SPAN = 1 << 16
Points = NDArray[np.float64]
Voxels = NDArray[np.int64]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("warehouse_v1")


@pytest.fixture(scope="module")
def plans(recipe: Recipe) -> list[FramePlan]:
    return [plan_frame(recipe, 7, index) for index in range(FULL_FRAMES)]


@pytest.fixture(scope="module")
def scenes(plans: list[FramePlan]) -> list[Scene]:
    """The objects of the plans; the room's pictures would take longer than they."""
    return [build_scene(plan.model_copy(update={"surfaces": ()})) for plan in plans]


@pytest.fixture(scope="module")
def rooms(recipe: Recipe, plans: list[FramePlan]) -> list[FramePlan]:
    """More frames, without goods, for what holds of rooms, cameras and trucks."""
    bare = without_goods(recipe)
    return plans + [plan_frame(bare, 7, index) for index in range(FULL_FRAMES, FRAMES)]


@pytest.fixture(scope="module")
def truck_scenes(rooms: list[FramePlan]) -> list[Scene]:
    """The trucks of the rooms and what they carry."""
    kept = [tuple(entry for entry in plan.objects if entry.role in ("truck", "load")) for plan in rooms]
    return [
        build_scene(plan.model_copy(update={"objects": objects, "surfaces": ()}))
        for plan, objects in zip(rooms, kept, strict=True)
    ]


def _world_vertices(instance: Instance) -> Points:
    points = np.concatenate([part.vertices for part in instance.prop.parts]).astype(np.float64)
    return points @ instance.pose[:3, :3].T + instance.pose[:3, 3]


def _surface_voxels(instance: Instance) -> Voxels:
    """Numbers of the voxels of 4 cm that the object's triangles pass through, by points sampled on them."""
    rng = np.random.default_rng(0)
    samples = []
    for part in instance.prop.parts:
        a, b, c = (part.vertices[part.faces[:, k]].astype(np.float64) for k in range(3))
        area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
        share = area / max(float(area.sum()), 1e-12)
        chosen = rng.choice(len(area), size=int(min(20_000, 200 + area.sum() / VOXEL_M**2 * 4)), p=share)
        r1, r2 = np.sqrt(rng.random(len(chosen))), rng.random(len(chosen))
        weights = np.stack([1 - r1, r1 * (1 - r2), r1 * r2], axis=1)
        corners = np.stack([a[chosen], b[chosen], c[chosen]], axis=1)
        samples.append(np.einsum("nk,nkd->nd", weights, corners))
    points = np.concatenate(samples) @ instance.pose[:3, :3].T + instance.pose[:3, 3]
    cells = np.floor(points / VOXEL_M).astype(np.int64) + VOXEL_SPAN // 2
    return np.unique((cells[:, 0] * VOXEL_SPAN + cells[:, 1]) * VOXEL_SPAN + cells[:, 2])


def _cells(voxels: Voxels) -> NDArray[np.int64]:
    """Where the voxels lie (N, 3), counted in voxels."""
    along_x, rest = np.divmod(voxels, VOXEL_SPAN**2)
    return np.stack([along_x, *np.divmod(rest, VOXEL_SPAN)], axis=1) - VOXEL_SPAN // 2


@pytest.mark.long
def test_plan_is_pure_whatever_was_planned_before(recipe: Recipe, plans: list[FramePlan]) -> None:
    catalog._build.cache_clear()
    assert plan_frame(recipe, 7, 5) == plans[5]
    bare = without_goods(recipe)
    assert plan_frame(bare, 7, 5) != plan_frame(bare, 8, 5)


def test_plan_survives_json_and_gives_the_same_scene(plans: list[FramePlan]) -> None:
    plan = plans[3]
    again = FramePlan.model_validate_json(plan.model_dump_json())
    assert again == plan
    first = build_scene(plan)
    catalog._build.cache_clear()
    second = build_scene(again)
    for a, b in zip(first.instances, second.instances, strict=True):
        assert np.array_equal(a.pose, b.pose)
        for part, other in zip(a.prop.parts, b.prop.parts, strict=True):
            assert np.array_equal(part.vertices, other.vertices)


def test_a_section_of_the_recipe_moves_no_other_draw(recipe: Recipe, plans: list[FramePlan]) -> None:
    tree = recipe.model_dump(mode="json")
    tree["distractors"]["clutter_count"] = [0, 0]
    tree["light"]["ambient"] = [0.5, 0.6]
    changed = plan_frame(Recipe.model_validate(tree), 7, 2)
    assert changed.camera == plans[2].camera
    assert changed.sensor == plans[2].sensor
    assert changed.surfaces == plans[2].surfaces
    assert changed.metadata["trucks"] == plans[2].metadata["trucks"]
    assert changed.ambient != plans[2].ambient


def test_streams_differ_by_seed_frame_and_name() -> None:
    keys = [(0, 0, "a"), (0, 1, "a"), (1, 0, "a"), (0, 0, "b")]
    draws = {substream(*key).random() for key in keys}
    assert len(draws) == len(keys)
    # Held fixed: a change here would change every data set that was ever published.
    assert substream(1, 2, "trucks").integers(1_000_000) == 113591
    with pytest.raises(ValueError, match="at least 0"):
        substream(-1, 0, "a")


def test_ids_are_unique_and_only_trucks_are_labelled(plans: list[FramePlan]) -> None:
    for plan in plans:
        ids = [entry.id for entry in plan.objects]
        assert len(set(ids)) == len(ids)
        assert min(ids) >= 1
        for entry in plan.objects:
            assert (entry.label == "palletjack") == (entry.role == "truck") == (entry.state is not None)


def test_trucks_are_seen_where_the_plan_says(rooms: list[FramePlan], truck_scenes: list[Scene]) -> None:
    """Projects each truck's own vertices, independently of the estimate used while planning."""
    seen = 0
    for plan, scene in zip(rooms, truck_scenes, strict=True):
        by_id = {instance.instance_id: instance for instance in scene.instances}
        assert {entry["id"] for entry in plan.metadata["trucks"]} == {
            entry.id for entry in plan.objects if entry.role == "truck"
        }
        for entry in plan.metadata["trucks"]:
            pixels, valid = project(scene.camera, _world_vertices(by_id[entry["id"]]))
            inside = (
                valid
                & (pixels >= 0).all(axis=1)
                & (pixels < [scene.camera.width, scene.camera.height]).all(axis=1)
            )
            assert inside.mean() > 0.1
            height = np.ptp(pixels[valid, 1])
            assert abs(height - (entry["box_px"][3] - entry["box_px"][1])) < 0.06 * height + 3
            assert 15 < height * 544 / scene.camera.height < 560
            seen += 1
    assert seen > FRAMES


def test_frames_are_as_varied_as_the_recipe_asks(
    plans: list[FramePlan], rooms: list[FramePlan], recipe: Recipe
) -> None:
    states = Counter(entry.state for plan in rooms for entry in plan.objects if entry.state)
    assert len(states) >= 4
    assert states["inserted"] >= 0.15 * sum(states.values())
    trucks = [len(plan.metadata["trucks"]) for plan in rooms]
    assert 0 in trucks
    assert max(trucks) >= 3
    wanted = sum(plan.metadata["trucks_wanted"] for plan in rooms)
    assert sum(trucks) >= 0.8 * wanted
    heights = [entry["box_px"][3] - entry["box_px"][1] for plan in rooms for entry in plan.metadata["trucks"]]
    assert min(heights) < 70
    assert max(heights) > 200
    assert len({plan.zone for plan in rooms}) == len(recipe.place.zones)
    counted = [sum(entry.role not in ("structure", "fixture") for entry in plan.objects) for plan in plans]
    assert np.median(counted) >= recipe.distractors.instances[0]
    assert max(counted) <= recipe.distractors.instances[1] + 8
    assert np.percentile([plan.metadata["triangles"] for plan in plans], 90) < 250_000


def test_nothing_leaves_the_room_or_sinks_into_the_floor(plans: list[FramePlan], scenes: list[Scene]) -> None:
    for plan, scene in zip(plans, scenes, strict=True):
        floor = np.array(next(s for s in plan.surfaces if s.name == "floor").corners)
        top = max(corner[2] for surface in plan.surfaces for corner in surface.corners)
        low, high = floor.min(axis=0), floor.max(axis=0)
        for instance, entry in zip(scene.instances, plan.objects, strict=True):
            points = _world_vertices(instance)
            where = f"frame {plan.index} object {entry.id} {entry.family}"
            assert (points[:, :2] > low[:2] - 0.06).all(), where
            assert (points[:, :2] < high[:2] + 0.06).all(), where
            assert points[:, 2].min() > -0.01, where
            assert points[:, 2].max() < top + 0.06, where


def _hangs_on_a_handle(bag: ObjectPlan, others: list[ObjectPlan], instances: dict[int, Instance]) -> bool:
    """Tell whether the bag's hook is where a hand would hold a truck of its group."""
    for other in others:
        truck = instances[other.id]
        for name in ("hand_left", "hand_right"):
            if name in truck.prop.anchors:
                hand = truck.pose @ np.array([*truck.prop.anchors[name], 1.0])
                if np.linalg.norm(hand[:3] - bag.position) < 0.002:
                    return True
    return False


def test_nothing_floats(plans: list[FramePlan], scenes: list[Scene]) -> None:
    """What stands on the floor touches it; what is higher rests on something of its group."""
    for plan, scene in zip(plans, scenes, strict=True):
        instances = {instance.instance_id: instance for instance in scene.instances}
        for entry in plan.objects:
            if entry.role in ("structure", "fixture"):
                continue
            low = float(_world_vertices(instances[entry.id])[:, 2].min())
            if low < 0.012:
                continue
            others = [other for other in plan.objects if other.group == entry.group and other.id != entry.id]
            where = f"frame {plan.index} object {entry.id} {entry.family} at {low:.3f} m"
            if entry.family == "bag":
                assert _hangs_on_a_handle(entry, others, instances), where
                continue
            supports = []
            for other in others:
                prop = instances[other.id].prop
                tops = [anchor[2] for name, anchor in prop.anchors.items() if name in ("top", "fork_tip")]
                supports += [other.position[2] + top for top in tops]
            # A lifted pallet hangs on the forks by its cross boards, 0.1 m above its foot.
            assert any(abs(low - s) < 0.03 or abs(low + 0.1 - s) < 0.015 for s in supports), where


def _thickness(voxels: Voxels) -> float:
    """Least standard deviation (metres) of the voxels along any axis: about 0 for a flat contact."""
    if len(voxels) < 4:
        return 0.0
    covariance = np.cov(_cells(voxels).T * VOXEL_M)
    return float(np.sqrt(max(0.0, np.linalg.eigvalsh(covariance)[0])))


def test_objects_of_different_groups_do_not_share_space(plans: list[FramePlan], scenes: list[Scene]) -> None:
    for plan, scene in zip(plans, scenes, strict=True):
        solid = []
        for entry, instance in zip(plan.objects, scene.instances, strict=True):
            if entry.family not in ("floor_marking", "light_fixture", "ceiling_beam", "papers"):
                voxels = _surface_voxels(instance)
                cells = _cells(voxels)
                solid.append((entry, voxels, cells.min(axis=0), cells.max(axis=0)))
        for (a, voxels_a, low_a, high_a), (b, voxels_b, low_b, high_b) in itertools.combinations(solid, 2):
            if a.group == b.group or (low_a > high_b).any() or (low_b > high_a).any():
                continue
            shared = np.intersect1d(voxels_a, voxels_b, assume_unique=True)
            # Things that touch share the voxels of a flat contact, things that intersect a seam with depth.
            limit = 12 + 0.02 * min(len(voxels_a), len(voxels_b))
            deep = _thickness(shared) > 0.6 * VOXEL_M
            where = f"frame {plan.index}: {a.family} {a.id} and {b.family} {b.id}: {len(shared)}"
            assert len(shared) <= limit or not deep, where


@pytest.mark.parametrize("number", range(6))
def test_a_trucks_boxes_hold_all_of_it(number: int) -> None:
    """Its blades have corners at both ends only: nothing may stand on what lies between."""
    params = sample_pallet_truck(substream(3, number, "truck"))
    piece = truck_piece("palletjack", params, 2.0, -1.0, 0.7, "free_standing")
    truck = Instance(1, piece.prop(), object_pose(_plan_of(piece)))
    middles = (_cells(_surface_voxels(truck)) + 0.5) * VOXEL_M
    held = np.zeros(len(middles), dtype=bool)
    for box in piece.boxes:
        offset = middles[:, :2] - [box.x, box.y]
        c, s = math.cos(box.yaw), math.sin(box.yaw)
        along, across = offset @ [c, s], offset @ [-s, c]
        # A voxel that the truck touches has its middle up to a voxel away from it.
        held |= (
            (np.abs(along) < box.half_length + VOXEL_M)
            & (np.abs(across) < box.half_width + VOXEL_M)
            & (middles[:, 2] > box.z0 - VOXEL_M)
            & (middles[:, 2] < box.z1 + VOXEL_M)
        )
    assert held.all(), f"{(~held).sum()} of {len(held)} voxels, from {middles[~held].min(axis=0)}"


def _plan_of(piece: Piece) -> ObjectPlan:
    return ObjectPlan(
        id=1,
        family=piece.family,
        params=piece.params.model_dump(mode="json"),
        position=(piece.x, piece.y, piece.z),
        yaw_deg=math.degrees(piece.yaw),
        role="truck",
        group=1,
    )


def test_camera_stands_free(plans: list[FramePlan], scenes: list[Scene]) -> None:
    for plan, scene in zip(plans, scenes, strict=True):
        eye = np.array(plan.camera.position)
        for instance in scene.instances:
            distance = np.linalg.norm(_world_vertices(instance) - eye, axis=1).min()
            assert distance > 0.15, (
                f"frame {plan.index}: {instance.prop.category} {distance:.2f} m from the camera"
            )


def test_forks_are_in_the_pallet_that_they_carry(rooms: list[FramePlan], truck_scenes: list[Scene]) -> None:
    checked = 0
    for plan, scene in zip(rooms, truck_scenes, strict=True):
        instances = {instance.instance_id: instance for instance in scene.instances}
        for entry in plan.objects:
            if entry.state != "inserted":
                continue
            load = next(o for o in plan.objects if o.group == entry.group and o.role == "load")
            truck = instances[entry.id]
            tip = np.array([*truck.prop.anchors["fork_tip"][:2], 0.0, 1.0])
            to_load = np.linalg.inv(instances[load.id].pose)
            local = to_load @ truck.pose @ tip
            low, high = instances[load.id].prop.bounds()
            assert low[0] + 0.3 < local[0], "the forks reach into the pallet"
            assert abs(local[1]) < 0.03, "the truck stands on the pallet's axis"
            assert truck.prop.anchors["fork_tip"][2] <= load.position[2] + 0.102
            assert low[1] < 0 < high[1]
            checked += 1
    assert checked >= 3


def test_every_plans_distortion_can_be_undone_in_the_whole_image(rooms: list[FramePlan]) -> None:
    for plan in rooms:
        camera = plan.camera.camera()
        k1, k2 = camera.distortion[:2]
        corner = np.hypot(camera.width, camera.height) / 2 / camera.focal_px
        radii = np.linspace(0, 4 * corner, 4000)
        distorted = radii * (1 + k1 * radii**2 + k2 * radii**4)
        reach = int(np.argmax(distorted >= corner))
        assert reach > 0, f"frame {plan.index}: no ray reaches the image's corner"
        assert (np.diff(distorted[: reach + 1]) > 0).all(), f"frame {plan.index}: the image folds"


def test_projection_agrees_with_hand_calculation() -> None:
    plan = CameraPlan(
        width=960,
        height=544,
        hfov_deg=90.0,
        position=(1.0, 2.0, 0.5),
        yaw_deg=90.0,
        pitch_deg=0.0,
        roll_deg=0.0,
        distortion=(0.0, 0.0, 0.0, 0.0, 0.0),
    )
    camera = plan.camera()
    # Looking along +y: 4 m ahead, 1 m to the right (+x), 0.5 m up; the focal length is 480 px.
    pixels, seen = project(camera, [[2.0, 6.0, 1.0], [1.0, -3.0, 0.5]])
    assert seen.tolist() == [True, False]
    assert pixels[0] == pytest.approx([480 + 120, 272 - 60])
    # Pitched up, what is level appears lower in the image.
    raised = plan.model_copy(update={"pitch_deg": 5.0}).camera()
    assert project(raised, [[1.0, 6.0, 0.5]])[0][0, 1] == pytest.approx(272 + 480 * np.tan(np.radians(5)))
    assert bearing_of_column(camera, 960) == pytest.approx(np.pi / 4)


def test_bearing_inverts_the_distorted_projection() -> None:
    camera = Camera(960, 544, 80.0, np.eye(4), (-0.2, 0.03, 0.0, 0.0, 0.0))
    for bearing in (-0.5, -0.1, 0.3, 0.6):
        pixels, _ = project(camera, [[np.sin(bearing), 0.0, np.cos(bearing)]])
        assert bearing_of_column(camera, float(pixels[0, 0])) == pytest.approx(bearing, abs=2e-3)


def test_boxes_overlap_as_geometry_says() -> None:
    square = FloorBox(0, 0, 1, 1, 0.0, 0.0, 1.0)
    assert overlap_m(square, FloorBox(1.5, 0, 1, 1, 0.0, 0.0, 1.0)) == pytest.approx(0.5)
    assert overlap_m(square, FloorBox(2.2, 0, 1, 1, 0.0, 0.0, 1.0)) <= 0
    # A diamond whose corner reaches sqrt(2) to the side.
    assert overlap_m(square, FloorBox(2.3, 0, 1, 1, np.pi / 4, 0.0, 1.0)) == pytest.approx(
        2.4142 - 2.3, abs=1e-3
    )
    assert overlap_m(square, FloorBox(0, 0, 1, 1, 0.0, 1.1, 2.0)) <= 0


def test_occupancy_refuses_and_counts() -> None:
    occupancy = Occupancy(FloorArea(0, 4, 0, 4))
    assert occupancy.try_add("box", [FloorBox(1, 1, 0.5, 0.5)])
    assert not occupancy.try_add("box", [FloorBox(1.4, 1, 0.5, 0.5)])
    assert not occupancy.try_add("box", [FloorBox(3.8, 1, 0.5, 0.5)])
    assert occupancy.try_add("lamp", [FloorBox(1, 1, 0.5, 0.5, 0.0, 2.5, 2.6)])
    assert occupancy.refused == {"box: occupied": 1, "box: outside the room": 1}


def _overlap(a: list[float], b: list[float]) -> float:
    """Intersection of two boxes as a share of the smaller."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(0.0, width) * max(0.0, height) / min(areas)


def test_of_a_pair_one_stands_before_the_other_in_the_image() -> None:
    recipe = load_recipe("warehouse_v1")
    trucks = recipe.trucks.model_copy(
        update={"states": {"pair": 1.0}, "count": {2: 1.0}, "empty_frames": 0.0}
    )
    recipe = without_goods(recipe.model_copy(update={"trucks": trucks}))
    found = [plan_frame(recipe, 5, index).metadata["trucks"] for index in range(8)]
    pairs = [frame for frame in found if len(frame) == 2]  # type: ignore[arg-type]
    assert len(pairs) >= 6
    overlaps = [_overlap(first["box_px"], second["box_px"]) for first, second in pairs]
    assert sum(overlap > 0.15 for overlap in overlaps) >= len(pairs) / 2


def test_look_alikes_stand_near_trucks_as_often_as_the_recipe_says() -> None:
    def near(share: float) -> int:
        recipe = load_recipe("warehouse_v1")
        trolleys = recipe.distractors.trolley_count
        recipe = without_goods(recipe)
        wanted = {"near_truck": share, "vehicle_count": (3, 3), "trolley_count": trolleys}
        section = recipe.distractors.model_copy(update=wanted)
        recipe = recipe.model_copy(update={"distractors": section})
        count = 0
        for index in range(4, 8):  # trucks in each of them
            objects = plan_frame(recipe, 6, index).objects
            trucks = [entry.position for entry in objects if entry.role == "truck"]
            others = [entry.position for entry in objects if entry.role in ("vehicle", "trolley")]
            count += sum(any(math.hypot(x - tx, y - ty) < 2.4 for tx, ty, _ in trucks) for x, y, _ in others)
        return count

    assert near(1.0) >= 2 * max(near(0.0), 1)


def test_what_the_recipe_says_of_the_trucks_holds_for_each() -> None:
    recipe = load_recipe("warehouse_v1")
    asked = {
        "kinds": {"long": 1.0, "low_profile": 1.0},
        "fork_length_m": (0.9, 1.5),
        "fork_width_m": (0.5, 0.55),
        "paints": {"lime": 1.0},
        "two_tone": 0.0,
        "wear": (0.8, 0.9),
        "upright": 0.0,
        "tiller_lean_deg": (60.0, 70.0),
        "states": {"free_standing": 1.0},
        "bag_on_tiller": 1.0,
        "empty_frames": 0.0,
    }
    recipe = without_goods(recipe.model_copy(update={"trucks": recipe.trucks.model_copy(update=asked)}))
    plans = [plan_frame(recipe, 3, index) for index in range(5)]
    trucks = [entry.params for plan in plans for entry in plan.objects if entry.role == "truck"]
    assert len(trucks) >= 6
    lime, _, _ = colorsys.rgb_to_hsv(*FLEET_COLORS["lime"][0])
    for params in trucks:
        assert params["variant"] in ("long", "low_profile")
        assert 0.9 <= params["fork_length"] <= 1.5
        assert 0.5 <= params["fork_outer_width"] <= 0.55
        # Within four deviations: each truck's colour is its own. White has that hue too, but is pale.
        hue, saturation, _ = colorsys.rgb_to_hsv(*params["body_color"])
        assert hue * 360.0 == pytest.approx(lime * 360.0, abs=20.0)
        assert saturation > 0.5
        assert params["fork_color"] == params["body_color"]
        assert 0.8 <= params["wear"] <= 0.9
        assert 60.0 <= params["tiller_lean_deg"] <= 70.0
    bags = sum(entry.family == "bag" for plan in plans for entry in plan.objects)
    assert bags == len(trucks)


def test_somebody_stands_behind_every_truck_where_the_recipe_wants_it() -> None:
    def behind(share: float) -> int:
        recipe = without_goods(load_recipe("warehouse_v1"))
        section = recipe.distractors.model_copy(update={"behind_truck": share})
        trucks = recipe.trucks.model_copy(update={"states": {"free_standing": 1.0}})
        recipe = recipe.model_copy(update={"distractors": section, "trucks": trucks})
        objects = [entry for index in range(6) for entry in plan_frame(recipe, 4, index).objects]
        return sum(entry.role == "person" for entry in objects if entry.state is None)

    assert behind(0.0) == 0
    assert behind(1.0) >= 4


def test_a_wet_floor_is_darker_and_smoother() -> None:
    recipe = without_trucks(without_goods(load_recipe("warehouse_v1")))
    dry, wet = (
        plan_frame(
            recipe.model_copy(update={"place": recipe.place.model_copy(update={"wet_floor": share})}), 2, 0
        )
        for share in (0.0, 1.0)
    )
    assert dry.surfaces[0].roughness_factor == 1.0
    assert wet.surfaces[0].roughness_factor <= 0.5
    assert wet.surfaces[0].brightness < dry.surfaces[0].brightness
    assert wet.surfaces[1:] == dry.surfaces[1:]
    floors = [build_scene(plan).surfaces[0].roughness for plan in (dry, wet)]
    assert floors[1] < floors[0]
