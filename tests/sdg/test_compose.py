"""From plan to scene: poses, room surfaces, lights, and errors that say what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from palletjack_sdg.compose import build_scene, object_pose
from palletjack_sdg.frame_plan import FramePlan, ObjectPlan
from palletjack_sdg.objects import catalog
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import load_recipe


@pytest.fixture(scope="module")
def plan() -> FramePlan:
    return plan_frame(load_recipe("warehouse_v1"), 11, 1)


def _object(**changes: object) -> ObjectPlan:
    fields: dict[str, object] = {
        "id": 1,
        "family": "pallet",
        "params": {},
        "position": (2.0, 3.0, 0.5),
        "yaw_deg": 90.0,
        "role": "goods",
        "group": 1,
    }
    return ObjectPlan.model_validate({**fields, **changes})


def test_pose_turns_by_yaw_then_moves() -> None:
    pose = object_pose(_object())
    assert pose @ [1.0, 0.0, 0.0, 1.0] == pytest.approx([2.0, 4.0, 0.5, 1.0])
    tipped = object_pose(_object(pitch_deg=90.0, yaw_deg=0.0))
    assert tipped[:3, :3] @ [1.0, 0.0, 0.0] == pytest.approx([0.0, 0.0, -1.0])


def test_scene_holds_what_the_plan_says(plan: FramePlan) -> None:
    scene = build_scene(plan)
    assert [i.instance_id for i in scene.instances] == [entry.id for entry in plan.objects]
    assert [i.label for i in scene.instances] == [entry.label for entry in plan.objects]
    assert len(scene.lights) == len(plan.lights) >= 1
    assert (scene.camera.width, scene.camera.height) == (plan.camera.width, plan.camera.height)
    assert scene.camera.pose[:3, 3] == pytest.approx(plan.camera.position)


def test_room_surfaces_and_lights_face_inwards(plan: FramePlan) -> None:
    scene = build_scene(plan)
    corners = np.concatenate([surface.corners for surface in scene.surfaces])
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    assert {surface.name for surface in scene.surfaces} >= {"floor", "ceiling", "wall_x0", "wall_y1"}
    for surface in scene.surfaces:
        normal = np.cross(surface.corners[1] - surface.corners[0], surface.corners[3] - surface.corners[0])
        assert normal @ (middle - surface.corners.mean(axis=0)) > 0, surface.name
        assert surface.texture.dtype == np.uint8
    for light in scene.lights:
        shines = np.cross(light.u, light.v)
        assert shines @ (middle - np.array(light.center)) > 0
        assert min(light.radiance) > 0


def test_lamp_housings_hang_where_the_lights_are(plan: FramePlan) -> None:
    housings = np.array([entry.position for entry in plan.objects if entry.family == "light_fixture"])
    for light in plan.lights:
        if light.kind == "fixture":
            gap = np.abs(housings - np.array(light.center))
            assert (gap.max(axis=1) < 0.01).any()


def test_unknown_family_and_bad_parameters_are_named(plan: FramePlan) -> None:
    wrong = plan.model_copy(update={"objects": (_object(id=7, family="palet"),)})
    with pytest.raises(ValueError, match=r"object 7: no object family 'palet'; did you mean 'pallet'"):
        build_scene(wrong)
    wrong = plan.model_copy(update={"objects": (_object(id=8, params={"length": -1}),)})
    with pytest.raises(ValueError, match=r"(?s)object 8: parameters of pallet:.*length"):
        build_scene(wrong)


def test_unknown_texture_is_named(plan: FramePlan) -> None:
    surface = plan.surfaces[0].model_copy(update={"texture": "lava"})
    wrong = plan.model_copy(update={"objects": (), "surfaces": (surface,)})
    with pytest.raises(ValueError, match=r"surface floor: no floor texture 'lava'; expected one of"):
        build_scene(wrong)


@pytest.mark.parametrize("family", sorted(catalog.FAMILIES))
def test_every_family_can_be_placed_and_rebuilt_from_json(family: str) -> None:
    params = catalog.sample(family, np.random.default_rng(5))
    again = catalog.parse(family, params.model_dump(mode="json"))
    assert again == params
    prop = catalog.build(family, again)
    assert catalog.triangle_count(prop) > 0
    assert (prop.bounds()[1] > prop.bounds()[0]).all()
