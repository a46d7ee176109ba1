"""Static props: size, standing, seeds, uvs, outward faces, triangle budgets, and what each promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from palletjack_sdg.geometry import Material, Part, Prop
from palletjack_sdg.objects import building, clutter, containers, pallets, people, racks
from palletjack_sdg.objects.assembly import Assembly, turn
from palletjack_sdg.objects.family import ObjectFamily
from palletjack_sdg.objects.limbs import two_bone_joint, within_reach
from palletjack_sdg.objects.loads import CartonStack, fill_with_cartons

FAMILIES: list[ObjectFamily[Any]] = [
    family for module in (pallets, containers, racks, people, building, clutter) for family in module.FAMILIES
]
FAMILY_CASES = [pytest.param(family, id=family.name) for family in FAMILIES]
HANGING = {"extinguisher", "switch_cabinet", "sign_board", "hose_reel", "strip_curtain"}
"""Wall things: they need not reach the floor."""
OPEN_SHEETS = {"strip_curtain", "waste_bin", "tank", "mesh_box"}
"""Families with wires, thin sheets or parts that pass through one another."""
BUDGET = {"rack": 25_000, "mesh_box": 4_000, "pallet_stack": 5_000, "person": 7_000, "shelving": 6_000}


def _triangles(prop: Prop) -> int:
    return sum(len(part.faces) for part in prop.parts)


def _signed_volume(part: Part) -> float:
    corners = part.vertices.astype(np.float64)[part.faces]
    return float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6.0)


def _same(first: Prop, second: Prop) -> bool:
    return len(first.parts) == len(second.parts) and all(
        np.array_equal(a.vertices, b.vertices) and np.array_equal(a.faces, b.faces)
        for a, b in zip(first.parts, second.parts, strict=True)
    )


def test_names_are_unique() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("family", FAMILY_CASES)
def test_family_builds_sound_props(family: ObjectFamily[Any]) -> None:
    rng = np.random.default_rng(11)
    for _ in range(4):
        params = family.sample(rng)
        assert family.params_type.model_validate_json(params.model_dump_json()) == params
        prop = family.build(params)
        assert prop.category == family.name
        low, high = prop.bounds()
        if family.name in HANGING:
            assert low[2] >= -0.002
        else:
            assert abs(low[2]) < 0.005
        assert np.all(high - low > 0.0)
        assert _triangles(prop) <= BUDGET.get(family.name, 3_000)
        for part in prop.parts:
            assert part.vertices.dtype == np.float32
            assert np.isfinite(part.vertices).all()
            assert part.faces.min() >= 0
            assert part.faces.max() < len(part.vertices)
            assert (part.uvs is not None) == (part.material.texture is not None)
            if part.uvs is not None:
                assert part.uvs.shape == (len(part.vertices), 2)
                assert part.uvs.min() >= 0.0
                assert part.uvs.max() <= 1.0
        if family.name not in OPEN_SHEETS:
            assert sum(_signed_volume(part) for part in prop.parts) > 0.0


@pytest.mark.parametrize("family", FAMILY_CASES)
def test_equal_params_give_equal_meshes(family: ObjectFamily[Any]) -> None:
    params = family.sample(np.random.default_rng(7))
    assert params == family.sample(np.random.default_rng(7))
    assert _same(family.build(params), family.build(params))


def test_params_refuse_unknown_and_impossible_values() -> None:
    with pytest.raises(ValidationError, match="colour"):
        containers.DrumParams(colour=(1, 0, 0))  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="height"):
        people.PersonParams(height=3.0)


# --- Assembly -------------------------------------------------------------------------------------


def test_box_faces_point_outwards_and_images_stand_upright() -> None:
    material = Material(texture=np.zeros((4, 4, 3), dtype=np.uint8))
    assembly = Assembly({"a": material})
    assembly.box("a", (2.0, 1.0, 0.5), (0.0, 0.0, 0.0))
    (part,) = assembly.parts()
    assert _signed_volume(part) == pytest.approx(1.0)
    assert part.uvs is not None
    sides = part.vertices.reshape(6, 4, 3)[:4]
    tops = sides[..., 2] > 0.0
    np.testing.assert_array_equal(part.uvs.reshape(6, 4, 2)[:4, :, 1] == 0.0, tops)


def test_frames_nest_and_end() -> None:
    assembly = Assembly({"a": Material()})
    with assembly.placed(1.0, 0.0, 0.0, turn(yaw=np.pi / 2.0)), assembly.placed(2.0, 0.0, 0.5):
        np.testing.assert_allclose(assembly.point(1.0, 0.0, 0.0), (1.0, 3.0, 0.5), atol=1e-12)
    np.testing.assert_allclose(assembly.point(1.0, 2.0, 3.0), (1.0, 2.0, 3.0))


def test_assembly_names_the_material_that_is_missing() -> None:
    with pytest.raises(KeyError, match=r"'steel'.*found 'wood'"):
        Assembly({"steel": Material()}).box("wood", (1, 1, 1), (0, 0, 0))


def test_beam_runs_between_its_ends() -> None:
    assembly = Assembly({"a": Material()})
    assembly.beam("a", (0.0, 0.0, 0.0), (0.0, 0.0, 2.0), 0.1, 0.2)
    low, high = assembly.prop("x").bounds()
    assert (low[2], high[2]) == (pytest.approx(0.0, abs=1e-6), pytest.approx(2.0))
    assert sorted(np.round(high - low, 3)) == pytest.approx([0.1, 0.2, 2.0])
    assert _signed_volume(assembly.parts()[0]) == pytest.approx(0.04, rel=1e-4)


# --- Pallets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("width", [0.8, 1.0])
def test_forks_fit_into_a_pallet(seed: int, width: float) -> None:
    prop = pallets.build_pallet(pallets.PalletParams(seed=seed, width=width))
    low, high = prop.bounds()
    np.testing.assert_allclose(high - low, (1.2, width, 0.144), atol=1e-4)
    corners = np.concatenate([part.vertices[part.faces] for part in prop.parts])
    # A fork 0.15 m wide (outer edges 0.54 m apart), between bottom and cross boards, over the full length.
    for side in (-1.0, 1.0):
        y0, y1 = sorted((side * 0.12, side * 0.27))
        inside = (
            (corners[..., 1].min(axis=1) < y1 - 1e-4)
            & (corners[..., 1].max(axis=1) > y0 + 1e-4)
            & (corners[..., 2].min(axis=1) < 0.1 - 1e-4)
            & (corners[..., 2].max(axis=1) > 0.022 + 1e-4)
        )
        assert not inside.any()


def test_stack_of_pallets_has_its_height_and_keeps_near_its_axis() -> None:
    prop = pallets.build_pallet_stack(pallets.PalletStackParams(count=12, misalignment=0.04, seed=3))
    low, high = prop.bounds()
    assert high[2] == pytest.approx(12 * 0.144, abs=1e-4)
    assert prop.anchors["top"][2] == pytest.approx(12 * 0.144)
    assert high[0] < 0.6 + 0.06
    assert high[0] > 0.6 + 1e-4
    assert low[1] > -0.4 - 0.06


@pytest.mark.parametrize("load", ["cartons", "mixed_cartons", "sacks", "drums", "crate", "tall_box"])
@pytest.mark.parametrize("wrap", ["none", "film", "clear_film"])
def test_loaded_pallet_is_as_high_as_asked(load: Any, wrap: Any) -> None:
    params = pallets.LoadedPalletParams(load=load, wrap=wrap, load_height=1.1, load_scale=1.0, seed=4)
    prop = pallets.build_loaded_pallet(params)
    low, high = prop.bounds()
    assert high[2] == pytest.approx(0.144 + 1.1, abs=0.012)
    assert prop.anchors["top"][2] == pytest.approx(1.244)
    assert np.all(np.abs([low[:2], high[:2]]) < np.array([0.6, 0.4]) + 0.03)
    clear = [part for part in prop.parts if part.material.opacity < 1.0]
    assert bool(clear) == (wrap == "clear_film")


def test_collars_stack_and_their_contents_stay_inside() -> None:
    prop = pallets.build_collar_pallet(pallets.CollarPalletParams(collars=3, fill=0.9, labelled=False))
    low, high = prop.bounds()
    assert high[2] == pytest.approx(0.144 + 3 * 0.195, abs=0.01)
    goods = [
        part for part in prop.parts if part.vertices[:, 2].min() > 0.14 and part.material.roughness > 0.8
    ]
    assert goods
    assert np.all(high[:2] < np.array([0.6, 0.4]) + 0.02)
    assert np.all(low[:2] > -np.array([0.6, 0.4]) - 0.02)


@pytest.mark.parametrize("ragged", [0.0, 0.05, 0.3])
def test_cartons_fill_their_block_and_do_not_leave_it(ragged: float) -> None:
    assembly = Assembly({"goods": Material()})
    stack = CartonStack((1.2, 0.8, 1.0), 3, 2, 4, ragged)
    fill_with_cartons(assembly, np.random.default_rng(2), stack)
    low, high = assembly.prop("x").bounds()
    assert low[2] == pytest.approx(0.001, abs=1e-3)
    assert high[2] == pytest.approx(1.0, abs=2e-3)
    assert np.all(np.maximum(np.abs(low[:2]), high[:2]) < np.array([0.6, 0.4]) + 0.025)


# --- Containers, racks ----------------------------------------------------------------------------


def test_mesh_boxes_stack_and_one_can_look_through_them() -> None:
    prop = containers.build_mesh_box(containers.MeshBoxParams(count=3, contents="empty", labelled=False))
    low, high = prop.bounds()
    np.testing.assert_allclose((high - low)[2], 3 * 0.97, atol=2e-3)
    assert prop.anchors["top"][2] == pytest.approx(2.91)
    assert (high - low)[0] == pytest.approx(1.24, abs=0.03)
    # Rays along y through the lowest box: most pass between the wires of both sides.
    corners = np.concatenate([part.vertices[part.faces] for part in prop.parts]).astype(np.float64)[
        ..., [0, 2]
    ]
    rng = np.random.default_rng(0)
    rays = np.stack([rng.uniform(-0.5, 0.5, 150), rng.uniform(0.2, 0.5, 150)], axis=1)
    edge = np.roll(corners, -1, axis=1) - corners
    offset = rays[:, None, None, :] - corners[None]
    side = edge[None, ..., 0] * offset[..., 1] - edge[None, ..., 1] * offset[..., 0]
    inside = (np.all(side >= 0, axis=2) | np.all(side <= 0, axis=2)) & (np.abs(side).max(axis=2) > 1e-12)
    blocked = inside.any(axis=1).mean()
    assert 0.02 < blocked < 0.6


def test_rack_has_its_size_and_reaches_back_from_its_front() -> None:
    params = racks.RackParams(bays=3, bay_width=2.7, depth=1.1, height=4.2, fill=0.0, guards=False)
    low, high = racks.build_rack(params).bounds()
    assert (high - low)[1] == pytest.approx(3 * 2.7 + 0.14, abs=0.02)
    assert high[0] < 0.1
    assert low[0] == pytest.approx(-1.1, abs=0.1)
    assert high[2] == pytest.approx(4.2, abs=0.02)


def test_free_ground_bays_are_empty_and_named() -> None:
    params = racks.RackParams(bays=3, ground_level="free", level_heights=(1.9, 3.5), guards=False, seed=5)
    prop = racks.build_rack(params)
    centers = sorted(prop.anchors[f"bay_{index}"][1] for index in range(3))
    np.testing.assert_allclose(centers, (-2.7, 0.0, 2.7))
    vertices = np.concatenate([part.vertices for part in prop.parts])
    for index in range(3):
        x, y, z = prop.anchors[f"bay_{index}"]
        assert z == 0.0
        clear = prop.anchors[f"clear_{index}"][2]
        assert clear == pytest.approx(1.9 - racks.BEAM_HEIGHT)
        near = (np.abs(vertices[:, 1] - y) < 1.2) & (np.abs(vertices[:, 0] - x) < 0.6)
        assert vertices[near][:, 2].min() > clear - 0.06


def test_stocked_ground_bays_have_no_anchor() -> None:
    prop = racks.build_rack(racks.RackParams(ground_level="goods", fill=1.0))
    assert not prop.anchors
    vertices = np.concatenate([part.vertices for part in prop.parts])
    assert (vertices[np.abs(vertices[:, 1]) < 1.2][:, 2] < 0.2).any()


def test_rack_with_a_beam_at_the_floor_leaves_no_room_below() -> None:
    prop = racks.build_rack(racks.RackParams(level_heights=(0.15, 1.6, 3.0), ground_level="free"))
    assert not prop.anchors


def test_rack_refuses_levels_that_do_not_rise() -> None:
    with pytest.raises(ValueError, match="level_heights"):
        racks.build_rack(racks.RackParams(level_heights=(2.0, 1.0)))
    with pytest.raises(ValueError, match="level_heights"):
        racks.build_rack(racks.RackParams(level_heights=(2.0, 5.0), height=4.0))


# --- People ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("height", [1.6, 1.75, 1.9])
def test_person_is_as_tall_as_asked(height: float) -> None:
    low, high = people.build_person(people.PersonParams(height=height)).bounds()
    assert high[2] == pytest.approx(height, abs=0.05)
    assert 0.25 < (high - low)[0] < 0.6
    assert 0.45 < (high - low)[1] < 0.75


def test_hand_holds_what_it_is_given_and_stops_where_the_arm_ends() -> None:
    handle = (-0.4, -0.2, 0.95)
    near = people.build_person(people.PersonParams(right_hand=handle, stride=0.5))
    assert np.linalg.norm(np.subtract(near.anchors["hand_right"], handle)) < 0.06
    far = people.build_person(people.PersonParams(right_hand=(-3.0, -0.2, 0.95)))
    assert -0.9 < far.anchors["hand_right"][0] < -0.3


def test_stride_spreads_the_feet() -> None:
    spans = []
    for stride in (0.0, 0.5, 1.0):
        prop = people.build_person(people.PersonParams(stride=stride))
        vertices = np.concatenate([part.vertices for part in prop.parts])
        feet = vertices[vertices[:, 2] < 0.04]
        spans.append(float(np.ptp(feet[:, 0])))
    assert spans[0] < 0.35
    assert spans[0] + 0.15 < spans[1] < spans[2]


def test_two_bones_keep_their_lengths() -> None:
    end = within_reach((0.0, 0.0, 1.0), (0.4, 0.1, 0.3), 0.99)
    joint = two_bone_joint((0.0, 0.0, 1.0), end, 0.5, 0.5, (1.0, 0.0, 0.0))
    assert np.linalg.norm(joint - [0.0, 0.0, 1.0]) == pytest.approx(0.5)
    assert np.linalg.norm(joint - end) == pytest.approx(0.5)
    middle = (np.array([0.0, 0.0, 1.0]) + end) / 2.0
    assert joint[0] > middle[0]
    np.testing.assert_allclose(within_reach((0, 0, 0), (3, 0, 0), 1.0), (1.0, 0.0, 0.0))


# --- Building, clutter ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family",
    [
        f
        for f in FAMILIES
        if f.name in HANGING | {"broom", "leaning_boards", "door", "wall_post", "dock_leveller"}
    ],
)
def test_wall_things_stand_out_of_the_wall(family: ObjectFamily[Any]) -> None:
    for seed in range(4):
        low, _ = family.build(family.sample(np.random.default_rng(seed))).bounds()
        assert low[0] >= -1e-3


def test_pillar_reaches_the_height_asked_for() -> None:
    low, high = building.build_pillar(building.PillarParams(width=0.4, height=5.0, guard=False)).bounds()
    np.testing.assert_allclose(high - low, (0.4, 0.4, 5.0), atol=1e-3)


def test_cone_and_ladder_have_their_heights() -> None:
    assert clutter.build_cone(clutter.ConeParams(height=0.6)).bounds()[1][2] == pytest.approx(0.6, abs=1e-3)
    ladder = clutter.build_step_ladder(clutter.StepLadderParams(steps=6))
    assert ladder.bounds()[1][2] == pytest.approx(ladder.anchors["top"][2], abs=0.03)


def test_every_sampled_rack_is_valid() -> None:
    # A low first level and a small step once gave racks under the smallest allowed height.
    for seed in range(3000):
        racks.sample_rack(np.random.default_rng(seed))
