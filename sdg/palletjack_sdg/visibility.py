"""What is seen of an object, and what would be seen with nothing before it and no border.

The visible area and box come from the mask of what the camera saw. The area that the object would
cover with nothing before it (the amodal area) is rasterized here from its triangles through the same
lens, at the same pixel centres, within the frame and around it. Their ratios give occlusion
(1 - visible / amodal inside the frame) and truncation (1 - amodal inside / all).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.projection import project_triangles, rasterize, to_camera
from palletjack_sdg.scene import Camera, Instance

Box = tuple[float, float, float, float]

# Larger objects, which reach outside the frame, are rasterized at a fraction of the resolution.
RASTER_SIDE_PX = 960
# Pieces of a mask count as one across a gap of this share of the object's size: a wire, a thin post.
BRIDGED_GAP = 0.03
# How far around the frame the full area is counted, in frame sizes on each side.
MARGIN_FRAMES = 1.0


@dataclass(frozen=True)
class Extent:
    """What an object covers with nothing before it: pixels ``inside`` the frame and in ``total``.

    ``full_box`` is that of its projection, up to one frame size around the frame; ``frame_box`` that of
    what lies inside the frame, None if nothing does. Edges in pixels: xmin, ymin, xmax, ymax.
    """

    inside: float
    total: float
    full_box: Box
    frame_box: Box | None


@dataclass(frozen=True)
class Visibility:
    """What is seen of one instance. ``box``: edges of the visible pixels (xmin, ymin, xmax, ymax) but for
    small pieces apart; ``tight_box``, of all of them; ``visible_pixels``, their number; ``visible_share`` of
    its area inside the frame; ``truncated`` share of its area outside the frame; ``extent`` of the whole."""

    box: Box
    tight_box: Box
    visible_pixels: int
    visible_share: float
    truncated: float
    extent: Extent


def measure_visibility(
    instance: Instance, camera: Camera, instance_ids: NDArray[np.int32], min_piece_share: float = 0.0
) -> Visibility | None:
    """Return what is seen of ``instance``, or None if no pixel of it is."""
    mask = instance_ids == instance.instance_id
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return None
    left, top = int(columns.min()), int(rows.min())
    right, bottom = int(columns.max()) + 1, int(rows.max()) + 1
    tight = (float(left), float(top), float(right), float(bottom))
    extent = amodal_extent(instance, camera) or Extent(0.0, 0.0, tight, tight)
    visible = len(rows)
    # Sub-pixel parts may be hit by a ray and missed by the rasterizer's rounding.
    inside = max(extent.inside, float(visible))
    total = max(extent.total, inside)
    box = main_box(mask[top:bottom, left:right], min_piece_share)
    box = (box[0] + left, box[1] + top, box[2] + left, box[3] + top)
    return Visibility(box, tight, visible, visible / inside, 1.0 - inside / total, extent)


def main_box(mask: NDArray[np.bool_], min_piece_share: float) -> tuple[float, float, float, float]:
    """Return the edges (xmin, ymin, xmax, ymax) of the pieces of ``mask`` (H, W) that are not small.

    A piece is small when it has less than ``min_piece_share`` of the pixels of the largest one. The
    mask must hold a pixel.
    """
    reach = max(1, round(0.5 * BRIDGED_GAP * max(mask.shape)))
    padded = np.pad(mask.astype(np.uint8), reach)
    bridged = cv2.dilate(padded, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    pieces = cv2.connectedComponents(bridged, connectivity=8)[1][reach:-reach, reach:-reach]
    sizes = np.bincount(np.asarray(pieces[mask], dtype=np.int64))
    kept = mask & (sizes >= min_piece_share * sizes.max())[np.minimum(pieces, len(sizes) - 1)]
    rows, columns = np.nonzero(kept)
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


def amodal_extent(instance: Instance, camera: Camera) -> Extent | None:
    """Return what the whole instance covers, in the frame and around it; None if nothing of it is near."""
    triangles = project_triangles(camera, _triangles(instance, camera))
    if len(triangles) == 0:
        return None
    corners = triangles.reshape(-1, 2)
    frame = np.array([camera.width, camera.height], dtype=float)
    lowest = np.maximum(corners.min(axis=0), -MARGIN_FRAMES * frame)
    highest = np.minimum(corners.max(axis=0), (1.0 + MARGIN_FRAMES) * frame)
    low, high = np.floor(lowest), np.ceil(highest)
    if np.any(high <= low):
        return None
    reduction = max(1.0, float(np.ceil((high - low).max() / RASTER_SIDE_PX)))
    size = np.ceil((high - low) / reduction).astype(int)
    mask = rasterize((triangles - low) / reduction, int(size[0]), int(size[1]))
    rows, columns = np.nonzero(mask)
    x, y = (columns + 0.5) * reduction + low[0], (rows + 0.5) * reduction + low[1]
    within = (x >= 0) & (x < frame[0]) & (y >= 0) & (y < frame[1])
    full = (float(lowest[0]), float(lowest[1]), float(highest[0]), float(highest[1]))
    return Extent(
        inside=int(np.count_nonzero(within)) * reduction**2,
        total=len(rows) * reduction**2,
        full_box=full,
        frame_box=_box_around(x[within], y[within], reduction, camera) if within.any() else None,
    )


def _box_around(x: NDArray[np.float64], y: NDArray[np.float64], pitch: float, camera: Camera) -> Box:
    """Edges of the cells of side ``pitch`` around the centres (x, y), cut at the frame."""
    half = pitch / 2.0
    return (
        max(float(x.min()) - half, 0.0),
        max(float(y.min()) - half, 0.0),
        min(float(x.max()) + half, float(camera.width)),
        min(float(y.max()) + half, float(camera.height)),
    )


def _triangles(instance: Instance, camera: Camera) -> NDArray[np.float64]:
    """All triangles (T, 3, 3) of the instance in the optical frame."""
    corners = np.concatenate([part.vertices[part.faces].reshape(-1, 3) for part in instance.prop.parts])
    world = corners @ instance.pose[:3, :3].T + instance.pose[:3, 3]
    return to_camera(camera, world).reshape(-1, 3, 3)
