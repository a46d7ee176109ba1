"""Environment maps: where they are seen, what they light, and that recipes without them stay as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.sdg.recipes import without_goods, without_trucks
from tests.sdg.scenes import looking_along_x, scene

from palletjack_sdg.asset_index import AssetError, AssetPack, add_pack
from palletjack_sdg.compose import build_scene
from palletjack_sdg.environment import Environment, usual_radiance
from palletjack_sdg.environment_maps import make_environment, read_environment
from palletjack_sdg.frame_plan import EnvironmentPlan, FramePlan
from palletjack_sdg.isaac_sim.stage import write_stage
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import Recipe, load_recipe
from palletjack_sdg.render import RenderError, RenderSettings, create_renderer
from palletjack_sdg.scene import RectLight, Scene
from palletjack_sdg.textures.sky import procedural_sky


def quarters() -> np.ndarray:
    """Red to the left of the middle, green to the right, blue behind, black below the horizon."""
    image = np.zeros((64, 128, 3), np.float32)
    image[:32, 32:64, 0] = 1.0
    image[:32, 64:96, 1] = 1.0
    image[:32, :32, 2] = image[:32, 96:, 2] = 1.0
    return image


def with_environments(weights: dict[str, float]) -> Recipe:
    tree = load_recipe("warehouse_v1").model_dump(mode="json")
    tree["light"].update(environments=weights, daylight=1.0)
    return without_trucks(without_goods(Recipe.model_validate(tree)))


def test_directions_rotation_and_the_light_of_an_opening() -> None:
    plain = Environment(quarters(), 0.0)
    # Ahead is x; y lies to the left, where the map is red.
    toward = np.array([[1, 0.3, 0.2], [1, -0.3, 0.2], [-1, 0.3, 0.2], [1, 0.3, -0.2]])
    toward = toward / np.linalg.norm(toward, axis=1, keepdims=True)
    assert plain.seen(toward).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert Environment(quarters(), np.pi).seen(toward).tolist()[:2] == [[0, 0, 1], [0, 0, 1]]
    # A window in the wall x1 sees half sky and half ground, its sky half red and half green.
    assert plain.through(np.array([1.0, 0.0, 0.0])) == pytest.approx((0.25, 0.25, 0.0), abs=0.01)
    red, green, blue = plain.through(np.array([0.0, 1.0, 0.0]))
    assert red == pytest.approx(blue, abs=0.01)
    assert green == pytest.approx(0.0, abs=1e-6)


def test_a_map_is_scaled_to_the_plans_radiance_and_the_sun_does_not_count() -> None:
    plan = EnvironmentPlan(name="sky", seed=3, sha256=None, rotation_deg=90.0, radiance=25.0)
    made = make_environment(plan)
    assert usual_radiance(made.image) == pytest.approx(25.0, rel=1e-3)
    assert made.rotation == pytest.approx(np.pi / 2)
    assert np.array_equal(procedural_sky(3), procedural_sky(3))
    assert not np.array_equal(procedural_sky(3), procedural_sky(4))


def test_only_a_recipe_that_asks_for_maps_has_them() -> None:
    shipped = load_recipe("warehouse_v1")
    assert "environments" not in shipped.model_dump_json()
    assert "environment" not in plan_frame(without_goods(shipped), 4, 2).model_dump_json()
    asked = with_environments({"sky": 1.0})
    plan = plan_frame(asked, 4, 2)
    assert plan.environment is not None
    assert FramePlan.model_validate_json(plan.model_dump_json()) == plan
    assert plan.environment != plan_frame(asked, 4, 3).environment
    # All else is planned as without.
    bare = plan_frame(with_environments({"plain": 1.0}), 4, 2)
    assert plan.model_copy(update={"environment": None}) == bare
    shown, plain = (build_scene(each.model_copy(update={"surfaces": ()})) for each in (plan, bare))
    changed = [a != b for a, b in zip(shown.lights, plain.lights, strict=True)]
    assert changed == [light.kind == "daylight" for light in plan.lights]
    assert any(changed)


def test_names_are_checked_and_isaac_sim_refuses(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no environment 'skye'; did you mean 'sky'"):
        with_environments({"skye": 1.0})
    lit = replace(scene(looking_along_x(64, 64)), environment=Environment(quarters(), 0.0))
    with pytest.raises(RenderError, match=r"light.environments: only the embedded renderer"):
        write_stage(lit, tmp_path / "stage.usda")


def test_a_packs_map_and_picture_serve_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALLETJACK_ASSETS", str(tmp_path / "assets.yaml"))
    folder = tmp_path / "mine"
    folder.mkdir()
    cv2.imwrite(str(folder / "yard.hdr"), 7.0 * quarters()[..., ::-1])
    cv2.imwrite(str(folder / "floor.png"), np.full((40, 80, 3), (10, 200, 30), np.uint8))
    add_pack("mine", AssetPack(folder=folder, licence="CC0-1.0", tile_m=1.5))
    assert read_environment(folder / "yard.hdr")[100, 300] == pytest.approx((7.0, 0.0, 0.0), abs=0.1)
    tree = with_environments({"assets:mine/yard": 1.0}).model_dump(mode="json")
    tree["place"]["floors"] = {"assets:mine/floor": 1.0}
    plan = plan_frame(Recipe.model_validate(tree), 4, 2)
    made = build_scene(plan)
    assert made.environment is not None
    floor = made.surfaces[0]
    assert floor.tile_m == (1.5, 0.75)
    assert floor.texture[0, 0, 1] > 2 * floor.texture[0, 0].min()
    cv2.imwrite(str(folder / "floor.png"), np.zeros((40, 80, 3), np.uint8))
    with pytest.raises(AssetError, match=r"floor.png: expected the file with SHA-256"):
        build_scene(plan)
    cv2.imwrite(str(folder / "square.hdr"), np.ones((40, 40, 3), np.float32))
    with pytest.raises(
        AssetError, match=r"square.hdr: expected a picture twice as wide as high, found 40x40"
    ):
        read_environment(folder / "square.hdr")


@pytest.mark.render
def test_the_camera_sees_the_map_through_an_opening_and_only_there() -> None:
    try:
        renderer = create_renderer(RenderSettings(spp=4, max_depth=2, denoise=False, variant="cpu"))
    except RenderError as error:
        pytest.skip(str(error))
    camera = looking_along_x(64, 64, 90.0, eye=(0.0, 0.0, 1.0))
    # A gate 4 m ahead, 4 m wide and from 1 m below to 1 m above the eye; beside it a lamp that is none.
    gate = RectLight((4.0, 0.0, 1.0), (0.0, -2.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.5, 0.5), opening=True)
    lamp = RectLight((4.0, 0.0, 3.0), (0.0, -2.0, 0.0), (0.0, 0.0, 0.5), (0.5, 0.5, 0.5))
    content = Scene((), (), (gate, lamp), camera, environment=Environment(quarters(), 0.0))
    linear = renderer.render(content, 1).linear
    assert linear[26, 20] == pytest.approx((1.0, 0.0, 0.0), abs=1e-3)
    assert linear[26, 43] == pytest.approx((0.0, 1.0, 0.0), abs=1e-3)
    assert linear[37, 20] == pytest.approx((0.0, 0.0, 0.0), abs=1e-3)
    assert linear[16, 20] == pytest.approx((0.5, 0.5, 0.5), abs=1e-3)
    assert linear[50, 20] == pytest.approx((0.0, 0.0, 0.0), abs=1e-3)
    without = renderer.render(replace(content, environment=None), 1).linear
    assert without[26, 20] == pytest.approx((0.5, 0.5, 0.5), abs=1e-3)
