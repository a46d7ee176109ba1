"""Textures: they repeat without a seam, follow their seed, and look like what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from palletjack_sdg.textures import CEILING_TEXTURES, FLOOR_TEXTURES, WALL_TEXTURES
from palletjack_sdg.textures.cartons import CARTON_SIDES, CARTON_TOP, atlas_cell, carton_atlas
from palletjack_sdg.textures.metal_and_cloth import (
    cloth,
    hi_vis_vest,
    painted_metal,
    sign,
    stretch_film,
    warning_stripes,
)
from palletjack_sdg.textures.noise import draw_wrapping, wrapping_blur, wrapping_noise
from palletjack_sdg.textures.print import paper_label
from palletjack_sdg.textures.wood import chipboard, wood_strips

SURFACES = [
    pytest.param(maker, id=f"{kind}-{name}")
    for kind, registry in (("floor", FLOOR_TEXTURES), ("wall", WALL_TEXTURES), ("ceiling", CEILING_TEXTURES))
    for name, maker in registry.items()
]


def _seam_and_inner_step(image: np.ndarray, axis: int) -> tuple[float, float]:
    """Mean difference over the wrap edge, and the largest mean difference between inner neighbours."""
    levels = np.moveaxis(image.astype(np.float64), axis, 0)
    steps = np.abs(np.diff(levels, axis=0)).mean(axis=(1, 2))
    return float(np.abs(levels[0] - levels[-1]).mean()), float(steps.max())


@pytest.mark.parametrize("maker", SURFACES)
def test_surface_repeats_without_a_seam_and_states_its_size(maker) -> None:
    for seed in (1, 2):
        made = maker(np.random.default_rng(seed))
        image = made.texture
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        for axis in (0, 1):
            seam, inner = _seam_and_inner_step(image, axis)
            # Joints fall on the edge too, between other tones than inside.
            assert seam <= 1.3 * inner + 2.0
        assert all(0.5 <= size <= 20.0 for size in made.tile_m)
        assert 0.0 < made.roughness <= 1.0
        assert image.std() > 1.0


@pytest.mark.parametrize("maker", SURFACES)
def test_surface_follows_its_seed(maker) -> None:
    first, again, other = (maker(np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.texture, again.texture)
    assert first.tile_m == again.tile_m
    assert not np.array_equal(first.texture, other.texture)


def test_floors_cover_dark_to_bright_greys() -> None:
    levels = [FLOOR_TEXTURES["concrete"](np.random.default_rng(seed)).texture.mean() for seed in range(16)]
    assert min(levels) < 90.0
    assert max(levels) > 130.0


def test_noise_is_normalized_and_wraps() -> None:
    field = wrapping_noise(np.random.default_rng(0), (128, 256), (4, 8), 4)
    assert field.shape == (128, 256)
    assert abs(float(field.mean())) < 1e-3
    assert float(field.std()) == pytest.approx(1.0, abs=1e-3)
    inner = np.abs(np.diff(field, axis=1)).mean(axis=0).max()
    assert np.abs(field[:, 0] - field[:, -1]).mean() <= 1.2 * inner


def test_noise_refuses_shapes_it_cannot_wrap() -> None:
    with pytest.raises(ValueError, match=r"powers of two.*\(100, 128\)"):
        wrapping_noise(np.random.default_rng(0), (100, 128), 8)


def test_a_line_that_leaves_on_one_side_comes_back_on_the_other() -> None:
    mask = np.zeros((32, 32), dtype=np.uint8)
    draw_wrapping(mask, np.array([[28.0, 16.0], [40.0, 16.0]]), 255, 1)
    assert mask[16, 30] > 200
    assert mask[16, 4] > 200
    assert mask[16, 15] == 0


def test_blur_wraps() -> None:
    image = np.zeros((32, 32), dtype=np.float32)
    image[0, 0] = 1.0
    blurred = wrapping_blur(image, 1.5)
    assert blurred[31, 31] == pytest.approx(blurred[1, 1], rel=1e-4)
    assert float(blurred.sum()) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    "maker",
    [
        wood_strips,
        chipboard,
        carton_atlas,
        paper_label,
        sign,
        warning_stripes,
        lambda rng: painted_metal(rng, (0.1, 0.2, 0.6)),
        lambda rng: stretch_film(rng, (0.6, 0.5, 0.4)),
        lambda rng: cloth(rng, (0.1, 0.2, 0.3)),
        lambda rng: hi_vis_vest(rng, (0.9, 0.3, 0.1)),
    ],
)
def test_goods_textures_are_seeded_images(maker) -> None:
    first, again, other = (maker(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.dtype == np.uint8
    assert first.shape[2] == 3
    assert max(first.shape[:2]) <= 256
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_painted_metal_keeps_its_colour_and_wear_shows() -> None:
    new = painted_metal(np.random.default_rng(0), (0.1, 0.2, 0.6), 0.0).astype(float)
    worn = painted_metal(np.random.default_rng(0), (0.1, 0.2, 0.6), 1.0).astype(float)
    np.testing.assert_allclose(new.mean(axis=(0, 1)) / 255.0, (0.1, 0.2, 0.6), atol=0.06)
    assert worn[..., 2].std() > 1.5 * new[..., 2].std()
    assert worn[..., 2].mean() < new[..., 2].mean()


def test_atlas_cells_do_not_overlap() -> None:
    cells = [*CARTON_SIDES, CARTON_TOP]
    for index, (u0, v0, u1, v1) in enumerate(cells):
        assert 0.0 <= u0 < u1 <= 1.0
        assert 0.0 <= v0 < v1 <= 1.0
        for other in cells[index + 1 :]:
            assert u1 <= other[0] or other[2] <= u0 or v1 <= other[1] or other[3] <= v0
    assert atlas_cell(1, 0, 2, 2, 0.0) == (0.5, 0.0, 1.0, 0.5)
