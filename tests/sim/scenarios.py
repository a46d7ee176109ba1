"""Scenarios of plain boxes for the tests, with their catalogue."""

from __future__ import annotations

from palletjack_sim.scenario import Scenario, parse_scenario

HEAD_ON = """
format: palletjack-scenario/1
name: boxes_head_on
description: a red box stands for a pallet truck in the robot's lane
duration: 9
route: {goal: [10, 0], speed: 1.0}
camera: {width: 320, height_px: 180, rate_hz: 5}
objects:
 - {name: truck, family: red_truck, pose: {x: 6, y: 0.1, yaw_deg: 30}}
 - {name: carton, family: carton, pose: {x: 4, y: 1.5}}
criteria: {min_clearance: 0.5, must_stop: true, min_distance: 2}
"""

CLEAR = """
format: palletjack-scenario/1
name: boxes_clear
description: nothing but cartons beside the lane
duration: 12
route: {goal: [5, 0], speed: 1.0}
camera: {width: 320, height_px: 180}
objects:
 - {name: carton, family: carton, pose: {x: 4, y: 1.5}}
 - {name: far, family: carton, pose: {x: 7, y: -0.4}}
criteria: {must_reach_goal: true, max_stops: 0}
"""


def head_on() -> Scenario:
    """A truck 6 m ahead, a little to the left."""
    return parse_scenario(HEAD_ON, "head_on")


def clear() -> Scenario:
    """No truck."""
    return parse_scenario(CLEAR, "clear")
