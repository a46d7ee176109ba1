"""Boxes to the DetectNet_v2 output grid, and back, on the device and for a whole batch.

The rules are TAO's (rasterizers/bbox_rasterizer.py and core/lib/rasterize_bbox of its 5.0 code):
every object paints an ellipse around its centre, cells get the share of 4x4 samples inside it, and
objects are painted in ascending order of their lower edge, so that the nearer object wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from palletjack_training.box_labels import IGNORED, PADDING
from palletjack_training.config import TargetConfig

_SAMPLES = 4
_SMALLEST_RADIUS = 0.1


@dataclass(frozen=True)
class BoxBatch:
    """The boxes of a batch, padded to one count.

    ``boxes`` (B, M, 4) float32: xmin, ymin, xmax, ymax in network pixels. ``labels`` (B, M) int64:
    class index, or PADDING, or IGNORED.
    """

    boxes: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> BoxBatch:
        """The same boxes on ``device``."""
        return BoxBatch(
            self.boxes.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
        )


def compact(batch: BoxBatch) -> BoxBatch:
    """Drop the padding that no frame of the batch needs (at least one row stays)."""
    order = (batch.labels == PADDING).int().argsort(dim=1, stable=True)
    keep = max(int((batch.labels != PADDING).sum(1).max()), 1)
    order = order[:, :keep]
    return BoxBatch(
        batch.boxes.gather(1, order[..., None].expand(-1, -1, 4)),
        batch.labels.gather(1, order),
    )


@dataclass(frozen=True)
class GridTargets:
    """Training targets of a batch on the (R, K) grid for C classes.

    ``coverage`` (B, C, R, K) in 0..1. ``boxes`` (B, C, 4, R, K): left, top, right, bottom distances
    from the cell's reference point, divided by the box scale. ``box_weight`` (B, C, R, K): coverage
    over the ellipse's area in cells. ``owner`` (B, C, R, K) int64: row of the painting box, -1 for
    background. ``counted`` (B, C, R, K) bool: False where a cell is in an ignored region.
    """

    coverage: Tensor
    boxes: Tensor
    box_weight: Tensor
    owner: Tensor
    counted: Tensor


def reference_points(
    grid: tuple[int, int], config: TargetConfig, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The x (K,) and y (R,) pixel coordinates that box distances of each column and row start from."""
    rows, columns = grid
    x = torch.arange(columns, device=device, dtype=torch.float32) * config.stride + config.box_offset
    y = torch.arange(rows, device=device, dtype=torch.float32) * config.stride + config.box_offset
    return x, y


def decode_boxes(distances: Tensor, config: TargetConfig) -> Tensor:
    """Distances (..., 4, R, K) over the box scale to pixel boxes (..., 4, R, K) as xyxy."""
    x, y = reference_points((distances.shape[-2], distances.shape[-1]), config, distances.device)
    left, top, right, bottom = (distances * config.box_scale).unbind(-3)
    return torch.stack((x - left, y[:, None] - top, x + right, y[:, None] + bottom), dim=-3)


def rasterize(batch: BoxBatch, classes: int, grid: tuple[int, int], config: TargetConfig) -> GridTargets:
    """Paint the boxes of a batch on the grid, each class on its own.

    ``grid`` is (R, K). Boxes may reach over the canvas. The only loop is over the M boxes of an
    image, because painting order matters; all cells and images of the batch go together.
    """
    order = batch.boxes[..., 3].masked_fill(batch.labels < 0, torch.inf).argsort(dim=1, stable=True)
    boxes = batch.boxes.gather(1, order[..., None].expand(-1, -1, 4))
    labels = batch.labels.gather(1, order)
    inside, area, inverse_area = _ellipse_shares(boxes, grid, config)
    painted = [_paint((labels == index)[..., None, None], inside, area) for index in range(classes)]
    coverage = torch.stack([item[0] for item in painted], dim=1)
    owner = torch.stack([item[1] for item in painted], dim=1)

    at = owner.clamp_min(0).flatten(1)
    has_owner = owner >= 0
    box_weight = inverse_area.gather(1, at).unflatten(1, owner.shape[1:]) * coverage
    original = order.gather(1, at).unflatten(1, owner.shape[1:])
    return GridTargets(
        coverage=coverage,
        boxes=distances_to_owner(boxes, owner, config) * has_owner[:, :, None],
        box_weight=box_weight,
        owner=torch.where(has_owner, original, -1),
        counted=has_owner | ~touched(boxes, labels == IGNORED, grid, config)[:, None],
    )


def distances_to_owner(boxes: Tensor, owner: Tensor, config: TargetConfig) -> Tensor:
    """Distances (B, C, 4, R, K) of each cell to the sides of its owner's box, over the box scale.

    ``boxes`` (B, M, 4), ``owner`` (B, C, R, K) rows of it; what a cell of the row -1 gets means nothing.
    """
    at = owner.clamp_min(0).flatten(1)
    box = boxes.gather(1, at[..., None].expand(-1, -1, 4)).unflatten(1, owner.shape[1:])
    x, y = reference_points((owner.shape[-2], owner.shape[-1]), config, boxes.device)
    sides = (x - box[..., 0], y[:, None] - box[..., 1], box[..., 2] - x, box[..., 3] - y[:, None])
    return torch.stack(sides, dim=2) / config.box_scale


def _ellipse_shares(
    boxes: Tensor, grid: tuple[int, int], config: TargetConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Per box: share of each cell inside the coverage and the deadzone ellipse, and 1 / 4ab."""
    cells = boxes / config.stride
    half = (cells[..., 2:] - cells[..., :2]) / 2
    centre = cells[..., :2] + half
    radius = (config.cov_radius * half).clamp_min(_SMALLEST_RADIUS)
    for axis in (0, 1):  # Width first, then height, keeping the aspect ratio: the order is TAO's.
        radius = radius * (config.bbox_min_radius / radius[..., axis : axis + 1]).clamp_min(1)
    outer = torch.maximum((1 - config.deadzone) * radius + config.deadzone * half, radius)
    inverse_area = 1 / (4 * radius[..., 0] * radius[..., 1]).clamp_min(1)
    return (
        _inside_share(centre, radius, grid),
        _inside_share(centre, outer, grid),
        inverse_area,
    )


def _inside_share(centre: Tensor, radius: Tensor, grid: tuple[int, int]) -> Tensor:
    """Share (B, M, R, K) of the 4x4 samples of each cell that lie inside an ellipse (cell units)."""
    rows, columns = grid

    def squared(axis: int, count: int) -> Tensor:
        steps = torch.arange(count * _SAMPLES, device=centre.device, dtype=torch.float32)
        at = (steps + 0.5) / _SAMPLES
        return ((at - centre[..., axis, None]) / radius[..., axis, None]) ** 2

    x = squared(0, columns)[..., None, :]
    y = squared(1, rows)[..., :, None]
    hit = (x + y < 1).unflatten(-1, (columns, _SAMPLES)).unflatten(-3, (rows, _SAMPLES))
    return hit.sum(dim=(-3, -1), dtype=torch.float32) / _SAMPLES**2


def _paint(present: Tensor, inside: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """Paint boxes (B, M, R, K) in order; return the coverage and the painting box's row, each (B, R, K).

    A box takes a cell over when its deadzone covers at least as much of it as the coverage already
    there; it then leaves its own coverage, which may be none.
    """
    # What does not depend on the order is done for all rows at once: three small kernels a row are left.
    reach = torch.where(present & (area > 0), area, -1.0)
    rows = torch.arange(inside.shape[1], device=inside.device)[:, None, None]
    painter = torch.where(inside > 0, rows, -1)
    coverage = torch.zeros_like(inside[:, 0])
    owner = torch.full_like(coverage, -1, dtype=torch.int64)
    for new_reach, new_coverage, new_owner in zip(
        reach.unbind(1), inside.unbind(1), painter.unbind(1), strict=True
    ):
        takes = new_reach >= coverage
        coverage = torch.where(takes, new_coverage, coverage)
        owner = torch.where(takes, new_owner, owner)
    return coverage, owner


def touched(boxes: Tensor, chosen: Tensor, grid: tuple[int, int], config: TargetConfig) -> Tensor:
    """Cells (B, R, K) that overlap any of the chosen boxes."""
    rows, columns = grid
    x = torch.arange(columns, device=boxes.device) * config.stride
    y = torch.arange(rows, device=boxes.device) * config.stride
    in_x = (x + config.stride > boxes[..., 0, None]) & (x < boxes[..., 2, None])
    in_y = (y + config.stride > boxes[..., 1, None]) & (y < boxes[..., 3, None])
    both = in_y[..., :, None] & in_x[..., None, :] & chosen[..., None, None]
    return both.any(dim=1)
