"""From an image of any size to the network's input tensor, and boxes back from there.

Boxes are edges: x = 0 is the left edge of the first pixel and x = width the right edge of the last.
An image resized by (sx, sy) and put at (ox, oy) therefore maps x to x * sx + ox exactly, without a
half-pixel term; that is also how OpenCV's resize places its samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_detection.model_folder import InputSpec

# Below this ratio bilinear sampling skips source pixels (it reads 2 x 2 of them), so small objects
# would flicker; area averaging reads all. Above it, averaging costs 5 times more and shows no gain.
_AREA_BELOW = 0.5


@dataclass(frozen=True)
class ResizeGeometry:
    """Where an image lies in the network's input: x_network = x_image * scale_x + offset_x."""

    image_width: int
    image_height: int
    scale_x: float
    scale_y: float
    offset_x: int
    offset_y: int

    def to_network(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map boxes (N, 4) xyxy from image pixels to network pixels."""
        return np.asarray(boxes, np.float64).reshape(-1, 4) * self._scale() + self._offset()

    def to_image(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map boxes (N, 4) xyxy from network pixels to image pixels, not clipped."""
        return (np.asarray(boxes, np.float64).reshape(-1, 4) - self._offset()) / self._scale()

    def _scale(self) -> NDArray[np.float64]:
        return np.array([self.scale_x, self.scale_y] * 2, np.float64)

    def _offset(self) -> NDArray[np.float64]:
        return np.array([self.offset_x, self.offset_y] * 2, np.float64)


def fit_image(image_width: int, image_height: int, spec: InputSpec) -> tuple[ResizeGeometry, tuple[int, int]]:
    """Place an image of the given size in the network's input.

    Returns the geometry and the (width, height) in whole pixels that the image is resized to. The
    scales follow from those whole pixels, so that mapping back is exact; under "letterbox" they may
    differ between the axes by less than a pixel over the image.
    """
    if spec.resize == "stretch":
        width, height = spec.width, spec.height
    else:
        ratio = min(spec.width / image_width, spec.height / image_height)
        width = min(spec.width, max(1, round(image_width * ratio)))
        height = min(spec.height, max(1, round(image_height * ratio)))
    centered = spec.resize == "letterbox" and spec.padding == "center"
    geometry = ResizeGeometry(
        image_width=image_width,
        image_height=image_height,
        scale_x=width / image_width,
        scale_y=height / image_height,
        offset_x=(spec.width - width) // 2 if centered else 0,
        offset_y=(spec.height - height) // 2 if centered else 0,
    )
    return geometry, (width, height)


class Preprocessor:
    """Resizes images, and normalises them where the network does not, into buffers that are used again.

    Not for use from several threads at once.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        shape = (spec.height, spec.width)
        self._canvas = np.full((*shape, 3), spec.pad_value, np.uint8)
        self._planes = [np.empty(shape, np.uint8) for _ in range(3)]
        self._tensor = np.zeros((1, 3, *shape), np.float32)
        self._pixels = np.zeros((1, *shape, 4), np.uint8)
        self._order = (0, 1, 2) if spec.channels == "rgb" else (2, 1, 0)
        self._filled: tuple[int, int, int, int] | None = None
        self._gain = [np.float32(spec.scale / s) for s in spec.stddev]
        self._shift = [np.float32(m / s) for m, s in zip(spec.mean, spec.stddev, strict=True)]

    def __call__(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ResizeGeometry]:
        """Return the input tensor (1, 3, height, width) and where the image lies in it.

        ``rgb`` is (H, W, 3) uint8 of any size from 1 x 1. The tensor is valid until the next call.

        Raises:
            ValueError: the image is empty, not (H, W, 3) or not uint8.
        """
        placed, geometry = self._place(rgb)
        self._normalise(placed)
        return self._tensor, geometry

    def pixels(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ResizeGeometry]:
        """Like a call, for a network that takes bytes: (1, height, width, 4), the fourth of no meaning."""
        placed, geometry = self._place(rgb)
        # Either fills in a fourth byte; the second swaps red and blue as well.
        order = cv2.COLOR_RGB2RGBA if self.spec.channels == "rgb" else cv2.COLOR_RGB2BGRA
        cv2.cvtColor(placed, order, dst=self._pixels[0])
        return self._pixels, geometry

    def _place(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ResizeGeometry]:
        """Return the image (height, width, 3) as it lies in the input, and where."""
        check_image(rgb)
        geometry, (width, height) = fit_image(rgb.shape[1], rgb.shape[0], self.spec)
        if (width, height) != (rgb.shape[1], rgb.shape[0]):
            shrinks = min(geometry.scale_x, geometry.scale_y) < _AREA_BELOW
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            rgb = np.asarray(cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=method))
        if (width, height) == (self.spec.width, self.spec.height):
            return np.ascontiguousarray(rgb), geometry
        placed = (geometry.offset_x, geometry.offset_y, width, height)
        if placed != self._filled:
            self._canvas[...] = self.spec.pad_value
            self._filled = placed
        self._canvas[
            geometry.offset_y : geometry.offset_y + height, geometry.offset_x : geometry.offset_x + width
        ] = rgb
        return self._canvas, geometry

    def _normalise(self, canvas: NDArray[np.uint8]) -> None:
        # Splitting first makes the conversion to float read whole lines: half the time of strided reads.
        cv2.split(canvas, self._planes)
        for channel, source in enumerate(self._order):
            target = self._tensor[0, channel]
            np.multiply(self._planes[source], self._gain[channel], out=target)
            if self._shift[channel]:
                np.subtract(target, self._shift[channel], out=target)


def check_image(rgb: NDArray[np.uint8]) -> None:
    """Refuse what is not an (H, W, 3) uint8 image with H, W >= 1.

    Raises:
        ValueError: naming what was expected and found.
    """
    if not isinstance(rgb, np.ndarray):
        raise ValueError(f"image: expected a NumPy array, found {type(rgb).__name__}")
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"image: expected shape (height, width, 3), found {rgb.shape}")
    if rgb.dtype != np.uint8:
        raise ValueError(f"image: expected uint8, found {rgb.dtype}")
    if rgb.shape[0] == 0 or rgb.shape[1] == 0:
        raise ValueError(f"image: expected at least 1 x 1 pixels, found {rgb.shape[1]} x {rgb.shape[0]}")
