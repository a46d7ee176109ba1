"""Annotations against rays cast by NumPy through OpenCV's lens: neither our projection nor our masks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from tests.sdg.recipes import small_frames, without_goods, without_trucks
from tests.sdg.scenes import BARREL, at, box, looking_along_x, scene, simple_truck

from palletjack_sdg.annotations import describe_frame
from palletjack_sdg.dataset import depth_to_millimetres
from palletjack_sdg.frame_plan import FramePlan
from palletjack_sdg.generate import GenerateJob, generate
from palletjack_sdg.geometry import Prop
from palletjack_sdg.kitti import DONT_CARE, read_labels
from palletjack_sdg.label_rules import LabelRules
from palletjack_sdg.labels import judge_frame, label_lines
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.projection import rasterize
from palletjack_sdg.recipe import load_recipe
from palletjack_sdg.render import Renderer, RenderError, RenderResult, RenderSettings, create_renderer
from palletjack_sdg.scene import Camera, Instance

Mask = NDArray[np.bool_]


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    settings = RenderSettings(spp=1, max_depth=2, denoise=False, variant="cpu", normals=True)
    try:
        return create_renderer(settings)
    except RenderError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def plan() -> FramePlan:
    recipe = without_trucks(without_goods(load_recipe("warehouse_v1")))
    return plan_frame(recipe, 0, 0).model_copy(update={"objects": ()})


@dataclass
class Cast:
    """Distance along each pixel's ray and the face met, for pixels that may lie around the frame."""

    distance: NDArray[np.float64]
    normal: NDArray[np.float64]


def cast(instance: Instance, camera: Camera, margin: int = 0) -> Cast:
    """Moeller and Trumbore's intersection of every pixel's ray with every triangle.

    All rays begin at one point, so that what they are multiplied with is one vector for each triangle.
    """
    columns, rows = np.meshgrid(
        np.arange(-margin, camera.width + margin) + 0.5, np.arange(-margin, camera.height + margin) + 0.5
    )
    matrix = np.array(
        [[camera.focal_px, 0, camera.width / 2], [0, camera.focal_px, camera.height / 2], [0, 0, 1]]
    )
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)[:, None]
    exact = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-12)
    plane = cv2.undistortPoints(pixels, matrix, np.array(camera.distortion), criteria=exact)[:, 0]
    rays = np.concatenate([plane, np.ones((len(plane), 1))], axis=1) @ camera.pose[:3, :3].T
    nearest, normals = np.full(len(rays), np.inf), np.zeros((len(rays), 3))
    for part in instance.prop.parts:
        world = part.vertices @ instance.pose[:3, :3].T + instance.pose[:3, 3]
        for a, b, c in world[part.faces].astype(np.float64):
            start = camera.pose[:3, 3] - a
            determinant = rays @ np.cross(c - a, b - a)
            with np.errstate(divide="ignore", invalid="ignore"):
                u = rays @ np.cross(c - a, start) / determinant
                other = np.cross(start, b - a)
                v = rays @ other / determinant
                t = float((c - a) @ other) / determinant
                met = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0.05) & (t < nearest)
            nearest[met] = t[met]
            normals[met] = np.cross(b - a, c - a) / np.linalg.norm(np.cross(b - a, c - a))
    shape = columns.shape
    return Cast(nearest.reshape(shape), normals.reshape(*shape, 3))


def edges(mask: Mask, margin: int = 0) -> list[float]:
    rows, columns = np.nonzero(mask)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return [float(value) - margin for value in found]


@pytest.mark.render
@pytest.mark.parametrize("distortion", [(0.0,) * 5, BARREL], ids=["pinhole", "barrel"])
@pytest.mark.parametrize(("x", "y", "yaw"), [(3.4, 0.3, -70.0), (2.6, 1.75, 25.0)], ids=["hidden", "cut"])
def test_every_number_is_that_of_cast_rays(
    renderer: Renderer,
    plan: FramePlan,
    distortion: tuple[float, float, float, float, float],
    x: float,
    y: float,
    yaw: float,
) -> None:
    camera = looking_along_x(distortion=distortion, pitch_deg=-5.0)
    truck = Instance(1, simple_truck(), at(x, y, yaw), "palletjack")
    post = Instance(2, Prop("post", (box((0, -0.15, 0), (0.05, 0.15, 3.0)),)), at(2.0, 0.55 * y))
    content = scene(camera, truck, post)
    result = renderer.render(content)
    judged = judge_frame(content, result, LabelRules(min_piece_share=0.0))
    (found,) = describe_frame(plan, camera, judged)["instances"]

    margin = 160
    whole, before = cast(truck, camera, margin), cast(post, camera)
    full = np.isfinite(whole.distance)
    inside = full[margin:-margin, margin:-margin]
    distance = whole.distance[margin:-margin, margin:-margin]
    visible = inside & (distance < before.distance)
    assert 0 < visible.sum() < inside.sum()
    assert found["visible_pixels"] == pytest.approx(visible.sum(), abs=3)
    assert found["visible_box"] == pytest.approx(edges(visible), abs=1.0)
    assert found["frame_box"] == pytest.approx(edges(inside), abs=1.0)
    # Edges of the projection itself lie up to a pixel outside the outermost centre, at thin corners more.
    assert found["full_box"] == pytest.approx(edges(full, margin), abs=2.0)
    assert found["occlusion"] == pytest.approx(1 - visible.sum() / inside.sum(), abs=0.01)
    assert found["truncation"] == pytest.approx(1 - inside.sum() / full.sum(), abs=0.01)
    assert found["decision"] == "labelled"
    assert found["reasons"] == []

    (line,) = label_lines(judged)
    levels = LabelRules()
    share = visible.sum() / inside.sum()
    assert line.occluded == (share < levels.fully_visible) + (share < levels.partly_visible)
    assert line.truncated == found["truncation"]
    assert line.box == tuple(found["visible_box"])
    # A distance of 1 along these rays is a depth of 1 m.
    clear = visible & (result.instance_ids == 1)
    assert np.abs(result.depth[clear] - distance[clear]).max() < 2e-3
    assert result.normals is not None
    expected = whole.normal[margin:-margin, margin:-margin][clear] @ camera.pose[:3, :3]
    agree = np.abs((result.normals[clear] * expected).sum(axis=1))
    # Where two faces meet, a ray may take either of them.
    assert np.mean(agree > 0.999) > 0.99
    assert np.all(result.normals[clear][:, 2] < 0.9)


@pytest.mark.render
def test_the_3d_box_holds_the_truck_and_touches_it(renderer: Renderer, plan: FramePlan) -> None:
    camera = looking_along_x(pitch_deg=0.0)
    truck = Instance(1, simple_truck(), at(4.0, 0.5, 35.0), "palletjack")
    content = scene(camera, truck)
    judged = judge_frame(content, renderer.render(content))
    (found,) = describe_frame(plan, camera, judged)["instances"]
    local = np.concatenate([part.vertices for part in truck.prop.parts]).astype(float)
    world = local @ truck.pose[:3, :3].T + truck.pose[:3, 3]
    seen = (world - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    yaw, (length, width, height) = found["box_3d"]["yaw"], found["box_3d"]["size"]
    # KITTI: turned by yaw about the camera's y axis, length along x, height along y, width along z.
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    inside = (seen - found["box_3d"]["center"]) @ turn
    half = np.array([length, height, width]) / 2
    assert inside.max(axis=0) == pytest.approx(half, abs=1e-3)
    assert inside.min(axis=0) == pytest.approx(-half, abs=1e-3)
    bearing = np.arctan2(found["box_3d"]["center"][0], found["box_3d"]["center"][2])
    assert found["alpha"] == pytest.approx(yaw - bearing, abs=1e-4)


def test_an_object_that_does_not_count_says_why(plan: FramePlan) -> None:
    camera = looking_along_x(64, 48)
    ids = np.zeros((48, 64), np.int32)
    ids[20:24, 5:20] = 1
    ids[0, 0] = 2
    result = RenderResult(np.zeros((48, 64, 3), np.float32), ids, np.ones((48, 64), np.float32))
    trucks = [Instance(n, simple_truck(), at(5.0, 0.0), "palletjack") for n in (1, 2, 3)]
    judged = judge_frame(scene(camera, *trucks), result)
    found = describe_frame(plan, camera, judged)["instances"]
    assert [(item["id"], item["decision"]) for item in found] == [(1, DONT_CARE), (2, "left out")]
    assert any("height 4 px, under min_height_px 12" in reason for reason in found[0]["reasons"])
    assert found[1]["reasons"] == ["1 visible pixels, under ignored_pixels 6"]
    assert [item.class_name for item in label_lines(judged)] == [DONT_CARE]


def test_spans_of_rows_cover_what_testing_every_pixel_covers() -> None:
    rng = np.random.default_rng(3)
    triangles = rng.uniform(-40, 140, (60, 1, 2)) + rng.uniform(-50, 50, (60, 3, 2))
    x, y = np.meshgrid(np.arange(100) + 0.5, np.arange(80) + 0.5)
    expected = np.zeros((80, 100), dtype=bool)
    for triangle in triangles:
        sides = [
            (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
            for a, b in zip(triangle, np.roll(triangle, -1, axis=0), strict=True)
        ]
        expected |= np.all([side >= 0 for side in sides], axis=0) | np.all(
            [side <= 0 for side in sides], axis=0
        )
    assert np.array_equal(rasterize(triangles, 100, 80), expected)
    # Two halves of a square share their edge through pixel centres and leave no gap there.
    corners = np.array([[10.5, 10.5], [30.5, 10.5], [30.5, 30.5], [10.5, 30.5]])
    halves = corners[np.array([[0, 1, 2], [0, 2, 3]])]
    assert rasterize(halves, 40, 40).sum() == 21 * 21


def test_depth_in_millimetres_keeps_nothing_apart_from_far() -> None:
    depth = np.array([[np.inf, 0.0001, 1.2344, 99.0]], dtype=np.float32)
    assert depth_to_millimetres(depth).tolist() == [[0, 1, 1234, 65535]]


@pytest.mark.render
def test_a_data_set_holds_what_was_asked_for(renderer: Renderer, tmp_path: Path) -> None:
    tree = small_frames()
    tree["trucks"]["empty_frames"] = 0.0
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(tree))
    settings = RenderSettings(spp=1, max_depth=2, denoise=False, variant="cpu")
    job = GenerateJob(
        str(recipe), tmp_path / "set", 2, 3, render=settings,
        annotations=True, masks=True, depth="npz", normals=True,
    )  # fmt: skip
    assert generate(job).written == (0, 1)
    labelled = 0
    for index in (0, 1):
        document = json.loads(job.dataset.annotation(index).read_text())
        mask = cv2.imread(str(job.dataset.mask(index)), cv2.IMREAD_UNCHANGED)
        table = json.loads(job.dataset.mask(index).with_suffix(".json").read_text())
        assert mask is not None
        assert (mask.dtype, mask.shape) == (np.uint16, (112, 192))
        assert {str(value) for value in np.unique(mask)} <= {*table, "0"}
        for item in document["instances"]:
            assert item["family"] == table[str(item["id"])]["family"] == "palletjack"
            assert item["state"] is not None
            assert (mask == item["id"]).sum() == item["visible_pixels"]
        lines = [item for item in read_labels(job.dataset.label(index)) if item.class_name != DONT_CARE]
        boxes = {tuple(item["label_box"]) for item in document["instances"] if item["decision"] == "labelled"}
        assert {item.box for item in lines} == boxes
        labelled += len(lines)
        depth = np.load(job.dataset.depth(index, "npz"))["depth"]
        assert (depth.dtype, depth.shape) == (np.float32, (112, 192))
        normals = cv2.imread(str(job.dataset.normals(index)), cv2.IMREAD_UNCHANGED)
        assert normals is not None
        lengths = np.linalg.norm(normals[np.isfinite(depth)] / 32767.5 - 1.0, axis=1)
        assert lengths == pytest.approx(1.0, abs=1e-3)
    assert labelled > 0
