"""What a scenario asks beyond standing objects: paths, a wet floor, a camera that comes back."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from palletjack_sdg.isaac_sim.stage import instance_path
from palletjack_sim.ground_truth import GroundTruth
from palletjack_sim.isaac_sim.clearance import Clearance
from palletjack_sim.isaac_sim.graph import fill, load_graph
from palletjack_sim.isaac_sim.movers import Movers
from palletjack_sim.isaac_sim.robot import RobotPrims, load_robots
from palletjack_sim.isaac_sim.run import graph_values
from palletjack_sim.isaac_sim.world_stage import write_world
from palletjack_sim.scenario import Pose, Robot, Scenario, load_scenario
from palletjack_sim.topics import load_topics
from palletjack_sim.world import World, build_world, pose_matrix
from tests.sim.isaac_sim.test_run import BOX_ID, TOPICS, box_world, run, write_robot

pytest.importorskip("pxr")
pytest.importorskip("mujoco")
from pxr import Usd, UsdGeom, UsdPhysics

from palletjack_detection.guard import RobotPose

SHIPPED = Path(__file__).parents[3] / "sim" / "palletjack_sim" / "scenarios"
CAMERA = {"width": 160, "height_px": 96, "rate_hz": 2.5}
# Updates from play to the run's first step: that of play, the first picture, and the bridge's warm-up.
BEFORE_WARM_UP = 2
WARM_UP = 9


@dataclass(frozen=True)
class Done:
    """What a run of the script left."""

    result: dict[str, Any]
    track: list[dict[str, str]]
    places: list[dict[str, Any]]
    calls: list[Any]

    @property
    def began(self) -> float:
        return float(self.track[0]["t"])


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    write_robot(folder / load_robots()["nova_carter"].url.lstrip("/"))
    return folder


def drive(tmp_path: Path, assets: Path, content: dict[str, Any], **setting: Any) -> Done:
    """Run a scenario by the script's command line against the stand-in."""
    tmp_path.mkdir(exist_ok=True)
    file, log, out = tmp_path / "scenario.yaml", tmp_path / "log.json", tmp_path / "out"
    file.write_text(yaml.safe_dump(content))
    words = {"log": str(log), "assets": str(assets), **setting}
    done = run(words, "--scenario", file, "--topics", TOPICS, "--out", out)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    written = json.loads(log.read_text())
    track = list(csv.DictReader((out / "track.csv").open()))
    return Done(json.loads((out / "result.json").read_text()), track, written["places"], written["calls"])


def shipped(name: str, **changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text())
    return {**content, "camera": CAMERA, **changes}


def crossing(tmp_path: Path) -> tuple[dict[str, Any], Scenario, World]:
    """The truck and the person of pulled_across, nearer and sooner."""
    content = shipped("pulled_across", duration=6.0)
    content["objects"] = [item for item in content["objects"] if item["name"] != "rack"]
    for item in content["objects"]:
        item["pose"]["x"] = 5.0
        item["path"].update(points=[[5.0, item["path"]["points"][0][1]]], start=0.5, speed=1.0)
    content["criteria"] = {"min_clearance": 0.3, "min_stops": 1}
    file = tmp_path / "crossing.yaml"
    file.write_text(yaml.safe_dump(content))
    scenario = load_scenario(file)
    return content, scenario, build_world(scenario, 0)


@pytest.fixture(scope="module")
def crossed(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Scenario, World]:
    """The crossing driven behind a graph that took WARM_UP updates to come up."""
    folder = tmp_path_factory.mktemp("crossed")
    content, scenario, world = crossing(folder)
    return drive(folder, assets, content, warm_up=WARM_UP), scenario, world


@pytest.mark.long
def test_objects_follow_their_paths_from_the_run_s_beginning(crossed: tuple[Done, Scenario, World]) -> None:
    """However many updates the graph took to come up."""
    done, scenario, world = crossed
    assert done.result["verdict"] == "pass", done.result["reasons"]
    assert done.began == pytest.approx(0.05 * (BEFORE_WARM_UP + WARM_UP))
    for step in done.places:
        assert set(step["bodies"]) == {instance_path(key) for key in world.motions}
        for key, motion in world.motions.items():
            expected = motion.pose_at(step["stamp"] - done.began)[:3, 3]
            assert step["bodies"][instance_path(key)] == pytest.approx(expected.tolist(), abs=1e-6)
    assert max(step["bodies"][instance_path(1)][1] for step in done.places) > 2.0
    assert min(step["bodies"][instance_path(1)][1] for step in done.places) < -1.0
    # Distances too are those of a world whose time begins with the run.
    clearance, trucks = Clearance(world, scenario.robot), GroundTruth(world).truck_ids
    for row in done.track:
        stamp, x, y, yaw, speed = (float(row[key]) for key in ("t", "x", "y", "yaw", "v"))
        pose = RobotPose(stamp - done.began, x, y, yaw, speed)
        assert float(row["truck_distance"]) == pytest.approx(clearance.to(trucks, pose), abs=1e-4)


def test_what_moves_is_a_kinematic_body_where_it_stood(tmp_path: Path) -> None:
    _, scenario, world = crossing(tmp_path)
    write_world(world, scenario, tmp_path / "world.usda")
    stage = Usd.Stage.Open(str(tmp_path / "world.usda"))
    for item in world.instances:
        prim = stage.GetPrimAtPath(instance_path(item.instance_id))
        placed = np.array(UsdGeom.XformCache().GetLocalToWorldTransform(prim)).T
        assert np.allclose(placed, item.pose)
        assert UsdPhysics.RigidBodyAPI(prim).GetKinematicEnabledAttr().Get() is True
    Movers(stage, world).place(2.0)
    for item in world.instances:
        prim = stage.GetPrimAtPath(instance_path(item.instance_id))
        placed = np.array(UsdGeom.XformCache().GetLocalToWorldTransform(prim)).T
        assert np.allclose(placed, world.pose_at(item, 2.0))
        assert not np.allclose(placed, item.pose)


def test_what_stands_is_no_body(tmp_path: Path) -> None:
    scenario = load_scenario("head_on")
    write_world(build_world(scenario, 0), scenario, tmp_path / "world.usda")
    stage = Usd.Stage.Open(str(tmp_path / "world.usda"))
    assert not [prim for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.RigidBodyAPI)]


def test_clearance_follows_the_path() -> None:
    from palletjack_sim.motion import Motion
    from palletjack_sim.scenario import ObjectPath

    placed = Pose(x=2.5, y=0.0)
    motion = Motion.along(ObjectPath(points=((2.5, 4.0),), speed=1.0, start=1.0), placed, placed)
    world = World(box_world(0.0).instances, {BOX_ID: "box"}, (), (), (0.0, 0.0, 0.0), {BOX_ID: motion})
    clearance = Clearance(world, Robot(length=1.0, width=0.6))
    assert clearance.to({BOX_ID}, RobotPose(1.0, 0.0, 0.0, 0.0, 0.0)) == pytest.approx(1.5, abs=0.01)
    # Two metres to the side by then: its edge is 1.5 m from the middle, the robot's 0.3 m.
    assert clearance.to({BOX_ID}, RobotPose(3.0, 2.5, 0.0, 0.0, 0.0)) == pytest.approx(1.2, abs=0.01)
    assert clearance.touched(RobotPose(1.0, 2.5, 0.0, 0.0, 0.0)) == {BOX_ID}
    assert clearance.touched(RobotPose(3.0, 2.5, 0.0, 0.0, 0.0)) == set()


def test_grip_takes_from_driving_and_braking_but_not_from_turning() -> None:
    scenario = load_scenario("wet_floor")
    limits, grip = scenario.robot.dynamics, scenario.robot.dynamics.grip
    assert grip < 1.0
    chassis = "/World/Robot/model/chassis_link"
    robot, prims = load_robots()["nova_carter"], RobotPrims(chassis, chassis, ())
    values = graph_values(scenario, load_topics(TOPICS), robot, prims, "/Render/0")
    inputs = fill(load_graph(), values).nodes["drive"].inputs
    assert inputs["maxAcceleration"] == pytest.approx(grip * limits.max_acceleration)
    assert inputs["maxDeceleration"] == pytest.approx(grip * limits.max_deceleration)
    assert inputs["maxAngularAcceleration"] == limits.max_angular_acceleration


@pytest.mark.long
def test_on_a_wet_floor_the_robot_needs_longer_to_stop(
    crossed: tuple[Done, Scenario, World], assets: Path, tmp_path: Path
) -> None:
    content = shipped("wet_floor", duration=5.6)
    content["objects"] = [item for item in content["objects"] if item["name"] == "truck"]
    content["objects"][0]["pose"]["x"] = 4.6
    wet = drive(tmp_path, assets, content)
    dry, scenario, _ = crossed
    assert wet.result["collisions"] == dry.result["collisions"] == 0
    slippery, gripping = load_scenario("wet_floor").robot.dynamics, scenario.robot.dynamics
    assert gripping.grip == 1.0
    assert slippery.max_deceleration == gripping.max_deceleration
    for done, limits in ((dry, gripping), (wet, slippery)):
        speed = np.array([step["speed"] for step in done.places])
        braking = float(-np.diff(speed).min() / 0.05)
        assert braking == pytest.approx(limits.grip * limits.max_deceleration, rel=0.01)


@pytest.mark.long
def test_the_camera_comes_back_and_the_robot_drives_on(assets: Path, tmp_path: Path) -> None:
    fault = {"kind": "camera_lost", "at": 2.0, "until": 4.0}
    content = shipped("camera_lost", duration=8.0, objects=[], faults=[fault])
    content["criteria"] = {"max_fault_stop_s": 2.0, "min_stops": 1, "min_distance": 2.0}
    done = drive(tmp_path, assets, content, warm_up=15)
    assert done.result["verdict"] == "pass", done.result["reasons"]
    switched = [given for name, given in done.calls if name.endswith("Controller.set")]
    assert [item["value"] for item in switched] == [False, False, True, True]
    assert {item["attribute"].rpartition("/")[2] for item in switched} == {
        "image.inputs:enabled",
        "camera_info.inputs:enabled",
    }
    speed = {round(float(row["t"]) - done.began, 3): float(row["v"]) for row in done.track}
    # The fault's seconds count from the run's beginning, not from Isaac Sim's.
    dark = [step["stamp"] - done.began for step in done.places if not step["is_on"]]
    assert (dark[0], dark[-1]) == pytest.approx((2.05, 4.0))
    assert speed[2.0] > 0.5
    assert speed[4.0] == 0.0
    assert speed[7.5] > 0.5


def test_delayed_scenarios_and_worlds_keep_everything_else() -> None:
    scenario = load_scenario("camera_lost").delayed(3.0)
    assert scenario.faults[0].at == pytest.approx(7.0, abs=1e-5)
    assert scenario.faults[0].until is None
    # 7.0 s as a stamp of whole nanoseconds may be a little less.
    assert scenario.faults[0].active(7.0 - 1e-9)
    assert not scenario.faults[0].active(6.95)
    world = build_world(load_scenario("pulled_across"), 0)
    later = world.delayed(3.0)
    for item in world.instances:
        for stamp in (0.0, 2.5, 9.0):
            assert np.array_equal(later.pose_at(item, stamp + 3.0), world.pose_at(item, stamp))
    assert np.array_equal(later.pose_at(world.instances[1], 0.0), world.instances[1].pose)
    assert not np.allclose(world.pose_at(world.instances[1], 9.0), pose_matrix(Pose(x=8.0, y=2.6)))
