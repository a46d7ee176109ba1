"""Direct sun through gates and windows: which recipes have it, where it falls, how bright it is."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.sdg.recipes import without_goods, without_trucks
from tests.sdg.scenes import at, box, compiled_kernels, floor, looking_along_x

from palletjack_sdg.compose import build_scene
from palletjack_sdg.environment import Environment, Sun
from palletjack_sdg.frame_plan import FramePlan
from palletjack_sdg.geometry import Material, Prop
from palletjack_sdg.isaac_sim.generate import main as isaac_sim
from palletjack_sdg.isaac_sim.stage import write_stage
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import Recipe, load_recipe
from palletjack_sdg.render import Renderer, RenderError, RenderSettings, create_renderer
from palletjack_sdg.scene import Instance, RectLight, Scene

HALF_RIGHT = math.sqrt(0.5)
# A gate 4 m ahead, 2 m wide and high, and a sun 45 degrees above it. Its light falls on the floor between
# x = 2 and x = 4. The gate itself hardly shines, so that the sun can be told from it.
GATE = RectLight((4.0, 0.0, 1.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (1e-6, 1e-6, 1e-6), opening=True)
SUN = Sun((HALF_RIGHT, 0.0, HALF_RIGHT), (30.0, 20.0, 10.0))


def with_sun(share: float, **light: object) -> Recipe:
    tree = load_recipe("warehouse_v1").model_dump(mode="json")
    tree["light"].update(daylight=1.0, sun=share, **light)
    return without_trucks(without_goods(Recipe.model_validate(tree)))


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    try:
        return create_renderer(RenderSettings(spp=16, max_depth=2, denoise=False, variant="cpu"))
    except RenderError as error:
        pytest.skip(str(error))


def seen_from_above(renderer: Renderer, *instances: Instance, sun: Sun | None = SUN) -> NDArray[np.float32]:
    """The floor from 8 m above (2, 0): rows from x = 5.2 down to -1.2, columns from y = 3.2 to -3.2."""
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, -1.0)
    pose[:3, 3] = (2.0, 0.0, 8.0)
    camera = replace(looking_along_x(64, 64, 2.0 * math.degrees(math.atan(0.4))), pose=pose)
    return renderer.render(Scene(instances, (floor(),), (GATE,), camera, sun=sun), 1).linear


def pixel(image: NDArray[np.float32], x: float, y: float) -> NDArray[np.float32]:
    return np.asarray(image[round((5.2 - x) * 10 - 0.5), round((3.2 - y) * 10 - 0.5)])


@pytest.mark.render
def test_it_falls_where_a_line_to_the_sun_leaves_by_the_gate(renderer: Renderer) -> None:
    lit = seen_from_above(renderer)
    for x, y in ((2.15, 0.0), (3.85, 0.0), (3.0, 0.85), (3.0, -0.85)):
        # A rough grey floor that the sun meets at 45 degrees: half-lit sRGB 128 reflects 0.216.
        expected = np.array(SUN.irradiance) * HALF_RIGHT * 0.216 / math.pi
        assert pixel(lit, x, y) == pytest.approx(expected, rel=0.3), (x, y)
    for x, y in ((1.85, 0.0), (5.0, 0.0), (3.0, 1.15), (3.0, -1.15), (0.0, 2.0)):
        assert pixel(lit, x, y) == pytest.approx(np.zeros(3), abs=1e-3), (x, y)
    assert seen_from_above(renderer, sun=None).max() < 1e-3


@pytest.mark.render
def test_things_throw_shadows_and_film_dims(renderer: Renderer) -> None:
    open_floor = pixel(seen_from_above(renderer), 3.0, 0.0)
    # On the way from the floor at x = 3 to the sun, 0.5 m high.
    post = Instance(1, Prop("post", (box((-0.05, -0.2, 0.3), (0.05, 0.2, 0.7)),)), at(3.5, 0.0))
    shaded = seen_from_above(renderer, post)
    assert pixel(shaded, 3.0, 0.0) == pytest.approx(np.zeros(3), abs=1e-3)
    assert pixel(shaded, 3.0, 0.6) == pytest.approx(open_floor, rel=0.1)
    clear = Material((0.9, 0.9, 0.9), opacity=0.4)
    film = Instance(1, Prop("film", (box((-0.05, -0.2, 0.3), (0.05, 0.2, 0.7), clear),)), at(3.5, 0.0))
    # Two faces of film, each of which lets 60 % through.
    assert pixel(seen_from_above(renderer, film), 3.0, 0.0) == pytest.approx(0.36 * open_floor, rel=0.1)


@pytest.mark.render
def test_sunlit_things_light_others(renderer: Renderer) -> None:
    wall = Instance(
        1, Prop("wall", (box((0.0, -1.0, 0.0), (0.1, 1.0, 1.5), Material((1, 1, 1), 1.0)),)), at(1.5, 0.0)
    )
    # The shaded floor beside the patch, with and without a white wall that faces the patch.
    with_wall, without = (
        pixel(seen_from_above(renderer, wall), 1.75, 0.0),
        pixel(seen_from_above(renderer), 1.75, 0.0),
    )
    assert without == pytest.approx(np.zeros(3), abs=1e-3)
    assert with_wall.min() > 0.01


@pytest.mark.render
def test_another_frame_with_sun_compiles_nothing(renderer: Renderer) -> None:
    suns = (SUN, Sun((0.6, 0.0, 0.8), (3.0, 2.0, 1.0)))
    kernels = compiled_kernels([partial(seen_from_above, renderer, sun=sun) for sun in suns])
    assert len(kernels[0]) >= 2
    assert kernels[1] - kernels[0] == set()


def test_only_a_recipe_that_asks_for_sun_has_it() -> None:
    shipped = load_recipe("warehouse_v1")
    assert "sun" not in shipped.model_dump(mode="json")["light"]
    assert '"sun"' not in plan_frame(without_goods(shipped), 4, 2).model_dump_json()
    sunny, dull = with_sun(1.0), with_sun(0.0)
    suns = []
    for index in range(6):
        plan, without = plan_frame(sunny, 4, index), plan_frame(dull, 4, index)
        assert plan.model_copy(update={"sun": None}) == without, "all else is planned as without"
        assert FramePlan.model_validate_json(plan.model_dump_json()) == plan
        openings = [light for light in plan.lights if light.kind == "daylight"]
        assert (plan.sun is not None) == bool(openings)
        if plan.sun is None:
            continue
        sun = build_scene(plan.model_copy(update={"objects": (), "surfaces": ()})).sun
        assert sun is not None
        assert math.hypot(*sun.direction) == pytest.approx(1.0)
        inward = [np.cross(light.u, light.v) for light in openings]
        assert max(float(-normal @ sun.direction) / np.linalg.norm(normal) for normal in inward) > 0.3
        assert 8.0 <= plan.sun.elevation_deg <= 50.0
        times = [plan.sun.irradiance[1] / light.radiance[1] for light in openings]
        assert any(2.0 <= value <= 12.0 for value in times)
        suns.append(plan.sun)
    assert len(suns) > 3
    assert len({sun.azimuth_deg for sun in suns}) == len(suns)


def test_a_map_is_turned_so_that_its_sun_is_the_one_that_shines_in() -> None:
    recipe = with_sun(1.0, environments={"sky": 1.0})
    plan = next(plan for plan in (plan_frame(recipe, 4, index) for index in range(9)) if plan.sun)
    assert plan.sun is not None
    scene = build_scene(plan.model_copy(update={"objects": (), "surfaces": ()}))
    assert scene.sun is not None
    assert scene.environment is not None
    azimuth, elevation = scene.environment.brightest()
    assert math.cos(azimuth - math.radians(plan.sun.azimuth_deg)) == pytest.approx(1.0, abs=1e-4)
    assert math.asin(scene.sun.direction[2]) == pytest.approx(max(elevation, math.radians(5.0)))
    seen = scene.environment.seen(np.array(scene.sun.direction))
    if elevation > math.radians(5.0):
        assert seen == pytest.approx(scene.environment.image.reshape(-1, 3).max(axis=0), rel=1e-3)


def test_the_brightest_pixel_is_found_where_it_is_seen() -> None:
    image = np.full((32, 64, 3), 0.1, np.float32)
    image[9, 40] = 50.0
    turned = Environment(image, 0.8)
    azimuth, elevation = turned.brightest()
    flat = math.cos(elevation)
    direction = np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)])
    assert turned.seen(direction) == pytest.approx((50.0, 50.0, 50.0))


def test_isaac_sim_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lit = Scene((), (floor(),), (GATE,), looking_along_x(64, 64), sun=SUN)
    with pytest.raises(RenderError, match=r"light.sun: only the embedded renderer"):
        write_stage(lit, tmp_path / "stage.usda")
    recipe = tmp_path / "sunny.yaml"
    recipe.write_text(with_sun(0.5).model_dump_json())
    assert isaac_sim(["--recipe", str(recipe), "--frames", "1", "--out", str(tmp_path / "out")]) == 2
    assert "warehouse_v1: light.sun: only the embedded renderer" in capsys.readouterr().err
