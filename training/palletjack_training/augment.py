"""Geometric augmentation of a batch on the device: one projective map for each frame, boxes with it.

All numbers are drawn on the host from the generator that is passed in; the device only applies them.
Coordinates are continuous pixels: the centre of the first pixel lies at 0.5.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from palletjack_training.augment_config import GeometryAugmentation
from palletjack_training.box_labels import IGNORED, PADDING
from palletjack_training.targets import BoxBatch, compact

Matrices = NDArray[np.float64]
_HALF_BELOW = 0.71


def draw_maps(
    config: GeometryAugmentation, count: int, width: int, height: int, rng: np.random.Generator
) -> Matrices:
    """Draw ``count`` maps (count, 3, 3) from frame pixels to pixels of the augmented frame."""
    maps = np.tile(np.eye(3), (count, 1, 1))
    for index in range(count):
        flip = -1.0 if rng.random() < config.flip else 1.0
        mirror = np.array([[flip, 0, width if flip < 0 else 0], [0, 1, 0], [0, 0, 1]])
        if rng.random() < config.identity:
            maps[index] = mirror
            continue
        zoom = math.exp(rng.uniform(math.log(config.zoom[0]), math.log(config.zoom[1])))
        stretch = math.exp(rng.uniform(-config.aspect, config.aspect) / 2)
        angle = math.radians(rng.uniform(-config.rotation, config.rotation))
        # All that hangs over or is left free may be used up, and the configured share beyond that.
        reach = config.translate + abs(zoom - 1) / 2
        shift = rng.uniform(-reach, reach, 2) * (width, height)
        tilt = rng.uniform(-config.perspective, config.perspective, 2) / (width / 2, height / 2)
        cos, sin = math.cos(angle), math.sin(angle)
        to_centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
        warp = np.array([[1, 0, 0], [0, 1, 0], [tilt[0], tilt[1], 1]])
        turn = np.array(
            [
                [zoom * stretch * cos, -zoom * sin / stretch, shift[0] + width / 2],
                [zoom * stretch * sin, zoom * cos / stretch, shift[1] + height / 2],
                [0, 0, 1],
            ]
        )
        maps[index] = turn @ warp @ to_centre @ mirror
    return maps


def warp_frames(
    frames: Tensor, maps: Matrices, fill: Tensor | None = None, size: tuple[int, int] | None = None
) -> Tensor:
    """Apply ``maps`` to frames (B, 3, H, W); ``fill`` (B, 3) is the colour outside of a frame, else black.

    ``size`` is the height and width of the result, that of the frames if left out. Frames that shrink are
    sampled from their half size, against aliasing.
    """
    height, width = frames.shape[-2:]
    device = frames.device
    rows, columns = size or (height, width)
    grid = _sampling_grid(np.linalg.inv(maps), (height, width), (rows, columns), device)
    scale = np.sqrt(np.abs(np.linalg.det(maps[:, :2, :2])))
    out = frames.new_empty((*frames.shape[:2], rows, columns))
    for small in (False, True):
        chosen = np.flatnonzero((scale < _HALF_BELOW) == small)
        if len(chosen) == 0:
            continue
        index = torch.from_numpy(chosen).to(device, non_blocking=True)
        source = frames[index]
        if small:
            source = F.avg_pool2d(source, 2)
        if fill is None:
            out[index] = F.grid_sample(source, grid[index], align_corners=False)
            continue
        back = fill[index][:, :, None, None]
        # Both tensors are new here, so that neither needs another copy.
        source = source.sub_(back)
        out[index] = F.grid_sample(source, grid[index], align_corners=False).add_(back)
    return out


def _sampling_grid(
    inverse: Matrices, source: tuple[int, int], target: tuple[int, int], device: torch.device
) -> Tensor:
    """Where each output pixel (B, H, W, 2) reads from, in grid_sample's coordinates -1..1.

    ``source`` and ``target`` are heights and widths of a frame and of the result.
    """
    height, width = source
    normalize = np.array([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]])
    matrix = torch.from_numpy((normalize @ inverse).astype(np.float32)).to(device, non_blocking=True)
    x = torch.arange(target[1], device=device, dtype=torch.float32) + 0.5
    y = torch.arange(target[0], device=device, dtype=torch.float32) + 0.5
    column, row, constant = (matrix[:, :, i, None, None] for i in range(3))
    # Each pass over (B, 3, H, W) costs as much as one over the frames, so there are but two.
    homogeneous = (column * x + constant) + row * y[:, None]
    return (homogeneous[:, :2] / homogeneous[:, 2:]).permute(0, 2, 3, 1)


def warp_boxes(
    batch: BoxBatch, maps: Matrices, width: int, height: int, config: GeometryAugmentation
) -> BoxBatch:
    """Map boxes (host tensors), clip them to the canvas, and ignore remains that are too little.

    A box becomes the bounds of its four mapped corners. What is left of an object with less than
    ``min_visible_share`` of its area or a side under ``min_box_side`` becomes an ignored region, and
    a box with nothing left becomes padding.
    """
    boxes = batch.boxes.double()
    corners = boxes[..., [0, 1, 2, 1, 2, 3, 0, 3]].unflatten(-1, (4, 2))
    matrix = torch.from_numpy(maps)[:, None, None]
    mapped = (matrix @ F.pad(corners, (0, 1), value=1.0)[..., None]).squeeze(-1)
    points = mapped[..., :2] / mapped[..., 2:]
    whole = torch.cat((points.amin(dim=-2), points.amax(dim=-2)), -1)
    return clip_boxes(BoxBatch(whole.float(), batch.labels), (0, 0, width, height), config)


def clip_boxes(
    batch: BoxBatch, window: tuple[float, float, float, float], config: GeometryAugmentation
) -> BoxBatch:
    """Clip boxes to ``window`` xyxy under the rule of ``warp_boxes``."""
    low = torch.tensor(window[:2] * 2)
    high = torch.tensor(window[2:] * 2)
    clipped = torch.minimum(torch.maximum(batch.boxes, low), high)
    size = clipped[..., 2:] - clipped[..., :2]
    before = (batch.boxes[..., 2:] - batch.boxes[..., :2]).prod(-1).clamp_min(1e-6)
    spoiled = (size.prod(-1) / before < config.min_visible_share) | (size.amin(-1) < config.min_box_side)
    labels = torch.where(spoiled & (batch.labels >= 0), IGNORED, batch.labels)
    return BoxBatch(clipped, torch.where(size.amin(-1) <= 0, PADDING, labels))


def mosaic(
    frames: Tensor, batch: BoxBatch, config: GeometryAugmentation, rng: np.random.Generator
) -> tuple[Tensor, BoxBatch]:
    """Replace a share of the frames by four quarters, each another frame of the batch, shrunk.

    Frames are (B, 3, H, W) on the device, boxes on the host.
    """
    count, _, height, width = frames.shape
    chosen = np.flatnonzero(rng.random(count) < config.mosaic)
    if len(chosen) == 0:
        return frames, batch
    half_w, half_h = width // 2, height // 2
    room = batch.labels.shape[1]
    boxes = F.pad(batch.boxes, (0, 0, 0, 3 * room))
    labels = F.pad(batch.labels, (0, 3 * room), value=PADDING)
    labels[chosen] = PADDING
    out = frames.clone()
    rows_on_device = torch.from_numpy(chosen).to(frames.device, non_blocking=True)
    for quarter in range(4):
        left, top = (quarter % 2) * half_w, (quarter // 2) * half_h
        source = rng.integers(0, count, len(chosen))
        scale = rng.uniform(0.5, 1.0, len(chosen))
        spare = np.stack((width * scale - half_w, height * scale - half_h), -1)
        shift = -rng.random((len(chosen), 2)) * spare
        maps = np.tile(np.eye(3), (len(chosen), 1, 1))
        maps[:, 0, 0] = maps[:, 1, 1] = scale
        maps[:, :2, 2] = shift
        index = torch.from_numpy(source).to(frames.device, non_blocking=True)
        tile = warp_frames(frames[index], maps, size=(half_h, half_w))
        out[rows_on_device, :, top : top + half_h, left : left + half_w] = tile
        part = BoxBatch(batch.boxes[source], batch.labels[source])
        part = warp_boxes(part, maps, half_w, half_h, config)
        rows = slice(quarter * room, (quarter + 1) * room)
        boxes[chosen, rows] = part.boxes + torch.tensor([left, top, left, top], dtype=torch.float32)
        labels[chosen, rows] = part.labels
    return out, compact(BoxBatch(boxes, labels))
