"""Labels against the geometry: projected vertices and areas, never the mask against itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from tests.sdg.scenes import BARREL, at, box, looking_along_x, scene, simple_truck

from palletjack_sdg.geometry import Prop
from palletjack_sdg.kitti import DONT_CARE, KittiObject
from palletjack_sdg.label_rules import LabelRules
from palletjack_sdg.labels import box_3d, label_frame
from palletjack_sdg.projection import (
    DistortionError,
    check_distortion,
    clip_near,
    distort,
    fold_radius,
    project,
    rasterize,
    to_camera,
    undistort,
)
from palletjack_sdg.render import RenderError, RenderResult, RenderSettings, create_renderer
from palletjack_sdg.scene import Camera, Instance, Scene
from palletjack_sdg.visibility import amodal_extent

Label = Callable[[Scene], list[KittiObject]]


@pytest.fixture(scope="module")
def label() -> Label:
    try:
        renderer = create_renderer(RenderSettings(spp=1, max_depth=2, denoise=False, variant="cpu"))
    except RenderError as error:
        pytest.skip(str(error))
    return lambda what: label_frame(what, renderer.render(what))


def truck(pose: np.ndarray, number: int = 1) -> Instance:
    return Instance(number, simple_truck(), pose, "palletjack")


def post(x: float, y: float, width: float, height: float = 3.0, number: int = 9) -> Instance:
    return Instance(number, Prop("post", (box((0, -width / 2, 0), (0.05, width / 2, height)),)), at(x, y))


def opencv_pixels(camera: Camera, world: np.ndarray) -> np.ndarray:
    """Project with OpenCV, whose pixel (0, 0) is the centre of the first pixel."""
    matrix = np.array(
        [
            [camera.focal_px, 0, camera.width / 2 - 0.5],
            [0, camera.focal_px, camera.height / 2 - 0.5],
            [0, 0, 1],
        ]
    )
    rotation = camera.pose[:3, :3].T
    translation = -rotation @ camera.pose[:3, 3]
    pixels, _ = cv2.projectPoints(
        np.asarray(world, dtype=np.float64).reshape(-1, 1, 3),
        cv2.Rodrigues(rotation)[0],
        translation,
        matrix,
        np.array(camera.distortion),
    )
    return np.asarray(pixels).reshape(-1, 2) + 0.5


def vertices(instance: Instance) -> np.ndarray:
    local = np.concatenate([part.vertices for part in instance.prop.parts])
    return np.asarray(local @ instance.pose[:3, :3].T + instance.pose[:3, 3])


@pytest.mark.parametrize("distortion", [(0.0,) * 5, BARREL])
def test_projection_is_that_of_opencv(distortion: tuple[float, float, float, float, float]) -> None:
    camera = looking_along_x(distortion=distortion, pitch_deg=-7.0)
    world = np.random.default_rng(0).uniform((2, -2, 0), (9, 2, 2), (200, 3))
    ours = project(camera, to_camera(camera, world))
    assert np.abs(ours - opencv_pixels(camera, world)).max() < 1e-6


def test_undistort_inverts_distort() -> None:
    plane = np.random.default_rng(0).uniform(-0.8, 0.8, (500, 2))
    assert np.abs(undistort(distort(plane, BARREL), BARREL) - plane).max() < 1e-9


def test_what_lies_beyond_the_fold_stays_outside() -> None:
    camera = looking_along_x(distortion=(-0.3, 0.0, 0.0, 0.0, 0.0), hfov_deg=60.0)
    assert fold_radius(camera.distortion) == pytest.approx(1.0 / np.sqrt(0.9))
    far_out = np.array([[3.0, 0.0, 1.0], [0.0, -4.0, 1.0]])
    pixels = project(camera, far_out)
    assert pixels[0, 0] > camera.width
    assert pixels[1, 1] < 0


def test_a_lens_that_cannot_fill_the_image_is_refused() -> None:
    camera = looking_along_x(distortion=(-0.35, 0.0, 0.0, 0.0, 0.0), hfov_deg=110.0)
    with pytest.raises(DistortionError, match=r"camera.distortion: expected .*hfov_deg 110"):
        check_distortion(camera)


def test_rasterized_area_is_the_triangles_area() -> None:
    triangle = np.array([[[3.2, 4.1], [90.7, 12.3], [40.9, 77.7]]])
    a, b, c = triangle[0]
    area = abs((b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0]) / 2.0
    mask = rasterize(triangle, 100, 80)
    assert mask.sum() == pytest.approx(area, rel=0.01)
    assert not mask[:, :3].any()
    # Winding does not matter, and what lies outside the canvas is cut off.
    assert np.array_equal(rasterize(triangle[:, ::-1], 100, 80), mask)
    assert np.array_equal(rasterize(triangle - [50, 0], 50, 80), mask[:, 50:])


def test_clipping_keeps_the_part_in_front() -> None:
    behind = np.array([0.0, 0.0, -1.0])
    triangle = np.array([[[-1.0, 0.0, 1.0], [1.0, 0.0, 1.0], behind]])
    clipped = clip_near(triangle, 0.5)
    areas = np.linalg.norm(np.cross(clipped[:, 1] - clipped[:, 0], clipped[:, 2] - clipped[:, 0]), axis=1) / 2
    # Cutting the triangle of height 2 at a quarter from its base leaves 1 - (3/4)^2 of its area.
    assert areas.sum() == pytest.approx(2.0 * (1 - 0.75**2))
    assert clip_near(np.array([[behind, behind, behind]]), 0.5).shape == (0, 3, 3)


@pytest.mark.render
@pytest.mark.parametrize("distortion", [(0.0,) * 5, BARREL])
@pytest.mark.parametrize(("x", "y", "yaw"), [(3.0, 0.3, 30.0), (5.0, -1.4, 160.0), (4.0, 1.2, -75.0)])
def test_box_of_a_free_truck_is_that_of_its_projected_vertices(
    label: Label, distortion: tuple[float, float, float, float, float], x: float, y: float, yaw: float
) -> None:
    camera = looking_along_x(640, 368, distortion=distortion)
    free = truck(at(x, y, yaw))
    (found,) = label(scene(camera, free))
    pixels = opencv_pixels(camera, vertices(free))
    expected = (*pixels.min(axis=0), *pixels.max(axis=0))
    # The outermost pixel centre lies up to one pixel within the outline, on slanted edges at corners more.
    assert found.box == pytest.approx(expected, abs=1.6)
    assert found.class_name == "palletjack"
    assert (found.occluded, found.truncated) == (0, 0.0)


@pytest.mark.render
def test_a_truck_behind_a_wall_has_no_label(label: Label) -> None:
    wall = post(2.0, 0.0, 6.0)
    assert label(scene(looking_along_x(), truck(at(4.0, 0.0, 40.0)), wall)) == []


@pytest.mark.render
def test_a_truck_behind_a_post_is_partly_hidden_and_keeps_both_ends(label: Label) -> None:
    camera = looking_along_x(640, 368)
    side = truck(at(3.6, 0.5, -90.0))
    (free,) = label(scene(camera, side))
    # The post covers the middle of the forks and part of the head, not the ends of the truck.
    (hidden,) = label(scene(camera, side, post(2.4, 0.1, 0.35)))
    assert hidden.box == free.box
    assert free.occluded == 0
    assert hidden.occluded in (1, 2)
    left, right = (opencv_pixels(camera, np.array([[2.4, y, 0.3]]))[0, 0] for y in (0.275, -0.075))
    assert free.box[0] < left < right < free.box[2]


@pytest.mark.render
def test_visible_share_follows_the_covered_area(label: Label) -> None:
    """A square sheet half hidden by another: its levels change where the shares say so."""
    camera = looking_along_x(640, 368)
    sheet = Instance(1, Prop("sheet", (box((0, -0.5, 0.3), (0.01, 0.5, 1.3)),)), at(4.0, 0.0), "palletjack")
    for covered, level in ((0.03, 0), (0.3, 1), (0.7, 2)):
        # The cover stands right before the sheet and hides its right part.
        cover = Prop("cover", (box((0, -0.6, 0.0), (0.01, -0.5 + covered, 2.0)),))
        found = label(scene(camera, sheet, Instance(2, cover, at(3.98, 0.0))))
        assert [item.occluded for item in found] == [level]
        assert found[0].width_px == pytest.approx((1 - covered) * camera.focal_px / 4.0, abs=2.5)


@pytest.mark.render
def test_a_truck_cut_by_the_border_is_truncated_by_its_lost_area(label: Label) -> None:
    camera = looking_along_x(640, 368)
    edge_y = 4.0 * 320 / camera.focal_px
    sheet = Instance(
        1, Prop("sheet", (box((0, -0.5, 0.3), (0.01, 0.5, 1.3)),)), at(4.0, edge_y + 0.2), "palletjack"
    )
    (found,) = label(scene(camera, sheet))
    # The image's left border lies 0.2 m right of the middle: 70% of the metre are lost.
    assert found.truncated == pytest.approx(0.7, abs=0.02)
    assert found.box[0] == 0.0
    assert found.occluded == 0


@pytest.mark.render
def test_what_is_too_small_or_too_hidden_becomes_dont_care(label: Label) -> None:
    camera = looking_along_x()
    far = label(scene(camera, truck(at(19.0, 0.0))))
    assert [item.class_name for item in far] == [DONT_CARE]
    assert far[0].height_px < LabelRules().min_height_px
    # Only the tiller rises over this wall.
    peeping = label(scene(camera, truck(at(4.0, 0.0)), post(3.0, 0.0, 4.0, height=0.75)))
    assert [item.class_name for item in peeping] == [DONT_CARE]


@pytest.mark.render
def test_a_box_that_shows_mostly_its_load_becomes_dont_care(label: Label) -> None:
    camera = looking_along_x(640, 368)
    side = truck(at(3.6, 0.5, -90.0))
    # The tips of the forks remain at one end, the tiller and the head's edge at the other.
    load = Instance(2, Prop("load", (box((0, -0.42, 0), (0.3, 0.56, 1.5)),)), at(2.4, 0.0))
    (found,) = label(scene(camera, side, load))
    assert found.class_name == DONT_CARE
    (free,) = label(scene(camera, side))
    assert found.width_px == pytest.approx(free.width_px, abs=6)


def test_labels_come_nearest_first_and_ignored_last() -> None:
    camera = looking_along_x(64, 48)
    ids = np.zeros((48, 64), np.int32)
    ids[20:40, 5:20] = 1
    ids[20:40, 25:40] = 2
    ids[20:22, 50:60] = 3
    result = RenderResult(np.zeros((48, 64, 3), np.float32), ids, np.ones((48, 64), np.float32))
    content = scene(camera, *(truck(at(x, 0.0), n) for n, x in ((1, 6.0), (2, 3.0), (3, 9.0))))
    rules = LabelRules(min_visible_pixels=30, min_visible_share=0.0, max_truncated=1.0)
    found = label_frame(content, result, rules)
    assert [item.class_name for item in found] == ["palletjack", "palletjack", DONT_CARE]
    assert found[0].box == (25.0, 20.0, 40.0, 40.0)
    with pytest.raises(ValueError, match=r"instance_ids: expected shape \(48, 64\), found \(48, 60\)"):
        label_frame(content, replace(result, instance_ids=ids[:, :60]))


@pytest.mark.parametrize(
    ("yaw", "rotation_y"),
    # The camera looks along +x, its x axis is the world's -y: heading away is -pi/2 in KITTI.
    [(0.0, -np.pi / 2), (-90.0, 0.0), (90.0, np.pi), (180.0, np.pi / 2), (45.0, -3 * np.pi / 4)],
)
def test_3d_box_follows_kitti(yaw: float, rotation_y: float) -> None:
    camera = looking_along_x()
    dimensions, location, heading = box_3d(truck(at(4.0, 1.0, yaw)), camera)
    assert dimensions == pytest.approx((1.2, 0.54, 1.5), abs=1e-5)
    assert np.cos(heading - rotation_y) == pytest.approx(1.0)
    # The box's centre lies 0.4 m ahead of the truck's origin; the floor 0.8 m below the camera.
    turn = np.radians(yaw)
    expected = (-(1.0 + 0.4 * np.sin(turn)), 0.8, 4.0 + 0.4 * np.cos(turn))
    assert location == pytest.approx(expected, abs=1e-5)


def test_amodal_area_counts_what_lies_outside_the_frame() -> None:
    camera = looking_along_x(640, 368)
    edge_y = 4.0 * 320 / camera.focal_px
    plate = Prop("plate", (box((0, -0.5, 0.3), (1e-4, 0.5, 1.3)),))
    extent = amodal_extent(Instance(1, plate, at(4.0, edge_y)), camera)
    assert extent is not None
    assert extent.total == pytest.approx((camera.focal_px / 4.0) ** 2, rel=0.02)
    assert extent.inside == pytest.approx(extent.total / 2.0, rel=0.03)
