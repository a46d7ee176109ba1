"""What the guard believes of the free way, against the geometry of many trucks."""

from __future__ import annotations

import numpy as np
import pytest

from palletjack_detection.ground_range import locate_on_floor
from palletjack_detection.guard import Guard, RobotPose
from palletjack_sim.autonomy import camera_mount, guard_config
from palletjack_sim.cameras import camera_model
from palletjack_sim.ground_truth import GroundTruth
from palletjack_sim.mujoco_model import build_model
from palletjack_sim.physics import RobotPhysics
from palletjack_sim.rasterized import RasterizedCamera
from palletjack_sim.scenario import load_scenario, parse_scenario
from palletjack_sim.world import build_world

TRUCK = """
format: palletjack-scenario/1
name: standing
description: a pallet truck before the standing robot
route: {goal: [9, 0]}
objects: [{name: truck, family: palletjack, pose: {x: 3.2, y: 0, yaw_deg: YAW}, seed: SEED}]
"""


def gap_error(seed: int, yaw_deg: float) -> float:
    """Believed less true free way, metres, before truck ``seed``; the detector is the ground truth."""
    scenario = parse_scenario(TRUCK.replace("YAW", str(yaw_deg)).replace("SEED", str(seed)), "standing")
    world = build_world(scenario, 0)
    model = build_model(scenario, world)
    physics, truth = RobotPhysics(model, scenario.robot), GroundTruth(world)
    camera = RasterizedCamera(model, scenario.camera)
    boxes, _ = truth.boxes(camera.render(physics.pose).instance_ids)
    camera.close()
    intrinsics, mount = camera_model(scenario.camera), camera_mount(scenario)
    place = locate_on_floor(boxes.boxes[0], 1.0, intrinsics, mount)
    assert place is not None
    guard = Guard(guard_config(scenario))
    for stamp in (0.0, 0.2, 0.4):
        guard.observe(RobotPose(stamp, 0.0, 0.0, 0.0, 0.0), [place], intrinsics, mount)
    return guard.free_gap(physics.pose) - physics.clearance(truth.truck_ids)


@pytest.mark.parametrize("yaw_deg", [0.0, 60.0, 180.0])
def test_guard_does_not_believe_in_more_room_than_there_is(yaw_deg: float) -> None:
    errors = np.array([gap_error(seed, yaw_deg) for seed in range(4)])
    # Tillers that lean far towards the robot reach beyond the overhang; the stop margin covers those.
    assert np.median(errors) <= 0.0
    assert errors.max() < guard_config(load_scenario("head_on")).stop_margin - 0.3
    assert errors.min() > -0.6, "nor does it shy away from nothing"
