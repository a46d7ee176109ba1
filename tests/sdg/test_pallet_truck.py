"""The pallet truck family keeps its measures, turns as one and is rebuilt exactly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import trimesh
from pydantic import ValidationError

from palletjack_sdg.geometry import Part, Prop
from palletjack_sdg.objects.pallet_truck import (
    FAMILIES,
    PalletTruckParams,
    build_pallet_truck,
    sample_pallet_truck,
)

VARIANTS = (
    "standard",
    "long",
    "short",
    "low_profile",
    "heavy_duty",
    "weigh_scale",
    "quick_lift",
    "semi_electric",
)


@pytest.fixture(scope="module")
def drawn() -> list[PalletTruckParams]:
    rng = np.random.default_rng(7)
    return [sample_pallet_truck(rng) for _ in range(400)]


def points_of(prop: Prop) -> np.ndarray:
    return np.concatenate([part.vertices for part in prop.parts])


def signed_volume(part: Part) -> float:
    """Volume by the divergence theorem; negative where faces wind inwards."""
    a, b, c = (part.vertices[part.faces[:, k]].astype(np.float64) for k in range(3))
    return float(np.sum(a * np.cross(b, c)) / 6.0)


def test_family_names_the_class_that_is_detected() -> None:
    (family,) = FAMILIES
    assert family.name == "palletjack"
    assert family.build(PalletTruckParams()).category == "palletjack"


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_stands_on_the_floor_within_its_budget(variant: str) -> None:
    prop = build_pallet_truck(PalletTruckParams.model_validate({"variant": variant}))
    low, high = prop.bounds()
    assert abs(low[2]) < 1e-3
    assert high[0] == pytest.approx(1.15, abs=1e-3)
    assert 3000 <= sum(len(part.faces) for part in prop.parts) <= 15000
    assert all(signed_volume(part) > 0.0 for part in prop.parts)
    assert all(np.isfinite(part.vertices).all() for part in prop.parts)


def test_drawn_trucks_have_the_measures_they_name(drawn: list[PalletTruckParams]) -> None:
    for params in drawn[:40]:
        prop = build_pallet_truck(params)
        low, high = prop.bounds()
        points = points_of(prop)
        assert abs(low[2]) < 1e-3, params
        assert high[0] == pytest.approx(params.fork_length, abs=2e-3)
        in_front = points[points[:, 0] > 0.35]
        assert np.ptp(in_front[:, 1]) == pytest.approx(params.fork_outer_width, abs=2e-3)
        assert in_front[:, 2].max() == pytest.approx(params.fork_height + params.lift, abs=2e-3)
        for part in prop.parts:
            assert (part.material.texture is None) or part.uvs is not None
            if part.uvs is not None:
                assert part.uvs.min() >= 0.0
                assert part.uvs.max() <= 1.0
            if part.material.texture is not None:
                assert max(part.material.texture.shape[:2]) <= 256


def test_handle_tops_out_at_its_height_when_upright() -> None:
    for shape in ("d_loop", "loop_crossbar", "t_bar"):
        params = PalletTruckParams.model_validate({"handle_shape": shape, "handle_height": 1.23})
        prop = build_pallet_truck(params)
        assert prop.bounds()[1][2] == pytest.approx(1.23, abs=0.012)
        assert prop.anchors["handle_top"][2] == pytest.approx(1.23, abs=0.012)


def test_lean_lowers_the_handle_towards_the_operator() -> None:
    upright = build_pallet_truck(PalletTruckParams()).anchors["handle_top"]
    leaning = build_pallet_truck(PalletTruckParams(tiller_lean_deg=60.0)).anchors["handle_top"]
    assert leaning[0] < upright[0] - 0.6
    assert leaning[2] < upright[2] - 0.3


@pytest.mark.parametrize("yaw", [-90.0, -35.0, 60.0])
def test_yaw_turns_tiller_and_wheels_together_about_the_pump(yaw: float) -> None:
    straight = build_pallet_truck(PalletTruckParams(tiller_lean_deg=30.0))
    turned = build_pallet_truck(PalletTruckParams(tiller_lean_deg=30.0, tiller_yaw_deg=yaw))
    pivot = np.array(straight.anchors["steer_axis"])
    angle = np.radians(yaw)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    for name in ("handle_top", "hand_left", "hand_right"):
        expected = turn @ (np.array(straight.anchors[name]) - pivot) + pivot
        np.testing.assert_allclose(turned.anchors[name], expected, atol=1e-6)
    # The rear wheels are the only tyres behind the fork heel: their outline turns with the tiller.
    before, after = (
        points[(points[:, 0] < -0.06) & (points[:, 2] < 0.02)]
        for points in map(points_of, (straight, turned))
    )
    np.testing.assert_allclose(after.mean(axis=0), turn @ (before.mean(axis=0) - pivot) + pivot, atol=2e-3)
    span = np.ptp(before, axis=0)
    if abs(yaw) == 90.0:
        np.testing.assert_allclose(np.ptp(after, axis=0)[:2], span[:2][::-1], atol=2e-3)


def test_lift_raises_forks_but_neither_wheels_nor_handle() -> None:
    low, high = (build_pallet_truck(PalletTruckParams(lift=lift)) for lift in (0.0, 0.1))
    for name in ("fork_tip", "load_center", "pump_top"):
        assert high.anchors[name][2] == pytest.approx(low.anchors[name][2] + 0.1)
    assert high.anchors["handle_top"] == low.anchors["handle_top"]
    assert abs(high.bounds()[0][2]) < 1e-3


def test_anchors_lie_on_the_truck() -> None:
    params = PalletTruckParams(fork_length=1.2, lift=0.05)
    prop = build_pallet_truck(params)
    assert prop.anchors["fork_tip"] == pytest.approx((1.2, 0.0, 0.135))
    assert prop.anchors["load_center"] == pytest.approx((0.6, 0.0, 0.135))
    mesh = trimesh.util.concatenate([trimesh.Trimesh(part.vertices, part.faces) for part in prop.parts])
    for name in ("handle_top", "hand_left", "hand_right", "pump_top"):
        _, distance, _ = trimesh.proximity.closest_point_naive(mesh, [prop.anchors[name]])
        assert distance[0] < 0.02, name
    assert prop.anchors["hand_left"][1] > prop.anchors["hand_right"][1] + 0.1


def test_equal_parameters_give_equal_meshes_and_seeds_change_only_the_look() -> None:
    params = PalletTruckParams(seed=5, wear=0.6)
    first, second = build_pallet_truck(params), build_pallet_truck(params)
    other = build_pallet_truck(params.model_copy(update={"seed": 6}))
    assert len(first.parts) == len(second.parts)
    for a, b in zip(first.parts, second.parts, strict=True):
        np.testing.assert_array_equal(a.vertices, b.vertices)
        np.testing.assert_array_equal(a.faces, b.faces)
        if a.material.texture is not None:
            np.testing.assert_array_equal(a.material.texture, b.material.texture)
    textures = [
        (a.material.texture, b.material.texture)
        for a, b in zip(first.parts, other.parts, strict=True)
        if a.material.texture is not None and b.material.texture is not None
    ]
    assert textures
    assert any(not np.array_equal(a, b) for a, b in textures)


def test_parameters_survive_json(drawn: list[PalletTruckParams]) -> None:
    for params in drawn[:50]:
        assert PalletTruckParams.model_validate_json(params.model_dump_json()) == params


def test_sampling_follows_the_seed_and_the_fleet(drawn: list[PalletTruckParams]) -> None:
    rng = np.random.default_rng(7)
    assert sample_pallet_truck(rng) == drawn[0]
    variants = Counter(params.variant for params in drawn)
    assert set(variants) == set(VARIANTS)
    assert variants["standard"] > len(drawn) / 2
    upright = np.mean([params.tiller_lean_deg <= 12.0 for params in drawn])
    assert 0.5 < upright < 0.7
    assert len({params.body_color for params in drawn}) > 300
    wheels = Counter(params.wheel_kind for params in drawn)
    assert min(wheels["rubber"], wheels["nylon"], wheels["polyurethane"]) > 40


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(ValidationError, match="fork_length"):
        PalletTruckParams(fork_length=3.0)
    with pytest.raises(ValidationError, match="body_color"):
        PalletTruckParams(body_color=(1.5, 0.0, 0.0))


def test_paint_shows_the_body_colour() -> None:
    clean = build_pallet_truck(
        PalletTruckParams(wear=0.0, body_color=(0.1, 0.2, 0.7), fork_color=(0.1, 0.2, 0.7))
    )
    assert any(part.material.color == (0.1, 0.2, 0.7) for part in clean.parts)
    worn = build_pallet_truck(
        PalletTruckParams(wear=0.8, body_color=(0.1, 0.2, 0.7), fork_color=(0.1, 0.2, 0.7))
    )
    textures = [part.material.texture for part in worn.parts if part.material.texture is not None]
    body = max(textures, key=lambda image: float(image[..., 2].mean() - image[..., 0].mean()))
    assert body[..., 2].mean() > body[..., 0].mean() + 40  # still blue
    assert body.std(axis=(0, 1)).max() > 8  # but no longer even
