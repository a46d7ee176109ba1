"""The sensor stage: exposure, colour, blur and noise do what their numbers say, and move nothing."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from palletjack_sdg.sensor import (
    SensorParams,
    SensorRanges,
    apply_sensor,
    motion_kernel,
    sample_sensor,
    srgb_decode,
    srgb_encode,
)


def develop(image: np.ndarray, seed: int = 0, **params: object) -> np.ndarray:
    return apply_sensor(image.astype(np.float32), SensorParams(**params), np.random.default_rng(seed))  # type: ignore[arg-type]


def flat(value: float, shape: tuple[int, int] = (96, 160)) -> np.ndarray:
    return np.full((*shape, 3), value, dtype=np.float32)


@pytest.mark.parametrize("radiance", [1e-4, 0.18, 700.0])
def test_auto_exposure_puts_any_light_on_middle_grey(radiance: float) -> None:
    # 18% grey is 118 in sRGB (IEC 61966-2-1).
    assert abs(int(develop(flat(radiance)).mean()) - 118) <= 1


def test_one_stop_doubles_the_light() -> None:
    normal = srgb_decode(develop(flat(1.0)).astype(np.float32) / 255).mean()
    brighter = srgb_decode(develop(flat(1.0), exposure_ev=1.0).astype(np.float32) / 255).mean()
    assert brighter / normal == pytest.approx(2.0, rel=0.03)


def test_highlights_clip_and_shadows_survive() -> None:
    image = flat(0.05)
    image[:, :40] = 50.0
    developed = develop(image, highlight_weight=0.0)
    assert developed[:, 5:35].min() >= 250
    assert 20 < developed[:, 60:].mean() < 200


def test_white_balance_takes_a_warm_cast_away_only_as_far_as_it_adapts() -> None:
    warm = flat(0.5) * np.array([1.6, 1.0, 0.5], dtype=np.float32)

    def cast(adaptation: float) -> float:
        red, _, blue = develop(warm, white_balance_adaptation=adaptation).reshape(-1, 3).mean(axis=0)
        return float(red - blue)

    assert cast(0.0) > cast(0.5) > cast(1.0)
    assert abs(cast(1.0)) <= 2


def test_vignetting_darkens_the_corners_only() -> None:
    developed = develop(flat(1.0), vignetting=0.4)
    assert developed[0, 0].mean() < developed[48, 80].mean() - 15


def test_noise_has_the_stated_deviation() -> None:
    developed = develop(flat(0.18, (200, 300)), read_noise=0.01)
    linear = srgb_decode(developed.astype(np.float32) / 255)
    assert linear.std() == pytest.approx(0.01, rel=0.15)


def test_noise_comes_from_the_generator_alone() -> None:
    same = [develop(flat(0.2), seed=seed, read_noise=0.02) for seed in (1, 1, 2)]
    assert np.array_equal(same[0], same[1])
    assert not np.array_equal(same[0], same[2])


@pytest.mark.parametrize(
    "params",
    [
        {"defocus_px": 8.0},
        {"motion_px": 40.0, "motion_angle_deg": 30.0},
        {"motion_px": 33.0, "motion_angle_deg": -90.0},
        {"resolution_scale": 0.5},
        {"sharpening": 0.9},
        {"glare": 0.05},
        {"chromatic_aberration_px": 0.9},
        {"jpeg_quality": 40},
    ],
)
def test_no_effect_moves_the_picture(params: dict[str, object]) -> None:
    image = flat(0.05, (121, 161))
    image[51:70, 71:90] = 1.0
    developed = srgb_decode(develop(image, **params).astype(np.float32) / 255).mean(axis=2)
    weights = np.maximum(developed - np.median(developed), 0.0)
    rows, columns = np.mgrid[0:121, 0:161]
    centre = ((weights * rows).sum() / weights.sum(), (weights * columns).sum() / weights.sum())
    assert centre == pytest.approx((60.0, 80.0), abs=0.35)


@pytest.mark.parametrize("length", [1.5, 6.0, 13.0])
@pytest.mark.parametrize("angle", [-90.0, -20.0, 0.0, 45.0])
def test_motion_kernel_is_centred_and_as_long_as_stated(length: float, angle: float) -> None:
    kernel = motion_kernel(length, angle)
    rows, columns = np.mgrid[0 : kernel.shape[0], 0 : kernel.shape[1]] - kernel.shape[0] // 2
    assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
    assert (kernel * columns).sum() == pytest.approx(0.0, abs=1e-3)
    assert (kernel * rows).sum() == pytest.approx(0.0, abs=1e-3)
    # The variance along a uniform path of that length is length^2 / 12, plus at most the grid's own.
    along = columns * np.cos(np.radians(angle)) + rows * np.sin(np.radians(angle))
    spread = (kernel * along**2).sum()
    assert length**2 / 12 <= spread <= length**2 / 12 + 0.6


def test_transfer_curve_round_trips() -> None:
    values = np.linspace(0.0, 1.0, 256, dtype=np.float32)
    assert np.abs(srgb_encode(srgb_decode(values)) - values).max() < 1e-4


def test_values_that_are_not_finite_do_not_spread() -> None:
    image = flat(0.18)
    image[10, 10] = np.nan
    image[20, 20] = np.inf
    developed = develop(image)
    assert abs(int(np.median(developed)) - 118) <= 1


def test_a_black_frame_stays_black() -> None:
    assert develop(flat(0.0)).max() == 0


def test_a_grey_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a linear image of shape \(H, W, 3\), found \(4, 5\)"):
        apply_sensor(np.zeros((4, 5), np.float32), SensorParams(), np.random.default_rng(0))


def test_samples_stay_in_their_ranges_and_repeat() -> None:
    ranges = SensorRanges()
    draws = [sample_sensor(ranges, np.random.default_rng(seed)) for seed in range(200)]
    assert draws[3] == sample_sensor(ranges, np.random.default_rng(3))
    low, high = ranges.motion_px
    lengths = [draw.motion_px for draw in draws if draw.motion_px is not None]
    assert all(low <= length <= high for length in lengths)
    assert 0.2 < len(lengths) / len(draws) < 0.5
    assert SensorParams.model_validate_json(draws[0].model_dump_json()) == draws[0]


@pytest.mark.parametrize(
    "change", [{"glare": [0.5, 0.1]}, {"motion_px": [0.0, 3.0]}, {"gain": [0, 1]}, {"jpeg_probability": 1.5}]
)
def test_ranges_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        SensorRanges.model_validate(change)
