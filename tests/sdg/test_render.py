"""The embedded path tracer: physical units, textures the right way up, ids, and one kernel for all."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from tests.sdg.scenes import (
    BARREL,
    at,
    box,
    ceiling_lights,
    compiled_kernels,
    floor,
    looking_along_x,
    scene,
    simple_truck,
)

from palletjack_sdg.geometry import Material, Part, Prop
from palletjack_sdg.projection import project, project_triangles, rasterize, to_camera
from palletjack_sdg.render import Renderer, RenderError, RenderSettings, create_renderer, denoise
from palletjack_sdg.render.atlas import GUTTER_PX, pack
from palletjack_sdg.render.lights import fill_pool
from palletjack_sdg.render.merge import merge
from palletjack_sdg.scene import Instance, RectLight, Scene, Surface


def start(settings: RenderSettings) -> Renderer:
    try:
        return create_renderer(settings)
    except RenderError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return start(RenderSettings(spp=8, denoise=False, variant="cpu"))


def picture(texture: np.ndarray, **material: object) -> Prop:
    """A plate 1 m wide and high that faces -x, with uvs as the contract has them: v down from the top."""
    corners = np.array([[0, 0.5, 0], [0, -0.5, 0], [0, -0.5, 1], [0, 0.5, 1]], dtype=np.float32)
    uvs = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], dtype=np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)
    return Prop("picture", (Part(corners, faces, Material(texture=texture, **material), uvs=uvs),))  # type: ignore[arg-type]


@pytest.mark.render
def test_frames_repeat_and_depend_on_the_seed(renderer: Renderer) -> None:
    what = scene(looking_along_x(), Instance(1, simple_truck(), at(3.0, 0.0, 30.0)))
    first, again, other = (renderer.render(what, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first.linear, again.linear)
    assert not np.array_equal(first.linear, other.linear)
    assert np.array_equal(first.instance_ids, other.instance_ids)
    assert first.linear.dtype == np.float32
    assert np.isfinite(first.linear).all()


@pytest.mark.render
def test_later_frames_compile_nothing(renderer: Renderer) -> None:
    from palletjack_sdg.render.mitsuba_scene import LIGHT_SLOTS

    texture = np.full((8, 8, 3), 90, np.uint8)
    first = scene(looking_along_x(distortion=BARREL), Instance(1, simple_truck(), at(3.0, 0.0)))
    second = Scene(
        instances=(
            Instance(4, simple_truck((0.1, 0.9, 0.1)), at(4.0, -1.0, 70.0)),
            Instance(7, picture(texture), at(5.0, 1.0)),
            Instance(8, Prop("film", (box((0, 0, 0), (0.1, 1, 1), Material(opacity=0.3)),)), at(3.0, 1.0)),
        ),
        surfaces=(floor(), replace(floor(), name="far"), replace(floor(90), name="wet")),
        lights=ceiling_lights(LIGHT_SLOTS + 7),
        camera=looking_along_x(256, 144, hfov_deg=90.0, eye=(0.2, 0.1, 0.5), pitch_deg=-6.0),
        ambient=(0.0, 0.0, 0.0),
    )
    kernels = compiled_kernels(
        [partial(renderer.render, what, seed=number) for number, what in enumerate((first, second))]
    )
    # The tracer and the casting of ids, at least, must have run.
    assert len(kernels[0]) >= 2
    assert kernels[1] - kernels[0] == set()


@pytest.mark.render
@pytest.mark.parametrize("distortion", [(0.0,) * 5, BARREL])
def test_ids_and_depth_agree_with_projected_triangles(
    renderer: Renderer, distortion: tuple[float, float, float, float, float]
) -> None:
    camera = looking_along_x(distortion=distortion, pitch_deg=-5.0)
    placed = [Instance(n, simple_truck(), at(3.0 + n, 1.8 - 1.2 * n, 50.0 * n)) for n in (1, 2, 3)]
    result = renderer.render(scene(camera, *placed))
    assert set(np.unique(result.instance_ids)) == {0, 1, 2, 3}
    for instance in placed:
        corners = np.concatenate([part.vertices[part.faces].reshape(-1, 3) for part in instance.prop.parts])
        world = corners @ instance.pose[:3, :3].T + instance.pose[:3, 3]
        optical = to_camera(camera, world)
        covered = rasterize(project_triangles(camera, optical.reshape(-1, 3, 3)), camera.width, camera.height)
        seen = result.instance_ids == instance.instance_id
        assert (seen & ~covered).sum() <= 2
        assert (seen & covered).sum() >= 0.5 * covered.sum()
        depths = result.depth[seen]
        assert depths.min() >= optical[:, 2].min() - 1e-3
        assert depths.max() <= optical[:, 2].max() + 1e-3
    # A floor point's depth is its distance along the optical axis.
    point = np.array([[4.0, -1.9, 0.0]])
    column, row = project(camera, to_camera(camera, point))[0].astype(int)
    assert result.depth[row, column] == pytest.approx(to_camera(camera, point)[0, 2], rel=0.03)


@pytest.mark.render
def test_thin_film_is_looked_through_and_dense_film_is_not(renderer: Renderer) -> None:
    truck = Instance(1, simple_truck(), at(4.0, 0.0))
    for opacity, expected in ((0.2, {0, 1}), (0.8, {0, 2})):
        film = Prop("film", (box((0, -2, 0), (0.02, 2, 3), Material((0.9, 0.9, 0.9), opacity=opacity)),))
        result = renderer.render(scene(looking_along_x(), truck, Instance(2, film, at(2.0, 0.0))))
        assert set(np.unique(result.instance_ids)) == expected
        if opacity < 0.5:
            assert 3.6 < result.depth[result.instance_ids == 1].min() < 4.0


@pytest.mark.render
def test_textures_stand_upright_and_keep_their_colour(renderer: Renderer) -> None:
    """Red top left, green top right, blue bottom left, white bottom right, on an object and on a wall."""
    colors = np.array([[[200, 30, 30], [30, 200, 30]], [[30, 30, 200], [200, 200, 200]]], dtype=np.uint8)
    texture = colors.repeat(32, axis=0).repeat(32, axis=1)
    corners = np.array([[3.0, 1, 0], [3.0, 0, 0], [3.0, 0, 1], [3.0, 1, 1]])
    wall = Surface("wall", corners, texture, (1.0, 1.0), roughness=1.0)
    right = Instance(1, picture(texture, roughness=1.0), at(3.0, -0.5))
    camera = looking_along_x(eye=(0.0, 0.0, 0.5))
    content = Scene((right,), (wall,), (), camera, (1.0, 1.0, 1.0))
    linear = renderer.render(content).linear
    for middle_y in (0.5, -0.5):
        for row in (0, 1):
            for column in (0, 1):
                point = np.array([[3.0, middle_y + 0.25 - 0.5 * column, 0.75 - 0.5 * row]])
                u, v = project(camera, to_camera(camera, point))[0].astype(int)
                found = linear[v - 2 : v + 3, u - 2 : u + 3].mean(axis=(0, 1))
                expected = (colors[row, column] / 255.0) ** 2.2
                # Under a sky of radiance 1 a diffuse surface shows its albedo; gloss adds a few percent.
                assert found == pytest.approx(expected, rel=0.12, abs=0.06)


@pytest.mark.render
def test_light_follows_radiance_area_and_distance(renderer: Renderer) -> None:
    """A small lamp above a rough floor: E = L A / d^2 right below it, and L_out = albedo E / pi."""
    radiance, side, height = 500.0, 0.2, 3.0
    lamp = RectLight((4.0, 0.0, height), (side / 2, 0, 0), (0, -side / 2, 0), (radiance,) * 3)
    camera = looking_along_x(eye=(0.0, 0.0, 1.5), pitch_deg=-20.0)
    linear = renderer.render(Scene((), (floor(188),), (lamp,), camera)).linear
    u, v = project(camera, to_camera(camera, np.array([[4.0, 0.0, 0.0]])))[0].astype(int)
    found = float(linear[v - 3 : v + 4, u - 3 : u + 4].mean())
    albedo = (188 / 255) ** 2.2
    expected = albedo / np.pi * radiance * side**2 / height**2
    assert found == pytest.approx(expected, rel=0.15)
    # The lamp's back is dark: nothing above it is lit.
    upward = replace(lamp, v=(0, side / 2, 0))
    assert renderer.render(Scene((), (floor(188),), (upward,), camera)).linear.max() < 1e-6


@pytest.mark.render
def test_more_lights_than_slots_keep_their_power(renderer: Renderer) -> None:
    camera = looking_along_x(eye=(0.0, 0.0, 1.0), pitch_deg=-10.0)
    many = tuple(
        RectLight((1.0 + 0.3 * k, 0.5, 3.0), (0.1, 0, 0), (0, -0.1, 0), (10.0 + k, 10.0, 10.0))
        for k in range(40)
    )
    pool = fill_pool(many, camera, 24)
    assert len(pool) == 24
    assert sum(len(slot.corners) for slot in pool) == 40
    red = sum(len(slot.corners) * slot.radiance[0] for slot in pool)
    assert red == pytest.approx(sum(light.radiance[0] for light in many))
    lit = [
        renderer.render(Scene((), (floor(),), lights, camera)).linear.mean() for lights in (many, many[:20])
    ]
    rest = renderer.render(Scene((), (floor(),), many[20:], camera)).linear.mean()
    assert lit[0] == pytest.approx(lit[1] + rest, rel=0.05)


@pytest.mark.render
def test_denoising_comes_closer_to_the_truth() -> None:
    if not denoise.is_available():
        pytest.skip("mitsuba-oidn is not installed")
    camera = looking_along_x(192, 112, distortion=BARREL)
    what = scene(camera, Instance(1, simple_truck(), at(3.0, 0.0, 30.0)))
    truth = start(RenderSettings(spp=160, denoise=False, variant="cpu")).render(what, seed=9).linear
    raw = start(RenderSettings(spp=4, denoise=False, variant="cpu")).render(what).linear
    clean = start(RenderSettings(spp=4, denoise=True, variant="cpu")).render(what).linear

    def error(image: np.ndarray) -> float:
        return float(np.sqrt(np.mean((np.minimum(image, 4.0) - np.minimum(truth, 4.0)) ** 2)))

    assert error(clean) < 0.6 * error(raw)
    assert clean.mean() == pytest.approx(truth.mean(), rel=0.03)


@pytest.mark.render
def test_a_denoised_frame_does_not_depend_on_the_number_of_threads() -> None:
    if not denoise.is_available():
        pytest.skip("mitsuba-oidn is not installed")
    dr = pytest.importorskip("drjit")
    what = scene(looking_along_x(192, 112), Instance(1, simple_truck(), at(3.0, 0.0, 30.0)))
    settings = RenderSettings(spp=1, denoise=True, variant="cpu")
    usual = dr.thread_count()
    try:
        frames = [start(replace(settings, threads=count)).render(what).linear for count in (1, 2, 3)]
    finally:
        dr.set_thread_count(usual)
    assert np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[0], frames[2])


def test_without_llvm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    dr = pytest.importorskip("drjit")
    pytest.importorskip("mitsuba")
    monkeypatch.setattr(dr, "has_backend", lambda backend: False)
    with pytest.raises(RenderError, match=r"no CUDA device answers; .*apt install libllvm19"):
        create_renderer(RenderSettings())


def test_without_the_denoiser_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    start(RenderSettings(denoise=False, variant="cpu"))
    monkeypatch.setattr(denoise, "is_available", lambda: False)
    with pytest.raises(RenderError, match="mitsuba-oidn"):
        create_renderer(RenderSettings(variant="cpu"))


@pytest.fixture
def textures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 255, (int(h), int(w), 3), dtype=np.uint8) for h, w in rng.integers(20, 200, (30, 2))
    ]


def test_atlas_tiles_hold_their_textures_apart(textures: list[np.ndarray]) -> None:
    atlas = pack(textures, [1e9] * len(textures), 1024)
    taken = np.zeros((1024, 1024), dtype=int)
    for texture, tile in zip(textures, atlas.tiles, strict=True):
        left, top, width, height = np.rint(tile * 1024).astype(int)
        assert np.array_equal(atlas.image[top : top + height, left : left + width], texture)
        # The gutter repeats the border, so that interpolation brings in no neighbour.
        assert np.array_equal(atlas.image[top : top + height, left - 1], texture[:, 0])
        taken[top - GUTTER_PX : top + height + GUTTER_PX, left - GUTTER_PX : left + width + GUTTER_PX] += 1
    assert taken.max() == 1


def test_atlas_reduces_far_textures_and_all_when_there_are_too_many(textures: list[np.ndarray]) -> None:
    atlas = pack(textures, [16.0] * len(textures), 1024)
    assert (atlas.tiles[:, 2:] * 1024).max() <= 16
    crowded = pack(textures, [1e9] * len(textures), 256)
    assert (crowded.tiles[:, :2] + crowded.tiles[:, 2:]).max() <= 1.0
    with pytest.raises(ValueError, match=r"texture 1: expected \(H, W, 3\) of uint8, found \(4, 4\)"):
        pack([textures[0], np.zeros((4, 4), np.uint8)], [1.0, 1.0], 256)


def test_merge_names_the_instance_that_is_wrong() -> None:
    camera = looking_along_x()
    good = Instance(3, simple_truck(), at(3.0, 0.0))
    with pytest.raises(ValueError, match=r"instance 3 \(palletjack\): expected an id"):
        merge((good, good), camera, 256)
    part = good.prop.parts[0]
    torn = Prop("torn", (replace(part, faces=part.faces + 1),))
    with pytest.raises(
        ValueError, match=r"instance 4 \(torn\): faces: expected indices of 8 vertices, found 1..8"
    ):
        merge((Instance(4, torn, at(1.0, 0.0)),), camera, 256)
    bare = Prop("bare", (replace(part, material=Material(texture=np.zeros((4, 4, 3), np.uint8))),))
    with pytest.raises(ValueError, match=r"instance 5 \(bare\): uvs: expected them"):
        merge((Instance(5, bare, at(1.0, 0.0)),), camera, 256)


def test_merged_faces_keep_place_colour_and_owner() -> None:
    red, blue = Material((1.0, 0.0, 0.0)), Material((0.0, 0.0, 1.0))
    prop = Prop("pair", (box((0, 0, 0), (1, 1, 1), red), box((2, 0, 0), (3, 1, 1), blue)))
    merged = merge((Instance(6, prop, at(5.0, 0.0, 90.0)),), looking_along_x(), 256).solid
    corners = merged.vertices[merged.faces]
    assert set(merged.instance_ids) == {6}
    # Turned by 90 degrees, the object's x axis is the world's y: the red box ends at 1, the blue begins at 2.
    assert corners[merged.color[:, 0] == 1][..., 1].max() == pytest.approx(1.0, abs=1e-5)
    assert corners[merged.color[:, 2] == 1][..., 1].min() == pytest.approx(2.0, abs=1e-5)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert np.allclose(merged.normals[merged.faces[:, 0]], normals, atol=1e-5)
