"""The closed-loop script from its command line to a verdict, against the stand-in."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from palletjack_detection.guard import RobotPose
from palletjack_sdg.geometry import Prop
from palletjack_sdg.scene import Instance
from palletjack_sim.isaac_sim.clearance import Clearance
from palletjack_sim.isaac_sim.robot import (
    RobotError,
    choose_camera,
    find_prims,
    load_robots,
    mount_camera,
    set_optics,
    spec_of_camera,
)
from palletjack_sim.isaac_sim.world_stage import write_world
from palletjack_sim.scenario import CameraSpec, Pose, Robot, load_scenario
from palletjack_sim.world import World, build_world, camera_mount_matrix, pose_matrix
from tests.isaac_sim.forked_runs import run_forked
from tests.sim.plain_objects import box_part

pytest.importorskip("pxr")
pytest.importorskip("mujoco")
from pxr import Gf, Usd, UsdGeom, UsdPhysics

ROOT = Path(__file__).parents[3]
TOPICS = ROOT / "ros2_ws" / "src" / "palletjack_detection" / "config" / "topics.yaml"
SHIPPED = ROOT / "sim" / "palletjack_sim" / "scenarios" / "head_on.yaml"
BOX_ID = 7
NOVA_CARTER = load_robots()["nova_carter"]


def write_robot(path: Path) -> None:
    """A robot like Nova Carter: root with a transform, chassis with a camera that looks ahead, two wheels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = Usd.Stage.CreateNew(str(path))
    root = UsdGeom.Xform.Define(stage, "/nova_carter")
    stage.SetDefaultPrim(root.GetPrim())
    chassis = UsdGeom.Xform.Define(stage, "/nova_carter/chassis_link")
    chassis.AddTranslateOp().Set(Gf.Vec3d(0.0, 0.0, 0.14))
    UsdPhysics.RigidBodyAPI.Apply(chassis.GetPrim())
    UsdPhysics.ArticulationRootAPI.Apply(chassis.GetPrim())
    for name in NOVA_CARTER.wheel_joints:
        UsdPhysics.RevoluteJoint.Define(stage, f"/nova_carter/{name}")
    camera = UsdGeom.Camera.Define(stage, "/nova_carter/chassis_link/front_hawk/left/camera_left")
    # Optical axes of a camera that looks along x of the chassis, 10 degrees down, in USD's way.
    mount = camera_mount_matrix(CameraSpec(forward=0.1, height=0.26, pitch_down_deg=10.0))
    local = mount @ np.diag([1.0, -1.0, -1.0, 1.0])
    camera.AddTransformOp().Set(Gf.Matrix4d(local.T.tolist()))
    stage.GetRootLayer().Save()


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    write_robot(folder / NOVA_CARTER.url.lstrip("/"))
    return folder


@pytest.fixture(scope="module")
def scenario_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    content = yaml.safe_load(SHIPPED.read_text())
    content["camera"] = {"width": 160, "height_px": 96, "rate_hz": 2.5}
    content["duration"] = 7.0
    content["criteria"]["min_distance"] = 1.0
    content["objects"] = [item for item in content["objects"] if item["name"] == "truck"]
    content["objects"][0]["pose"]["x"] = 4.6
    path = tmp_path_factory.mktemp("scenario") / "head_on.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def run(setting: dict[str, Any], *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [json.dumps(setting), *map(str, arguments)]
    return run_forked("tests.sim.isaac_sim.run_loop", words)


@pytest.mark.long
def test_the_robot_stops_before_the_truck(assets: Path, scenario_file: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log.json", tmp_path / "out"
    setting = {"log": str(log), "assets": str(assets)}
    done = run(setting, "--scenario", scenario_file, "--topics", TOPICS, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((out / "result.json").read_text())
    assert result["verdict"] == "pass"
    assert result["camera_quality"] == "isaac_sim"
    assert 0.5 < result["min_clearance_m"] < 3.0
    assert result["distance_m"] > 1.0
    assert result["recall"] == 1.0
    assert (out / "track.png").exists()
    written = json.loads(log.read_text())
    names = [name for name, _ in written["calls"]]
    enabled = [given["name"] for name, given in written["calls"] if name.endswith("enable_extension")]
    assert enabled[-1] == "isaacsim.ros2.bridge"
    (graph,) = written["graphs"]
    assert names.index("omni.graph.core.Controller.edit") < names.index(
        "isaacsim.core.experimental.utils.app.play"
    )
    values = dict(graph["edit_commands"]["SET_VALUES"])
    assert values["image.inputs:renderProductPath"] == "/Render/0"
    assert values["measure.inputs:chassisPrim"] == ["/World/Robot/model/chassis_link"]
    assert values["wheels.inputs:jointNames"] == ["joint_wheel_left", "joint_wheel_right"]


def test_a_blind_robot_fails(assets: Path, scenario_file: Path, tmp_path: Path) -> None:
    setting = {"log": str(tmp_path / "log.json"), "assets": str(assets), "blind": True, "release": "5"}
    done = run(setting, "--scenario", scenario_file, "--topics", TOPICS, "--out", tmp_path / "out")
    assert done.returncode == 1, done.stdout + done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["collisions"] >= 1
    assert result["min_clearance_m"] == 0.0


@pytest.mark.parametrize(
    ("extra", "arguments", "message"),
    [
        ({"slow": 2.0}, (), "time codes per second are not the control rate"),
        ({}, ("--robot", "jetbot"), "--robot: expected one of nova_carter, found 'jetbot'"),
        ({}, ("--camera", "rear"), "camera 'rear': expected a part of one of"),
        ({"release": "4.5"}, (), "the bridge's graph is for 5.0 and newer"),
    ],
)
def test_what_keeps_a_run_from_a_verdict_is_said(
    extra: dict[str, Any],
    arguments: tuple[str, ...],
    message: str,
    assets: Path,
    scenario_file: Path,
    tmp_path: Path,
) -> None:
    setting = {"log": str(tmp_path / "log.json"), "assets": str(assets), **extra}
    out = tmp_path / "out"
    done = run(setting, "--scenario", scenario_file, "--topics", TOPICS, "--out", out, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    result = json.loads((out / "result.json").read_text())
    assert result["verdict"] == "error"
    assert message in result["reasons"][0]


def stage_with_robot(assets: Path, start: Pose) -> Any:
    stage = Usd.Stage.CreateInMemory()
    robot = UsdGeom.Xform.Define(stage, "/World/Robot")
    robot.AddTransformOp().Set(Gf.Matrix4d(pose_matrix(start).T.tolist()))
    model = stage.DefinePrim("/World/Robot/model", "Xform")
    model.GetReferences().AddReference(str(assets) + NOVA_CARTER.url)
    return stage


def test_cameras_are_placed_and_read_back(assets: Path) -> None:
    start = Pose(x=2.0, y=-1.0, yaw_deg=37.0)
    stage = stage_with_robot(assets, start)
    prims = find_prims(stage, "/World/Robot", NOVA_CARTER)
    assert prims.articulation == prims.chassis == "/World/Robot/model/chassis_link"
    spec = CameraSpec(forward=0.42, height=0.6, pitch_down_deg=3.0)
    base = pose_matrix(start)
    camera = mount_camera(stage, prims.chassis, base, camera_mount_matrix(spec))
    set_optics(stage, camera, spec)
    found = spec_of_camera(stage, camera, base, CameraSpec())
    assert (found.forward, found.height, found.pitch_down_deg) == pytest.approx((0.42, 0.6, 3.0), abs=1e-6)
    frustum = UsdGeom.Camera(stage.GetPrimAtPath(camera)).GetCamera()
    assert frustum.GetFieldOfView(Gf.Camera.FOVHorizontal) == pytest.approx(spec.hfov_deg, abs=1e-3)
    own = choose_camera(prims.cameras, "front_hawk")
    read = spec_of_camera(stage, own, base, CameraSpec())
    assert (read.forward, read.height, read.pitch_down_deg) == pytest.approx((0.1, 0.4, 10.0), abs=1e-6)


def test_a_camera_that_looks_aside_is_refused(assets: Path) -> None:
    stage = stage_with_robot(assets, Pose(x=0.0, y=0.0))
    prims = find_prims(stage, "/World/Robot", NOVA_CARTER)
    turned = pose_matrix(Pose(x=0.0, y=0.0, yaw_deg=30.0)) @ camera_mount_matrix(CameraSpec())
    camera = mount_camera(stage, prims.chassis, np.eye(4), turned)
    with pytest.raises(RobotError, match="turned by 30 degrees"):
        spec_of_camera(stage, camera, np.eye(4), CameraSpec())


def test_a_robot_without_its_parts_is_refused(assets: Path) -> None:
    stage = stage_with_robot(assets, Pose(x=0.0, y=0.0))
    other = NOVA_CARTER.model_copy(update={"chassis": "base"})
    with pytest.raises(RobotError, match="expected a body named base, found chassis_link"):
        find_prims(stage, "/World/Robot", other)
    other = NOVA_CARTER.model_copy(update={"wheel_joints": ("left", "right")})
    with pytest.raises(RobotError, match="expected joints left, right, found joint_wheel_left"):
        find_prims(stage, "/World/Robot", other)
    with pytest.raises(RobotError, match="expected an articulation root, found none among 0 prims"):
        find_prims(stage, "/World/Nothing", NOVA_CARTER)


def test_the_world_is_solid_and_labelled_by_class_only(scenario_file: Path, tmp_path: Path) -> None:
    scenario = load_scenario(scenario_file)
    world = build_world(scenario, 0)
    write_world(world, scenario, tmp_path / "world.usda")
    stage = Usd.Stage.Open(str(tmp_path / "world.usda"))
    assert stage.GetTimeCodesPerSecond() == scenario.control_rate_hz
    meshes = [prim for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)]
    objects = [prim for prim in meshes if str(prim.GetPath()).startswith("/World/Objects/")]
    assert objects
    assert all(prim.HasAPI(UsdPhysics.CollisionAPI) for prim in objects)
    assert [prim for prim in stage.Traverse() if prim.IsA(UsdPhysics.Scene)]
    text = (tmp_path / "world.usda").read_text()
    assert "SemanticsLabelsAPI:class" in text
    assert "palletjack_instance" not in text
    ground = UsdGeom.Cube(stage.GetPrimAtPath("/World/Ground"))
    box = UsdGeom.BBoxCache(0.0, ["default"]).ComputeWorldBound(ground.GetPrim()).ComputeAlignedRange()
    assert box.GetMax()[2] == pytest.approx(0.0)
    assert box.GetMin()[0] == pytest.approx(scenario.room.low[0])


def test_an_empty_hall_is_a_world_too(tmp_path: Path) -> None:
    scenario = load_scenario("camera_lost").model_copy(update={"objects": ()})
    write_world(build_world(scenario, 0), scenario, tmp_path / "world.usda")
    stage = Usd.Stage.Open(str(tmp_path / "world.usda"))
    assert stage.GetPrimAtPath("/World/Ground").HasAPI(UsdPhysics.CollisionAPI)


def box_world(floor: float) -> World:
    """One box of a metre from x = 2 to 3 and y = -0.5 to 0.5, its bottom at ``floor``."""
    prop = Prop("palletjack", (box_part((1.0, 1.0, 1.0), (1.0, 0.0, 0.0)),))
    box = Instance(BOX_ID, prop, pose_matrix(Pose(x=2.5, y=0.0, z=floor)), "palletjack")
    return World((box,), {BOX_ID: "box"}, (), (), (0.0, 0.0, 0.0))


def test_clearance_is_the_distance_between_outlines() -> None:
    world = box_world(floor=0.0)
    robot = Robot(length=1.0, width=0.6)
    clearance = Clearance(world, robot)
    facing = RobotPose(0.0, 0.0, 0.0, 0.0, 0.0)
    assert clearance.to({BOX_ID}, facing) == pytest.approx(1.5, abs=0.01)
    sideways = RobotPose(0.0, 0.0, 0.0, math.pi / 2.0, 0.0)
    assert clearance.to({BOX_ID}, sideways) == pytest.approx(1.7, abs=0.01)
    beside = RobotPose(0.0, 2.5, 1.0, 0.0, 0.0)
    assert clearance.to({BOX_ID}, beside) == pytest.approx(0.2, abs=0.01)
    assert clearance.touched(facing) == set()
    assert clearance.touched(RobotPose(0.0, 1.51, 0.0, 0.0, 0.0)) == {BOX_ID}
    assert clearance.to({99}, facing) == 50.0
    above = Clearance(box_world(floor=0.6), robot)
    assert above.to({BOX_ID}, facing) == 50.0
