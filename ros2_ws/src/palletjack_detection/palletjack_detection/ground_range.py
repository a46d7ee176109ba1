"""From a box in the image to a place on the floor.

The robot's frame ``base_link`` has x forward, y left, z up and its origin on the floor. The camera's
optical frame has x right, y down, z forward (REP 103). A box stands on the floor with its lower edge:
the ray through the middle of that edge meets the plane z = 0 of ``base_link`` where the object begins.

Boxes are in image edges (0 is the left edge of the first pixel), camera matrices in pixel centres (0 is
the centre of the first pixel, as in sensor_msgs/CameraInfo): the two differ by half a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

DISTORTION_COEFFICIENTS = {
    "": (0,),
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (0, 8),
    "equidistant": (4,),
}

# A box this close to the lower border, in pixels, is taken to go on below it.
BORDER_PX = 2.0

# Steps of the fixed-point iteration that undoes the distortion.
REFINEMENTS = 30

# A ray that misses its own pixel by more, after all steps, is no ray: the lens model folds over there.
LARGEST_MISS_PX = 0.5

# A ray with z = 1 cannot go further off the axis of a fisheye lens (radians).
WIDEST_ANGLE = np.radians(89.0)

# Rays flatter than this above or below the horizon have no usable range (radians).
MIN_DEPRESSION = 1e-3


@dataclass(frozen=True)
class CameraModel:
    """Intrinsics of a camera as sensor_msgs/CameraInfo gives them.

    ``matrix`` is K (3, 3) in pixels, ``distortion`` the coefficients D of ``distortion_model``.
    """

    width: int
    height: int
    matrix: FloatArray
    distortion: FloatArray
    distortion_model: str = "plumb_bob"

    @classmethod
    def from_values(
        cls,
        width: int,
        height: int,
        k: Sequence[float],
        d: Sequence[float],
        distortion_model: str = "plumb_bob",
    ) -> CameraModel:
        """Check and pack the fields of a CameraInfo; ValueError names the field that is wrong."""
        if width < 1 or height < 1:
            raise ValueError(f"camera_info width x height: expected at least 1x1, found {width}x{height}")
        matrix = np.asarray(k, dtype=np.float64).reshape(-1)
        if matrix.shape != (9,) or not np.all(np.isfinite(matrix)):
            raise ValueError(f"camera_info k: expected 9 finite numbers, found {list(k)}")
        if matrix[0] <= 0.0 or matrix[4] <= 0.0 or matrix[8] != 1.0:
            raise ValueError(f"camera_info k: expected fx > 0, fy > 0 and k[8] = 1, found {list(k)}")
        allowed = DISTORTION_COEFFICIENTS.get(distortion_model)
        if allowed is None:
            known = ", ".join(name for name in DISTORTION_COEFFICIENTS if name)
            raise ValueError(
                f"camera_info distortion_model: expected one of {known}, found {distortion_model!r}"
            )
        distortion = np.asarray(d, dtype=np.float64).reshape(-1)
        if distortion.size not in allowed or not np.all(np.isfinite(distortion)):
            raise ValueError(
                f"camera_info d: expected {' or '.join(map(str, allowed))} finite numbers for "
                f"{distortion_model or 'no distortion model'}, found {list(d)}"
            )
        return cls(int(width), int(height), matrix.reshape(3, 3), distortion, distortion_model)

    @classmethod
    def of_rectified(cls, width: int, height: int, p: Sequence[float]) -> CameraModel:
        """The camera of images that were rectified: P (3, 4) of a CameraInfo, and no distortion.

        P's last column, where the other camera of a pair is, changes nothing in one camera's own rays.
        Raises ValueError naming the field that is wrong.
        """
        values = np.asarray(p, dtype=np.float64).reshape(-1)
        if values.shape != (12,) or not np.all(np.isfinite(values)):
            raise ValueError(f"camera_info p: expected 12 finite numbers, found {list(p)}")
        if values[0] <= 0.0 or values[5] <= 0.0 or values[10] != 1.0:
            raise ValueError(
                f"camera_info p: expected fx > 0, fy > 0 and p[10] = 1, for the images are rectified; found "
                f"{list(p)}"
            )
        return cls.from_values(width, height, values.reshape(3, 4)[:, :3].reshape(-1).tolist(), [], "")

    def part(self, left: int, top: int, width: int, height: int) -> CameraModel:
        """The camera of that part of its image, in pixels, which begins at (left, top)."""
        matrix = self.matrix.copy()
        matrix[:2, 2] -= (left, top)
        return CameraModel(width, height, matrix, self.distortion, self.distortion_model)

    def resized(self, x: float, y: float, width: int, height: int) -> CameraModel:
        """The camera of its image scaled by ``x`` and ``y`` to ``width`` x ``height``.

        The image's upper left edge stays where it is; K counts from the first pixel's centre.
        """
        matrix = self.matrix.copy()
        matrix[:2, 2] += 0.5
        matrix[0] *= x
        matrix[1] *= y
        matrix[:2, 2] -= 0.5
        return CameraModel(width, height, matrix, self.distortion, self.distortion_model)

    def rays(self, pixels: FloatArray) -> FloatArray:
        """Directions (N, 3) with z = 1 in the optical frame through ``pixels`` (N, 2), pixel centres.

        NaN where the lens model has no ray: outside of what it is valid for, or 90 degrees and more off axis.
        """
        pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
        if self.distortion_model == "equidistant":
            rays = self._fisheye_rays(pixels)
        else:
            flat = cv2.undistortPoints(pixels[:, None], self.matrix, self.distortion)
            rays = np.column_stack([np.asarray(flat, dtype=np.float64).reshape(-1, 2), np.ones(len(pixels))])
            # OpenCV stops after five iterations, which leaves errors of pixels in the corners of a wide lens.
            focal = self.matrix[[0, 1], [0, 1]]
            with np.errstate(over="ignore", invalid="ignore"):
                for _ in range(REFINEMENTS):
                    rays[:, :2] -= (self.project(rays) - pixels) / focal
        with np.errstate(invalid="ignore"):
            miss = np.linalg.norm(self.project(rays) - pixels, axis=1)
        # Also where the miss is no number.
        rays[~(miss <= LARGEST_MISS_PX)] = np.nan
        return rays

    def _fisheye_rays(self, pixels: FloatArray) -> FloatArray:
        """Rays of the equidistant model: radius = theta (1 + k1 theta^2 + ... + k4 theta^8).

        Solved for the angle theta by Newton's method; a fixed-point iteration of the ray diverges near 90
        degrees, where its tangent grows without bound.
        """
        inverse = np.linalg.inv(self.matrix)
        flat = (np.column_stack([pixels, np.ones(len(pixels))]) @ inverse.T)[:, :2]
        radius = np.linalg.norm(flat, axis=1)
        powers = np.array([2, 4, 6, 8])
        theta = np.minimum(radius, WIDEST_ANGLE)
        for _ in range(REFINEMENTS):
            terms = self.distortion * theta[:, None] ** powers
            slope = 1.0 + (terms * (powers + 1)).sum(axis=1)
            step = (theta * (1.0 + terms.sum(axis=1)) - radius) / np.where(np.abs(slope) > 1e-9, slope, 1e-9)
            theta = np.clip(theta - step, 0.0, WIDEST_ANGLE)
        scale = np.divide(np.tan(theta), radius, out=np.ones_like(radius), where=radius > 1e-12)
        return np.column_stack([flat * scale[:, None], np.ones(len(pixels))])

    def project(self, points: FloatArray) -> FloatArray:
        """Pixel centres (N, 2) of ``points`` (N, 3) in the optical frame; NaN behind the camera."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        pixels = np.full((len(points), 2), np.nan)
        front = points[:, 2] > 1e-6
        if front.any():
            zero = np.zeros(3)
            visible = points[front].reshape(-1, 1, 3)
            if self.distortion_model == "equidistant":
                image, _ = cv2.fisheye.projectPoints(visible, zero, zero, self.matrix, self.distortion)
            else:
                image, _ = cv2.projectPoints(visible, zero, zero, self.matrix, self.distortion)
            pixels[front] = np.asarray(image, dtype=np.float64).reshape(-1, 2)
        return pixels


@dataclass(frozen=True)
class CameraMount:
    """Where the camera sits: ``rotation`` (3, 3) and ``translation`` (3,) take optical to base_link."""

    rotation: FloatArray
    translation: FloatArray

    @classmethod
    def from_height_and_pitch(
        cls, height_m: float, pitch_down_rad: float, forward_m: float = 0.0
    ) -> CameraMount:
        """A camera ``forward_m`` ahead of base_link that looks along x, tilted down by ``pitch_down_rad``."""
        if not height_m > 0.0:
            raise ValueError(f"camera height: expected more than 0 m above the floor, found {height_m}")
        sin, cos = np.sin(pitch_down_rad), np.cos(pitch_down_rad)
        # Columns are the optical axes (right, down, forward) in base_link.
        rotation = np.array([[0.0, -sin, cos], [-1.0, 0.0, 0.0], [0.0, -cos, -sin]])
        return cls(rotation, np.array([forward_m, 0.0, height_m]))

    @classmethod
    def from_quaternion(cls, translation: Sequence[float], quaternion_xyzw: Sequence[float]) -> CameraMount:
        """From the fields of a geometry_msgs/Transform, optical frame to base_link."""
        x, y, z, w = np.asarray(quaternion_xyzw, dtype=np.float64) / np.linalg.norm(quaternion_xyzw)
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        return cls(rotation, np.asarray(translation, dtype=np.float64))

    def to_optical(self, points: FloatArray) -> FloatArray:
        """Points (N, 3) of base_link in the optical frame."""
        return (np.asarray(points, dtype=np.float64).reshape(-1, 3) - self.translation) @ self.rotation


@dataclass(frozen=True)
class FloorObservation:
    """Where an object of the image meets the floor, in base_link, metres.

    ``left`` and ``right`` (2,) are the floor points under the ends of the box's lower edge, ``point`` (2,)
    the one under its middle. ``nearer_than`` says that the box goes on below the image: the object is
    at least this near. ``sigma_m`` is the standard deviation of the range that the lower edge's own
    uncertainty causes.
    """

    point: tuple[float, float]
    left: tuple[float, float]
    right: tuple[float, float]
    score: float
    nearer_than: bool
    sigma_m: float

    @property
    def range_m(self) -> float:
        """Distance on the floor from base_link's origin."""
        return float(np.hypot(*self.point))


def floor_points(pixels: FloatArray, camera: CameraModel, mount: CameraMount) -> FloatArray:
    """Meet the floor with rays through ``pixels`` (N, 2), pixel centres.

    Returns (N, 2) in base_link; NaN where the ray does not go down to the floor.
    """
    directions = camera.rays(pixels) @ mount.rotation.T
    down = -directions[:, 2] / np.linalg.norm(directions, axis=1)
    points = np.full((len(directions), 2), np.nan)
    meets = down > MIN_DEPRESSION
    scale = -mount.translation[2] / directions[meets, 2]
    points[meets] = mount.translation[:2] + directions[meets, :2] * scale[:, None]
    return points


def locate_on_floor(
    box: Sequence[float] | NDArray[np.floating],
    score: float,
    camera: CameraModel,
    mount: CameraMount,
    *,
    edge_sigma_px: float = 2.0,
) -> FloorObservation | None:
    """Place one box (xmin, ymin, xmax, ymax in image edges) on the floor.

    ``edge_sigma_px`` is the standard deviation of the box's lower edge, in pixels of the image. None
    means that the whole lower edge is at or above the horizon or outside of the lens model: no range follows.
    """
    xmin, _, xmax, ymax = (float(value) for value in box)
    nearer_than = ymax >= camera.height - BORDER_PX
    # Edges to pixel centres; a cut box ends at the border whatever the network extrapolated.
    bottom = min(ymax, float(camera.height)) - 0.5
    left, middle, right = xmin - 0.5, 0.5 * (xmin + xmax) - 0.5, xmax - 0.5
    pixels = np.array([[left, bottom], [middle, bottom], [right, bottom], [middle, bottom + edge_sigma_px]])
    places = floor_points(pixels, camera, mount)
    known = np.all(np.isfinite(places[:3]), axis=1)
    if not known.any():
        return None
    # An end that the lens model has no ray for, or that lies above the horizon, is put where the next one is:
    # an object that is known in part is there all the same.
    if not known[1]:
        places[1] = places[0] if known[0] else places[2]
    places[:3][~known] = places[1]
    sigma = float(np.linalg.norm(places[3] - places[1])) if np.all(np.isfinite(places[3])) else float("inf")
    ends = sorted((places[0], places[2]), key=lambda place: -place[1])
    return FloorObservation(
        point=(float(places[1][0]), float(places[1][1])),
        left=(float(ends[0][0]), float(ends[0][1])),
        right=(float(ends[1][0]), float(ends[1][1])),
        score=float(score),
        nearer_than=nearer_than,
        sigma_m=sigma,
    )
