"""Parameters of the guard node. Those of its behaviour are the fields of GuardConfig, and can be changed."""

from __future__ import annotations

from palletjack_detection.guard import GuardConfig
from palletjack_detection.nodes.image_parameters import RECTIFIED
from palletjack_detection.nodes.parameter_spec import ParameterSpec

_DEFAULT = GuardConfig()
BEHAVIOUR = (
    ParameterSpec(
        "deceleration", _DEFAULT.deceleration, "Braking that the robot surely has, m/s2.", 0.05, 20.0
    ),
    ParameterSpec(
        "latency",
        _DEFAULT.latency,
        "Time from a decision until the brakes act, s; the measured age of detections is added.",
        0.0,
        5.0,
    ),
    ParameterSpec("robot_half_width", _DEFAULT.robot_half_width, "Half of the robot's width, m.", 0.0, 5.0),
    ParameterSpec(
        "robot_front", _DEFAULT.robot_front, "Distance from base_link to the robot's front, m.", 0.0, 5.0
    ),
    ParameterSpec(
        "lateral_margin", _DEFAULT.lateral_margin, "Added to the half width on each side, m.", 0.0, 5.0
    ),
    ParameterSpec(
        "stop_margin", _DEFAULT.stop_margin, "Free way to keep once the robot stands, m.", 0.0, 20.0
    ),
    ParameterSpec(
        "slow_margin",
        _DEFAULT.slow_margin,
        "Slowing down begins this far ahead of the stop distance, m.",
        0.0,
        50.0,
    ),
    ParameterSpec(
        "slowdown_ratio",
        _DEFAULT.slowdown_ratio,
        "Share of the requested speed while slowing down.",
        0.0,
        1.0,
    ),
    ParameterSpec(
        "release_margin",
        _DEFAULT.release_margin,
        "A stopped robot goes on once the way is free by this much more than the stop distance, m.",
        0.0,
        20.0,
    ),
    ParameterSpec(
        "source_timeout",
        _DEFAULT.source_timeout,
        "Detections or odometry older than this stop the robot, s.",
        0.05,
        10.0,
    ),
    ParameterSpec(
        "confirmations", _DEFAULT.confirmations, "Images that must show an object before it counts.", 1, 50
    ),
    ParameterSpec(
        "clear_time",
        _DEFAULT.clear_time,
        "An object that should be in view is forgotten after being unseen for this long, s.",
        0.0,
        60.0,
    ),
    ParameterSpec(
        "memory_time",
        _DEFAULT.memory_time,
        "An object out of view is remembered for this long, s.",
        0.0,
        3600.0,
    ),
    ParameterSpec(
        "score_threshold", _DEFAULT.score_threshold, "Detections below this score are ignored.", 0.0, 1.0
    ),
    ParameterSpec(
        "overhang",
        _DEFAULT.overhang,
        "How far an object reaches towards the robot before the place where it meets the floor, m.",
        0.0,
        3.0,
    ),
    ParameterSpec(
        "range_sigmas",
        _DEFAULT.range_sigmas,
        "Standard deviations of the range that are taken off the free way.",
        0.0,
        5.0,
    ),
    ParameterSpec(
        "prediction_time",
        _DEFAULT.prediction_time,
        "How far ahead the way of objects that cross is reckoned, s.",
        0.0,
        10.0,
    ),
)
WIRING = (
    ParameterSpec(
        "base_frame", "base_link", "The robot's frame: x forward, origin on the floor.", fixed=True
    ),
    RECTIFIED,
    ParameterSpec(
        "class_id", "palletjack", "Class that the robot stops for; empty: every class.", fixed=True
    ),
    ParameterSpec(
        "command_timeout",
        0.5,
        "Once no cmd_vel_raw came for this long after a moving one, a zero cmd_vel is sent, s.",
        0.05,
        10.0,
        fixed=True,
    ),
    ParameterSpec(
        "clock_timeout",
        5.0,
        "Once simulated time stands still for this long on the machine's clock, the robot is stopped, s.",
        0.1,
        3600.0,
        fixed=True,
    ),
)
