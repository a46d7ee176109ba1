"""What is seen through gates and windows, and lights the hall through them: environment maps.

A map is an equirectangular picture of linear radiance (H, 2H, 3): the top row is the zenith, the middle
column lies at azimuth ``rotation`` from the world's x axis, columns run clockwise seen from above. It is
scaled so that its mean, without its brightest hundredth, is the plan's radiance. Each opening shines with
the cosine-weighted mean of the half of the map that it faces. The sun shines in apart from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.geometry import FloatArray, Vec3

# A pixel of the sun counts no more than this for an opening's light, in multiples of the map's mean.
BRIGHTEST = 20.0


@dataclass(frozen=True)
class Sun:
    """Direct sunlight: the unit vector ``direction`` towards the sun, and the ``irradiance`` RGB, in W/m2, of
    a surface that faces it. It comes in through openings only."""

    direction: Vec3
    irradiance: Vec3


@dataclass(frozen=True)
class Environment:
    """A map (H, 2H, 3) of radiance in W/m2/sr and its ``rotation`` in radians."""

    image: FloatArray
    rotation: float

    def seen(self, directions: NDArray[np.floating]) -> FloatArray:
        """Return the radiance (..., 3) from ``directions`` (..., 3) of unit length, of the nearest pixel."""
        height, width = self.image.shape[:2]
        azimuth = np.arctan2(directions[..., 1], directions[..., 0]) - self.rotation
        column = np.floor((0.5 - azimuth / (2.0 * np.pi)) * width).astype(int) % width
        row = np.clip(np.arccos(np.clip(directions[..., 2], -1, 1)) / np.pi * height, 0, height - 1)
        return np.asarray(self.image[row.astype(int), column], np.float32)

    def brightest(self) -> tuple[float, float]:
        """Return azimuth and elevation, in radians, of the brightest pixel."""
        height, width = self.image.shape[:2]
        row, column = divmod(int(np.argmax(self.image.sum(axis=2))), width)
        azimuth = (0.5 - (column + 0.5) / width) * 2.0 * np.pi + self.rotation
        return float(azimuth), float((0.5 - (row + 0.5) / height) * np.pi)

    def through(self, outward: NDArray[np.floating]) -> Vec3:
        """Return the radiance of an opening whose normal to the outside is ``outward`` (3,)."""
        small = cv2.resize(
            np.minimum(self.image, BRIGHTEST * usual_radiance(self.image)),
            (64, 32),
            interpolation=cv2.INTER_AREA,
        )
        polar = (np.arange(32) + 0.5) / 32 * np.pi
        azimuth = (0.5 - (np.arange(64) + 0.5) / 64) * 2.0 * np.pi + self.rotation
        flat = np.sin(polar)[:, None]
        up = np.broadcast_to(np.cos(polar)[:, None], (32, 64))
        rays = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), up], axis=-1)
        weight = np.maximum(rays @ np.asarray(outward), 0.0) * flat
        red, green, blue = np.einsum("ij,ijk->k", weight, small) / weight.sum()
        return float(red), float(green), float(blue)


def usual_radiance(image: FloatArray) -> float:
    """Return the mean radiance over solid angle, without the brightest hundredth of the pixels."""
    level = image.mean(axis=2)
    rows = np.sin((np.arange(len(image)) + 0.5) / len(image) * np.pi)[:, None] * np.ones_like(level)
    dim = level <= np.percentile(level, 99.0)
    return float((level * rows)[dim].sum() / rows[dim].sum())
