"""The camera of a frame: its numbers, and where a world point falls in its image.

The optical frame is ROS's (x right, y down, z forward); distortion is Brown-Conrady as in CameraInfo's
plumb_bob.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict

from palletjack_sdg.recipe import CameraSection, ImageSection
from palletjack_sdg.scene import Camera, Matrix4
from palletjack_sdg.seeding import draw_uniform

Points = NDArray[np.float64]
NEAR_M = 0.05
LEAST_SLOPE = 0.38
"""Least radial magnification in the image's corners, against its centre, that a plan may have."""


class CameraPlan(BaseModel):
    """Where the camera is and how it sees. Metres and degrees.

    ``yaw_deg`` is the heading on the floor (0 = world x, counter-clockwise), ``pitch_deg`` is positive
    upwards, ``roll_deg`` turns the camera about its own axis, positive clockwise seen from behind it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int
    height: int
    hfov_deg: float
    position: tuple[float, float, float]
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    distortion: tuple[float, float, float, float, float]

    def camera(self) -> Camera:
        """Return the scene's camera."""
        return Camera(self.width, self.height, self.hfov_deg, self.pose(), self.distortion)

    def pose(self) -> Matrix4:
        """Return the matrix (4, 4) from the optical frame to the world."""
        yaw, pitch, roll = np.radians([self.yaw_deg, self.pitch_deg, self.roll_deg])
        forward = np.array(
            [np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], dtype=np.float64
        )
        level_right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
        level_down = np.cross(forward, level_right)
        right = np.cos(roll) * level_right + np.sin(roll) * level_down
        down = np.cross(forward, right)
        pose = np.eye(4)
        pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, down, forward, self.position
        return pose

    @property
    def heading(self) -> tuple[float, float]:
        """Unit vector on the floor along which the camera looks."""
        yaw = np.radians(self.yaw_deg)
        return float(np.cos(yaw)), float(np.sin(yaw))


def project(camera: Camera, points: ArrayLike) -> tuple[Points, NDArray[np.bool_]]:
    """Project world ``points`` (N, 3) to pixels (N, 2) of the distorted image.

    The second array (N,) is False where a point lies behind the camera or so far outside that the
    distortion polynomial folds back; its pixel is then meaningless.
    """
    rotation, origin = camera.pose[:3, :3], camera.pose[:3, 3]
    local = (np.asarray(points, dtype=np.float64) - origin) @ rotation
    z = np.maximum(local[:, 2], NEAR_M)
    x, y = local[:, 0] / z, local[:, 1] / z
    k1, k2, p1, p2, k3 = camera.distortion
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    slope = 1 + r2 * (3 * k1 + r2 * (5 * k2 + r2 * 7 * k3))
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    pixels = np.stack(
        [u * camera.focal_px + camera.width / 2, v * camera.focal_px + camera.height / 2], axis=1
    )
    return pixels, (local[:, 2] > NEAR_M) & (slope > 0.02)


def image_box(camera: Camera, corners: ArrayLike) -> tuple[float, float, float, float] | None:
    """Return the box (x0, y0, x1, y1) around the projections of ``corners`` (N, 3), not clipped to the image.

    None if fewer than half of the corners can be seen at all.
    """
    pixels, seen = project(camera, corners)
    if seen.sum() * 2 < len(seen):
        return None
    low, high = pixels[seen].min(axis=0), pixels[seen].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def sample_optics(image: ImageSection, section: CameraSection, rng: np.random.Generator) -> CameraPlan:
    """Draw everything of the camera but its place on the floor and its heading, which are left at zero."""
    weights = np.array([size.weight for size in image.sizes])
    size = image.sizes[int(rng.choice(len(weights), p=weights / weights.sum()))]
    usual = rng.random() < section.usual
    height = draw_uniform(rng, section.usual_height_m if usual else section.height_m)
    hfov = draw_uniform(rng, section.hfov_deg)
    k1, k2 = _usable_distortion(
        draw_uniform(rng, section.k1), draw_uniform(rng, section.k2_ratio), hfov, size.width, size.height
    )
    # Pitch gathers about level: a mount is meant to be straight, a bump or a slope is not.
    pitch = _triangular(rng, section.pitch_deg)
    roll = _triangular(rng, section.roll_deg)
    p1, p2 = draw_uniform(rng, section.p1p2), draw_uniform(rng, section.p1p2)
    return CameraPlan(
        width=size.width,
        height=size.height,
        hfov_deg=round(hfov, 4),
        position=(0.0, 0.0, round(height, 4)),
        yaw_deg=0.0,
        pitch_deg=round(pitch, 4),
        roll_deg=round(roll, 4),
        distortion=(round(k1, 6), round(k2, 6), round(p1, 7), round(p2, 7), 0.0),
    )


def _usable_distortion(
    k1: float, k2_ratio: float, hfov_deg: float, width: int, height: int
) -> tuple[float, float]:
    """Weaken ``k1`` until the distortion polynomial stays well away from folding within the image.

    A wide lens with the k1 of a narrow one would squeeze a ring of the image to nothing, or leave its corners
    without any ray. k2 is ``k2_ratio`` times k1 squared.
    """
    corner = np.hypot(1.0, height / width) * np.tan(np.radians(hfov_deg) / 2)
    radii = np.linspace(0.0, 3.0 * corner, 400)
    while True:
        k2 = k2_ratio * k1 * k1
        r2 = radii * radii
        slope = 1 + r2 * (3 * k1 + 5 * k2 * r2)
        distorted = radii * (1 + r2 * (k1 + k2 * r2))
        reached = np.flatnonzero(distorted >= corner)
        if len(reached) and slope[: reached[0] + 1].min() >= LEAST_SLOPE:
            return k1, k2
        k1 *= 0.9


def _triangular(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    if bounds[0] == bounds[1]:
        return bounds[0]
    mode = min(max(0.0, bounds[0]), bounds[1])
    return float(rng.triangular(bounds[0], mode, bounds[1]))


def bearing_of_column(camera: Camera, column: float) -> float:
    """Return the bearing (radians, positive to the right) of ``column`` px on the image's middle row.

    Undoes the radial distortion by fixed-point steps; columns outside the image are allowed.
    """
    distorted = (column - camera.width / 2) / camera.focal_px
    k1, k2 = camera.distortion[:2]
    x = distorted
    for _ in range(25):
        x = distorted / max(0.35, 1 + x * x * (k1 + k2 * x * x))
    return float(np.arctan(x))
