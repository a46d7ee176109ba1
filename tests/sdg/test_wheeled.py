"""Vehicles and trolleys stand on the floor, keep their measures and are rebuilt exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from palletjack_sdg.geometry import Prop
from palletjack_sdg.objects import order_picker, stroller, trolleys, vehicles
from palletjack_sdg.objects.family import ObjectFamily
from palletjack_sdg.objects.trolleys import (
    HandTruckParams,
    PlatformTrolleyParams,
    RollCageParams,
    build_hand_truck,
    build_platform_trolley,
    build_roll_cage,
)
from palletjack_sdg.objects.vehicles import ForkliftParams, StackerParams, build_forklift, build_stacker
from palletjack_sdg.objects.wheels import castor, wheel

ALL = (*vehicles.FAMILIES, *order_picker.FAMILIES, *trolleys.FAMILIES, *stroller.FAMILIES)


def triangles(prop: Prop) -> int:
    return sum(len(part.faces) for part in prop.parts)


def test_families_have_distinct_names_and_none_is_the_detected_class() -> None:
    names = [family.name for family in ALL]
    assert len(set(names)) == len(names)
    assert {"forklift", "reach_truck", "stacker", "platform_trolley", "hand_truck", "roll_cage"} <= set(names)
    assert "palletjack" not in names


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_drawn_objects_stand_on_the_floor_and_are_rebuilt_exactly(family: ObjectFamily[Any]) -> None:
    rng = np.random.default_rng(11)
    for _ in range(8):
        params = family.sample(rng)
        assert family.params_type.model_validate_json(params.model_dump_json()) == params
        prop, again = family.build(params), family.build(params)
        assert prop.category == family.name
        assert abs(prop.bounds()[0][2]) < 1e-3
        assert 500 < triangles(prop) < 9000
        assert prop.anchors
        for part, same in zip(prop.parts, again.parts, strict=True):
            np.testing.assert_array_equal(part.vertices, same.vertices)
            assert np.isfinite(part.vertices).all()
            if part.material.texture is not None:
                assert part.uvs is not None
                assert part.material.texture.shape[0] <= 256
            if part.uvs is not None:
                assert part.uvs.min() >= 0.0
                assert part.uvs.max() <= 1.0


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_surfaces_face_outwards(family: ObjectFamily[Any]) -> None:
    prop = family.build(family.params_type())
    for part in prop.parts:
        a, b, c = (part.vertices[part.faces[:, k]].astype(np.float64) for k in range(3))
        assert float(np.sum(a * np.cross(b, c))) > 0.0


def test_forklift_has_its_measures() -> None:
    prop = build_forklift(ForkliftParams(length=2.0, width=1.2, mast_height=2.3, fork_z=0.1, fork_length=1.0))
    low, high = prop.bounds()
    assert low[0] == pytest.approx(-1.0, abs=0.03)
    assert high[1] - low[1] == pytest.approx(1.2, abs=0.03)
    assert high[2] == pytest.approx(2.3, abs=0.05)
    assert high[0] == pytest.approx(prop.anchors["fork_tip"][0], abs=1e-3)


def test_raised_forks_draw_out_the_mast() -> None:
    low = build_forklift(ForkliftParams(fork_z=0.1))
    high = build_forklift(ForkliftParams(fork_z=2.5))
    assert high.anchors["fork_tip"][2] == pytest.approx(2.5)
    assert high.bounds()[1][2] > low.bounds()[1][2] + 0.5
    assert abs(high.bounds()[0][2]) < 1e-3


def test_stacker_drawbar_leans_to_the_operator() -> None:
    upright, down = (build_stacker(StackerParams(tiller_lean_deg=lean)) for lean in (0.0, 70.0))
    assert down.bounds()[0][0] < upright.bounds()[0][0] - 0.5
    assert down.anchors["handle_top"][2] < upright.anchors["handle_top"][2] - 0.3


def test_trolley_decks_lie_between_floor_and_handle() -> None:
    params = PlatformTrolleyParams(length=1.4, width=0.6, decks=3, handle_height=1.6, deck_height=0.25)
    prop = build_platform_trolley(params)
    low, high = prop.bounds()
    assert high[2] == pytest.approx(1.6, abs=2e-3)
    assert high[0] - low[0] == pytest.approx(1.4, abs=0.06)
    heights = [prop.anchors[f"deck_{k}"][2] for k in range(3)]
    assert heights[0] == pytest.approx(0.25)
    assert np.all(np.diff(heights) > 0.2)
    assert heights[-1] < 1.6


def test_hand_truck_leans_about_its_axle() -> None:
    upright, leaning = (build_hand_truck(HandTruckParams(lean_deg=lean)) for lean in (0.0, 50.0))
    assert leaning.anchors["handle_top"][0] < upright.anchors["handle_top"][0] - 0.5
    assert leaning.anchors["toe"][2] > 0.1
    for prop in (upright, leaning):
        assert abs(prop.bounds()[0][2]) < 1e-3


def test_cartons_fill_the_cage_to_the_named_share() -> None:
    empty, full = (build_roll_cage(RollCageParams(filled=share, seed=3)) for share in (0.0, 0.8))
    assert triangles(full) > triangles(empty)
    cartons = [
        part for part in full.parts if part.material.roughness == 0.85 and part.material.color[0] > 0.3
    ]
    top = max(float(part.vertices[:, 2].max()) for part in cartons)
    floor = full.anchors["top"][2]
    limit = floor + 0.8 * (RollCageParams().height - floor)
    assert limit - 0.2 < top <= limit + 1e-6


def test_wheel_and_castor_touch_the_floor() -> None:
    parts = wheel((0.3, 0.1, 0.1), 0.1, 0.05, holes=5)
    points = np.concatenate([part.vertices for part in parts])
    assert points[:, 2].min() == pytest.approx(0.0, abs=1e-3)
    assert np.ptp(points[:, 1]) == pytest.approx(0.05, abs=2e-3)
    for yaw in (0.0, 77.0):
        points = np.concatenate([part.vertices for part in castor((0.5, 0.2, 0.25), 0.08, 0.04, yaw_deg=yaw)])
        assert points[:, 2].min() == pytest.approx(0.0, abs=1e-3)
        assert points[:, 2].max() == pytest.approx(0.25, abs=1e-6)


def test_plate_carriage_is_low_and_narrows_upwards() -> None:
    grid = build_stacker(StackerParams(carriage="grid", fork_z=1.2, mast_height=2.4, tiller_lean_deg=0.0))
    plate = build_stacker(StackerParams(carriage="plate", fork_z=1.2, mast_height=2.4, tiller_lean_deg=0.0))
    assert plate.anchors["fork_tip"] == grid.anchors["fork_tip"]

    def ahead_of_mast(prop: Prop) -> np.ndarray:
        points = np.concatenate([part.vertices for part in prop.parts])
        return points[(points[:, 0] > 0.33) & (points[:, 0] < 0.40) & (points[:, 2] > 1.1)]

    carriage = ahead_of_mast(plate)
    assert carriage[:, 2].max() == pytest.approx(1.2 + 0.48, abs=0.01)
    top, foot = carriage[carriage[:, 2] > 1.66], carriage[carriage[:, 2] < 1.2]
    assert np.ptp(foot[:, 1]) > np.ptp(top[:, 1]) + 0.1


def test_order_picker_carries_its_forks_behind_the_platform() -> None:
    prop = order_picker.build_order_picker(order_picker.OrderPickerParams(fork_length=2.4, fork_z=0.15))
    low, high = prop.bounds()
    assert high[0] == pytest.approx(prop.anchors["fork_tip"][0], abs=2e-3)
    assert prop.anchors["fork_tip"][0] > 2.7
    assert low[0] < prop.anchors["stand"][0] - 0.9


def test_stroller_is_pushed_from_behind_its_rear_axle() -> None:
    prop = stroller.build_stroller(stroller.StrollerParams(handle_height=1.05, length=0.7))
    x, _, z = prop.anchors["handle_top"]
    assert x < -0.45
    assert z == pytest.approx(1.05)
