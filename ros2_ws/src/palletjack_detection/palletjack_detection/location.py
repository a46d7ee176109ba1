"""From boxes in the image to places on the floor with their uncertainty.

A box is placed by its lower edge on the floor (``ground_range``), or by a depth image where there is one.
Frames: ``base_link`` (x forward, y left, z up, origin on the floor) and the camera's optical frame (z ahead).
Lengths in metres, boxes xyxy in image edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.ground_range import CameraModel, CameraMount, FloorObservation, locate_on_floor

FloatArray = NDArray[np.float64]

# The part of a box that is taken to show the object: its border shows what stands beside and behind.
DEPTH_WIDTH_SHARE = 0.6
DEPTH_HEIGHT_SHARE = 0.8
# A truck is thin and lets the background through: its own pixels are the near ones.
DEPTH_PERCENTILE = 20.0
MIN_DEPTH_PIXELS = 12
NEAREST_DEPTH_M = 0.1
# Half of the range: all that is known of a box which goes on below the image.
CUT_SIGMA_SHARE = 0.5
UNKNOWN_HEADING_VARIANCE = math.pi**2


@dataclass(frozen=True)
class LocationSettings:
    """What is known beforehand.

    ``edge_sigma_px``: standard deviation of a box's edges in pixels. ``depth_sigma_m`` and
    ``depth_sigma_share``: of a depth camera, constant and share of the distance. ``object_depth_m``: extent
    of an object along the line of sight, which one view does not show. ``max_range_m``: beyond it nothing
    is placed, because a pixel of the lower edge then is worth metres.
    """

    edge_sigma_px: float = 2.0
    depth_sigma_m: float = 0.03
    depth_sigma_share: float = 0.02
    object_depth_m: float = 0.5
    max_range_m: float = 30.0


@dataclass(frozen=True)
class Location:
    """An object in ``base_link``.

    ``centre`` (3,) and ``size`` (3,) describe a box whose x axis is the line of sight on the floor, turned
    by ``yaw`` about z. ``covariance`` (3, 3) is that of the centre, m2. ``source`` is ``floor`` or ``depth``.
    ``nearer_than``: the box goes on below the image, the object is at least this near.
    """

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float
    covariance: FloatArray
    source: str
    nearer_than: bool

    @property
    def range_m(self) -> float:
        """Distance on the floor from base_link's origin to the object's near side."""
        return math.hypot(self.centre[0], self.centre[1]) - self.size[0] / 2

    @property
    def sigma_range_m(self) -> float:
        """Standard deviation along the line of sight."""
        direction = np.array([math.cos(self.yaw), math.sin(self.yaw)])
        return float(math.sqrt(direction @ self.covariance[:2, :2] @ direction))


def locate(
    box: Sequence[float] | NDArray[np.floating],
    camera: CameraModel,
    mount: CameraMount,
    settings: LocationSettings,
    depth: NDArray[np.float32] | None = None,
) -> Location | None:
    """Place one box; None where neither the floor nor the depth image gives a range.

    ``depth`` (h, w) float32 is the distance along the optical axis in metres, NaN or 0 where unknown,
    registered to the image and of its own resolution. It is preferred: it needs no flat floor.
    """
    measured = None if depth is None else depth_of_box(depth, box, camera)
    floor = locate_on_floor(box, 1.0, camera, mount, edge_sigma_px=settings.edge_sigma_px)
    if measured is not None:
        near, sigma = _near_side(box, measured, camera, mount), settings
        along = math.hypot(sigma.depth_sigma_m, sigma.depth_sigma_share * measured)
        return _build(box, near, along, "depth", False, camera, mount, settings)
    if floor is None:
        return None
    return _build(
        box, np.asarray(floor.point), _sigma(floor), "floor", floor.nearer_than, camera, mount, settings
    )


def depth_of_box(
    depth: NDArray[np.float32], box: Sequence[float] | NDArray[np.floating], camera: CameraModel
) -> float | None:
    """Distance along the optical axis of what the box shows, in metres; None where too little is known."""
    height, width = depth.shape
    scale = np.array([width / camera.width, height / camera.height] * 2)
    xmin, ymin, xmax, ymax = np.asarray(box, dtype=np.float64) * scale
    half_width = DEPTH_WIDTH_SHARE * (xmax - xmin) / 2
    half_height = DEPTH_HEIGHT_SHARE * (ymax - ymin) / 2
    x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
    columns = slice(max(0, math.floor(x - half_width)), max(0, math.ceil(x + half_width)))
    rows = slice(max(0, math.floor(y - half_height)), max(0, math.ceil(y + half_height)))
    values = depth[rows, columns]
    values = values[np.isfinite(values) & (values > NEAREST_DEPTH_M)]
    if values.size < MIN_DEPTH_PIXELS:
        return None
    return float(np.percentile(values, DEPTH_PERCENTILE))


def _near_side(
    box: Sequence[float] | NDArray[np.floating], distance: float, camera: CameraModel, mount: CameraMount
) -> FloatArray:
    """The floor point (2,) below the middle of the box at ``distance`` along the optical axis."""
    xmin, ymin, xmax, ymax = (float(value) for value in box)
    middle = np.array([[(xmin + xmax) / 2 - 0.5, (ymin + ymax) / 2 - 0.5]])
    point = camera.rays(middle)[0] * distance
    return np.asarray((mount.rotation @ point + mount.translation)[:2])


def _sigma(floor: FloorObservation) -> float:
    if floor.nearer_than:
        return max(floor.sigma_m, CUT_SIGMA_SHARE * floor.range_m)
    return floor.sigma_m


def _build(
    box: Sequence[float] | NDArray[np.floating],
    near: FloatArray,
    along: float,
    source: str,
    nearer_than: bool,
    camera: CameraModel,
    mount: CameraMount,
    settings: LocationSettings,
) -> Location | None:
    """A location from the near side's floor point (2,) and the standard deviation along the line of sight."""
    eye = mount.translation
    sight = near - eye[:2]
    distance = float(np.hypot(*sight))
    if not (distance > 1e-6 and math.hypot(*near) <= settings.max_range_m and math.isfinite(along)):
        return None
    direction = sight / distance
    left, right, top = _extents(box, near, direction, camera, mount)
    side = np.array([-direction[1], direction[0]])
    depth = settings.object_depth_m
    across = settings.edge_sigma_px * distance / float(camera.matrix[0, 0])
    # The extent along the line of sight is a guess: half of it is uncertain.
    along = math.hypot(along, depth / 4)
    covariance = np.zeros((3, 3))
    covariance[:2, :2] = along**2 * np.outer(direction, direction) + across**2 * np.outer(side, side)
    covariance[2, 2] = max(across, 0.01) ** 2
    middle = near + side * (left + right) / 2 + direction * depth / 2
    return Location(
        centre=(float(middle[0]), float(middle[1]), top / 2),
        size=(depth, max(left - right, 0.01), max(top, 0.01)),
        yaw=math.atan2(direction[1], direction[0]),
        covariance=covariance,
        source=source,
        nearer_than=nearer_than,
    )


def _extents(
    box: Sequence[float] | NDArray[np.floating],
    near: FloatArray,
    direction: FloatArray,
    camera: CameraModel,
    mount: CameraMount,
) -> tuple[float, float, float]:
    """Left and right end (m to the left of the middle) and upper end (m above the floor) of the box.

    Rays through the box's edges meet the upright plane through ``near`` across the line of sight.
    """
    xmin, ymin, xmax, ymax = (float(value) - 0.5 for value in box)
    x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
    rays = camera.rays(np.array([[xmin, y], [xmax, y], [x, ymin]])) @ mount.rotation.T
    eye = mount.translation
    ahead = rays[:, :2] @ direction
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = ((near - eye[:2]) @ direction) / ahead
    reach = np.where(ahead > 1e-6, reach, np.nan)
    points = eye + rays * reach[:, None]
    side = np.array([-direction[1], direction[0]])
    offsets = (points[:, :2] - near) @ side
    left, right = np.nan_to_num(offsets[0]), np.nan_to_num(offsets[1])
    top = points[2, 2] if np.isfinite(points[2, 2]) else eye[2]
    return float(max(left, right)), float(min(left, right)), float(max(top, 0.0))
