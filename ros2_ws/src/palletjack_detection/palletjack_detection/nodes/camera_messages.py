"""CameraInfo, transforms and depth images as the library's types."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image

from palletjack_detection.ground_range import CameraModel, CameraMount
from palletjack_detection.image_calibration import ImageCalibration, Region, binned_size

# numpy type, and metres in one unit
DEPTH_ENCODINGS: dict[str, tuple[type, float]] = {
    "16UC1": (np.uint16, 1e-3),
    "mono16": (np.uint16, 1e-3),
    "32FC1": (np.float32, 1.0),
}


def calibration_from_message(message: CameraInfo, *, rectified: bool = False) -> ImageCalibration:
    """The calibration of the images of a CameraInfo, its roi and its binning taken into account.

    Of the raw images, or of the ``rectified`` ones, which have the same message. Raises ValueError naming the
    field that is wrong.
    """
    size = message.width, message.height
    if rectified:
        sensor = CameraModel.of_rectified(*size, message.p)
    else:
        sensor = CameraModel.from_values(*size, message.k, message.d, message.distortion_model)
    return ImageCalibration.of_sensor(sensor, _region(message), (message.binning_x, message.binning_y))


def image_size(message: CameraInfo) -> tuple[int, int]:
    """Width and height of the images of a CameraInfo, 0 where it states none.

    Raises ValueError where the roi is none of the sensor's.
    """
    return binned_size(
        message.width, message.height, _region(message), (message.binning_x, message.binning_y)
    )


def _region(message: CameraInfo) -> Region:
    roi = message.roi
    return Region(roi.x_offset, roi.y_offset, roi.width, roi.height)


def mount_from_transform(message: TransformStamped) -> CameraMount:
    """The camera's place from the transform of its optical frame in base_link.

    Raises ValueError where a number is not finite or the rotation is none.
    """
    move, turn = message.transform.translation, message.transform.rotation
    values = (move.x, move.y, move.z, turn.x, turn.y, turn.z, turn.w)
    if not np.all(np.isfinite(values)) or not np.any(values[3:]):
        raise ValueError(f"transform to {message.header.frame_id!r}: expected a pose, found {values}")
    return CameraMount.from_quaternion(values[:3], values[3:])


def depth_from_message(message: Image) -> NDArray[np.float32]:
    """Depth in metres (H, W) float32, 0 or NaN where unknown, from 16UC1 (millimetres) or 32FC1 (metres).

    Raises ValueError for another encoding or a message whose sizes do not fit (REP 118).
    """
    if message.encoding not in DEPTH_ENCODINGS:
        raise ValueError(f"depth image: encoding: expected 16UC1 or 32FC1, found {message.encoding!r}")
    kind, scale = DEPTH_ENCODINGS[message.encoding]
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    height, width, step = message.height, message.width, message.step
    if width < 1 or height < 1 or step < width * dtype.itemsize or len(message.data) < step * height:
        raise ValueError(
            f"depth image: expected {height} rows of {step} bytes for {width} pixels, "
            f"found {len(message.data)} bytes"
        )
    rows = np.frombuffer(message.data, np.uint8, step * height).reshape(height, step)
    pixels = np.ascontiguousarray(rows[:, : width * dtype.itemsize]).view(dtype)
    return np.asarray(pixels * scale, dtype=np.float32)
