"""Lens distortion for a renderer that only knows pinholes: render wider, then bend the image.

The wider pinhole keeps the focal length in pixels, so its image holds the same detail at the centre.
Our own lens model is used, not the renderer's, so that labels, masks and both backends share one formula.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.projection import check_distortion, undistort
from palletjack_sdg.scene import Camera

NO_DISTORTION = (0.0, 0.0, 0.0, 0.0, 0.0)

NO_ENVIRONMENT = (
    "light.environments: only the embedded renderer shows environment maps through gates and windows; "
    "for Isaac Sim leave the key out"
)
NO_SUN = (
    "light.sun: only the embedded renderer lets direct sun in through gates and windows; "
    "for Isaac Sim leave the key out"
)


def pinhole_around(camera: Camera) -> Camera:
    """Return the smallest centred pinhole of the same focal length that sees every pixel of ``camera``.

    Raises:
        DistortionError: the distortion folds back inside the image.
    """
    if camera.distortion == NO_DISTORTION:
        return camera
    pixels = _source_pixels(camera, (0.0, 0.0))
    half_width = math.ceil(float(np.abs(pixels[..., 0]).max())) + 2
    half_height = math.ceil(float(np.abs(pixels[..., 1]).max())) + 2
    hfov = 2.0 * math.degrees(math.atan(half_width / camera.focal_px))
    return replace(
        camera, width=2 * half_width, height=2 * half_height, hfov_deg=hfov, distortion=NO_DISTORTION
    )


def bend_radiance(image: NDArray[np.float32], pinhole: Camera, camera: Camera) -> NDArray[np.float32]:
    """Return the pinhole's radiance (H', W', 3) as ``camera`` sees it (H, W, 3), bilinearly."""
    return np.asarray(_bend(image, pinhole, camera, cv2.INTER_LINEAR), dtype=np.float32)


def bend_ids(ids: NDArray[np.int32], pinhole: Camera, camera: Camera) -> NDArray[np.int32]:
    """Return the pinhole's instance ids (H', W') as ``camera`` sees them (H, W), by the nearest pixel."""
    # OpenCV maps no int32; float64 would be refused too, float32 is exact up to 2**24 instances.
    return np.asarray(_bend(ids.astype(np.float32), pinhole, camera, cv2.INTER_NEAREST)).astype(np.int32)


def bend_depth(depth: NDArray[np.float32], pinhole: Camera, camera: Camera) -> NDArray[np.float32]:
    """Return the pinhole's depth (H', W') as ``camera`` sees it (H, W), by the nearest pixel."""
    return np.asarray(_bend(depth, pinhole, camera, cv2.INTER_NEAREST), dtype=np.float32)


def _bend(image: NDArray[np.float32], pinhole: Camera, camera: Camera, interpolation: int) -> NDArray:
    if image.shape[:2] != (pinhole.height, pinhole.width):
        raise ValueError(f"image: expected {(pinhole.height, pinhole.width)}, found {image.shape[:2]}")
    if camera.distortion == NO_DISTORTION:
        return image
    # Our pixel centres lie at half numbers, OpenCV's at whole ones.
    source = _source_pixels(camera, (pinhole.width / 2.0 - 0.5, pinhole.height / 2.0 - 0.5))
    return np.asarray(cv2.remap(image, source.astype(np.float32), None, interpolation))  # type: ignore


def _source_pixels(camera: Camera, centre: tuple[float, float]) -> NDArray[np.float64]:
    check_distortion(camera)
    return _undistorted(camera.width, camera.height, camera.focal_px, camera.distortion) + np.array(centre)


@lru_cache(maxsize=1)  # a frame bends several images through its one lens
def _undistorted(
    width: int, height: int, focal_px: float, distortion: tuple[float, float, float, float, float]
) -> NDArray[np.float64]:
    """Return where a pinhole of that focal length has each pixel, from its centre; not to be written to."""
    rows, columns = np.mgrid[0:height, 0:width]
    distorted = np.stack([columns + 0.5 - width / 2.0, rows + 0.5 - height / 2.0], axis=-1)
    plane = undistort(distorted.reshape(-1, 2) / focal_px, distortion)
    pixels = plane.reshape(height, width, 2) * focal_px
    pixels.flags.writeable = False
    return pixels
