"""USD files as objects: unit, axis, transforms, instances, materials; and what cannot be read is named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh
from pxr import Gf, Sdf, Usd, UsdGeom, UsdShade, Vt

from palletjack_sdg.asset_index import AssetError, AssetPack, add_pack
from palletjack_sdg.geometry import Part
from palletjack_sdg.objects import catalog
from palletjack_sdg.objects.mesh_file import mesh_family, read_mesh
from palletjack_sdg.objects.usd_reader import usd_digest

CORNERS = [(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
# Quads of the unit cube, counter-clockwise seen from outside.
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def new_stage(path: Path, up: str = "Z", unit: float = 1.0) -> Any:
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, up)
    UsdGeom.SetStageMetersPerUnit(stage, unit)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/World").GetPrim())
    return stage


def cube(stage: Any, path: str, scale: Iterable[float] = (1, 1, 1), move: Iterable[float] = (0, 0, 0)) -> Any:
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePointsAttr(Vt.Vec3fArray([Gf.Vec3f(*corner) for corner in CORNERS]))
    mesh.CreateFaceVertexCountsAttr([4] * 6)
    mesh.CreateFaceVertexIndicesAttr([index for quad in QUADS for index in quad])
    mesh.AddTranslateOp().Set(Gf.Vec3d(*move))
    mesh.AddScaleOp().Set(Gf.Vec3f(*scale))
    return mesh


def preview(stage: Any, path: str, **inputs: Any) -> Any:
    material = UsdShade.Material.Define(stage, path)
    shader = UsdShade.Shader.Define(stage, f"{path}/surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    for name, value in inputs.items():
        kind = Sdf.ValueTypeNames.Color3f if name == "diffuseColor" else Sdf.ValueTypeNames.Float
        shader.CreateInput(name, kind).Set(value)
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    return material


def bind(target: Any, material: Any) -> None:
    UsdShade.MaterialBindingAPI.Apply(target.GetPrim()).Bind(material)


def volumes(parts: Iterable[Part]) -> list[float]:
    solids = [trimesh.Trimesh(part.vertices, part.faces) for part in parts]
    return [float(solid.volume) for solid in solids]


@pytest.mark.parametrize(("up", "unit"), [("Z", 1.0), ("Y", 0.01)])
def test_unit_axis_and_transforms_of_the_file_are_followed(tmp_path: Path, up: str, unit: float) -> None:
    stage = new_stage(tmp_path / "box.usda", up, unit)
    body = UsdGeom.Xform.Define(stage, "/World/body")
    body.AddTranslateOp().Set(Gf.Vec3d(3.0 / unit, 0.0, 0.0))
    size = (1.2, 0.5, 0.6) if up == "Y" else (1.2, 0.6, 0.5)
    lift = (0.0, 0.25, 0.0) if up == "Y" else (0.0, 0.0, 0.25)
    cube(stage, "/World/body/box", [v / unit for v in size], [v / unit for v in lift])
    stage.Save()
    # The pack's own axis is not asked, its scale multiplies.
    prop = read_mesh(tmp_path / "box.usda", 2.0, "y", 0.0, "box")
    low, high = prop.bounds()
    assert low == pytest.approx((-1.2, -0.6, 0.0), abs=1e-5)
    assert high == pytest.approx((1.2, 0.6, 1.0), abs=1e-5)
    assert volumes(prop.parts) == pytest.approx([2.4 * 1.2 * 1.0], rel=1e-4)


def test_instances_mirrors_and_what_is_hidden(tmp_path: Path) -> None:
    part = new_stage(tmp_path / "part.usdc")
    cube(part, "/World/box")
    part.Save()
    stage = new_stage(tmp_path / "all.usda")
    for number, scale in enumerate(((1, 1, 1), (-1, 1, 1))):
        prim = stage.DefinePrim(f"/World/copy{number}", "Xform")
        prim.GetReferences().AddReference("./part.usdc")
        prim.SetInstanceable(True)
        UsdGeom.Xformable(prim).AddTranslateOp().Set(Gf.Vec3d(2.0 * number, 0, 0))
        UsdGeom.Xformable(prim).AddScaleOp().Set(Gf.Vec3f(*scale))
    scatter = UsdGeom.PointInstancer.Define(stage, "/World/scatter")
    scatter.AddTranslateOp().Set(Gf.Vec3d(0, 10, 0))
    prototype = UsdGeom.Xform.Define(stage, "/World/scatter/prototypes/half")
    prototype.AddScaleOp().Set(Gf.Vec3f(0.5, 0.5, 0.5))
    cube(stage, "/World/scatter/prototypes/half/box")
    scatter.CreatePrototypesRel().SetTargets([prototype.GetPath()])
    scatter.CreateProtoIndicesAttr([0, 0])
    scatter.CreatePositionsAttr([Gf.Vec3f(0, 0, 0), Gf.Vec3f(4, 0, 0)])
    left = cube(stage, "/World/left", move=(6, 0, 0))
    left.CreateOrientationAttr(UsdGeom.Tokens.leftHanded)
    left.GetFaceVertexIndicesAttr().Set([index for quad in QUADS for index in reversed(quad)])
    UsdGeom.Imageable(cube(stage, "/World/hidden", move=(50, 0, 0))).MakeInvisible()
    cube(stage, "/World/collider", move=(60, 0, 0)).CreatePurposeAttr("guide")
    stage.Save()
    prop = read_mesh(tmp_path / "all.usda", 1.0, "y", 0.0, "all")
    # Faces wind outwards everywhere: a mirrored or left-handed mesh would have a negative volume.
    assert sorted(volumes(prop.parts)) == pytest.approx([0.125, 0.125, 1.0, 1.0, 1.0])
    low, high = prop.bounds()
    assert high - low == pytest.approx((7.0, 10.75, 1.0), abs=1e-5)


def test_colours_of_materials_subsets_and_display_colour(tmp_path: Path) -> None:
    stage = new_stage(tmp_path / "colours.usda")
    body = cube(stage, "/World/body")
    bind(body, preview(stage, "/World/red", diffuseColor=Gf.Vec3f(0.5, 0, 0), roughness=0.3, metallic=1.0))
    subset = UsdShade.MaterialBindingAPI(body).CreateMaterialBindSubset("lid", Vt.IntArray([5]))
    bind(subset, preview(stage, "/World/glass", diffuseColor=Gf.Vec3f(0, 0, 1), opacity=0.25))
    plain = cube(stage, "/World/plain", move=(3, 0, 0))
    plain.CreateDisplayColorPrimvar("constant").Set([Gf.Vec3f(0.0, 0.5, 0.0)])
    faces = cube(stage, "/World/faces", move=(6, 0, 0))
    faces.CreateDisplayColorPrimvar("uniform").Set([Gf.Vec3f(1, 1, 0)] * 4 + [Gf.Vec3f(0, 1, 1)] * 2)
    stage.Save()
    parts = read_mesh(tmp_path / "colours.usda", 1.0, "y", 0.0, "colours").parts
    found = {
        tuple(round(value, 2) for value in part.material.color): (len(part.faces), part.material)
        for part in parts
    }
    # Linear 0.5 is 0.74 in sRGB.
    counts = {color: count for color, (count, _) in found.items()}
    assert counts == {(0.74, 0, 0): 10, (0, 0, 1): 2, (0, 0.74, 0): 12, (1, 1, 0): 8, (0, 1, 1): 4}
    red, glass = found[(0.74, 0, 0)][1], found[(0, 0, 1)][1]
    assert (red.roughness, red.metallic, red.opacity) == pytest.approx((0.3, 1.0, 1.0))
    assert glass.opacity == pytest.approx(0.25)


def textured_quad(path: Path, far: float = 1.0) -> None:
    """A quad that stands in x and z; its picture is red above and black below."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = (0, 0, 250)
    cv2.imwrite(str(path.parent / "picture.png"), pixels)
    stage = new_stage(path)
    quad = UsdGeom.Mesh.Define(stage, "/World/quad")
    quad.CreatePointsAttr([Gf.Vec3f(0, 0, 0), Gf.Vec3f(1, 0, 0), Gf.Vec3f(1, 0, 1), Gf.Vec3f(0, 0, 1)])
    quad.CreateFaceVertexCountsAttr([4])
    quad.CreateFaceVertexIndicesAttr([0, 1, 2, 3])
    coordinates = UsdGeom.PrimvarsAPI(quad).CreatePrimvar(
        "map1", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying
    )
    coordinates.Set([Gf.Vec2f(0, 0), Gf.Vec2f(far, 0), Gf.Vec2f(far, 1), Gf.Vec2f(0, 1)])
    material = preview(stage, "/World/painted")
    reader = UsdShade.Shader.Define(stage, "/World/painted/reader")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("map1")
    image = UsdShade.Shader.Define(stage, "/World/painted/image")
    image.CreateIdAttr("UsdUVTexture")
    image.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(Sdf.AssetPath("./picture.png"))
    image.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(reader.ConnectableAPI(), "result")
    surface = UsdShade.Shader(stage.GetPrimAtPath("/World/painted/surface"))
    surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(
        image.ConnectableAPI(), "rgb"
    )
    bind(quad, material)
    stage.Save()


def test_a_picture_keeps_its_way_up_and_one_that_repeats_becomes_its_mean(tmp_path: Path) -> None:
    textured_quad(tmp_path / "quad.usda")
    (part,) = read_mesh(tmp_path / "quad.usda", 1.0, "y", 0.0, "quad").parts
    assert part.uvs is not None
    assert part.material.texture is not None
    upper = part.vertices[:, 2] > 0.5
    assert part.uvs[upper, 1] == pytest.approx(0.0)
    assert part.uvs[~upper, 1] == pytest.approx(1.0)
    assert tuple(part.material.texture[0, 0]) == (250, 0, 0)
    textured_quad(tmp_path / "tiled.usda", far=3.0)
    (part,) = read_mesh(tmp_path / "tiled.usda", 1.0, "y", 0.0, "quad").parts
    assert part.material.texture is None
    assert part.material.color == pytest.approx((125 / 255, 0, 0), abs=0.01)


def test_a_recipe_takes_it_and_the_plan_guards_all_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALLETJACK_ASSETS", str(tmp_path / "assets.yaml"))
    mesh_family.cache_clear()
    catalog._build.cache_clear()
    folder = tmp_path / "mine"
    folder.mkdir()
    textured_quad(folder / "quad.usda")
    add_pack("mine", AssetPack(folder=folder, licence="CC0-1.0"))
    params = catalog.sample("assets:mine/quad", np.random.default_rng(0))
    assert catalog.build("assets:mine/quad", params).bounds()[1][2] == pytest.approx(1.0)
    before = usd_digest(folder / "quad.usda")
    cv2.imwrite(str(folder / "picture.png"), np.full((8, 8, 3), 90, np.uint8))
    assert usd_digest(folder / "quad.usda") != before
    catalog._build.cache_clear()
    with pytest.raises(AssetError, match=r"quad.usda: expected the file with SHA-256"):
        catalog.build("assets:mine/quad", params)
    (folder / "picture.png").unlink()
    with pytest.raises(AssetError, match=r"quad.usda: .*did not find .*picture.png"):
        read_mesh(folder / "quad.usda", 1.0, "y", 0.0, "quad")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.usda").write_text("#usda 1.0\ndef Mesh {")
    with pytest.raises(AssetError, match=r"torn.usda: expected a USD file"):
        read_mesh(tmp_path / "torn.usda", 1.0, "y", 0.0, "torn")
    stage = new_stage(tmp_path / "ball.usda")
    UsdGeom.Sphere.Define(stage, "/World/ball")
    stage.Save()
    with pytest.raises(AssetError, match=r"ball.usda: /World/ball: expected a Mesh, found a Sphere"):
        read_mesh(tmp_path / "ball.usda", 1.0, "y", 0.0, "ball")
    stage = new_stage(tmp_path / "wrong.usda")
    cube(stage, "/World/box").GetFaceVertexIndicesAttr().Set([9] * 24)
    stage.Save()
    with pytest.raises(AssetError, match=r"wrong.usda: /World/box: expected faces over 8 points"):
        read_mesh(tmp_path / "wrong.usda", 1.0, "y", 0.0, "wrong")
