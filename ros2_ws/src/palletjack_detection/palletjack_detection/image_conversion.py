"""Image messages to RGB arrays, without cv_bridge: any step, the encodings that cameras really send.

Nothing here imports ROS: the functions take the fields of sensor_msgs/Image and CompressedImage.
Encoding names are those of sensor_msgs/image_encodings.hpp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Buffer = Any  # bytes, array.array('B'), memoryview or an array: what np.frombuffer reads
ByteImage = NDArray[np.uint8]

# Longest side that is taken: a header with a wild size must not allocate all memory. 16K is 15360.
LARGEST_SIDE = 16384


class ImageRefused(ValueError):
    """An image that cannot be read. ``reason`` is a short constant to count by, the message says more."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class _Encoding:
    """``bytes_per_pixel`` and how rows (H, W * bytes_per_pixel) become RGB (H, W, 3)."""

    bytes_per_pixel: int
    to_rgb: Callable[[ByteImage, int, int], ByteImage]


def _colour(channels: int, code: int | None) -> _Encoding:
    def to_rgb(rows: ByteImage, width: int, height: int) -> ByteImage:
        pixels = rows.reshape(height, width, channels) if channels > 1 else rows
        return pixels if code is None else _convert(pixels, code)

    return _Encoding(channels, to_rgb)


def _sixteen_bit(channels: int, code: int | None) -> _Encoding:
    def to_rgb(rows: ByteImage, width: int, height: int) -> ByteImage:
        # The rows were put in big-endian order before: the first byte of a value is its upper half.
        upper = np.ascontiguousarray(rows[:, 0::2])
        return _colour(channels, code).to_rgb(upper, width, height)

    return _Encoding(2 * channels, to_rgb)


def _convert(pixels: ByteImage, code: int) -> ByteImage:
    return np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8)


# OpenCV names a Bayer pattern by its second row and column, ROS by its first.
_ENCODINGS: dict[str, _Encoding] = {
    "rgb8": _colour(3, None),
    "bgr8": _colour(3, cv2.COLOR_BGR2RGB),
    "8UC3": _colour(3, cv2.COLOR_BGR2RGB),
    "rgba8": _colour(4, cv2.COLOR_RGBA2RGB),
    "bgra8": _colour(4, cv2.COLOR_BGRA2RGB),
    "8UC4": _colour(4, cv2.COLOR_BGRA2RGB),
    "mono8": _colour(1, cv2.COLOR_GRAY2RGB),
    "8UC1": _colour(1, cv2.COLOR_GRAY2RGB),
    "mono16": _sixteen_bit(1, cv2.COLOR_GRAY2RGB),
    "rgb16": _sixteen_bit(3, None),
    "bgr16": _sixteen_bit(3, cv2.COLOR_BGR2RGB),
    "rgba16": _sixteen_bit(4, cv2.COLOR_RGBA2RGB),
    "bgra16": _sixteen_bit(4, cv2.COLOR_BGRA2RGB),
    "yuv422": _colour(2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": _colour(2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": _colour(2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": _colour(2, cv2.COLOR_YUV2RGB_YUY2),
    "bayer_rggb8": _colour(1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _colour(1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _colour(1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _colour(1, cv2.COLOR_BayerGB2RGB),
    "bayer_rggb16": _sixteen_bit(1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr16": _sixteen_bit(1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg16": _sixteen_bit(1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg16": _sixteen_bit(1, cv2.COLOR_BayerGB2RGB),
}
# What depth images are sent as, and raw counts of thermal and infrared cameras. Which number is white is told
# nowhere: of a depth image in millimetres, or of 14 bits, the upper byte, which is taken of mono16, is nearly
# black, and a detector that finds nothing in it is worse than one that says so.
_NO_BRIGHTNESS = ("16UC1", "16SC1", "32SC1", "32FC1", "64FC1")
_NEED_EVEN_WIDTH = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")
SUPPORTED_ENCODINGS = tuple(_ENCODINGS)


def image_to_rgb(
    *, encoding: str, width: int, height: int, step: int, data: Buffer, is_bigendian: bool = False
) -> ByteImage:
    """Return the pixels of a sensor_msgs/Image as RGB (height, width, 3) uint8.

    The result of ``rgb8`` without padding is a read-only view of ``data``; all others are new. 16-bit
    values keep their upper byte. The padding of the last row may be absent.

    Raises:
        ImageRefused: zero or absurd size, an encoding that is unknown or no picture's, a step shorter than a
            row, truncated data.
    """
    if width < 1 or height < 1:
        raise ImageRefused("zero size", f"expected an image of at least 1x1, found {width}x{height}")
    _refuse_large(width, height)
    _refuse_without_brightness(encoding)
    known = _ENCODINGS.get(encoding)
    if known is None:
        raise ImageRefused(
            "unknown encoding",
            f"encoding: expected one of {', '.join(SUPPORTED_ENCODINGS)}; found {encoding!r}",
        )
    if encoding in _NEED_EVEN_WIDTH and width % 2:
        raise ImageRefused("odd width", f"encoding {encoding}: expected an even width, found {width}")
    row_bytes = width * known.bytes_per_pixel
    if step < row_bytes:
        raise ImageRefused(
            "wrong step",
            f"step: expected at least {row_bytes} bytes for {width} pixels of {encoding}, found {step}",
        )
    buffer = np.frombuffer(data, np.uint8)
    needed = step * (height - 1) + row_bytes
    if len(buffer) < needed:
        raise ImageRefused(
            "truncated data",
            f"data: expected {needed} bytes for {width}x{height} {encoding} with step {step}, "
            f"found {len(buffer)}",
        )
    rows = np.lib.stride_tricks.as_strided(buffer, (height, row_bytes), (step, 1), writeable=False)
    if encoding.endswith("16") and not is_bigendian:
        rows = np.ascontiguousarray(rows).view(np.uint16).byteswap().view(np.uint8)
    return np.ascontiguousarray(known.to_rgb(np.ascontiguousarray(rows), width, height))


def compressed_to_rgb(*, format: str, data: Buffer) -> ByteImage:
    """Return the pixels of a sensor_msgs/CompressedImage (JPEG, PNG, ...) as RGB (H, W, 3) uint8.

    Raises:
        ImageRefused: no data, truncated data, a format that is no picture's or that OpenCV cannot decode, or
            an absurd size.
    """
    buffer = np.frombuffer(data, np.uint8)
    if not len(buffer):
        raise ImageRefused("zero size", f"expected a compressed image ({format!r}), found no data")
    # image_transport puts the encoding of what it compressed first: "16UC1; png compressed".
    _refuse_without_brightness(format.split(";")[0].strip())
    if is_truncated_jpeg(buffer):
        # OpenCV would fill the missing part with grey and say nothing.
        raise ImageRefused("truncated data", f"data: a JPEG of {len(buffer)} bytes without its end marker")
    try:
        # As stored: a camera's boxes lie in the pixels it sent, whatever an EXIF field says of turning them.
        bgr = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageRefused("not decodable", f"data ({format!r}, {len(buffer)} bytes): {error}") from error
    if bgr is None:
        raise ImageRefused(
            "not decodable",
            f"data: expected a JPEG or PNG, found {len(buffer)} bytes ({format!r}) that do not decode",
        )
    _refuse_large(bgr.shape[1], bgr.shape[0])
    return _convert(np.asarray(bgr, dtype=np.uint8), cv2.COLOR_BGR2RGB)


def _refuse_large(width: int, height: int) -> None:
    if max(width, height) > LARGEST_SIDE:
        raise ImageRefused("too large", f"expected sides up to {LARGEST_SIDE} pixels, found {width}x{height}")


def _refuse_without_brightness(encoding: str) -> None:
    if encoding in _NO_BRIGHTNESS:
        raise ImageRefused(
            "no brightness",
            f"encoding: {encoding} is a depth image, or raw counts of a thermal or infrared camera, and does "
            "not say which number is white: set image_topic to the camera's picture, or the driver to mono8 "
            "or, with white at 65535, mono16",
        )


def is_truncated_jpeg(buffer: ByteImage) -> bool:
    """Whether ``buffer`` starts as a JPEG and lacks the end-of-image marker behind its last scan.

    Drivers pad buffers with zeros, and some put data of their own behind the marker. In a scan's own data
    0xFF is always followed by 0x00 or a restart marker, so that the marker cannot stand there by chance.
    """
    data = buffer.tobytes()
    if not data.startswith(b"\xff\xd8"):
        return False
    return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
