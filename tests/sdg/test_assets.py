"""A user's own mesh file as a labelled object and as a distractor, from file to label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml
from PIL import Image
from tests.sdg.recipes import small_frames, without_goods, without_trucks
from tests.sdg.scenes import at, looking_along_x, scene
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_sdg.asset_index import AssetError, AssetPack, add_pack
from palletjack_sdg.compose import build_scene
from palletjack_sdg.frame_plan import FramePlan, ObjectPlan
from palletjack_sdg.labels import label_frame
from palletjack_sdg.objects import catalog
from palletjack_sdg.objects.mesh_file import mesh_family, read_mesh
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import Recipe, RecipeError, load_recipe
from palletjack_sdg.render import RenderError, RenderSettings, create_renderer
from palletjack_sdg.scene import Instance


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A red box with a blue mast, in centimetres and y up as glTF has it: 1.2 x 0.6 x 1.5 m."""
    monkeypatch.setenv("PALLETJACK_ASSETS", str(tmp_path / "index" / "assets.yaml"))
    mesh_family.cache_clear()
    catalog._build.cache_clear()
    body = trimesh.creation.box((120.0, 50.0, 60.0))
    body.apply_translation((300.0, 25.0, 0.0))
    mast = trimesh.creation.box((10.0, 100.0, 10.0))
    mast.apply_translation((300.0, 100.0, 0.0))
    for mesh, color in ((body, (200, 20, 20, 255)), (mast, (20, 20, 200, 255))):
        material = trimesh.visual.material.PBRMaterial(baseColorFactor=color, roughnessFactor=0.3)
        mesh.visual = trimesh.visual.TextureVisuals(material=material)
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    trimesh.Scene([body, mast]).export(meshes / "tugger.glb")
    return meshes


def add(folder: Path, label: str | None) -> None:
    add_pack("mine", AssetPack(folder=folder, licence="CC0-1.0", scale=0.01, up="y", label=label))


def is_tugger(item: ObjectPlan) -> bool:
    return item.family == "assets:mine/tugger"


def with_object(name: str) -> Recipe:
    tree = small_frames()
    tree["distractors"].update(goods={name: 1.0}, clutter={name: 1.0}, clutter_count=[4, 8])
    return without_trucks(Recipe.model_validate(tree))


def test_a_file_becomes_metres_upright_on_the_floor(folder: Path) -> None:
    prop = read_mesh(folder / "tugger.glb", 0.01, "y", 0.0, "tugger")
    low, high = prop.bounds()
    assert low == pytest.approx((-0.6, -0.3, 0.0), abs=1e-5)
    assert high == pytest.approx((0.6, 0.3, 1.5), abs=1e-5)
    by_top = sorted(prop.parts, key=lambda part: part.vertices[:, 2].max())
    assert by_top[0].material.color[0] > 0.7 > 0.2 > by_top[0].material.color[2]
    assert by_top[1].material.color[2] > 0.7
    assert by_top[0].material.roughness == pytest.approx(0.3)
    # Faces still wind outwards: a mirrored mesh would have a negative volume.
    for part in prop.parts:
        assert trimesh.Trimesh(part.vertices, part.faces).volume > 0
    turned = read_mesh(folder / "tugger.glb", 0.01, "y", 90.0, "tugger").bounds()[1]
    assert turned == pytest.approx((0.3, 0.6, 1.5), abs=1e-5)


def test_a_texture_keeps_its_way_up(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = (250, 0, 0)
    quad = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(pixels))
    quad.visual = trimesh.visual.TextureVisuals([[0, 0], [1, 0], [1, 1], [0, 1]], material=material)
    quad.export(tmp_path / "quad.glb")
    (part,) = read_mesh(tmp_path / "quad.glb", 1.0, "y", 0.0, "quad").parts
    assert part.uvs is not None
    assert part.material.texture is not None
    # The upper vertices look at the image's red upper rows: v points down.
    upper = part.vertices[:, 2] > 0.5
    assert part.uvs[upper, 1] == pytest.approx(0.0)
    assert part.uvs[~upper, 1] == pytest.approx(1.0)
    assert tuple(part.material.texture[0, 0]) == (250, 0, 0)


@pytest.mark.parametrize(("colour", "left"), [("", 1.0), ("Kd 1 1 1\n", 1.0), ("Kd 0.5 0.5 0.5\n", 0.5)])
def test_a_picture_without_a_colour_is_shown_as_it_is(tmp_path: Path, colour: str, left: float) -> None:
    Image.new("RGB", (8, 8), (200, 100, 40)).save(tmp_path / "wood.png")
    (tmp_path / "board.mtl").write_text(f"newmtl wood\n{colour}map_Kd wood.png\n")
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
    (tmp_path / "board.obj").write_text(f"mtllib board.mtl\n{corners}usemtl wood\nf 1/1 2/2 3/3\n")
    (part,) = read_mesh(tmp_path / "board.obj", 1.0, "y", 0.0, "board").parts
    texture = part.material.texture
    assert texture is not None
    assert texture[0, 0] * np.array(part.material.color) == pytest.approx(
        np.array([200, 100, 40]) * left, abs=1.0
    )


@pytest.mark.parametrize("label", ["tugger", None])
def test_a_recipe_places_it_and_the_plan_rebuilds_it(folder: Path, label: str | None) -> None:
    add(folder, label)
    recipe = with_object("assets:mine/tugger")
    # Not every frame has room for one of every kind.
    plans = (plan_frame(recipe, 3, index) for index in range(10))
    planned = next(plan for plan in plans if any(map(is_tugger, plan.objects)))
    first = planned.index
    assert {item.label for item in filter(is_tugger, planned.objects)} == {label}
    plan = FramePlan.model_validate_json(planned.model_dump_json())
    assert plan == plan_frame(recipe, 3, first)
    assert str(folder) not in plan.model_dump_json()
    catalog._build.cache_clear()
    build_scene(plan)
    # Another file under the same name is not taken for it.
    trimesh.creation.box((10.0, 10.0, 10.0)).export(folder / "tugger.glb")
    catalog._build.cache_clear()
    with pytest.raises(ValueError, match=r"tugger.glb: expected the file with SHA-256"):
        build_scene(plan)


@pytest.mark.render
def test_it_is_labelled_where_it_stands(folder: Path) -> None:
    add(folder, "tugger")
    try:
        renderer = create_renderer(RenderSettings(spp=1, max_depth=2, denoise=False, variant="cpu"))
    except RenderError as error:
        pytest.skip(str(error))
    prop = catalog.build("assets:mine/tugger", catalog.sample("assets:mine/tugger", np.random.default_rng(0)))
    camera = looking_along_x(640, 368)
    content = scene(camera, Instance(1, prop, at(5.0, 0.0, 90.0), "tugger"))
    result = renderer.render(content)
    (found,) = label_frame(content, result)
    assert found.class_name == "tugger"
    assert found.dimensions == pytest.approx((1.5, 0.6, 1.2), abs=1e-4)
    # Its near face lies at 4.7 m and is 1.2 m wide.
    assert found.width_px == pytest.approx(1.2 * camera.focal_px / 4.7, abs=2.0)


@pytest.mark.long
def test_it_stands_where_pallet_trucks_do_but_carries_nothing(folder: Path) -> None:
    add(folder, "tugger")
    tree = load_recipe("warehouse_v1").model_dump(mode="json")
    tree["trucks"].update(
        families={"palletjack": 0.5, "assets:mine/tugger": 0.5}, empty_frames=0.0, carton_on_forks=1.0
    )
    mixed = without_goods(Recipe.model_validate(tree))
    stands: dict[str, set[str]] = {"palletjack": set(), "assets:mine/tugger": set()}
    for index in range(14):
        plan = plan_frame(mixed, 5, index)
        trucks = [entry for entry in plan.objects if entry.role == "truck"]
        for truck in trucks:
            stands[truck.family].add(str(truck.state))
            assert truck.label == ("tugger" if is_tugger(truck) else "palletjack")
            group = [entry for entry in plan.objects if entry.group == truck.group and entry.id != truck.id]
            assert group == [] or not is_tugger(truck), "a mesh carries nothing and nobody pulls it"
    assert {"free_standing", "beside"} <= stands["assets:mine/tugger"]
    assert not {"inserted", "pulled"} & stands["assets:mine/tugger"]
    assert "inserted" in stands["palletjack"]
    tree["trucks"]["families"] = {"forklift": 1.0}
    with pytest.raises(ValueError, match=r"expected palletjack or assets:PACK/NAME, found 'forklift'"):
        Recipe.model_validate(tree)


def test_what_is_wrong_is_named(folder: Path, tmp_path: Path) -> None:
    add(folder, None)
    recipe = tmp_path / "mine.yaml"
    tree = load_recipe("warehouse_v1").model_dump(mode="json")
    tree["distractors"]["clutter"] = {"assets:mine/tuger": 1.0}
    recipe.write_text(yaml.safe_dump(tree))
    with pytest.raises(RecipeError, match=r"clutter.*no object 'tuger' in the pack; did you mean 'tugger'"):
        load_recipe(recipe)
    with pytest.raises(AssetError, match="no pack 'yours'"):
        mesh_family("assets:yours/tugger")
    with pytest.raises(AssetError, match="expected mesh files"):
        add_pack("empty", AssetPack(folder=tmp_path / "index", licence="CC0-1.0"))
    (folder / "torn.glb").write_bytes(b"glTF torn")
    with pytest.raises(AssetError, match=r"torn.glb: expected a mesh file"):
        read_mesh(folder / "torn.glb", 1.0, "y", 0.0, "torn")


def test_the_commands_add_list_and_check(folder: Path) -> None:
    run = CliRunner()
    added = ["assets", "add", str(folder), "--name", "mine", "--licence", "CC0-1.0", "--scale", "0.01"]
    assert run.invoke(app, added).output == "mine: 1 objects\n"
    listed = run.invoke(app, ["assets", "list"]).output
    assert "CC0-1.0, not labelled" in listed
    assert "  assets:mine/tugger\n" in listed
    checked = run.invoke(app, ["assets", "check"])
    assert checked.output == "assets:mine/tugger: 1.20 x 0.60 x 1.50 m, 24 triangles\n"
    (folder / "torn.obj").write_text("")
    assert run.invoke(app, ["assets", "check"]).exit_code == 1
    assert run.invoke(app, [*added[:4], "a/b", *added[5:]]).exit_code == 2
