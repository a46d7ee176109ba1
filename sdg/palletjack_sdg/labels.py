"""Labels of a rendered frame: KITTI objects from instance masks and from the geometry itself.

The box and the visible area come from the mask of what the camera saw. The area that the object
would cover with nothing before it (the amodal area) is rasterized here from its triangles through
the same lens, at the same pixel centres, within the frame and around it. Their ratios give
occlusion (1 - visible / amodal inside the frame) and truncation (1 - amodal inside / all).

A person draws a box around what is plainly there, and does not stretch it for a sliver of a fork
that shows between the boards of a pallet. So the box leaves out pieces of the mask that lie apart
and are small beside the largest one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.kitti import DONT_CARE, KittiObject
from palletjack_sdg.label_rules import LabelRules
from palletjack_sdg.projection import project_triangles, rasterize, to_camera
from palletjack_sdg.render.base import RenderResult
from palletjack_sdg.scene import Camera, Instance, Scene

# Larger objects are rasterized at a fraction of the resolution: ratios need no more.
RASTER_SIDE_PX = 320
# Pieces of a mask count as one across a gap of this share of the object's size: a wire, a thin post.
BRIDGED_GAP = 0.03
# How far around the frame the full area is counted, in frame sizes on each side.
MARGIN_FRAMES = 1.0


@dataclass(frozen=True)
class Visibility:
    """What is seen of one instance. ``box``: edges of the visible pixels (xmin, ymin, xmax, ymax) but for
    small pieces apart; ``visible_pixels``, all of them; ``visible_share`` of its area inside the frame;
    ``truncated`` share of its area outside the frame."""

    box: tuple[float, float, float, float]
    visible_pixels: int
    visible_share: float
    truncated: float


def label_frame(scene: Scene, result: RenderResult, rules: LabelRules | None = None) -> list[KittiObject]:
    """Return the labels of a frame, nearest object first, regions to ignore last.

    Raises:
        ValueError: the masks have another size than the camera's image.
    """
    rules = rules or LabelRules()
    camera = scene.camera
    if result.instance_ids.shape != (camera.height, camera.width):
        raise ValueError(
            f"instance_ids: expected shape {(camera.height, camera.width)}, found {result.instance_ids.shape}"
        )
    objects: list[KittiObject] = []
    ignored: list[KittiObject] = []
    for instance in scene.instances:
        if instance.label is None:
            continue
        seen = measure_visibility(instance, camera, result.instance_ids, rules.min_piece_share)
        if seen is None or seen.visible_pixels < rules.ignored_pixels:
            continue
        if _counts(seen, rules):
            objects.append(_to_kitti(instance, camera, seen, rules))
        else:
            ignored.append(KittiObject(DONT_CARE, seen.box))
    objects.sort(key=lambda item: item.location[2])
    return objects + ignored


def measure_visibility(
    instance: Instance, camera: Camera, instance_ids: NDArray[np.int32], min_piece_share: float = 0.0
) -> Visibility | None:
    """Return what is seen of ``instance``, or None if no pixel of it is."""
    mask = instance_ids == instance.instance_id
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return None
    inside, total = amodal_areas(instance, camera)
    visible = len(rows)
    # Sub-pixel parts may be hit by a ray and missed by the rasterizer's rounding.
    inside = max(inside, float(visible))
    total = max(total, inside)
    left, top = int(columns.min()), int(rows.min())
    box = main_box(mask[top : rows.max() + 1, left : columns.max() + 1], min_piece_share)
    box = (box[0] + left, box[1] + top, box[2] + left, box[3] + top)
    return Visibility(box, visible, visible / inside, 1.0 - inside / total)


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


def amodal_areas(instance: Instance, camera: Camera) -> tuple[float, float]:
    """Area in pixels that the whole instance covers inside the frame, and with the frame's surroundings."""
    triangles = project_triangles(camera, _triangles(instance, camera))
    if len(triangles) == 0:
        return 0.0, 0.0
    frame = np.array([camera.width, camera.height], dtype=float)
    corners = triangles.reshape(-1, 2)
    low = np.maximum(np.floor(corners.min(axis=0)), -MARGIN_FRAMES * frame)
    high = np.minimum(np.ceil(corners.max(axis=0)), (1.0 + MARGIN_FRAMES) * frame)
    if np.any(high <= low):
        return 0.0, 0.0
    reduction = max(1.0, float(np.ceil((high - low).max() / RASTER_SIDE_PX)))
    size = np.ceil((high - low) / reduction).astype(int)
    mask = rasterize((triangles - low) / reduction, int(size[0]), int(size[1]))
    rows, columns = np.nonzero(mask)
    x, y = (columns + 0.5) * reduction + low[0], (rows + 0.5) * reduction + low[1]
    inside = int(np.count_nonzero((x >= 0) & (x < frame[0]) & (y >= 0) & (y < frame[1])))
    return inside * reduction**2, len(rows) * reduction**2


def _triangles(instance: Instance, camera: Camera) -> NDArray[np.float64]:
    """All triangles (T, 3, 3) of the instance in the optical frame."""
    corners = np.concatenate([part.vertices[part.faces].reshape(-1, 3) for part in instance.prop.parts])
    world = corners @ instance.pose[:3, :3].T + instance.pose[:3, 3]
    return to_camera(camera, world).reshape(-1, 3, 3)


def _counts(seen: Visibility, rules: LabelRules) -> bool:
    xmin, ymin, xmax, ymax = seen.box
    return (
        xmax - xmin >= rules.min_width_px
        and ymax - ymin >= rules.min_height_px
        and seen.visible_pixels >= rules.min_visible_pixels
        and seen.visible_share >= rules.min_visible_share
        and seen.visible_pixels >= rules.min_box_fill * (xmax - xmin) * (ymax - ymin)
        and seen.truncated <= rules.max_truncated
    )


def _to_kitti(instance: Instance, camera: Camera, seen: Visibility, rules: LabelRules) -> KittiObject:
    dimensions, location, rotation_y = box_3d(instance, camera)
    levels = (rules.fully_visible, rules.partly_visible)
    assert instance.label is not None
    return KittiObject(
        class_name=instance.label,
        box=seen.box,
        truncated=round(seen.truncated, 4),
        occluded=sum(seen.visible_share < level for level in levels),
        alpha=wrap_angle(rotation_y - float(np.arctan2(location[0], location[2]))),
        dimensions=dimensions,
        location=location,
        rotation_y=rotation_y,
    )


def box_3d(
    instance: Instance, camera: Camera
) -> tuple[tuple[float, float, float], tuple[float, float, float], float]:
    """Return (height, width, length), bottom centre and heading as KITTI defines them.

    Length runs along the object's x axis, width along y and height along z, in metres; the bottom
    centre is that of its box in the camera frame. The heading is the angle from the camera's x axis
    to the object's, about the camera's y axis: 0 looks right, -pi/2 away. A pitched or rolled
    camera makes it an approximation, as in KITTI.
    """
    low, high = instance.prop.bounds()
    size = high - low
    bottom = np.array([(low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0, low[2]], dtype=float)
    world = instance.pose[:3, :3] @ bottom + instance.pose[:3, 3]
    x, y, z = to_camera(camera, world[None])[0]
    forward = camera.pose[:3, :3].T @ instance.pose[:3, 0]
    heading = float(np.arctan2(-forward[2], forward[0]))
    return (float(size[2]), float(size[1]), float(size[0])), (float(x), float(y), float(z)), heading


def wrap_angle(angle: float) -> float:
    """Return ``angle`` in -pi..pi."""
    return float((angle + np.pi) % (2.0 * np.pi) - np.pi)
