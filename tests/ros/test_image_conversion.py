"""Image messages to RGB: every encoding against pixels that are known, every refusal with its reason."""

from __future__ import annotations

import array
import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from palletjack_detection.image_conversion import (
    LARGEST_SIDE,
    SUPPORTED_ENCODINGS,
    ImageRefused,
    compressed_to_rgb,
    image_to_rgb,
)

Bytes = NDArray[np.uint8]


def random_rgb(height: int = 6, width: int = 8) -> Bytes:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def convert(encoding: str, pixels: NDArray[np.generic], padding: int = 0, **fields: object) -> Bytes:
    """Convert ``pixels`` packed with ``padding`` bytes after each row."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    message = {"width": width, "height": height, "step": rows.shape[1], "data": rows.tobytes(), **fields}
    return image_to_rgb(encoding=encoding, **message)  # type: ignore[arg-type]


def with_alpha(pixels: Bytes) -> Bytes:
    return np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 9, np.uint8)], axis=2)


@pytest.mark.parametrize("padding", [0, 1, 13])
def test_eight_bit_colours_come_out_exactly(padding: int) -> None:
    rgb = random_rgb(5, 7)
    grey = rgb[..., 0]
    cases: list[tuple[str, Bytes, Bytes]] = [
        ("rgb8", rgb, rgb),
        ("bgr8", rgb[..., ::-1], rgb),
        ("8UC3", rgb[..., ::-1], rgb),
        ("rgba8", with_alpha(rgb), rgb),
        ("bgra8", with_alpha(rgb[..., ::-1]), rgb),
        ("8UC4", with_alpha(rgb[..., ::-1]), rgb),
        ("mono8", grey, np.repeat(grey[..., None], 3, axis=2)),
        ("8UC1", grey, np.repeat(grey[..., None], 3, axis=2)),
    ]
    for encoding, pixels, expected in cases:
        np.testing.assert_array_equal(convert(encoding, pixels, padding), expected, err_msg=encoding)


@pytest.mark.parametrize("bigendian", [False, True])
def test_sixteen_bit_values_keep_their_upper_byte(bigendian: bool) -> None:
    values = np.random.default_rng(5).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    stored = values.astype(">u2" if bigendian else "<u2")
    rgb = (values >> 8).astype(np.uint8)
    np.testing.assert_array_equal(convert("rgb16", stored, 3, is_bigendian=bigendian), rgb)
    np.testing.assert_array_equal(convert("bgr16", stored[..., ::-1], 0, is_bigendian=bigendian), rgb)
    mono = convert("mono16", stored[..., 0], 1, is_bigendian=bigendian)
    np.testing.assert_array_equal(mono, np.repeat(rgb[..., :1], 3, axis=2))
    alpha = np.concatenate([stored, stored[..., :1]], axis=2).astype(stored.dtype)
    np.testing.assert_array_equal(convert("rgba16", alpha, 5, is_bigendian=bigendian), rgb)
    alpha = np.concatenate([stored[..., ::-1], stored[..., :1]], axis=2).astype(stored.dtype)
    np.testing.assert_array_equal(convert("bgra16", alpha, 0, is_bigendian=bigendian), rgb)


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", "UYVY"), ("uyvy", "UYVY"), ("yuv422_yuy2", "YUYV"), ("yuyv", "YUYV")],
)
def test_packed_yuv_is_close_to_the_colour_it_was_made_of(encoding: str, order: str) -> None:
    red = np.array([200.0, 40.0, 30.0])
    # ITU-R BT.601, studio range.
    y = 16 + (65.481 * red[0] + 128.553 * red[1] + 24.966 * red[2]) / 255
    u = 128 + (-37.797 * red[0] - 74.203 * red[1] + 112.0 * red[2]) / 255
    v = 128 + (112.0 * red[0] - 93.786 * red[1] - 18.214 * red[2]) / 255
    pair = [{"Y": y, "U": u, "V": v}[letter] for letter in order]
    packed = np.tile(np.round(pair).astype(np.uint8), (4, 3)).reshape(4, 6, 2)
    np.testing.assert_allclose(convert(encoding, packed, 5), np.tile(red, (4, 6, 1)), atol=3)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_give_each_colour_its_own_channel(pattern: str) -> None:
    colour = {"r": 210, "g": 120, "b": 30}
    tile = np.array([colour[c] for c in pattern], np.uint8).reshape(2, 2)
    rgb = convert(f"bayer_{pattern}8", np.tile(tile, (6, 6)))
    expected = np.tile(np.array([210, 120, 30], np.uint8), (8, 8, 1))
    np.testing.assert_array_equal(rgb[2:-2, 2:-2], expected)
    for order in ("<", ">"):
        wide = np.tile((tile.astype(np.uint16) << 8) + 77, (6, 6)).astype(f"{order}u2")
        rgb = convert(f"bayer_{pattern}16", wide, 4, is_bigendian=order == ">")
        np.testing.assert_array_equal(rgb[2:-2, 2:-2], expected)


def test_ros_arrays_are_read_without_a_copy_and_the_last_row_may_lack_its_padding() -> None:
    rgb = random_rgb()
    data = array.array("B", rgb.tobytes())
    out = image_to_rgb(encoding="rgb8", width=8, height=6, step=24, data=data)
    assert np.shares_memory(out, np.frombuffer(data, np.uint8))
    padded = np.pad(rgb.reshape(6, -1), ((0, 0), (0, 4))).tobytes()[:-4]
    np.testing.assert_array_equal(image_to_rgb(encoding="rgb8", width=8, height=6, step=28, data=padded), rgb)


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"width": 0}, "zero size", "0x6"),
        ({"height": 0, "data": b""}, "zero size", "8x0"),
        ({"width": 2**31}, "too large", "2147483648x6"),
        ({"encoding": "RGB8"}, "unknown encoding", "'RGB8'"),
        ({"encoding": "16UC1"}, "no brightness", "depth image.* set image_topic to the camera's picture"),
        ({"encoding": "32FC1"}, "no brightness", "32FC1 is a depth image"),
        ({"step": 23}, "wrong step", "at least 24 bytes"),
        ({"data": bytes(143)}, "truncated data", "expected 144 bytes"),
        ({"data": b""}, "truncated data", "found 0"),
        ({"encoding": "yuyv", "width": 7}, "odd width", "found 7"),
    ],
)
def test_what_cannot_be_read_is_refused(fields: dict[str, object], reason: str, words: str) -> None:
    message = {"encoding": "rgb8", "width": 8, "height": 6, "step": 24, "data": bytes(144), **fields}
    with pytest.raises(ImageRefused, match=words) as refusal:
        image_to_rgb(**message)  # type: ignore[arg-type]
    assert refusal.value.reason == reason


def test_every_supported_encoding_takes_an_even_image() -> None:
    for encoding in SUPPORTED_ENCODINGS:
        rgb = image_to_rgb(encoding=encoding, width=8, height=4, step=64, data=bytes(64 * 4))
        assert rgb.shape == (4, 8, 3), encoding
        assert rgb.dtype == np.uint8


def test_compressed_images() -> None:
    rgb = cv2.resize(random_rgb(), (64, 48), interpolation=cv2.INTER_CUBIC)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    png = cv2.imencode(".png", bgr)[1].tobytes()
    np.testing.assert_array_equal(compressed_to_rgb(format="png", data=array.array("B", png)), rgb)
    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    assert np.abs(compressed_to_rgb(format="jpeg", data=jpeg).astype(int) - rgb).mean() < 5
    np.testing.assert_array_equal(
        compressed_to_rgb(format="jpeg", data=jpeg + bytes(16)), compressed_to_rgb(format="jpeg", data=jpeg)
    )
    # Pixels as stored: an EXIF field that says "turn me" moves no box.
    header = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = jpeg[:2] + b"\xff\xe1" + (len(header) + 2).to_bytes(2, "big") + header + jpeg[2:]
    assert Image.open(io.BytesIO(turned)).getexif()[0x0112] == 6
    np.testing.assert_array_equal(
        compressed_to_rgb(format="jpeg", data=turned), compressed_to_rgb(format="jpeg", data=jpeg)
    )
    for data, reason in [
        (jpeg[:-100], "truncated data"),
        (b"", "zero size"),
        (b"no image at all", "not decodable"),
    ]:
        with pytest.raises(ImageRefused) as refusal:
            compressed_to_rgb(format="jpeg", data=data)
        assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("format", "pixels", "reason"),
    [
        ("16UC1; png compressed ", np.full((8, 8), 2500, np.uint16), "no brightness"),
        ("16UC1; compressedDepth", np.full((8, 8), 2500, np.uint16), "no brightness"),
        ("rgb8; png compressed bgr8", np.zeros((2, LARGEST_SIDE + 1, 3), np.uint8), "too large"),
    ],
)
def test_a_compressed_image_is_refused_for_what_a_raw_one_is(
    format: str, pixels: NDArray[np.generic], reason: str
) -> None:
    """OpenCV would decode a depth image of 2.5 m to a picture that is black."""
    data = cv2.imencode(".png", pixels)[1].tobytes()
    with pytest.raises(ImageRefused) as refusal:
        compressed_to_rgb(format=format, data=data)
    assert refusal.value.reason == reason
    picture = np.full((8, 8), 0x8812, np.uint16)
    stored = cv2.imencode(".png", picture)[1].tobytes()
    assert (compressed_to_rgb(format="mono16; png compressed", data=stored) == 0x88).all()


@pytest.mark.parametrize("behind", [bytes(4096), b"\xff" * 100, b"APPDATA and more", bytes(70) + b"end"])
def test_what_a_driver_puts_behind_a_jpeg_does_not_make_it_truncated(behind: bytes) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    whole = compressed_to_rgb(format="jpeg", data=jpeg)
    np.testing.assert_array_equal(compressed_to_rgb(format="jpeg", data=jpeg + behind), whole)
    # A thumbnail before the picture has an end marker of its own, which is not that of the picture.
    small = cv2.imencode(".jpg", picture[:16, :16])[1].tobytes()
    with_thumbnail = jpeg[:2] + b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small + jpeg[2:]
    np.testing.assert_array_equal(compressed_to_rgb(format="jpeg", data=with_thumbnail), whole)
    with pytest.raises(ImageRefused, match="end marker"):
        compressed_to_rgb(format="jpeg", data=with_thumbnail[: -len(jpeg) // 3])
