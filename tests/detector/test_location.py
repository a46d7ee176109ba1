"""Boxes of a known object, made by projecting it, are placed where it stands."""

from __future__ import annotations

import math

import numpy as np
import pytest

from palletjack_detection.ground_range import CameraModel, CameraMount
from palletjack_detection.location import Location, LocationSettings, depth_of_box, locate

K = (420.0, 0.0, 319.5, 0.0, 420.0, 179.5, 0.0, 0.0, 1.0)
LENSES = {
    "none": ((0.0,) * 5, "plumb_bob"),
    "barrel": ((-0.12, 0.02, 0.0004, -0.0003, 0.0), "plumb_bob"),
    "fisheye": ((0.02, -0.004, 0.0, 0.0), "equidistant"),
}


def camera(lens: str = "none") -> CameraModel:
    coefficients, model = LENSES[lens]
    return CameraModel.from_values(640, 360, K, coefficients, model)


def mount(pitch_deg: float = 6.0) -> CameraMount:
    return CameraMount.from_height_and_pitch(0.9, math.radians(pitch_deg), forward_m=0.25)


def box_of_panel(
    lens: CameraModel, at: CameraMount, x: float, y: float, width: float, height: float
) -> np.ndarray:
    """The box around an upright panel that faces the camera, its foot at (x, y) of base_link."""
    sight = np.array([x, y]) - at.translation[:2]
    side = np.array([-sight[1], sight[0]]) / np.hypot(*sight)
    ends = [(x + sign * side[0] * width / 2, y + sign * side[1] * width / 2) for sign in (-1, 1)]
    corners = [(*end, z) for end in ends for z in (0.0, height)]
    feet = [(x, y, 0.0), (x, y, height)]
    pixels = lens.project(at.to_optical(np.array([*corners, *feet]))) + 0.5
    return np.array([pixels[:, 0].min(), pixels[5, 1], pixels[:, 0].max(), pixels[4, 1]])


def found(box: np.ndarray, lens: CameraModel, at: CameraMount, **changes: float) -> Location:
    place = locate(box, lens, at, LocationSettings(**changes))
    assert place is not None
    return place


@pytest.mark.parametrize("lens", sorted(LENSES))
@pytest.mark.parametrize(("x", "y"), [(2.5, 0.0), (4.0, -0.9), (7.0, 1.8)])
def test_a_panel_is_found_where_it_stands(lens: str, x: float, y: float) -> None:
    eye = camera(lens)
    box = box_of_panel(eye, mount(), x, y, 0.6, 1.2)
    place = found(box, eye, mount(), object_depth_m=0.0)
    assert math.hypot(place.centre[0] - x, place.centre[1] - y) < 0.04 * math.hypot(x, y)
    assert place.size[1] == pytest.approx(0.6, abs=0.08)
    assert place.size[2] == pytest.approx(1.2, abs=0.08)
    assert place.yaw == pytest.approx(math.atan2(y, x - 0.25), abs=0.03)
    assert place.source == "floor"


def test_the_centre_lies_half_an_object_behind_its_near_side() -> None:
    box = box_of_panel(camera(), mount(), 4.0, 0.0, 0.6, 1.2)
    thick, flat = (found(box, camera(), mount(), object_depth_m=depth) for depth in (0.8, 0.0))
    assert thick.centre[0] - flat.centre[0] == pytest.approx(0.4, abs=1e-6)
    assert thick.range_m == pytest.approx(flat.range_m, abs=1e-6)


def test_the_stated_uncertainty_is_that_of_a_shaken_box() -> None:
    rng = np.random.default_rng(3)
    box = box_of_panel(camera(), mount(), 6.0, 0.0, 0.6, 1.2)
    shaken = [found(box + rng.normal(0, 2.0, 4), camera(), mount(), object_depth_m=0.0) for _ in range(400)]
    spread = np.cov(np.array([place.centre for place in shaken]).T)
    stated = found(box, camera(), mount(), object_depth_m=0.0).covariance
    assert math.sqrt(stated[0, 0]) == pytest.approx(math.sqrt(spread[0, 0]), rel=0.25)
    # Both vertical edges move: the middle is surer than one edge, so the statement errs to the safe side.
    assert 1.0 < math.sqrt(stated[1, 1]) / math.sqrt(spread[1, 1]) < 2.0


def test_uncertainty_grows_with_the_distance() -> None:
    near, far = (
        found(
            box_of_panel(camera(), mount(), x, 0.0, 0.6, 1.2), camera(), mount(), object_depth_m=0.0
        ).sigma_range_m
        for x in (2.5, 10.0)
    )
    assert far > 5 * near


def test_a_box_cut_by_the_lower_border_is_nearer_than_it_seems() -> None:
    place = found(np.array([200.0, 60.0, 400.0, 360.0]), camera(), mount())
    assert place.nearer_than
    assert place.sigma_range_m >= 0.5 * place.range_m * 0.9


def test_a_box_above_the_horizon_has_no_place() -> None:
    level = mount(0.0)
    assert locate(np.array([200.0, 20.0, 260.0, 120.0]), camera(), level, LocationSettings()) is None


def test_nothing_is_placed_beyond_the_farthest_range() -> None:
    box = box_of_panel(camera(), mount(), 12.0, 0.0, 0.6, 1.2)
    assert locate(box, camera(), mount(), LocationSettings(max_range_m=10.0)) is None


def depth_image(box: np.ndarray, near: float, behind: float, shape: tuple[int, int]) -> np.ndarray:
    """The object's near surface fills half of the columns of the box; between them shows the background."""
    depth = np.full(shape, behind, np.float32)
    scale = shape[1] / 640
    x0, y0, x1, y1 = (round(v * scale) for v in box)
    depth[y0:y1, x0:x1:2] = near
    return depth


@pytest.mark.parametrize("shape", [(360, 640), (180, 320)])
def test_depth_is_that_of_the_object_and_not_of_the_wall(shape: tuple[int, int]) -> None:
    box = box_of_panel(camera(), mount(0.0), 4.0, 0.0, 0.6, 1.2)
    depth = depth_image(box, 3.75, 9.0, shape)
    depth[: shape[0] // 2, ::7] = np.nan
    assert depth_of_box(depth, box, camera()) == pytest.approx(3.75, abs=0.01)
    place = locate(box, camera(), mount(0.0), LocationSettings(object_depth_m=0.0), depth)
    assert place is not None
    assert place.source == "depth"
    assert place.centre[0] == pytest.approx(4.0, abs=0.02)
    assert place.sigma_range_m < 0.15


def test_without_enough_depth_the_floor_decides() -> None:
    box = box_of_panel(camera(), mount(), 4.0, 0.0, 0.6, 1.2)
    depth = np.zeros((360, 640), np.float32)
    place = locate(box, camera(), mount(), LocationSettings(), depth)
    assert place is not None
    assert place.source == "floor"


def test_the_covariance_is_one() -> None:
    place = found(box_of_panel(camera(), mount(), 5.0, 2.0, 0.6, 1.2), camera(), mount())
    assert np.allclose(place.covariance, place.covariance.T)
    assert np.linalg.eigvalsh(place.covariance).min() > 0
