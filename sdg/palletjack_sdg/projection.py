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
MAX_SPLITS = 6
SPANS_AT_ONCE = 300_000
# So that rounding leaves no gap between two triangles that share an edge through a pixel's centre.
SPAN_TOLERANCE_PX = 1e-9


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
        radius = np.hypot(plane[:, 0], plane[:, 1])
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
    pixels = project(camera, triangles.reshape(-1, 3)).reshape(-1, 3, 2)
    if not any(camera.distortion):
        return pixels
    finished = []
    for _ in range(MAX_SPLITS):
        long = _is_long(pixels, camera, max_edge_px)
        if not long.any():
            break
        finished.append(pixels[~long])
        triangles = _split(triangles[long])
        pixels = project(camera, triangles.reshape(-1, 3)).reshape(-1, 3, 2)
    return np.concatenate([*finished, pixels])


def _is_long(pixels: Points, camera: Camera, max_edge_px: float) -> NDArray[np.bool_]:
    """Which triangles (T, 3, 2) have an edge over ``max_edge_px``; none far outside the frame, where
    precision is of no use."""
    a, b, c = np.moveaxis(pixels, 1, 0)
    edge_squared = np.maximum(
        np.maximum(_length_squared(b - a), _length_squared(c - b)), _length_squared(a - c)
    )
    size = np.array([camera.width, camera.height])
    low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    near = (high[:, 0] > -size[0]) & (high[:, 1] > -size[1]) & (low[:, 0] < 2 * size[0])
    return np.asarray((edge_squared > max_edge_px**2) & near & (low[:, 1] < 2 * size[1]))


def _length_squared(edges: Points) -> Points:
    return np.asarray(edges[:, 0] ** 2 + edges[:, 1] ** 2)


def _split(triangles: Points) -> Points:
    a, b, c = np.moveaxis(triangles, 1, 0)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([np.stack(corners, axis=1) for corners in quarters])


def rasterize(triangles: Points, width: int, height: int) -> NDArray[np.bool_]:
    """Mask (height, width) of the pixels whose centre lies in at least one triangle (T, 3, 2).

    A triangle covers one span of each row of pixel centres, so the cost grows with the rows that it crosses
    and not with its area. Triangles without area cover nothing.
    """
    # The last column closes the spans that reach the right border.
    changes = np.zeros((height, width + 1), dtype=np.int32)
    a, b, c = np.moveaxis(triangles, 1, 0)
    lowest, highest = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    low = np.clip(np.ceil(lowest[:, 1] - 0.5), 0, height).astype(np.int64)
    high = np.clip(np.floor(highest[:, 1] - 0.5) + 1, 0, height).astype(np.int64)
    kept = (high > low) & (lowest[:, 0] < width) & (highest[:, 0] > 0) & (highest[:, 0] > lowest[:, 0])
    triangles, low, rows = triangles[kept], low[kept], (high - low)[kept]
    # Spans are made a few hundred thousand at a time, to bound memory.
    ends = np.cumsum(rows)
    start = 0
    while start < len(rows):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + SPANS_AT_ONCE, side="right")))
        _add_spans(changes, triangles[start:stop], low[start:stop], rows[start:stop])
        start = stop
    return np.asarray(np.cumsum(changes[:, :width], axis=1) > 0)


def _add_spans(
    changes: NDArray[np.int32], triangles: Points, low: NDArray[np.int64], rows: NDArray[np.int64]
) -> None:
    """Mark in ``changes`` (H, W + 1) where the spans of ``rows`` rows from ``low`` begin and end."""
    width = changes.shape[1] - 1
    owner = np.repeat(np.arange(len(rows)), rows)
    row = low[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(rows) - rows, rows)
    left, right = np.full(len(owner), np.inf), np.full(len(owner), -np.inf)
    for corner in range(3):
        start, end = triangles[:, corner], triangles[:, (corner + 1) % 3]
        rise = end[:, 1] - start[:, 1]
        # A level edge adds nothing: where it counts, its ends lie on the other two.
        slope = np.divide(end[:, 0] - start[:, 0], rise, out=np.zeros(len(rise)), where=rise != 0)
        under = row + 0.5 - start[owner, 1]
        share = under * np.sign(rise)[owner]
        crossed = (share >= 0) & (share <= np.abs(rise)[owner]) & (rise != 0)[owner]
        x = start[owner, 0] + slope[owner] * under
        left = np.where(crossed, np.minimum(left, x), left)
        right = np.where(crossed, np.maximum(right, x), right)
    met = right >= left
    first = np.clip(np.ceil(left[met] - 0.5 - SPAN_TOLERANCE_PX), 0, width).astype(np.int64)
    after = np.clip(np.floor(right[met] - 0.5 + SPAN_TOLERANCE_PX) + 1, 0, width).astype(np.int64)
    row = row[met]
    wide = after > first
    np.add.at(changes, (row[wide], first[wide]), 1)
    np.add.at(changes, (row[wide], after[wide]), -1)
