"""A USD environment in place of the scenario's hall: what is loaded, where it lies, what it is held to."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from palletjack_detection.guard import RobotPose
from palletjack_sdg.isaac_sim.app import IsaacSimError
from palletjack_sdg.isaac_sim.usd_environment import ENVIRONMENT_PATH, Environment, Origin
from palletjack_sim.isaac_sim.clearance import ENVIRONMENT_ID, Clearance
from palletjack_sim.isaac_sim.environment import (
    add_environment,
    choose_hall,
    load_environments,
    settle_environment,
    without_hall,
)
from palletjack_sim.isaac_sim.environment_outline import cut, environment_outline
from palletjack_sim.isaac_sim.world_stage import write_world
from palletjack_sim.scenario import Robot, Room, load_scenario, shipped_scenarios
from palletjack_sim.world import World, build_world
from tests.sim.isaac_sim.test_run import NOVA_CARTER, TOPICS, run, write_robot

pytest.importorskip("pxr")
pytest.importorskip("mujoco")
from pxr import Gf, Usd, UsdGeom, UsdLux, UsdPhysics

WAREHOUSE = load_environments()["simple_warehouse"]
# A wall in the environment's metres: low and high corner.
WALL = ((-2.0, 0.0, 0.0), (2.0, 0.2, 3.0))
FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def write_environment(
    path: Path, *, metres: float = 1.0, axis: str = "Z", light: bool = True, wall: bool = True
) -> Path:
    """A floor of 40 m and a wall, in units and with an up axis of choice, as a warehouse's file has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageMetersPerUnit(stage, metres)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y if axis == "Y" else UsdGeom.Tokens.z)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/Root").GetPrim())
    add_box(stage, "/Root/floor", ((-20.0, -20.0, -0.1), (20.0, 20.0, 0.0)), metres, axis)
    if wall:
        add_box(stage, "/Root/wall", WALL, metres, axis)
    if light:
        lamp = UsdLux.RectLight.Define(stage, "/Root/lamp")
        lamp.AddTranslateOp().Set(Gf.Vec3d(0.0, 0.0, 5.0 / metres))
        lamp.CreateIntensityAttr(20.0)
        lamp.CreateColorAttr(Gf.Vec3f(1.0))
        lamp.CreateWidthAttr(2.0)
        lamp.CreateHeightAttr(2.0)
    UsdPhysics.Scene.Define(stage, "/Root/physics")
    stage.GetRootLayer().Save()
    return path


def add_box(stage: Any, path: str, corners: Any, metres: float, axis: str) -> None:
    low, high = corners
    points = np.array(
        [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    if axis == "Y":
        points = points[:, [0, 2, 1]] * [1.0, 1.0, -1.0]
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePointsAttr([Gf.Vec3f(*(point / metres).tolist()) for point in points])
    triangles = [(face[0], face[k], face[k + 1]) for face in FACES for k in (1, 2)]
    mesh.CreateFaceVertexCountsAttr([3] * len(triangles))
    mesh.CreateFaceVertexIndicesAttr([index for triangle in triangles for index in triangle])
    UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())


def placed(file: Path, origin: Origin) -> Any:
    """A stage like the scenario's with the environment in it."""
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdLux.RectLight.Define(stage, "/World/Lights/light_000")
    UsdPhysics.Scene.Define(stage, "/World/PhysicsScene")
    environment = Environment(file.name, str(file), False, origin)
    add_environment(stage, environment, lambda: pytest.fail("no asset root is needed"))
    settle_environment(stage, environment)
    return stage


def bounds(stage: Any, path: str) -> tuple[list[float], list[float]]:
    cache = UsdGeom.BBoxCache(Usd.TimeCode.Default(), ["default"])
    box = cache.ComputeWorldBound(stage.GetPrimAtPath(path)).ComputeAlignedRange()
    return list(box.GetMin()), list(box.GetMax())


@pytest.mark.parametrize(("metres", "axis"), [(1.0, "Z"), (0.01, "Z"), (0.01, "Y")])
def test_the_scenario_s_origin_lies_where_it_is_said(tmp_path: Path, metres: float, axis: str) -> None:
    file = write_environment(tmp_path / "place.usda", metres=metres, axis=axis)
    stage = placed(file, Origin(x=1.0, y=-7.0, yaw_deg=90.0))
    low, high = bounds(stage, f"{ENVIRONMENT_PATH}/model/wall")
    # Seen from (1, -7) along y, the wall from x = -2 to 2 is 7 m ahead, from 3 m left to 1 m right.
    assert low == pytest.approx([7.0, -1.0, 0.0], abs=1e-5)
    assert high == pytest.approx([7.2, 3.0, 3.0], abs=1e-5)


def test_one_physics_scene_and_the_environment_s_lights_are_left(tmp_path: Path) -> None:
    stage = placed(write_environment(tmp_path / "lit.usda"), Origin(x=0.0, y=0.0))
    assert [str(prim.GetPath()) for prim in stage.Traverse() if prim.IsA(UsdPhysics.Scene)] == [
        "/World/PhysicsScene"
    ]
    lights = [str(prim.GetPath()) for prim in stage.Traverse() if prim.HasAPI(UsdLux.LightAPI)]
    assert lights == [f"{ENVIRONMENT_PATH}/model/lamp"]
    dark = placed(write_environment(tmp_path / "dark.usda", light=False), Origin(x=0.0, y=0.0))
    assert dark.GetPrimAtPath("/World/Lights/light_000")


def test_an_environment_without_shapes_or_default_prim_is_refused(tmp_path: Path) -> None:
    empty = Usd.Stage.CreateNew(str(tmp_path / "empty.usda"))
    empty.SetDefaultPrim(UsdGeom.Xform.Define(empty, "/Root").GetPrim())
    empty.GetRootLayer().Save()
    with pytest.raises(IsaacSimError, match=r"empty\.usda: expected an environment with shapes"):
        placed(tmp_path / "empty.usda", Origin(x=0.0, y=0.0))
    rootless = Usd.Stage.CreateNew(str(tmp_path / "rootless.usda"))
    UsdGeom.Cube.Define(rootless, "/Cube")
    rootless.GetRootLayer().Save()
    with pytest.raises(IsaacSimError, match=r"rootless\.usda: environment: expected a default prim"):
        placed(tmp_path / "rootless.usda", Origin(x=0.0, y=0.0))
    (tmp_path / "torn.usda").write_text("#usda 1.0\ndef {")
    for name in ("torn.usda", "missing.usda"):
        with pytest.raises(IsaacSimError, match=f"{name}: environment: expected a USD file, found none"):
            placed(tmp_path / name, Origin(x=0.0, y=0.0))


def test_choices_of_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_hall("hall", "") is None
    shipped = choose_hall("simple_warehouse", "")
    assert shipped == Environment("simple_warehouse", WAREHOUSE.url, True, WAREHOUSE.origin)
    moved = choose_hall("simple_warehouse", "-1,2.5,-90")
    assert moved is not None
    assert moved.origin == Origin(x=-1.0, y=2.5, yaw_deg=-90.0)
    full = "/Isaac/Environments/Simple_Warehouse/full_warehouse.usd"
    assert choose_hall(full, "") == Environment(full, full, True, Origin(x=0.0, y=0.0))
    address = "omniverse://server/place.usd"
    assert choose_hall(address, "") == Environment(address, address, False, Origin(x=0.0, y=0.0))
    monkeypatch.chdir(tmp_path)
    ours = choose_hall("ours.usdz", "")
    assert ours is not None
    assert (ours.url, ours.is_of_assets) == (str(tmp_path / "ours.usdz"), False)


@pytest.mark.parametrize(
    ("choice", "origin", "message"),
    [
        ("warehous", "", r"--environment: expected one of hall, simple_warehouse, a USD file.*'warehous'"),
        ("simple_warehouse", "1,2", "--environment-origin: expected X,Y,YAW .*found '1,2'"),
        ("simple_warehouse", "1,2,nan", "--environment-origin: expected X,Y,YAW"),
        ("hall", "1,2,3", "--environment-origin: expected --environment with it"),
    ],
)
def test_wrong_choices_are_named(choice: str, origin: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_hall(choice, origin)


def test_the_hall_is_left_out_and_the_rest_is_not(tmp_path: Path) -> None:
    scenario = load_scenario("pulled_across")
    world = build_world(scenario, 0)
    bare = without_hall(world, scenario)
    assert sorted(world.names.values()) == ["person", "rack", "truck"]
    assert sorted(bare.names.values()) == ["person", "truck"]
    assert {item.instance_id for item in bare.instances} == set(bare.names) == set(bare.motions)
    write_world(bare, scenario, tmp_path / "world.usda")
    stage = Usd.Stage.Open(str(tmp_path / "world.usda"))
    assert not stage.GetPrimAtPath("/World/Room")
    assert len(stage.GetPrimAtPath("/World/Objects").GetChildren()) == 2
    # The robot stands on it whatever the environment's floor is.
    assert stage.GetPrimAtPath("/World/Ground")


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_truck_of_a_shipped_scenario_is_put_into_the_environment(name: str) -> None:
    scenario = load_scenario(name)
    world = build_world(scenario, 0)
    bare = without_hall(world, scenario)
    assert bare.trucks == world.trucks
    assert {world.names[item.instance_id] for item in bare.instances} == {
        item.name for item in scenario.objects if item.family != "rack"
    }


def test_the_environment_is_an_obstacle_by_its_outline(tmp_path: Path) -> None:
    file = write_environment(tmp_path / "place.usda", metres=0.01)
    stage = placed(file, Origin(x=0.0, y=-3.0, yaw_deg=90.0))
    outline = environment_outline(stage, Room(low=(-4.0, -5.0), high=(18.0, 5.0)), height=0.35)
    low, high = outline.min(axis=0), outline.max(axis=0)
    assert low == pytest.approx([3.0, -2.0], abs=1e-5)
    assert high == pytest.approx([3.2, 2.0], abs=1e-5)
    nothing = World((), {}, (), (), (0.0, 0.0, 0.0))
    clearance = Clearance(nothing, Robot(length=1.0, width=0.6), outline)
    assert clearance.touched(RobotPose(0.0, 2.4, 0.0, 0.0, 0.0)) == set()
    assert clearance.touched(RobotPose(0.0, 2.51, 0.0, 0.0, 0.0)) == {ENVIRONMENT_ID}
    # Only trucks count as what the robot must keep clear of.
    assert clearance.to(set(), RobotPose(0.0, 2.51, 0.0, 0.0, 0.0)) == 50.0
    beyond = environment_outline(stage, Room(low=(4.0, -5.0), high=(18.0, 5.0)), height=0.35)
    assert len(beyond) == 0


def test_triangles_are_cut_by_a_plane() -> None:
    triangle = np.array([[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 2.0]]])
    starts, ends = cut(triangle, 1.0)
    assert sorted([starts[0].tolist(), ends[0].tolist()]) == [[0.0, 0.0], [1.0, 0.0]]
    for height in (-0.1, 0.0, 2.1):
        assert len(cut(triangle, height)[0]) == 0
    # A vertex on the plane: the segment goes from there to the opposite edge.
    leaning = np.array([[[0.0, 0.0, 1.0], [2.0, 0.0, 0.0], [2.0, 0.0, 2.0]]])
    starts, ends = cut(leaning, 1.0)
    assert sorted([starts[0].tolist(), ends[0].tolist()]) == [[0.0, 0.0], [2.0, 0.0]]


@pytest.mark.skipif("ISAACSIM_WHEELS" not in os.environ, reason="ISAACSIM_WHEELS is not set")
def test_shipped_environments_are_spelled_as_in_the_wheels() -> None:
    sources = [
        file
        for file in Path(os.environ["ISAACSIM_WHEELS"]).rglob("*.py")
        if "isaacsim.replicator.examples" in file.parts
    ]
    if not sources:
        pytest.skip("the wheel isaacsim-replicator is not among those unpacked")
    text = "\n".join(file.read_text(encoding="utf-8") for file in sources)
    for name, entry in load_environments().items():
        assert f'"{entry.url}"' in text, name


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    write_robot(folder / NOVA_CARTER.url.lstrip("/"))
    # Beyond the truck, which stands 4.6 m from a start at y = -7.
    write_environment(folder / WAREHOUSE.url.lstrip("/"), metres=0.01)
    return folder


def scenario_file(folder: Path, **changes: Any) -> Path:
    shipped = Path(__file__).parents[3] / "sim" / "palletjack_sim" / "scenarios" / "head_on.yaml"
    content = yaml.safe_load(shipped.read_text())
    content.update(camera={"width": 160, "height_px": 96, "rate_hz": 2.5}, duration=6.0, **changes)
    content["criteria"]["min_distance"] = 0.5
    for item in content["objects"]:
        if item["name"] == "truck":
            item["pose"]["x"] = 4.0
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.long
def test_a_scenario_is_driven_in_nvidia_s_warehouse(assets: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log.json", tmp_path / "out"
    words = ("--scenario", scenario_file(tmp_path), "--topics", TOPICS, "--out", out)
    done = run({"log": str(log), "assets": str(assets)}, *words, "--environment", "simple_warehouse")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((out / "result.json").read_text())
    assert (result["verdict"], result["camera_quality"]) == ("pass", "isaac_sim:simple_warehouse")
    assert result["recall"] == 1.0
    prims = json.loads(log.read_text())["prims"]
    assert f"{ENVIRONMENT_PATH}/model/floor" in prims
    assert not [path for path in prims if path.startswith(("/World/Room", "/World/Lights"))]
    scenario = load_scenario(tmp_path / "scenario.yaml")
    kept = [item for item in scenario.objects if item.family != "rack"]
    assert 0 < len(kept) < len(scenario.objects)
    objects = {path.split("/")[3] for path in prims if path.startswith("/World/Objects/")}
    assert len(objects) == len(kept)


@pytest.mark.long
def test_running_into_the_environment_is_a_collision(assets: Path, tmp_path: Path) -> None:
    file = scenario_file(tmp_path, objects=[])
    out = tmp_path / "out"
    words = ("--scenario", file, "--topics", TOPICS, "--out", out, "--environment", "simple_warehouse")
    setting = {"log": str(tmp_path / "log.json"), "assets": str(assets)}
    done = run(setting, *words, "--environment-origin=0,-2.5,90")
    assert done.returncode == 1, done.stdout + done.stderr
    result = json.loads((out / "result.json").read_text())
    assert result["collisions"] == 1
    assert result["distance_m"] > 1.5
    done = run(setting, *words, "--environment-origin=0,-0.1,90")
    assert done.returncode == 2, done.stdout + done.stderr
    (reason,) = json.loads((out / "result.json").read_text())["reasons"]
    assert "the robot starts inside of something of the environment, at (0.00, 0.00)" in reason


@pytest.mark.parametrize(
    ("setting", "arguments", "message"),
    [
        (
            {},
            ("--environment", "/Isaac/Environments/Nowhere/place.usd"),
            "Nowhere/place.usd: environment: expected",
        ),
        ({}, ("--environment", "there/is/none.usd"), "there/is/none.usd: environment: expected a USD file"),
        ({}, ("--environment", "warehous"), "--environment: expected one of hall, simple_warehouse"),
        ({"assets": ""}, ("--environment", "simple_warehouse"), "no asset root: Could not find assets root"),
        ({"assets": "/nowhere"}, (), "nova_carter.usd: expected a USD file, found none that opens"),
        ({"assets": "/nowhere", "release": "5"}, (), "nova_carter.usd: expected a USD file, found none that"),
    ],
)
def test_missing_assets_are_said_with_exit_code_2(
    setting: dict[str, Any], arguments: tuple[str, ...], message: str, assets: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = {"log": str(tmp_path / "log.json"), "assets": str(assets), **setting}
    scenario = scenario_file(tmp_path)
    done = run(words, "--scenario", scenario, "--topics", TOPICS, "--out", out, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    result = json.loads((out / "result.json").read_text())
    assert result["verdict"] == "error"
    assert message in result["reasons"][0]
    assert math.isclose(result["distance_m"], 0.0)
