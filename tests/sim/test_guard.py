"""The guard's distances, its memory and its ways of failing safe."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from palletjack_detection.ground_range import CameraModel, CameraMount, FloorObservation
from palletjack_detection.guard import GO, SLOW, STOP, Guard, GuardConfig, RobotPose, Velocity
from palletjack_detection.nodes.clock_watch import ClockWatch

CONFIG = GuardConfig(
    deceleration=1.0,
    latency=0.2,
    robot_half_width=0.3,
    robot_front=0.5,
    lateral_margin=0.1,
    stop_margin=1.0,
    slow_margin=1.5,
    release_margin=0.3,
    source_timeout=0.5,
    confirmations=2,
    clear_time=1.0,
    memory_time=10.0,
    overhang=0.0,
    range_sigmas=0.0,
)
CAMERA = CameraModel.from_values(640, 360, [380, 0, 319.5, 0, 380, 179.5, 0, 0, 1], [0.0] * 5)
MOUNT = CameraMount.from_height_and_pitch(0.6, 0.0, 0.4)
FORWARD = Velocity(1.0, 0.2)


def seen(
    x: float, y: float = 0.0, *, width: float = 0.6, cut: bool = False, score: float = 0.9
) -> FloorObservation:
    return FloorObservation((x, y), (x, y + width / 2), (x, y - width / 2), score, cut, 0.05)


def pose(t: float, x: float = 0.0, speed: float = 0.0, yaw: float = 0.0) -> RobotPose:
    return RobotPose(t, x, 0.0, yaw, speed)


def guard_that_saw(
    *items: FloorObservation, until: float = 1.0, at: float = 0.0, speed: float = 0.0
) -> Guard:
    """A guard with detections at 5 Hz up to ``until``, the robot standing at x = ``at``."""
    guard = Guard(CONFIG)
    for t in np.arange(0.0, until + 1e-9, 0.2):
        guard.observe(pose(float(t), at, speed), items, CAMERA, MOUNT)
    return guard


def test_stop_distance_is_latency_and_braking_and_margin() -> None:
    # 2 m/s: 0.4 m pass before the brakes act, v^2 / 2a = 2 m, 1 m must stay.
    assert CONFIG.stop_distance(2.0) == pytest.approx(0.4 + 2.0 + 1.0)
    assert CONFIG.slow_distance(2.0) == pytest.approx(4.9)
    assert CONFIG.stop_distance(-1.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("x", "action"), [(0.5 + 3.3, GO), (0.5 + 3.1, SLOW), (0.5 + 1.8, SLOW), (0.5 + 1.6, STOP)]
)
def test_zones_at_one_metre_per_second(x: float, action: str) -> None:
    # Stop distance 0.2 + 0.5 + 1 = 1.7 m from the front, slow distance 3.2 m.
    guard = guard_that_saw(seen(x))
    decision = guard.limit(1.0, pose(1.0, speed=1.0), FORWARD)
    assert decision.action == action
    assert decision.gap == pytest.approx(x - 0.5)
    if action == SLOW:
        assert decision.command.linear == pytest.approx(0.5)
        assert decision.command.angular == pytest.approx(0.1), "the curvature must stay"
    if action == STOP:
        assert decision.command == Velocity()


def test_slow_zone_never_lets_through_what_could_not_stop() -> None:
    for gap in np.linspace(1.05, 3.1, 20):
        guard = guard_that_saw(seen(0.5 + float(gap)))
        decision = guard.limit(1.0, pose(1.0, speed=0.1), Velocity(3.0))
        assert CONFIG.stop_distance(decision.command.linear) <= gap + 1e-9


def test_object_beside_the_corridor_is_passed() -> None:
    # Half width 0.3 + 0.1: an object from 0.45 m on is beside it, one from 0.35 m on is not.
    assert guard_that_saw(seen(2.0, 0.75)).limit(1.0, pose(1.0, speed=1.0), FORWARD).action == GO
    assert guard_that_saw(seen(2.0, 0.65)).limit(1.0, pose(1.0, speed=1.0), FORWARD).action == STOP


def test_stale_detections_stop_and_say_so() -> None:
    guard = guard_that_saw()
    assert guard.limit(1.4, pose(1.4, speed=1.0), FORWARD).action == GO
    late = guard.limit(1.6, pose(1.6, speed=1.0), FORWARD)
    assert (late.action, late.command, late.healthy) == (STOP, Velocity(), False)
    assert "no detections for 0.60 s" in late.reason


def test_nothing_received_yet_stops() -> None:
    fresh = Guard(CONFIG)
    assert "no detections yet" in fresh.limit(0.0, pose(0.0), FORWARD).reason
    assert fresh.limit(0.0, pose(0.0), FORWARD).command == Velocity()
    assert "no odometry yet" in guard_that_saw().limit(1.0, None, FORWARD).reason


def test_stale_odometry_stops() -> None:
    guard = guard_that_saw(until=3.0)
    decision = guard.limit(3.0, pose(1.0, speed=1.0), FORWARD)
    assert decision.action == STOP
    assert "no odometry for 2.00 s" in decision.reason


def test_dead_detector_also_stops_reversing() -> None:
    assert guard_that_saw().limit(9.0, pose(9.0), Velocity(-0.5)).command == Velocity()


def test_stopped_robot_does_not_creep() -> None:
    """Standing, the stop distance shrinks to the margin: the robot must not go on for that."""
    guard = guard_that_saw(seen(0.5 + 1.5))
    assert guard.limit(1.0, pose(1.0, speed=1.0), FORWARD).action == STOP
    standing = guard.limit(1.0, pose(1.0, speed=0.0), FORWARD)
    assert CONFIG.stop_distance(0.0) < standing.gap < CONFIG.stop_distance(1.0)
    assert standing.action == STOP


def test_release_needs_more_room_than_the_stop() -> None:
    for extra, action in ((0.2, STOP), (0.4, SLOW)):
        end = CONFIG.stop_distance(1.0) + extra
        guard = guard_that_saw(seen(0.5 + 1.2))
        assert guard.limit(1.0, pose(1.0, speed=1.0), FORWARD).action == STOP
        gaps = np.linspace(1.2, 3.0, 12).clip(max=end)
        # Someone pulls the truck away, in steps that are recognized as the same object.
        for t, gap in zip(np.linspace(1.2, 3.4, 12), gaps, strict=True):
            guard.observe(pose(float(t)), [seen(0.5 + float(gap))], CAMERA, MOUNT)
        assert guard.limit(3.5, pose(3.5), FORWARD).action == action


def test_stopped_robot_may_reverse_out() -> None:
    guard = guard_that_saw(seen(1.2))
    assert guard.limit(1.0, pose(1.0), FORWARD).action == STOP
    assert guard.limit(1.0, pose(1.0), Velocity(-0.3)).command == Velocity(-0.3)


def test_object_that_slipped_out_of_view_is_not_forgotten() -> None:
    """Too near to be seen: the floor point is below the image, so unseen does not mean gone."""
    guard = guard_that_saw(seen(1.3))
    for t in np.arange(1.2, 6.0, 0.2):
        guard.observe(pose(float(t)), [], CAMERA, MOUNT)
    assert guard.limit(6.0, pose(6.0), FORWARD).action == STOP
    for t in np.arange(6.0, 12.0, 0.2):
        guard.observe(pose(float(t)), [], CAMERA, MOUNT)
    assert math.isinf(guard.free_gap(pose(12.0))), "the memory ends after memory_time"


def test_object_that_should_be_seen_and_is_not_is_gone() -> None:
    guard = guard_that_saw(seen(3.0))
    for t in np.arange(1.2, 2.9, 0.2):
        guard.observe(pose(float(t)), [], CAMERA, MOUNT)
    assert math.isinf(guard.free_gap(pose(2.8)))


def test_one_flicker_does_not_brake() -> None:
    guard = Guard(CONFIG)
    guard.observe(pose(0.0, speed=1.0), [seen(2.0)], CAMERA, MOUNT)
    assert guard.limit(0.0, pose(0.0, speed=1.0), FORWARD).action == GO
    guard.observe(pose(0.2, speed=1.0), [seen(1.8)], CAMERA, MOUNT)
    assert guard.limit(0.2, pose(0.2, speed=1.0), FORWARD).action == STOP


def test_the_same_image_twice_counts_once() -> None:
    guard = Guard(CONFIG)
    for _ in range(3):
        guard.observe(pose(0.0), [seen(2.0)], CAMERA, MOUNT)
    assert [item.hits for item in guard.obstacles] == [1]


def test_time_that_starts_anew_clears_the_memory() -> None:
    guard = guard_that_saw(seen(2.0), until=30.0)
    guard.observe(pose(0.0), [], CAMERA, MOUNT)
    assert guard.obstacles == []
    assert guard.limit(0.1, pose(0.1), FORWARD).action == GO


def test_detections_that_come_very_late_are_no_new_time() -> None:
    """As those of a detector on another machine whose messages were held up: the truck is still there."""
    guard = guard_that_saw(seen(2.0), until=30.0)
    guard.observe(pose(25.0), [], CAMERA, MOUNT, arrived=30.1)
    assert guard.last_detections == 30.0
    assert guard.limit(30.1, pose(30.1, speed=1.0), FORWARD).action == STOP
    guard.observe(pose(5.0), [], CAMERA, MOUNT, arrived=5.1)
    assert guard.obstacles == [], "the clock was set back"


def test_sources_of_a_time_that_is_yet_to_come_are_no_fresh_ones() -> None:
    """Where a clock was set back and the detector died, its last detections would never grow old."""
    guard = guard_that_saw(until=1.0)
    assert guard.limit(1.0, pose(1.0), FORWARD).action == GO
    assert guard.limit(0.6, pose(0.6), FORWARD).action == GO, "clocks differ a little"
    for decision in (guard.limit(-50.0, pose(-50.0), FORWARD), guard.limit(1.0, pose(9.0), FORWARD)):
        assert (decision.action, decision.healthy) == (STOP, False)
        assert "s in the future (limit 0.50 s): are the clocks in step?" in decision.reason


def test_object_stays_where_it_is_while_the_robot_moves_and_turns() -> None:
    guard = guard_that_saw(seen(4.0))
    assert guard.free_gap(RobotPose(1.0, 1.0, 0.0, 0.0, 1.0)) == pytest.approx(4.0 - 1.0 - 0.5)
    assert math.isinf(guard.free_gap(RobotPose(1.0, 0.0, 0.0, math.pi / 2, 0.0))), (
        "it is beside the robot now"
    )
    assert math.isinf(guard.free_gap(RobotPose(1.0, 4.5, 0.0, 0.0, 0.0))), "it is behind the robot now"


def test_cut_box_confirms_what_is_nearer_than_the_border() -> None:
    guard = guard_that_saw(seen(1.6))
    guard.observe(pose(1.2, x=0.4), [seen(1.5, cut=True)], CAMERA, MOUNT)
    assert len(guard.obstacles) == 1, "one object, not a second one at the border"
    assert guard.free_gap(pose(1.2, x=0.4)) == pytest.approx(1.6 - 0.4 - 0.5)


def test_two_objects_stay_two() -> None:
    guard = guard_that_saw(seen(3.0, 1.5), seen(3.0, -1.5))
    assert [item.hits for item in guard.obstacles] == [6, 6]


def test_low_scores_are_ignored() -> None:
    guard = Guard(GuardConfig(score_threshold=0.6))
    for t in (0.0, 0.2, 0.4):
        guard.observe(pose(t), [seen(2.0, score=0.5)], CAMERA, MOUNT)
    assert guard.obstacles == []


@pytest.mark.parametrize(
    "changes", [{"deceleration": 0.0}, {"stop_margin": -1.0}, {"latency": math.nan}, {"slowdown_ratio": 1.5}]
)
def test_impossible_numbers_are_refused_by_name(changes: dict) -> None:
    with pytest.raises(ValueError, match=f"guard {next(iter(changes))}"):
        GuardConfig(**changes)


def test_overhang_and_uncertainty_are_taken_off_the_gap() -> None:
    guard = guard_that_saw(seen(4.0))
    assert guard.free_gap(pose(1.0)) == pytest.approx(4.0 - 0.5)
    guard.config = replace(CONFIG, overhang=0.3, range_sigmas=2.0)
    assert guard.free_gap(pose(1.0)) == pytest.approx(4.0 - 0.5 - 0.3 - 2.0 * 0.05)


def test_object_that_crosses_stops_the_robot_before_it_is_in_the_lane() -> None:
    guards = Guard(CONFIG), Guard(replace(CONFIG, prediction_time=0.0))
    for step in range(11):
        t = 0.2 * step
        for guard in guards:
            guard.observe(pose(t), [seen(3.0, 2.6 - 0.8 * t)], CAMERA, MOUNT)
    # At 2 s its near end is 0.7 m beside the middle, 0.3 m beside the corridor.
    assert guards[0].free_gap(pose(2.0)) == pytest.approx(2.5, abs=0.3)
    assert math.isinf(guards[1].free_gap(pose(2.0)))
    velocity = guards[0].obstacles[0].velocity
    assert velocity[1] == pytest.approx(-0.8, abs=0.2)


def test_object_that_stands_beside_the_lane_is_not_taken_to_cross() -> None:
    guard = Guard(CONFIG)
    for step in range(20):
        robot = pose(0.2 * step, x=0.2 * step, speed=1.0)
        noise = 0.03 * (-1) ** step
        guard.observe(robot, [seen(8.0 - 0.2 * step, 1.0 + noise)], CAMERA, MOUNT)
        assert math.isinf(guard.free_gap(robot))


@pytest.mark.parametrize("rate", [5.0, 10.0, 20.0, 30.0, 60.0])
def test_jitter_of_a_standing_truck_is_no_crossing_at_any_image_rate(rate: float) -> None:
    """Weights for each image instead of each second took it for one in every run at 30 Hz."""
    for seed in range(10):
        noise = np.random.default_rng(seed).normal(0.0, 0.03, int(4 * rate))
        guard = Guard(CONFIG)
        for step, error in enumerate(noise):
            t = step / rate
            robot = pose(t, x=t, speed=1.0)
            guard.observe(robot, [seen(8.0 - t, 1.0 + float(error))], CAMERA, MOUNT)
            assert math.isinf(guard.free_gap(robot))


@pytest.mark.parametrize("rate", [5.0, 10.0, 30.0])
def test_crossing_is_told_alike_at_any_image_rate(rate: float) -> None:
    guard = Guard(CONFIG)
    for step in range(int(2 * rate) + 1):
        t = step / rate
        guard.observe(pose(t), [seen(3.0, 2.6 - 0.8 * t)], CAMERA, MOUNT)
    assert guard.obstacles[0].velocity[1] == pytest.approx(-0.7, abs=0.02)
    assert guard.free_gap(pose(2.0)) == pytest.approx(2.7, abs=0.02)


NAV2_EXAMPLE = (
    Path(__file__).resolve().parents[2]
    / "ros2_ws/src/palletjack_detection/config/nav2_collision_monitor.yaml"
)
# Names in Nav2's own example, nav2_collision_monitor/params/collision_monitor_params.yaml at 0571559, and
# enable_stamped_cmd_vel of nav2_util/twist_subscriber.hpp.
NAV2_NAMES = {
    "": {
        "base_frame_id",
        "odom_frame_id",
        "cmd_vel_in_topic",
        "cmd_vel_out_topic",
        "enable_stamped_cmd_vel",
        "state_topic",
        "transform_tolerance",
        "source_timeout",
        "base_shift_correction",
        "stop_pub_timeout",
        "polygons",
        "observation_sources",
    },
    "polygons": {
        "type",
        "points",
        "action_type",
        "min_points",
        "visualize",
        "polygon_pub_topic",
        "slowdown_ratio",
        "linear_limit",
        "angular_limit",
        "footprint_topic",
        "time_before_collision",
        "simulation_time_step",
    },
    "observation_sources": {"type", "topic"},
}


def test_nav2_example_names_parameters_that_the_collision_monitor_has() -> None:
    given = yaml.safe_load(NAV2_EXAMPLE.read_text())["collision_monitor"]["ros__parameters"]
    sections = {name: kind for kind in ("polygons", "observation_sources") for name in given[kind]}
    assert set(given) - set(sections) <= NAV2_NAMES[""]
    for name, kind in sections.items():
        assert set(given[name]) <= NAV2_NAMES[kind], name
    # What leaves the collision monitor is what the guard listens to.
    assert given["cmd_vel_out_topic"] == "cmd_vel_raw"
    assert given["enable_stamped_cmd_vel"] is False, "the guard subscribes to Twist"


def test_nav2_example_names_parameters_that_the_guard_has() -> None:
    given = yaml.safe_load(NAV2_EXAMPLE.read_text())["palletjack_guard"]["ros__parameters"]
    assert given.pop("base_frame") == "base_link"
    assert GuardConfig(**given) == GuardConfig(), "the example shows the defaults"


def test_measured_delay_of_detections_widens_the_stop_distance() -> None:
    """0.3 s from exposure to detections at 1 m/s: the robot must stop 0.3 m earlier."""
    gap = CONFIG.stop_distance(1.0) + 0.2
    for delay, action in ((0.0, SLOW), (0.3, STOP)):
        guard = Guard(CONFIG)
        for t in (0.0, 0.2, 0.4):
            item = seen(0.5 + gap)
            guard.observe(pose(t, speed=1.0), [item], CAMERA, MOUNT, arrived=t + delay)
        assert guard.measured_delay == pytest.approx(delay)
        assert guard.limit(0.5, pose(0.5, speed=1.0), FORWARD).action == action
    assert CONFIG.stop_distance(1.0, 0.3) == pytest.approx(CONFIG.stop_distance(1.0) + 0.3)


def test_the_worst_delay_of_the_last_images_counts() -> None:
    guard = Guard(CONFIG)
    for step in range(40):
        t = 0.2 * step
        guard.observe(pose(t), [], CAMERA, MOUNT, arrived=t + (0.5 if step == 10 else 0.1))
        assert guard.measured_delay == pytest.approx(0.5 if 10 <= step < 30 else 0.1)


def test_clock_that_stands_still_is_noticed_on_the_machines_clock() -> None:
    machine = [0.0]
    watch = ClockWatch(2.0, lambda: machine[0])
    assert watch.problem(7.0) == ""
    machine[0] = 1.9
    assert watch.problem(7.0) == ""
    machine[0] = 2.1
    assert watch.problem(7.0) == "the clock stands still at 7.00 s for 2.1 s (limit 2.0 s)"
    # A clock that is set back runs again.
    assert watch.problem(3.0) == ""
    machine[0] = 4.0
    assert watch.problem(3.0) == ""
