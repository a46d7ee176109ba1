"""sensor_msgs/Image and CompressedImage straight from their serialized bytes, without a copy of the pixels.

rclpy copies a message three times on its way into Python's objects. Its subscriptions also hand out the bytes
as DDS carries them; the pixels are then a view of those. Nothing here imports ROS.

The bytes are CDR as of the OMG's DDS-XTypes 1.3, section 7.4: a header of four bytes, of which the second
names the representation, then the fields in order, numbers aligned to their size after the header, and
strings and sequences led by their length as a uint32. A string's length counts its final zero byte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from palletjack_detection.image_conversion import ByteImage, ImageRefused, compressed_to_rgb, image_to_rgb

# Plain CDR and plain CDR2, which differ only in numbers of eight bytes: there are none in an image.
_BYTE_ORDER = {0: ">", 1: "<", 6: ">", 7: "<"}
_HEADER_BYTES = 4


@dataclass(frozen=True)
class Stamp:
    """builtin_interfaces/Time and the frame of std_msgs/Header."""

    seconds: int
    nanoseconds: int
    frame_id: str

    @property
    def total_ns(self) -> int:
        """Nanoseconds since the epoch of its clock."""
        return self.seconds * 1_000_000_000 + self.nanoseconds


@dataclass(frozen=True)
class ReceivedImage:
    """An image of sensor_msgs/Image; ``data`` is a view of the message."""

    stamp: Stamp
    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    data: memoryview

    def to_rgb(self) -> ByteImage:
        """Return the pixels (H, W, 3) uint8; raises ImageRefused."""
        return image_to_rgb(
            encoding=self.encoding,
            width=self.width,
            height=self.height,
            step=self.step,
            data=self.data,
            is_bigendian=self.is_bigendian,
        )


@dataclass(frozen=True)
class ReceivedCompressedImage:
    """An image of sensor_msgs/CompressedImage; ``data`` is a view of the message."""

    stamp: Stamp
    format: str
    data: memoryview

    def to_rgb(self) -> ByteImage:
        """Return the pixels (H, W, 3) uint8; raises ImageRefused."""
        return compressed_to_rgb(format=self.format, data=self.data)


def parse_image(message: bytes) -> ReceivedImage:
    """Return the sensor_msgs/Image in ``message``; raises ImageRefused where the bytes are none."""
    reader = _Reader(message)
    stamp = reader.stamp()
    height, width = reader.uint32(), reader.uint32()
    encoding, is_bigendian = reader.string(), reader.uint8()
    return ReceivedImage(
        stamp, height, width, encoding, bool(is_bigendian), reader.uint32(), reader.byte_sequence()
    )


def parse_compressed_image(message: bytes) -> ReceivedCompressedImage:
    """Return the sensor_msgs/CompressedImage in ``message``; raises ImageRefused as :func:`parse_image`."""
    reader = _Reader(message)
    return ReceivedCompressedImage(reader.stamp(), reader.string(), reader.byte_sequence())


class _Reader:
    """Reads fields in order; ``ImageRefused`` where the message ends too early."""

    def __init__(self, message: bytes) -> None:
        self._view = memoryview(message).cast("B")
        representation = int.from_bytes(self._view[:2], "big") if len(self._view) >= _HEADER_BYTES else -1
        order = _BYTE_ORDER.get(representation)
        if order is None:
            raise ImageRefused(
                "not decodable",
                f"serialized message: expected plain CDR (representation 0, 1, 6 or 7) of at least "
                f"{_HEADER_BYTES} bytes, found {representation} and {len(self._view)} bytes",
            )
        self._uint32, self._int32 = struct.Struct(order + "I"), struct.Struct(order + "i")
        self._at = _HEADER_BYTES

    def stamp(self) -> Stamp:
        seconds = int(self._int32.unpack(self._take(4, align=4))[0])
        return Stamp(seconds, self.uint32(), self.string())

    def uint8(self) -> int:
        return self._take(1)[0]

    def uint32(self) -> int:
        return int(self._uint32.unpack(self._take(4, align=4))[0])

    def string(self) -> str:
        # As rclpy does: a name that is no UTF-8 is shown with marks, not refused.
        return bytes(self.byte_sequence()).rstrip(b"\x00").decode(errors="replace")

    def byte_sequence(self) -> memoryview:
        return self._take(self.uint32())

    def _take(self, count: int, *, align: int = 1) -> memoryview:
        start = self._at + (_HEADER_BYTES - self._at) % align
        self._at = start + count
        if self._at > len(self._view):
            raise ImageRefused(
                "not decodable",
                f"serialized message: expected {count} bytes at {start}, found {len(self._view)} in all",
            )
        return self._view[start : self._at]
