"""A USD environment in place of the plan's room, with a file that is in centimetres and y up."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from palletjack_sdg.compose import build_scene
from palletjack_sdg.inspect_dataset import inspect_dataset
from palletjack_sdg.isaac_sim.app import IsaacSimError
from palletjack_sdg.isaac_sim.surroundings import (
    BUILDING,
    Surroundings,
    choose_surroundings,
    frame_middle,
    load_environments,
    open_surroundings,
    settle,
    without_room,
)
from palletjack_sdg.isaac_sim.usd_environment import Environment, Origin
from palletjack_sdg.objects import catalog
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import load_recipe
from palletjack_sdg.scene import Scene
from tests.isaac_sim.forked_runs import run_forked

pytest.importorskip("pxr")
from pxr import Gf, Usd, UsdGeom, UsdLux

from palletjack_sdg.isaac_sim.stage import write_stage

NO_DISTRACTORS = Path(__file__).parents[2] / "sdg" / "palletjack_sdg" / "recipes" / "no_distractors.yaml"


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    recipe = load_recipe("warehouse_v1")
    # Between them these have every kind of thing that hung on the room in the first six.
    return [build_scene(plan_frame(recipe, 3, index)) for index in (0, 4, 5)]


@pytest.fixture(scope="module")
def scene(scenes: list[Scene]) -> Scene:
    return next(item for item in scenes if any(thing.label for thing in item.instances))


def write_hall(
    path: Path, *, light: bool = True, shape: bool = True, default: bool = True, screen: bool = False
) -> str:
    """A floor of 60 m x 60 m in centimetres, y up; a mark at (x 4 m, y 3 m) with z up. ``screen``: a wall."""
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageMetersPerUnit(stage, 0.01)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    root = UsdGeom.Xform.Define(stage, "/Hall")
    if default:
        stage.SetDefaultPrim(root.GetPrim())
    if shape:
        add_quad(stage, "floor", [(-3000, 0, -3000), (3000, 0, -3000), (3000, 0, 3000), (-3000, 0, 3000)])
        add_quad(stage, "mark", [(400, 0, -300), (410, 0, -300), (410, 0, -310), (400, 0, -310)])
    if screen:
        add_quad(stage, "screen", [(0, 0, -3000), (0, 0, 3000), (0, 1000, 3000), (0, 1000, -3000)])
    if light:
        sky = UsdLux.DomeLight.Define(stage, "/Hall/sky")
        sky.CreateIntensityAttr(3.0)
        sky.CreateColorAttr(Gf.Vec3f(1, 1, 1))
    stage.GetRootLayer().Save()
    return path.as_posix()


def add_quad(stage: Usd.Stage, name: str, corners: list[tuple[float, float, float]]) -> None:
    mesh = UsdGeom.Mesh.Define(stage, f"/Hall/{name}")
    mesh.CreatePointsAttr([Gf.Vec3f(*corner) for corner in corners])
    mesh.CreateFaceVertexCountsAttr([3, 3])
    mesh.CreateFaceVertexIndicesAttr([0, 1, 2, 0, 2, 3])


def nowhere() -> str:
    raise AssertionError("the asset root was asked for")


def test_the_origin_lies_in_the_middle_of_the_frame(scene: Scene, tmp_path: Path) -> None:
    url = write_hall(tmp_path / "hall.usda")
    bare = without_room(scene)
    # The mark is 2 m ahead of the origin, whose x runs along the environment's y.
    surroundings = open_surroundings(
        Environment("ours", url, False, Origin(x=4.0, y=1.0, yaw_deg=90.0)), nowhere
    )
    write_stage(bare, tmp_path / "frame.usda", surroundings=surroundings)
    stage = Usd.Stage.Open(str(tmp_path / "frame.usda"))
    mark = UsdGeom.Mesh(stage.GetPrimAtPath("/World/Environment/inside/model/mark"))
    world = np.array(UsdGeom.XformCache().GetLocalToWorldTransform(mark.GetPrim()))
    point = np.append(np.array(mark.GetPointsAttr().Get()[0], dtype=float), 1.0) @ world
    np.testing.assert_allclose(point[:2] - frame_middle(bare), [2.0, 0.0], atol=1e-6)
    assert point[2] == pytest.approx(0.0, abs=1e-9)


def test_the_middle_is_between_camera_and_trucks(scene: Scene) -> None:
    camera = scene.camera.pose.copy()
    truck = next(item for item in scene.instances if item.label is not None)
    camera[:2, 3], pose = (1.0, 2.0), truck.pose.copy()
    pose[:2, 3] = (5.0, -4.0)
    other = next(item for item in scene.instances if item.label is None)
    moved = replace(
        scene, camera=replace(scene.camera, pose=camera), instances=(replace(truck, pose=pose), other)
    )
    np.testing.assert_allclose(frame_middle(moved), [3.0, -1.0])


def test_the_room_goes_and_what_hangs_on_it(scenes: list[Scene]) -> None:
    gone = set()
    for scene in scenes:
        bare = without_room(scene)
        assert bare.surfaces == ()
        assert bare.lights == scene.lights
        kept = {item.instance_id for item in bare.instances}
        assert kept < {item.instance_id for item in scene.instances}
        left = [item for item in scene.instances if item.instance_id not in kept]
        assert all(item.label is None for item in left)
        gone |= {item.prop.category for item in left}
        # Whatever stays stands on the floor or on what stays.
        assert not any(item.prop.category in BUILDING for item in bare.instances)
    assert {"light_fixture"} < gone <= BUILDING
    assert {"palletjack", "rack"} <= {
        item.prop.category for scene in scenes for item in scene.instances
    } - gone


def test_families_of_the_building_exist() -> None:
    for family in BUILDING:
        catalog.sample(family, np.random.default_rng(0))


def stage_with(url: str, path: Path, scene: Scene) -> tuple[Usd.Stage, Surroundings]:
    surroundings = open_surroundings(Environment("ours", url, False, Origin()), nowhere)
    write_stage(without_room(scene), path, surroundings=surroundings)
    return Usd.Stage.Open(str(path)), surroundings


def test_lights_of_the_environment_replace_the_plans(scene: Scene, tmp_path: Path) -> None:
    stage, surroundings = stage_with(write_hall(tmp_path / "lit.usda"), tmp_path / "a.usda", scene)
    settle(stage, surroundings)
    assert not stage.GetPrimAtPath("/World/Lights").IsActive()
    stage, surroundings = stage_with(
        write_hall(tmp_path / "dark.usda", light=False), tmp_path / "b.usda", scene
    )
    settle(stage, surroundings)
    assert stage.GetPrimAtPath("/World/Lights").IsActive()


def test_what_cannot_be_an_environment_is_named(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(IsaacSimError, match=r"none\.usda: environment: expected a USD file"):
        open_surroundings(Environment("none", str(tmp_path / "none.usda"), False, Origin()), nowhere)
    rootless = write_hall(tmp_path / "rootless.usda", default=False)
    with pytest.raises(IsaacSimError, match="expected a default prim"):
        open_surroundings(Environment("rootless", rootless, False, Origin()), nowhere)
    stage, surroundings = stage_with(
        write_hall(tmp_path / "empty.usda", shape=False, light=False), tmp_path / "c.usda", scene
    )
    with pytest.raises(IsaacSimError, match="expected an environment with shapes"):
        settle(stage, surroundings)


def test_environments_by_name_address_file_and_asset(tmp_path: Path) -> None:
    shipped = load_environments()["simple_warehouse"]
    assert choose_surroundings("hall", "") is None
    assert choose_surroundings("simple_warehouse", "") == Environment(
        "simple_warehouse", shipped.url, True, shipped.origin
    )
    place = Origin(x=1.0, y=2.0, yaw_deg=30.0)
    assert choose_surroundings("simple_warehouse", "1,2,30") == Environment(
        "simple_warehouse", shipped.url, True, place
    )
    assert choose_surroundings("/Isaac/Environments/x.usd", "") == Environment(
        "/Isaac/Environments/x.usd", "/Isaac/Environments/x.usd", True, Origin()
    )
    assert choose_surroundings("https://host/x.usd", "") == Environment(
        "https://host/x.usd", "https://host/x.usd", False, Origin()
    )
    file = str(tmp_path / "x.usda")
    assert choose_surroundings(file, "1,2,30") == Environment(file, file, False, place)
    for choice, origin, message in (
        ("warehouse", "", "--environment: expected one of hall, full_warehouse, simple_warehouse"),
        ("hall", "1,2,3", "--environment-origin: expected --environment with it"),
        ("simple_warehouse", "1,2", "--environment-origin: expected X,Y,YAW"),
        ("simple_warehouse", "1,2,inf", "--environment-origin: expected X,Y,YAW"),
    ):
        with pytest.raises(ValueError, match=message):
            choose_surroundings(choice, origin)


def run(setting: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [json.dumps({"release": "6", **setting}), *map(str, arguments)]
    return run_forked("tests.isaac_sim.run_generate", words)


@pytest.mark.render
def test_a_data_set_in_an_environment(tmp_path: Path) -> None:
    pytest.importorskip("mitsuba")
    folder = tmp_path / "assets" / "Isaac" / "Environments" / "Simple_Warehouse"
    folder.mkdir(parents=True)
    write_hall(folder / "warehouse.usd")
    setting = {"log": str(tmp_path / "calls.json"), "assets": str(tmp_path / "assets")}
    content = yaml.safe_load(NO_DISTRACTORS.read_text())
    content["image"] = {"sizes": [{"width": 480, "height": 272, "weight": 1.0}]}
    recipe = tmp_path / "smaller.yaml"
    recipe.write_text(yaml.safe_dump(content))
    words = ("--recipe", recipe, "--frames", 1, "--annotations")
    screened = write_hall(tmp_path / "screened.usda", screen=True)
    seen = {}
    for name, environment in (("hall",) * 2, ("open", "simple_warehouse"), ("screened", screened)):
        out = tmp_path / name
        done = run(setting, *words, "--environment", environment, "--out", out)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads((out / "dataset.json").read_text())["render"]["environment"] == environment
        if name != "screened":
            assert inspect_dataset(out).problems == []
        entries = json.loads((out / "annotations" / "000000.json").read_text())["instances"]
        seen[name] = {item["id"]: item["visible_pixels"] for item in entries if item["class"]}
    assert seen["hall"]
    assert min(seen["hall"].values()) > 100
    assert seen["open"] == seen["hall"]
    # The screen stands in the middle between camera and trucks.
    assert set(seen["screened"].values()) <= {0}
    assert (tmp_path / "screened" / "labels" / "000000.txt").read_text() == ""
    images = [cv2.imread(str(tmp_path / name / "images" / "000000.jpg")) for name in ("hall", "open")]
    assert np.abs(np.subtract(*(image.astype(float) for image in images))).mean() > 10.0


@pytest.mark.render
def test_a_missing_environment_is_told_before_the_first_frame(tmp_path: Path) -> None:
    setting = {"log": str(tmp_path / "calls.json"), "assets": str(tmp_path)}
    done = run(setting, "--frames", 1, "--environment", "simple_warehouse", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "warehouse.usd: environment: expected a USD file, found none that opens" in done.stderr
    done = run({**setting, "assets": ""}, "--environment", "simple_warehouse", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "Isaac Sim 6.2.0: no asset root" in done.stderr
    done = run(setting, "--environment", "warehaus", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "--environment: expected one of hall" in done.stderr
    assert not (tmp_path / "out").exists()
