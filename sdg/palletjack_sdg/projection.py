"""Projection with Brown-Conrady distortion, and exact coverage of pixels by projected triangles.

The model is the plumb_bob of sensor_msgs/CameraInfo (the one of OpenCV's calib3d documentation):
x, y on the plane z = 1 become x (1 + k1 r2 + k2 r4 + k3 r6) + 2 p1 x y + p2 (r2 + 2 x2) and
y (...) + p1 (r2 + 2 y2) + 2 p2 x y; pixels are focal times that plus the image centre. Pixel
coordinates count from the image's top left corner: the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.scene import Camera

Points = NDArray[np.float64]

NEAR_M = 0.05
NEWTON_STEPS = 8


class DistortionError(ValueError):
    """The distortion of a camera folds back on itself inside the image."""


def to_camera(camera: Camera, world: NDArray[np.floating]) -> Points:
    """Return world points (N, 3) in the optical frame: x right, y down, z forward, metres."""
    rotation, position = camera.pose[:3, :3], camera.pose[:3, 3]
    return (np.asarray(world, dtype=np.float64) - position) @ rotation


def fold_radius(distortion: tuple[float, float, float, float, float]) -> float:
    """Radius on the plane z = 1 up to which the radial polynomial grows; inf if it always does."""
    k1, k2, _, _, k3 = distortion
    # d/dr of r (1 + k1 r^2 + k2 r^4 + k3 r^6), as a polynomial in r^2.
    roots = np.roots(np.array([7.0 * k3, 5.0 * k2, 3.0 * k1, 1.0]))
    real = roots[np.abs(roots.imag) < 1e-9].real
    positive = real[real > 0]
    return float(np.sqrt(positive.min())) if len(positive) else float("inf")


def check_distortion(camera: Camera) -> None:
    """Check that every pixel of the image has a ray.

    Raises:
        DistortionError: the lens cannot fill the image's corners: less distortion or a narrower
            field of view is needed.
    """
    limit = fold_radius(camera.distortion)
    if not np.isfinite(limit):
        return
    reach = limit * float(_radial(np.array(limit * limit), camera.distortion))
    corner = float(np.hypot(camera.width, camera.height)) / 2.0 / camera.focal_px
    if corner > 0.98 * reach:
        raise DistortionError(
            f"camera.distortion: expected a lens that fills the image's corners at radius {corner:.3f} "
            f"(hfov_deg {camera.hfov_deg:.1f}), found {camera.distortion}, which folds back at {reach:.3f}"
        )


def project(camera: Camera, points: Points) -> Points:
    """Return the pixels (N, 2) of ``points`` (N, 3) in the optical frame, all with z > 0.

    Beyond the radius where the polynomial would fold back into the image, the radius grows
    linearly instead, so that what lies outside the view stays outside.
    """
    plane = points[:, :2] / points[:, 2:3]
    limit = fold_radius(camera.distortion)
    extra = np.zeros(len(plane))
    if np.isfinite(limit):
        radius = np.linalg.norm(plane, axis=1)
        beyond = radius > limit
        extra[beyond] = radius[beyond] / limit - 1.0
        plane = np.where(beyond[:, None], plane * (limit / np.maximum(radius, 1e-12))[:, None], plane)
    distorted = distort(plane, camera.distortion) * (1.0 + extra)[:, None]
    return distorted * camera.focal_px + np.array([camera.width / 2.0, camera.height / 2.0])


def distort(plane: Points, distortion: tuple[float, float, float, float, float]) -> Points:
    """Apply the distortion to points (N, 2) of the plane z = 1."""
    _, _, p1, p2, _ = distortion
    x, y = plane[:, 0], plane[:, 1]
    r2 = x * x + y * y
    radial = _radial(r2, distortion)
    return np.stack(
        [
            x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
            y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
        ],
        axis=1,
    )


def undistort(plane: Points, distortion: tuple[float, float, float, float, float]) -> Points:
    """Inverse of ``distort`` inside the fold radius, by Newton's method from the distorted point."""
    target, guess = plane, plane.copy()
    k1, k2, p1, p2, k3 = distortion
    for _ in range(NEWTON_STEPS):
        x, y = guess[:, 0], guess[:, 1]
        r2 = x * x + y * y
        radial = _radial(r2, distortion)
        slope = 2.0 * (k1 + r2 * (2.0 * k2 + 3.0 * k3 * r2))
        error = target - distort(guess, distortion)
        xx = radial + x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x
        xy = x * y * slope + 2.0 * p1 * x + 2.0 * p2 * y
        yy = radial + y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x
        determinant = xx * yy - xy * xy
        guess = guess + np.stack(
            [
                (yy * error[:, 0] - xy * error[:, 1]) / determinant,
                (xx * error[:, 1] - xy * error[:, 0]) / determinant,
            ],
            axis=1,
        )
    return guess


def pixel_rays(camera: Camera, pixels: Points) -> Points:
    """Return unit directions (N, 3) in the world of the rays through ``pixels`` (N, 2)."""
    plane = (pixels - np.array([camera.width / 2.0, camera.height / 2.0])) / camera.focal_px
    plane = undistort(plane, camera.distortion)
    directions = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions @ camera.pose[:3, :3].T


def _radial(r2: Points, distortion: tuple[float, float, float, float, float]) -> Points:
    k1, k2, _, _, k3 = distortion
    return 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))


def clip_near(triangles: Points, near_m: float = NEAR_M) -> Points:
    """Cut triangles (T, 3, 3) of the optical frame at z = ``near_m`` and keep what is in front."""
    inside = triangles[:, :, 2] >= near_m
    count = inside.sum(axis=1)
    pieces = [triangles[count == 3]]
    for wanted in (1, 2):
        chosen = triangles[count == wanted]
        if not len(chosen):
            continue
        # Rotate each triangle so that its odd vertex comes first.
        odd = inside[count == wanted] if wanted == 1 else ~inside[count == wanted]
        order = (odd.argmax(axis=1)[:, None] + np.arange(3)) % 3
        a, b, c = np.moveaxis(np.take_along_axis(chosen, order[..., None], axis=1), 1, 0)
        ab = a + ((near_m - a[:, 2]) / (b[:, 2] - a[:, 2]))[:, None] * (b - a)
        ac = a + ((near_m - a[:, 2]) / (c[:, 2] - a[:, 2]))[:, None] * (c - a)
        if wanted == 1:
            pieces.append(np.stack([a, ab, ac], axis=1))
        else:
            pieces += [np.stack([ab, b, c], axis=1), np.stack([ab, c, ac], axis=1)]
    return np.concatenate(pieces)


def project_triangles(camera: Camera, triangles: Points, max_edge_px: float = 24.0) -> Points:
    """Project triangles (T, 3, 3) of the optical frame to pixels (T', 3, 2).

    Long edges are split first where the lens bends them; parts nearer than 5 cm are cut away.
    """
    triangles = clip_near(triangles)
    if any(camera.distortion):
        for _ in range(6):
            pixels = project(camera, triangles.reshape(-1, 3)).reshape(-1, 3, 2)
            edges = np.linalg.norm(pixels - np.roll(pixels, 1, axis=1), axis=2).max(axis=1)
            # Far outside the frame, precision is of no use.
            low, high = pixels.min(axis=1), pixels.max(axis=1)
            size = np.array([camera.width, camera.height])
            near_frame = np.all((high > -size) & (low < 2 * size), axis=1)
            long = (edges > max_edge_px) & near_frame
            if not long.any():
                break
            triangles = np.concatenate([triangles[~long], _split(triangles[long])])
    return project(camera, triangles.reshape(-1, 3)).reshape(-1, 3, 2)


def _split(triangles: Points) -> Points:
    a, b, c = np.moveaxis(triangles, 1, 0)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([np.stack(corners, axis=1) for corners in quarters])


def rasterize(triangles: Points, width: int, height: int) -> NDArray[np.bool_]:
    """Mask (height, width) of the pixels whose centre lies in at least one triangle (T, 3, 2)."""
    mask = np.zeros(height * width, dtype=bool)
    low = np.maximum(np.ceil(triangles.min(axis=1) - 0.5), 0).astype(np.int64)
    high = np.minimum(np.floor(triangles.max(axis=1) - 0.5), [width - 1, height - 1]).astype(np.int64)
    kept = np.all(high >= low, axis=1)
    triangles, low, high = triangles[kept], low[kept], high[kept]
    extent = high - low + 1
    areas = extent[:, 0] * extent[:, 1]
    # Candidates are tested a few million at a time, to bound memory.
    ends = np.cumsum(areas)
    start = 0
    while start < len(areas):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + 2_000_000, side="right")))
        chosen = slice(start, stop)
        _cover(mask, triangles[chosen], low[chosen], extent[chosen, 0], areas[chosen], width)
        start = stop
    return mask.reshape(height, width)


def _cover(
    mask: NDArray[np.bool_],
    triangles: Points,
    low: NDArray[np.int64],
    widths: NDArray[np.int64],
    areas: NDArray[np.int64],
    width: int,
) -> None:
    owner = np.repeat(np.arange(len(areas)), areas)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(areas) - areas, areas)
    columns = low[owner, 0] + offset % widths[owner]
    rows = low[owner, 1] + offset // widths[owner]
    x, y = columns + 0.5, rows + 0.5
    a, b, c = np.moveaxis(triangles, 1, 0)
    positive = np.ones(len(owner), dtype=bool)
    negative = np.ones(len(owner), dtype=bool)
    for start, end in ((a, b), (b, c), (c, a)):
        edge = end - start
        side = edge[owner, 0] * (y - start[owner, 1]) - edge[owner, 1] * (x - start[owner, 0])
        positive &= side >= 0
        negative &= side <= 0
    hit = positive | negative
    mask[rows[hit] * width + columns[hit]] = True
