"""The robot's motion, its contacts and distances, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from palletjack_detection.guard import Velocity
from palletjack_sdg.geometry import Part, Prop
from palletjack_sdg.objects.family import ObjectFamily
from palletjack_sim.mujoco_model import build_model, solid_pieces
from palletjack_sim.physics import RobotPhysics
from palletjack_sim.scenario import parse_scenario
from palletjack_sim.world import build_world
from tests.sim.plain_objects import CATALOG, BoxParams, box_part

SCENE = """
format: palletjack-scenario/1
name: bench
description: one object 3 m ahead
route: {{goal: [10, 0]}}
robot: {{length: 1.0, width: 0.6}}
objects: [{{name: thing, family: {family}, pose: {{x: 3, y: {y}}}}}]
"""


def portal(params: BoxParams) -> Prop:
    """One part of two posts 1.4 m apart: its convex hull would close the way between them."""
    parts = [box_part((0.2, 0.2, 1.0), params.color) for _ in range(2)]
    offset = len(parts[0].vertices)
    aside = np.array([0.0, 0.8, 0.0])
    vertices = np.concatenate([parts[0].vertices + aside, parts[1].vertices - aside])
    faces = np.concatenate([parts[0].faces, parts[1].faces + offset])
    return Prop("portal", (Part(vertices.astype(np.float32), faces.astype(np.int32), parts[0].material),))


FAMILIES = {**CATALOG, "portal": ObjectFamily("portal", BoxParams, lambda rng: BoxParams(), portal)}


def robot_before(family: str, y: float = 0.0) -> RobotPhysics:
    scenario = parse_scenario(SCENE.format(family=family, y=y), "bench")
    return RobotPhysics(build_model(scenario, build_world(scenario, 0, FAMILIES)), scenario.robot)


def drive(physics: RobotPhysics, command: Velocity, seconds: float) -> None:
    for _ in range(round(seconds / 0.05)):
        physics.command(command)
        physics.advance(0.05)


def test_unguarded_robot_hits_the_truck_and_the_collision_is_counted_once() -> None:
    physics = robot_before("red_truck")
    drive(physics, Velocity(1.0), 6.0)
    assert [owner for _, owner in physics.collisions] == [1]
    # Front at 0.5 m, box face at 2.7 m: 2.2 m at 0.8 m/s2 up to 1 m/s after 0.1 s take 2.925 s.
    assert physics.collisions[0][0] == pytest.approx(2.925, abs=0.1)
    assert physics.pose.x == pytest.approx(2.2, abs=0.05), "the truck does not give way"
    assert physics.clearance({1}) == pytest.approx(0.0, abs=0.02)


def test_clearance_is_the_distance_of_the_boxes() -> None:
    assert robot_before("red_truck").clearance({1}) == pytest.approx(3.0 - 0.3 - 0.5, abs=1e-3)
    beside = robot_before("red_truck", y=2.0)
    assert beside.clearance({1}) == pytest.approx(np.hypot(2.7 - 0.5, 1.7 - 0.3), abs=1e-3)
    assert beside.clearance(set()) == 50.0


def test_robot_passes_between_the_posts_of_one_part() -> None:
    physics = robot_before("portal")
    assert len(solid_pieces(portal(BoxParams()).parts[0])) == 2
    drive(physics, Velocity(1.0), 6.0)
    assert physics.pose.x > 4.0
    assert physics.collisions == []


def test_acceleration_braking_and_latency() -> None:
    physics = robot_before("red_truck", y=3.0)
    drive(physics, Velocity(0.6), 0.1)
    assert physics.pose.speed == pytest.approx(0.0, abs=1e-6), "0.1 s of latency"
    drive(physics, Velocity(0.6), 0.5)
    assert physics.pose.speed == pytest.approx(0.8 * 0.5, abs=0.03)
    drive(physics, Velocity(0.6), 1.0)
    assert physics.pose.speed == pytest.approx(0.6, abs=0.005)
    before = physics.pose.x
    drive(physics, Velocity(), 2.0)
    # 0.1 s of latency, then 1.2 m/s2: 0.06 + 0.15 m.
    assert physics.pose.x - before == pytest.approx(0.21, abs=0.02)


def test_turning_drives_an_arc() -> None:
    physics = robot_before("red_truck", y=-3.0)
    drive(physics, Velocity(0.5, 0.5), 4.0)
    # Radius 1 m; the start-up costs a little.
    assert physics.pose.yaw == pytest.approx(0.5 * 4.0, abs=0.2)
    assert physics.pose.x == pytest.approx(np.sin(physics.pose.yaw), abs=0.12)
    assert physics.pose.y == pytest.approx(1.0 - np.cos(physics.pose.yaw), abs=0.12)


def test_base_stops_when_commands_cease() -> None:
    physics = robot_before("red_truck", y=3.0)
    drive(physics, Velocity(0.6), 2.0)
    physics.advance(2.0)
    assert physics.pose.speed == pytest.approx(0.0, abs=1e-3)
