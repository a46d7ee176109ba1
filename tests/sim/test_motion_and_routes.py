"""Objects on paths, routes with corners, faults at a time: what scenarios are made of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from palletjack_detection.guard import RobotPose
from palletjack_sim.ground_truth import GroundTruth
from palletjack_sim.mujoco_model import build_model
from palletjack_sim.physics import RobotPhysics
from palletjack_sim.route import LegRoute
from palletjack_sim.scenario import Pose, Route, ScenarioError, parse_scenario
from palletjack_sim.world import World, build_world
from tests.sim.plain_objects import CATALOG
from tests.sim.scenarios import HEAD_ON

MOVING = HEAD_ON.replace(
    "pose: {x: 6, y: 0.1, yaw_deg: 30}",
    "pose: {x: 6, y: 2, yaw_deg: 90}, path: {points: [[6, -1], [8, -1]], speed: 0.5, start: 1}",
)


def moving_world() -> World:
    return build_world(parse_scenario(MOVING, "x"), 0, CATALOG)


def test_object_waits_then_follows_its_legs_and_turns_with_them() -> None:
    world = moving_world()
    truck = world.instances[0]
    assert world.pose_at(truck, 0.5)[:2, 3] == pytest.approx([6, 2])
    assert world.pose_at(truck, 3.0)[:2, 3] == pytest.approx([6, 1])
    assert world.pose_at(truck, 9.0)[:2, 3] == pytest.approx([7, -1])
    assert world.pose_at(truck, 99.0)[:2, 3] == pytest.approx([8, -1])
    # It was written at 90 degrees on a leg of -90: its back goes first, on the next leg as well.
    facing = [world.pose_at(truck, stamp)[:2, 0] for stamp in (3.0, 9.0)]
    assert facing[0] == pytest.approx([0, 1], abs=1e-9)
    assert facing[1] == pytest.approx([-1, 0], abs=1e-9)


def test_physics_and_ground_truth_move_with_it() -> None:
    scenario = parse_scenario(MOVING, "x")
    world = moving_world()
    physics = RobotPhysics(build_model(scenario, world), scenario.robot)
    truth = GroundTruth(world)
    before = physics.clearance(truth.truck_ids)
    physics.advance(5.0)
    after = physics.clearance(truth.truck_ids)
    # The box is 0.6 m across and the robot's front 0.45 m ahead of its middle; at 5 s the box is in the lane.
    assert after == pytest.approx(6.0 - 0.3 - 0.45, abs=0.01)
    assert before > after
    pose = RobotPose(5.0, 0.0, 0.0, 0.0, 0.0)
    assert truth.floor_range(1, pose) == pytest.approx(math.hypot(5.7, 0.0), abs=0.06)


def test_group_varies_alike() -> None:
    text = HEAD_ON.replace("family: red_truck,", "family: red_truck, group: g, vary: {position: 0.3},")
    text = text.replace("family: carton,", "family: carton, group: g, vary: {position: 0.3},")
    written = build_world(parse_scenario(HEAD_ON, "x"), 3, CATALOG)
    varied = build_world(parse_scenario(text, "x"), 3, CATALOG)
    shifts = [b.pose[:2, 3] - a.pose[:2, 3] for a, b in zip(written.instances, varied.instances, strict=True)]
    assert shifts[0] == pytest.approx(shifts[1])
    assert np.abs(shifts[0]).max() > 0.01


def test_grip_lengthens_the_way_to_a_stop() -> None:
    from palletjack_detection.guard import Velocity

    ways = []
    for grip in (1.0, 0.4):
        text = HEAD_ON + f"robot: {{dynamics: {{grip: {grip}, command_timeout: 9}}}}\n"
        scenario = parse_scenario(text, "x")
        physics = RobotPhysics(build_model(scenario, build_world(scenario, 0, CATALOG)), scenario.robot)
        physics.command(Velocity(1.0))
        physics.advance(3.5)
        begun = physics.pose.x
        assert physics.pose.speed == pytest.approx(1.0, abs=0.02)
        physics.command(Velocity())
        physics.advance(3.0)
        ways.append(physics.pose.x - begun)
    # 0.1 m of latency, then v^2 / 2a with 1.2 and 0.48 m/s2.
    assert ways[0] == pytest.approx(0.1 + 1 / 2.4, abs=0.05)
    assert ways[1] == pytest.approx(0.1 + 1 / 0.96, abs=0.05)


def test_route_turns_at_its_corner_and_ends_at_the_goal() -> None:
    route = LegRoute(Pose(x=0, y=0), Route(goal=(5.0, 6.0), via=((5.0, 0.0),), speed=0.8))
    x = y = yaw = 0.0
    for _ in range(600):
        command = route.command(RobotPose(0.0, x, y, yaw, 0.0))
        yaw += 0.05 * command.angular
        x += 0.05 * command.linear * math.cos(yaw)
        y += 0.05 * command.linear * math.sin(yaw)
    assert (x, y) == pytest.approx((5.0, 6.0), abs=0.35)
    assert yaw == pytest.approx(math.pi / 2, abs=0.1)
    assert route.reached(RobotPose(0.0, x, y, yaw, 0.0))


def test_route_without_way_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"points more than goal_tolerance \(0.3 m\) apart, found \(1.0, 0.0\)"
    ):
        LegRoute(Pose(x=0, y=0), Route(goal=(1.1, 0.0), via=((1.0, 0.0),)))


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("faults: [{kind: camera_lots, at: 1}]", r"faults\.0\.kind: .*camera_lost"),
        ("faults: [{kind: camera_lost, at: 2, until: 1}]", r"until: expected a time after at"),
        ("faults: [{kind: camera_lost, at: 99}]", r"sets in after the run's 9"),
        ("light: {windows: [{centre: [1, 1, 1]}]}", r"light\.windows\.0\.centre: .*did you mean center\?"),
        ("robot: {dynamics: {grip: 1.5}}", r"robot\.dynamics\.grip: .*found 1\.5"),
    ],
)
def test_wrong_additions_are_named(addition: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        parse_scenario(HEAD_ON + addition + "\n", "x")


def test_path_that_stands_still_and_stop_criterion_without_fault_are_refused() -> None:
    with pytest.raises(ScenarioError, match="expected points apart from each other"):
        parse_scenario(MOVING.replace("[6, -1], [8, -1]", "[6, 2]"), "x")
    with pytest.raises(ScenarioError, match="max_fault_stop_s: expected faults"):
        parse_scenario(HEAD_ON.replace("min_distance: 2}", "max_fault_stop_s: 2}"), "x")
