"""Boxes to places on the floor, against projections written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from palletjack_detection.ground_range import CameraModel, CameraMount, locate_on_floor

WIDTH, HEIGHT, FOCAL = 640, 360, 380.0
BARREL = (-0.28, 0.06, 0.001, -0.002, 0.0)
PLAIN = (0.0, 0.0, 0.0, 0.0, 0.0)


def project(
    point: NDArray[np.float64], height: float, pitch: float, forward: float, d: tuple[float, ...]
) -> tuple:
    """Image edges coordinates (u, v) of a point of base_link, written out by hand."""
    x, y, z = point[0] - forward, point[1], point[2] - height
    depth = x * np.cos(pitch) - z * np.sin(pitch)
    right, down = -y / depth, (-x * np.sin(pitch) - z * np.cos(pitch)) / depth
    k1, k2, p1, p2, k3 = d
    r2 = right**2 + down**2
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    bent_right = right * radial + 2 * p1 * right * down + p2 * (r2 + 2 * right**2)
    bent_down = down * radial + p1 * (r2 + 2 * down**2) + 2 * p2 * right * down
    # The principal point is the middle of the image: W / 2 counted from its left edge.
    return FOCAL * bent_right + WIDTH / 2, FOCAL * bent_down + HEIGHT / 2


def camera(d: tuple[float, ...] = PLAIN) -> CameraModel:
    k = [FOCAL, 0, (WIDTH - 1) / 2, 0, FOCAL, (HEIGHT - 1) / 2, 0, 0, 1]
    return CameraModel.from_values(WIDTH, HEIGHT, k, d)


@pytest.mark.parametrize("d", [PLAIN, BARREL])
@pytest.mark.parametrize("pitch_deg", [-3.0, 0.0, 12.0])
@pytest.mark.parametrize(("x", "y"), [(2.5, 0.0), (4.0, 1.2), (9.0, -2.5)])
def test_box_on_the_floor_is_placed_to_the_centimetre(
    d: tuple[float, ...], pitch_deg: float, x: float, y: float
) -> None:
    height, forward, pitch = 0.6, 0.42, np.radians(pitch_deg)
    left, right = (project(np.array([x, y + s, 0.0]), height, pitch, forward, d) for s in (0.3, -0.3))
    middle = project(np.array([x, y, 0.0]), height, pitch, forward, d)
    bottom = max(left[1], right[1], middle[1])
    if bottom > HEIGHT - 3:
        pytest.skip("this point is below the image at this pitch")
    # A distorted lower edge is bent: use the level of its middle, as the box's middle is what counts.
    box = (left[0], middle[1] - 80.0, right[0], middle[1])
    centre_u = 0.5 * (left[0] + right[0])
    place = locate_on_floor(box, 0.9, camera(d), CameraMount.from_height_and_pitch(height, pitch, forward))
    assert place is not None
    assert not place.nearer_than
    # The middle of the box's edge is not exactly the image of the middle: allow what that shift is worth.
    shift = abs(centre_u - middle[0]) / FOCAL * x
    assert place.point[0] == pytest.approx(x, abs=0.01 + shift)
    assert place.point[1] == pytest.approx(y, abs=0.01 + shift)
    assert place.left[1] > place.right[1]
    if d is PLAIN:
        assert place.left == pytest.approx((x, y + 0.3), abs=0.01)
        assert place.right == pytest.approx((x, y - 0.3), abs=0.01)


def test_ignoring_the_distortion_would_be_seen() -> None:
    """The centimetre test above has teeth: the wrong camera model misses by decimetres."""
    u, v = project(np.array([4.0, 2.4, 0.0]), 0.6, 0.0, 0.42, BARREL)
    mount = CameraMount.from_height_and_pitch(0.6, 0.0, 0.42)
    box = (u - 10, v - 80, u + 10, v)
    right = locate_on_floor(box, 1.0, camera(BARREL), mount)
    wrong = locate_on_floor(box, 1.0, camera(PLAIN), mount)
    assert right is not None
    assert wrong is not None
    assert right.range_m == pytest.approx(np.hypot(4.0, 2.4), abs=0.02)
    assert abs(wrong.range_m - right.range_m) > 0.2


def test_rays_and_projection_undo_each_other_in_the_corners_of_a_wide_lens() -> None:
    model = camera(BARREL)
    pixels = np.array([[0.0, 0.0], [639.0, 0.0], [0.0, 359.0], [639.0, 359.0], [320.0, 200.0]])
    assert model.project(model.rays(pixels)) == pytest.approx(pixels, abs=1e-4)


def test_fisheye_model() -> None:
    k = [200.0, 0, 319.5, 0, 200.0, 179.5, 0, 0, 1]
    model = CameraModel.from_values(640, 360, k, [0.01, -0.02, 0.003, 0.0], "equidistant")
    # The model's definition: radius = f (t + k1 t^3 + k2 t^5 + k3 t^7 + k4 t^9) at angle t off the axis.
    t = np.radians(50.0)
    radius = 200.0 * (t + 0.01 * t**3 - 0.02 * t**5 + 0.003 * t**7)
    ray = model.rays(np.array([[319.5 + radius, 179.5]]))[0]
    assert np.degrees(np.arctan2(ray[0], ray[2])) == pytest.approx(50.0, abs=0.01)


def test_box_above_the_horizon_has_no_place() -> None:
    mount = CameraMount.from_height_and_pitch(0.6, 0.0)
    assert locate_on_floor((300, 50, 340, 179), 0.9, camera(), mount) is None


def test_box_cut_by_the_lower_border_is_nearer_than_the_border_ray() -> None:
    mount = CameraMount.from_height_and_pitch(0.6, 0.0)
    place = locate_on_floor((300, 100, 340, 360), 0.9, camera(), mount)
    beyond = locate_on_floor((300, 100, 340, 420), 0.9, camera(), mount)
    assert place is not None
    assert beyond is not None
    assert place.nearer_than
    assert place.point[0] == pytest.approx(0.6 * FOCAL / (HEIGHT / 2), abs=0.005)
    assert beyond.point == place.point


def test_range_uncertainty_grows_with_distance() -> None:
    mount = CameraMount.from_height_and_pitch(0.6, 0.0)
    sigmas = []
    for x in (2.0, 4.0, 8.0):
        v = FOCAL * 0.6 / x + HEIGHT / 2
        place = locate_on_floor((300, v - 50, 340, v), 0.9, camera(), mount, edge_sigma_px=1.0)
        assert place is not None
        sigmas.append(place.sigma_m)
        # d(range)/dv = x^2 / (f h) for a level camera.
        assert place.sigma_m == pytest.approx(x * x / (FOCAL * 0.6), rel=0.1)
    assert sigmas == sorted(sigmas)


def test_mount_from_transform_equals_mount_from_angles() -> None:
    mount = CameraMount.from_height_and_pitch(0.7, 0.2, 0.3)
    quaternion = Rotation.from_matrix(mount.rotation).as_quat()
    other = CameraMount.from_quaternion([0.3, 0.0, 0.7], quaternion.tolist())
    assert other.rotation == pytest.approx(mount.rotation, abs=1e-12)
    # 0.2 rad downwards: the optical axis comes to the floor at h / tan(0.2) ahead.
    ahead = mount.rotation @ np.array([0.0, 0.0, 1.0])
    assert -0.7 / ahead[2] * ahead[0] == pytest.approx(0.7 / np.tan(0.2))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"width": 0}, "width"),
        ({"k": [0.0] * 9}, "k"),
        ({"k": [float("nan")] * 9}, "k"),
        ({"d": [0.1, 0.2]}, "d"),
        ({"distortion_model": "unheard_of"}, "distortion_model"),
    ],
)
def test_bad_camera_info_is_refused_by_field(changes: dict, named: str) -> None:
    fields = {"width": 640, "height": 360, "k": [380, 0, 319.5, 0, 380, 179.5, 0, 0, 1], "d": [0.0] * 5}
    with pytest.raises(ValueError, match=f"camera_info {named}"):
        CameraModel.from_values(**{**fields, **changes})


def test_a_rectified_camera_is_the_projection_without_distortion() -> None:
    p = [300.0, 0.0, 310.0, -36.0, 0.0, 290.0, 170.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    camera = CameraModel.of_rectified(640, 360, p)
    (ray,) = camera.rays(np.array([[610.0, 25.0]]))
    assert ray.tolist() == pytest.approx([1.0, -0.5, 1.0])


@pytest.mark.parametrize("p", [[0.0] * 12, [float("nan")] * 12, [1.0] * 9])
def test_a_projection_that_is_none_is_refused(p: list[float]) -> None:
    with pytest.raises(ValueError, match="camera_info p: expected"):
        CameraModel.of_rectified(640, 360, p)


@pytest.mark.parametrize("d", [(0.0, 0.0, 0.0, 0.0), (0.05, -0.01, 0.002, -0.0003), (-0.02, 0.003, 0.0, 0.0)])
def test_a_fisheye_has_rays_up_to_its_edge_and_none_beyond(d: tuple[float, ...]) -> None:
    lens = CameraModel.from_values(640, 640, [160, 0, 320, 0, 165, 318, 0, 0, 1], d, "equidistant")
    for degrees in (0.0, 10.0, 45.0, 80.0, 85.0, 88.0, 92.0, 115.0):
        theta = np.radians(degrees)
        radius = theta * (1 + sum(k * theta**power for k, power in zip(d, (2, 4, 6, 8), strict=True)))
        pixel = np.array([[320 + 160 * radius * np.cos(0.6), 318 + 165 * radius * np.sin(0.6)]])
        (ray,) = lens.rays(pixel)
        if degrees > 89:
            assert np.isnan(ray).all()
        else:
            assert np.degrees(np.arctan(np.hypot(*ray[:2]))) == pytest.approx(degrees, abs=1e-6)
            if degrees:
                assert np.arctan2(ray[1], ray[0]) == pytest.approx(0.6)


def test_a_box_that_goes_on_beyond_the_lens_is_placed_by_what_it_shows() -> None:
    """A truck at the edge of a fisheye's picture must not be overlooked."""
    k = [160.0, 0.0, 320.0, 0.0, 160.0, 320.0, 0.0, 0.0, 1.0]
    lens = CameraModel.from_values(640, 640, k, (0.0, 0.0, 0.0, 0.0), "equidistant")
    mount = CameraMount.from_height_and_pitch(1.2, 0.0)
    whole = locate_on_floor((430.0, 300.0, 500.0, 380.0), 0.9, lens, mount)
    cut = locate_on_floor((430.0, 300.0, 639.0, 380.0), 0.9, lens, mount)
    assert whole is not None
    assert cut is not None
    assert cut.left == pytest.approx(whole.left)
    assert np.isfinite([*cut.point, *cut.right]).all()
    assert locate_on_floor((600.0, 300.0, 639.0, 380.0), 0.9, lens, mount) is None


def test_a_ray_that_misses_its_pixel_is_none() -> None:
    """Beyond where a barrel distortion folds over, no ray leads to a pixel."""
    folding = (-0.6, 0.0, 0.0, 0.0, 0.0)
    lens = camera(folding)
    rays = lens.rays(np.array([[319.5, 179.5], [420.0, 200.0], [639.0, 179.5]]))
    assert np.isfinite(rays[:2]).all()
    assert np.isnan(rays[2]).all()
