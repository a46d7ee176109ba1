"""USD assets in place of parametric trucks, with a file that is in centimetres and y up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from palletjack_sdg.compose import build_scene
from palletjack_sdg.isaac_sim.assets import (
    Asset,
    AssetError,
    AssetSwap,
    ReferencedProp,
    load_assets,
    read_triangles,
)
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import load_recipe
from palletjack_sdg.scene import Scene

pytest.importorskip("pxr")
from pxr import Gf, Usd, UsdGeom

from palletjack_sdg.isaac_sim.stage import instance_path, write_stage


@pytest.fixture(scope="module")
def scene() -> Scene:
    recipe = load_recipe("warehouse_v1")
    plans = (plan_frame(recipe, 3, index) for index in range(20))
    return build_scene(next(plan for plan in plans if any(item.label for item in plan.objects)))


def write_asset(path: Path, *, default: bool = True) -> str:
    """A box 160 long, 100 high and 60 wide in centimetres, y up, under a prim with a transform."""
    stage = Usd.Stage.CreateNew(str(path))
    root = UsdGeom.Xform.Define(stage, "/Truck")
    root.AddTranslateOp().Set(Gf.Vec3d(7.0, 11.0, 5.0))
    if default:
        stage.SetDefaultPrim(root.GetPrim())
    box = UsdGeom.Mesh.Define(stage, "/Truck/body")
    corners = [(x, y, z) for x in (0, 160) for y in (0, 100) for z in (0, 60)]
    box.CreatePointsAttr([Gf.Vec3f(*corner) for corner in corners])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    box.CreateFaceVertexCountsAttr([4] * 6)
    box.CreateFaceVertexIndicesAttr([index for quad in quads for index in quad])
    stage.GetRootLayer().Save()
    return path.as_posix()


def test_labels_shape_and_reference_lie_at_the_same_place(scene: Scene, tmp_path: Path) -> None:
    url = write_asset(tmp_path / "truck.usda")
    swap = AssetSwap({"palletjack": [Asset(url=url, metres_per_unit=0.01, up_axis="Y")]})
    dressed = swap(scene)
    write_stage(dressed, tmp_path / "frame.usda")
    stage = Usd.Stage.Open(str(tmp_path / "frame.usda"))
    cache = UsdGeom.XformCache()
    trucks = [item for item in dressed.instances if isinstance(item.prop, ReferencedProp)]
    assert len(trucks) == sum(item.prop.category == "palletjack" for item in scene.instances) > 0
    for truck, original in zip(dressed.instances, scene.instances, strict=True):
        if not isinstance(truck.prop, ReferencedProp):
            assert truck is original
            continue
        low, high = truck.prop.bounds()
        np.testing.assert_allclose(high - low, [1.6, 0.6, 1.0], atol=1e-5)
        assert low[2] == pytest.approx(0.0, abs=1e-6)
        ours = np.concatenate([part.vertices for part in truck.prop.parts])
        world = ours @ truck.pose[:3, :3].T + truck.pose[:3, 3]
        mesh = UsdGeom.Mesh(stage.GetPrimAtPath(f"{instance_path(truck.instance_id)}/asset/model/body"))
        points = np.array(mesh.GetPointsAttr().Get(), dtype=float)
        seen = np.c_[points, np.ones(8)] @ np.array(cache.GetLocalToWorldTransform(mesh.GetPrim()))
        np.testing.assert_allclose(seen[:, :3].min(axis=0), world.min(axis=0), atol=1e-4)
        np.testing.assert_allclose(seen[:, :3].max(axis=0), world.max(axis=0), atol=1e-4)


def test_the_choice_depends_on_seed_index_and_object(scene: Scene, tmp_path: Path) -> None:
    urls = [write_asset(tmp_path / f"truck_{number}.usda") for number in range(3)]
    assets = {"palletjack": [Asset(url=url, metres_per_unit=0.01, up_axis="Y") for url in urls]}

    def chosen(one: Scene) -> list[str]:
        return [item.prop.url for item in one.instances if isinstance(item.prop, ReferencedProp)]

    assert chosen(AssetSwap(assets)(scene)) == chosen(AssetSwap(assets)(scene))
    relative = {"palletjack": [Asset(url="/truck_0.usda", metres_per_unit=0.01, up_axis="Y")]}
    assert set(chosen(AssetSwap(relative, str(tmp_path))(scene))) == {urls[0]}


def test_what_cannot_be_an_asset_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"none\.usda: expected a USD file"):
        read_triangles(str(tmp_path / "none.usda"))
    with pytest.raises(AssetError, match="expected a default prim"):
        read_triangles(write_asset(tmp_path / "rootless.usda", default=False))
    empty = Usd.Stage.CreateNew(str(tmp_path / "empty.usda"))
    empty.SetDefaultPrim(UsdGeom.Xform.Define(empty, "/Nothing").GetPrim())
    empty.GetRootLayer().Save()
    with pytest.raises(AssetError, match="expected a mesh"):
        read_triangles(str(tmp_path / "empty.usda"))


def test_the_shipped_table_is_for_pallet_trucks() -> None:
    assets = load_assets()
    assert list(assets) == ["palletjack"]
    assert len({asset.url for asset in assets["palletjack"]}) == 3
