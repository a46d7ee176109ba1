"""Both cameras look at the same world from the same place."""

from __future__ import annotations

import numpy as np
import pytest

from palletjack_detection.ground_range import locate_on_floor
from palletjack_detection.guard import RobotPose
from palletjack_sim.autonomy import camera_mount
from palletjack_sim.cameras import camera_model
from palletjack_sim.episode import make_episode
from palletjack_sim.ground_truth import GroundTruth, match
from palletjack_sim.mujoco_model import build_model
from palletjack_sim.rasterized import RasterizedCamera
from palletjack_sim.scenario import load_scenario
from palletjack_sim.world import build_world
from tests.sim.plain_objects import CATALOG
from tests.sim.scenarios import head_on

POSE = RobotPose(0.0, 1.0, 0.2, 0.1, 0.0)


def test_rasterized_box_lies_where_the_pinhole_puts_it() -> None:
    scenario = head_on()
    world = build_world(scenario, 0, CATALOG)
    camera = RasterizedCamera(build_model(scenario, world), scenario.camera)
    frame = camera.render(POSE)
    rgb = frame.rgb
    camera.close()
    truth, owners = GroundTruth(world).boxes(frame.instance_ids)
    assert owners == [1]
    truck = world.instances[0]
    vertices = truck.prop.parts[0].vertices @ truck.pose[:3, :3].T + truck.pose[:3, 3]
    in_base = vertices.astype(float)
    in_base[:, :2] = POSE.to_base(vertices[:, :2].astype(float))
    pixels = camera_model(scenario.camera).project(camera_mount(scenario).to_optical(in_base)) + 0.5
    expected = [*pixels.min(axis=0), *pixels.max(axis=0)]
    assert truth.boxes[0] == pytest.approx(expected, abs=1.0)
    red = rgb[int(pixels[:, 1].mean()), int(pixels[:, 0].mean())].astype(int)
    assert red[0] > 3 * red[1], "the box is red in the picture too"


def test_a_picture_that_is_asked_for_late_is_that_of_its_frame() -> None:
    """By then the robot and what moves are elsewhere."""
    scenario = load_scenario("pulled_across")
    world = build_world(scenario, 0)
    assert world.motions
    camera = RasterizedCamera(build_model(scenario, world), scenario.camera)
    poses = [RobotPose(stamp, 0.5 * stamp, 0.1, 0.0, 0.5) for stamp in (0.0, 6.0)]
    at_once = [camera.render(pose).rgb for pose in poses]
    frames = [camera.render(pose) for pose in poses]
    for frame, expected in zip(frames, at_once, strict=True):
        np.testing.assert_array_equal(frame.rgb, expected)
        assert frame.rgb is frame.rgb, "it is made once"
    camera.close()
    assert (at_once[0] != at_once[1]).mean() > 0.1


def test_range_from_a_rendered_box_is_the_true_one() -> None:
    scenario = head_on()
    world = build_world(scenario, 0, CATALOG)
    camera = RasterizedCamera(build_model(scenario, world), scenario.camera)
    truth = GroundTruth(world)
    for x in (0.0, 2.0, 3.5):
        pose = RobotPose(0.0, x, 0.1, 0.0, 0.0)
        boxes, owners = truth.boxes(camera.render(pose).instance_ids)
        place = locate_on_floor(boxes.boxes[0], 1.0, camera_model(scenario.camera), camera_mount(scenario))
        assert place is not None
        actual = truth.floor_range(owners[0], pose)
        # One pixel of the lower edge is worth x^2 / (f h); the nearest corner is not the edge's middle.
        assert place.range_m == pytest.approx(actual, abs=0.06 + (6 - x) ** 2 / (190 * 0.6))
    camera.close()


@pytest.mark.render
@pytest.mark.long
def test_path_traced_and_rasterized_cameras_see_the_same_objects() -> None:
    pytest.importorskip("mitsuba", reason="the embedded renderer is not installed")
    from palletjack_sim.path_traced import PathTracedCamera

    scenario = head_on()
    world = build_world(scenario, 0, CATALOG)
    frames = [
        make_episode(scenario, world, quality, 0)._camera.render(POSE)
        for quality in ("rasterized", "path_traced")
    ]
    agreement = (frames[0].instance_ids == frames[1].instance_ids).mean()
    assert agreement > 0.998
    assert frames[1].rgb.shape == (180, 320, 3)
    inside = frames[0].instance_ids == 1
    mean = frames[1].rgb[inside].mean(axis=0)
    assert mean[0] > 1.5 * mean[1], "the truck is red in the path traced picture too"
    camera = PathTracedCamera(world, scenario, 0)
    still = [camera.render(POSE).instance_ids for _ in range(2)]
    assert np.array_equal(*still)
    moved = camera.render(RobotPose(0.0, POSE.x + 0.5, POSE.y, POSE.yaw, 0.0)).instance_ids
    assert (moved == 1).sum() > 1.1 * (still[0] == 1).sum(), "half a metre nearer, the box is larger"


def test_each_truck_is_matched_once() -> None:
    scenario = head_on()
    world = build_world(scenario, 0, CATALOG)
    truth, owners = GroundTruth(world).boxes(_ids_with_box())
    twice = type(truth)(
        np.repeat(truth.boxes, 2, axis=0),
        np.array([0.9, 0.8], np.float32),
        np.zeros(2, np.int64),
        truth.class_names,
    )
    assert [(pair.detection, pair.instance_id) for pair in match(twice, truth, owners)] == [(0, 1)]
    shifted = type(truth)(truth.boxes + 30, truth.scores, truth.class_ids, truth.class_names)
    assert match(shifted, truth, owners) == []


def test_hidden_truck_is_not_asked_for() -> None:
    world = build_world(head_on(), 0, CATALOG)
    ids = np.zeros((180, 320), dtype=np.int32)
    ids[50:60, 100:104] = 1
    assert len(GroundTruth(world).boxes(ids)[0]) == 0


def _ids_with_box() -> np.ndarray:
    ids = np.zeros((180, 320), dtype=np.int32)
    ids[50:110, 100:140] = 1
    return ids


def test_boxes_in_space_hold_the_truck_wherever_it_is() -> None:
    scenario = head_on()
    world = build_world(scenario, 0, CATALOG)
    (box,) = GroundTruth(world).boxes_3d(0.0)
    truck = world.instances[0]
    assert box.instance_id == truck.instance_id
    vertices = np.concatenate([part.vertices for part in truck.prop.parts]).astype(float)
    in_world = vertices @ truck.pose[:3, :3].T + truck.pose[:3, 3]
    in_box = (in_world - box.pose[:3, 3]) @ box.pose[:3, :3]
    assert np.abs(in_box).max(axis=0) == pytest.approx(box.size / 2.0)
    assert in_box.min(axis=0) == pytest.approx(-box.size / 2.0)
