"""The USD stage against the scene that it was written from, read back with the real pxr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palletjack_sdg.compose import build_scene
from palletjack_sdg.isaac_sim.lens import bend_ids, bend_radiance, pinhole_around
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.projection import pixel_rays, project, to_camera
from palletjack_sdg.recipe import load_recipe
from palletjack_sdg.scene import Camera, Scene
from tests.sdg.scenes import BARREL

pxr = pytest.importorskip("pxr")
from pxr import Usd, UsdGeom, UsdLux, UsdSemantics, UsdShade  # noqa: E402

from palletjack_sdg.isaac_sim.stage import CAMERA_PATH, instance_path, write_stage  # noqa: E402


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Any, Path]:
    recipe = load_recipe("warehouse_v1")
    plans = (plan_frame(recipe, 3, index) for index in range(20))
    scene = build_scene(
        next(p for p in plans if any(o.label for o in p.objects) and any(p.camera.distortion))
    )
    path = tmp_path_factory.mktemp("usd") / "frame.usdc"
    write_stage(scene, path)
    return scene, Usd.Stage.Open(str(path)), path


def test_units_axis_and_every_part(planned: tuple[Scene, Any, Path]) -> None:
    scene, stage, _ = planned
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert UsdGeom.GetStageUpAxis(stage) == "Z"
    meshes = [prim for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)]
    parts = sum(len(part.faces) > 0 for instance in scene.instances for part in instance.prop.parts)
    assert len(meshes) == parts + len(scene.surfaces)
    assert {UsdGeom.Mesh(prim).GetSubdivisionSchemeAttr().Get() for prim in meshes} == {"none"}


def test_labels_are_those_of_the_plan(planned: tuple[Scene, Any, Path]) -> None:
    scene, stage, _ = planned
    for instance in scene.instances:
        prim = stage.GetPrimAtPath(instance_path(instance.instance_id))
        ids = UsdSemantics.LabelsAPI(prim, "palletjack_instance").GetLabelsAttr().Get()
        assert list(ids) == [str(instance.instance_id)]
        has_class = prim.HasAPI(UsdSemantics.LabelsAPI, "class")
        assert has_class == (instance.label is not None)
        if has_class:
            labels = UsdSemantics.LabelsAPI(prim, "class").GetLabelsAttr().Get()
            assert list(labels) == [instance.label]
    assert any(instance.label is not None for instance in scene.instances)


def test_vertices_fall_on_the_same_pixels(planned: tuple[Scene, Any, Path]) -> None:
    """Through USD's own camera matrices, against our projection of our own vertices."""
    scene, stage, _ = planned
    pinhole = pinhole_around(scene.camera)
    frustum = UsdGeom.Camera(stage.GetPrimAtPath(CAMERA_PATH)).GetCamera().frustum
    matrix = np.array(frustum.ComputeViewMatrix()) @ np.array(frustum.ComputeProjectionMatrix())
    cache, compared = UsdGeom.XformCache(), 0
    for instance in scene.instances:
        for number, part in enumerate(instance.prop.parts):
            world = part.vertices @ instance.pose[:3, :3].T + instance.pose[:3, 3]
            local = to_camera(pinhole, world)
            seen = local[:, 2] > 0.2
            if not seen.any():
                continue
            prim = stage.GetPrimAtPath(f"{instance_path(instance.instance_id)}/part_{number:03d}")
            points = np.array(UsdGeom.Mesh(prim).GetPointsAttr().Get(), dtype=float)[seen]
            points = np.c_[points, np.ones(len(points))]
            clip = points @ np.array(cache.GetLocalToWorldTransform(prim)) @ matrix
            ndc = clip[:, :2] / clip[:, 3:]
            pixels = (ndc * [0.5, -0.5] + 0.5) * [pinhole.width, pinhole.height]
            expected = project(pinhole, local[seen])
            near = (np.abs(expected - [pinhole.width / 2, pinhole.height / 2]) < pinhole.width).all(axis=1)
            np.testing.assert_allclose(pixels[near], expected[near], atol=0.5)
            compared += int(near.sum())
    assert compared > 1000


def test_lights_shine_to_the_planned_side(planned: tuple[Scene, Any, Path]) -> None:
    scene, stage, _ = planned
    rects = [UsdLux.RectLight(prim) for prim in stage.Traverse() if prim.IsA(UsdLux.RectLight)]
    assert len(rects) == len(scene.lights) > 0
    for rect, light in zip(rects, scene.lights, strict=True):
        matrix = np.array(UsdGeom.XformCache().GetLocalToWorldTransform(rect.GetPrim()))
        side = np.cross(light.u, light.v)
        np.testing.assert_allclose(-matrix[2, :3], side / np.linalg.norm(side), atol=1e-6)
        np.testing.assert_allclose(matrix[3, :3], light.center, atol=1e-9)
        area = rect.GetWidthAttr().Get() * rect.GetHeightAttr().Get()
        assert area == pytest.approx(4 * np.linalg.norm(side), rel=1e-5)
        radiance = np.array(rect.GetColorAttr().Get()) * rect.GetIntensityAttr().Get()
        np.testing.assert_allclose(radiance, light.radiance, rtol=1e-5, atol=1e-6)


def test_textures_exist_where_the_stage_says(planned: tuple[Scene, Any, Path]) -> None:
    _, stage, path = planned
    shaders = [UsdShade.Shader(prim) for prim in stage.Traverse() if prim.IsA(UsdShade.Shader)]
    files = [s.GetInput("file").Get().path for s in shaders if s.GetIdAttr().Get() == "UsdUVTexture"]
    assert files
    assert [name for name in files if not (path.parent / name).is_file()] == []


def test_bending_a_pinhole_gives_the_distorted_camera_s_rays() -> None:
    camera = Camera(160, 92, 80.0, np.eye(4), BARREL)
    pinhole = pinhole_around(camera)
    assert pinhole.focal_px == pytest.approx(camera.focal_px)
    rows, columns = np.mgrid[0 : pinhole.height, 0 : pinhole.width] + 0.5
    rays = pixel_rays(pinhole, np.stack([columns.ravel(), rows.ravel()], axis=1))
    plane = (rays / rays[:, 2:]).reshape(pinhole.height, pinhole.width, 3).astype(np.float32)
    bent = bend_radiance(plane, pinhole, camera)
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
    wanted = pixel_rays(camera, np.stack([columns.ravel(), rows.ravel()], axis=1))
    wanted = (wanted / wanted[:, 2:]).reshape(camera.height, camera.width, 3)
    # OpenCV's remap interpolates in 32nds of a pixel.
    assert np.abs(bent - wanted).max() < 0.05 / camera.focal_px
    ids = np.arange(pinhole.width * pinhole.height, dtype=np.int32).reshape(pinhole.height, pinhole.width)
    assert set(np.unique(bend_ids(ids, pinhole, camera))) <= set(ids.ravel().tolist())


def test_a_camera_without_distortion_is_left_alone() -> None:
    camera = Camera(32, 20, 70.0, np.eye(4))
    ids = np.arange(640, dtype=np.int32).reshape(20, 32)
    assert pinhole_around(camera) is camera
    np.testing.assert_array_equal(bend_ids(ids, pinhole_around(Camera(32, 20, 70.0, np.eye(4))), camera), ids)
    with pytest.raises(ValueError, match=r"expected \(20, 32\), found \(2, 2\)"):
        bend_ids(ids[:2, :2], camera, camera)
