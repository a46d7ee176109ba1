"""Where an image lands in the network's input, and that boxes come back to the same place."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from palletjack_detection.model_folder import InputSpec
from palletjack_detection.preprocess import Preprocessor, fit_image

SIZES = [
    (640, 480),
    (1280, 720),
    (1280, 800),
    (1920, 1080),
    (961, 545),
    (333, 977),
    (1, 1),
    (1, 5000),
    (7, 3),
]


def make_spec(**changes: object) -> InputSpec:
    fields: dict[str, object] = {
        "name": "input_1:0",
        "width": 960,
        "height": 544,
        "channels": "rgb",
        "scale": 1 / 255,
        "mean": (0.0, 0.0, 0.0),
        "stddev": (1.0, 1.0, 1.0),
        "resize": "letterbox",
        "padding": "center",
        "pad_value": 0,
    }
    return InputSpec(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
@pytest.mark.parametrize("padding", ["center", "bottom_right"])
def test_boxes_there_and_back_are_the_same(width: int, height: int, resize: str, padding: str) -> None:
    spec = make_spec(resize=resize, padding=padding)
    geometry, (new_width, new_height) = fit_image(width, height, spec)
    rng = np.random.default_rng(0)
    boxes = rng.uniform(-0.2, 1.2, (50, 4)) * [width, height, width, height]
    np.testing.assert_allclose(geometry.to_image(geometry.to_network(boxes)), boxes, atol=1e-9)
    # The image's own frame becomes exactly the pixels that it was resized to.
    x, y = geometry.offset_x, geometry.offset_y
    frame = geometry.to_network(np.array([[0, 0, width, height]]))
    np.testing.assert_allclose(frame, [[x, y, x + new_width, y + new_height]], atol=1e-9)
    assert 0 <= x <= 960 - new_width
    assert 0 <= y <= 544 - new_height
    if resize == "stretch":
        assert (new_width, new_height) == (960, 544)
    else:
        assert new_width == 960 or new_height == 544
        if padding == "bottom_right":
            assert (x, y) == (0, 0)
        else:
            assert abs((960 - new_width) - 2 * x) <= 1
            assert abs((544 - new_height) - 2 * y) <= 1


@pytest.mark.parametrize(
    ("width", "height"), [(640, 480), (961, 545), (1280, 720), (1920, 1080), (2501, 1407)]
)
@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_the_pixels_land_where_the_geometry_says(width: int, height: int, resize: str) -> None:
    """Reads ramps of one grey level a pixel, which resizing keeps, at the place that the geometry gives.

    A wrong half-pixel convention is off by half a source pixel times one less than the shrinking: 0.17
    at 1280 x 720.
    """
    start_x, start_y = width // 3, height // 3
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 0] = np.clip(np.arange(width) - start_x, 0, 255)
    image[:, :, 1] = np.clip(np.arange(height) - start_y, 0, 255)[:, None]
    preprocess = Preprocessor(make_spec(resize=resize))
    up, geometry = preprocess(image)[0].copy(), preprocess(image)[1]
    down = preprocess(255 - image)[0]
    centres_x = (np.arange(960) + 0.5 - geometry.offset_x) / geometry.scale_x - 0.5 - start_x
    centres_y = (np.arange(544) + 0.5 - geometry.offset_y) / geometry.scale_y - 0.5 - start_y
    for rising, falling, expected in (
        (up[0, 0, 272], down[0, 0, 272], centres_x),
        (up[0, 1, :, 480], down[0, 1, :, 480], centres_y),
    ):
        inside = (expected > 5) & (expected < min(250, width - start_x - 5, height - start_y - 5))
        assert inside.sum() > 50
        # Rounding to whole grey levels errs alike on both ramps and drops out of their difference.
        seen = (rising + 1 - falling)[inside] * 127.5
        assert abs((seen - expected[inside]).mean()) < 0.1


def test_values_are_scaled_shifted_and_in_channel_order() -> None:
    image = np.empty((544, 960, 3), np.uint8)
    image[:] = (255, 51, 0)
    tensor, _ = Preprocessor(make_spec())(image)
    assert tensor.shape == (1, 3, 544, 960)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[0, :, 10, 10], [1.0, 0.2, 0.0], rtol=1e-6)
    spec = make_spec(channels="bgr", mean=(0.1, 0.2, 0.3), stddev=(0.5, 1.0, 2.0))
    tensor, _ = Preprocessor(spec)(image)
    np.testing.assert_allclose(tensor[0, :, 10, 10], [-0.2, 0.0, 0.35], atol=1e-6)


def test_the_buffer_is_used_again_and_padding_is_restored() -> None:
    preprocess = Preprocessor(make_spec(pad_value=114))
    first, _ = preprocess(np.full((544, 960, 3), 255, np.uint8))
    assert first.min() == pytest.approx(1.0)
    second, geometry = preprocess(np.zeros((480, 640, 3), np.uint8))
    assert second is first
    x = geometry.offset_x
    assert (x, geometry.offset_y) == (117, 0)
    np.testing.assert_allclose(second[0, :, :, :x], 114 / 255, rtol=1e-6)
    assert (second[0, :, :, x : x + 725] == 0).all()
    np.testing.assert_allclose(second[0, :, :, x + 725 :], 114 / 255, rtol=1e-6)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize(("width", "height"), [(960, 544), (640, 480), (4000, 2000), (33, 800)])
def test_bytes_are_the_tensor_before_it_is_normalised(width: int, height: int, channels: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    preprocess = Preprocessor(make_spec(channels=channels, pad_value=114))
    tensor, geometry = preprocess(image)
    pixels, same = preprocess.pixels(image)
    assert (pixels.shape, pixels.dtype, same) == ((1, 544, 960, 4), np.uint8, geometry)
    np.testing.assert_array_equal(pixels[0, ..., :3].transpose(2, 0, 1), np.rint(255 * tensor[0]))


def test_strong_shrinking_averages_all_pixels() -> None:
    """One-pixel lines four source pixels apart: sampling would give stripes or nothing."""
    image = np.zeros((2176, 3840, 3), np.uint8)
    image[:, ::4] = 200
    tensor, _ = Preprocessor(make_spec())(image)
    np.testing.assert_allclose(tensor, 50 / 255, atol=1e-3)


def test_reversed_and_sliced_views_give_the_same_tensor() -> None:
    rng = np.random.default_rng(0)
    bgr = rng.integers(0, 256, (300, 500, 3), dtype=np.uint8)
    view = bgr[10:290:2, 20:480, ::-1]
    preprocess = Preprocessor(make_spec())
    from_view = preprocess(view)[0].copy()
    np.testing.assert_array_equal(from_view, preprocess(np.ascontiguousarray(view))[0])
    np.testing.assert_array_equal(
        from_view, preprocess(cv2.cvtColor(bgr[10:290:2, 20:480], cv2.COLOR_BGR2RGB))[0]
    )


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 640, 3), np.uint8), "expected at least 1 x 1 pixels, found 640 x 0"),
        (np.zeros((480, 0, 3), np.uint8), "expected at least 1 x 1 pixels, found 0 x 480"),
        (np.zeros((480, 640), np.uint8), r"expected shape \(height, width, 3\), found \(480, 640\)"),
        (np.zeros((480, 640, 4), np.uint8), r"found \(480, 640, 4\)"),
        (np.zeros((480, 640, 3), np.float32), "expected uint8, found float32"),
        ([[1, 2, 3]], "expected a NumPy array, found list"),
    ],
)
def test_what_is_no_image_is_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessor(make_spec())(image)
