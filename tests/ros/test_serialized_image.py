"""Images from serialized bytes: against bytes put together by hand, against ROS 2's own, and cut short."""

from __future__ import annotations

import base64
import json
import struct
import subprocess

import numpy as np
import pytest

from palletjack_detection.image_conversion import ImageRefused
from palletjack_detection.serialized_image import Stamp, parse_compressed_image, parse_image
from tests.ros.environment import ros_python

PIXELS = bytes(range(24))


def string(order: str, at: int, text: bytes) -> bytes:
    """A string as CDR has it, to stand ``at`` bytes after the header: padding, length, text, zero."""
    return bytes(-at % 4) + struct.pack(f"{order}I", len(text) + 1) + text + b"\x00"


def image_bytes(order: str = "<", representation: int = 1, frame: bytes = b"camera") -> bytes:
    """A 4 x 2 rgb8 image of 12 bytes a row."""
    body = struct.pack(f"{order}iI", -7, 999_999_999)
    body += string(order, len(body), frame)
    body += bytes(-len(body) % 4) + struct.pack(f"{order}II", 2, 4)
    body += string(order, len(body), b"rgb8") + b"\x01"
    body += bytes(-len(body) % 4) + struct.pack(f"{order}II", 12, len(PIXELS)) + PIXELS
    return bytes([0, representation, 0, 0]) + body


@pytest.mark.parametrize(("order", "representation"), [("<", 1), (">", 0), ("<", 7), (">", 6)])
@pytest.mark.parametrize("frame", [b"", b"c", b"ca", b"cam", b"T\xc3\xbcr"])
def test_every_field_of_an_image_in_both_byte_orders(order: str, representation: int, frame: bytes) -> None:
    image = parse_image(image_bytes(order, representation, frame))
    assert image.stamp == Stamp(-7, 999_999_999, frame.decode())
    assert image.stamp.total_ns == -7_000_000_000 + 999_999_999
    assert (image.width, image.height, image.step) == (4, 2, 12)
    assert (image.encoding, image.is_bigendian) == ("rgb8", True)
    assert bytes(image.data) == PIXELS
    np.testing.assert_array_equal(image.to_rgb().reshape(-1), np.frombuffer(PIXELS, np.uint8))


def test_the_pixels_are_a_view_of_the_message() -> None:
    message = image_bytes()
    pixels = parse_image(message).to_rgb()
    assert np.shares_memory(pixels, np.frombuffer(message, np.uint8))


def test_a_message_cut_short_anywhere_is_refused() -> None:
    message = image_bytes()
    for end in range(len(message)):
        with pytest.raises(ImageRefused, match="serialized message: expected"):
            parse_image(message[:end])


def test_lengths_beyond_the_message_and_other_representations_are_refused() -> None:
    message = bytearray(image_bytes())
    message[12:16] = b"\xff" * 4  # the length of frame_id
    with pytest.raises(ImageRefused, match=r"expected 4294967295 bytes at 16, found 76 in all"):
        parse_image(bytes(message))
    for representation in (2, 3, 10, 255):
        with pytest.raises(ImageRefused, match="expected plain CDR"):
            parse_image(image_bytes(representation=representation))


def test_names_that_are_no_utf8_do_not_refuse_the_image() -> None:
    assert parse_image(image_bytes(frame=b"cam\xff")).stamp.frame_id == "cam\N{REPLACEMENT CHARACTER}"


SERIALIZE = """
import base64, json, sys
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
made = {}
for length in range(9):
    header = Header(stamp=Time(sec=-length, nanosec=length), frame_id="f" * length)
    pixels = bytes(range(6 * 3 * length))
    image = Image(header=header, width=length, height=6, step=3 * length, encoding="e" * length)
    image.is_bigendian = length % 2
    image.data.frombytes(pixels)
    jpeg = CompressedImage(header=header, format="j" * length)
    jpeg.data.frombytes(pixels)
    made[length] = [base64.b64encode(serialize_message(m)).decode() for m in (image, jpeg)]
print(json.dumps(made))
"""


@pytest.mark.ros
@pytest.mark.parametrize("rmw", ["rmw_cyclonedds_cpp", "rmw_fastrtps_cpp"])
def test_what_ros_serializes_is_read_field_by_field(ros_environment: dict[str, str], rmw: str) -> None:
    done = subprocess.run(
        [ros_python(ros_environment), "-c", SERIALIZE],
        env={**ros_environment, "RMW_IMPLEMENTATION": rmw},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    made = {int(length): value for length, value in json.loads(done.stdout).items()}
    assert sorted(made) == list(range(9))
    for length, (image_text, jpeg_text) in made.items():
        stamp, pixels = Stamp(-length, length, "f" * length), bytes(range(18 * length))
        image = parse_image(base64.b64decode(image_text))
        assert image.stamp == stamp
        assert (image.width, image.height, image.step) == (length, 6, 3 * length)
        assert (image.encoding, image.is_bigendian) == ("e" * length, bool(length % 2))
        assert bytes(image.data) == pixels
        jpeg = parse_compressed_image(base64.b64decode(jpeg_text))
        assert (jpeg.stamp, jpeg.format, bytes(jpeg.data)) == (stamp, "j" * length, pixels)
