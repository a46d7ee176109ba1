"""Which cells learn which object, by how well the cells' own boxes fit it (task-aligned, Feng et al. 2021).

TAO's ellipse (``targets``) asks every cell over an object for full coverage, whatever its box, and gives the
cells that two objects share to the nearer one. Here each object is learned by the few cells that find it
best already, and a cell aims at how good its box is. Trucks that stand beside or behind each other get cells
of their own, and the best box of an object has the best score.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from palletjack_training.box_labels import IGNORED
from palletjack_training.config import TargetConfig
from palletjack_training.losses import iou
from palletjack_training.targets import (
    BoxBatch,
    GridTargets,
    decode_boxes,
    distances_to_owner,
    reference_points,
    touched,
)

# Below this IoU fits are alike: a network that starts has boxes that meet no object, and each object has to
# be learned by some cell nevertheless.
_LEAST_FIT = 0.01


@torch.no_grad()
def assign_aligned(logits: Tensor, distances: Tensor, batch: BoxBatch, config: TargetConfig) -> GridTargets:
    """Targets for coverage ``logits`` (B, C, R, K) and ``distances`` (B, C, 4, R, K) as they are now.

    A cell's alignment with an object is coverage^a * IoU^b (``score_power``, ``fit_power``). Each object
    takes the ``aligned_cells`` best of the cells whose reference point lies in it or near its centre; a cell
    that several of a class take goes to the one that its box fits best; a large object takes
    ``aligned_share`` of its cells. Coverage aims at the alignment, scaled so that the best cell of an object
    aims at the best IoU that it has. ``box_weight`` is coverage, less by how many times ``aligned_cells`` an
    object may take: objects count alike.
    """
    grid = (logits.shape[-2], logits.shape[-1])
    boxes, labels = batch.boxes.float(), batch.labels
    fit, score = _fit_and_score(logits.float(), distances.float(), boxes, labels.clamp_min(0), config)
    alignment = score**config.score_power * fit**config.fit_power
    allowed = _reference_inside(boxes, grid, config) & (labels >= 0)[..., None, None]
    counts = _cell_counts(allowed, config)
    # An upper bound that needs no look at the device.
    most = max(config.aligned_cells, math.ceil(config.aligned_share * grid[0] * grid[1]))
    taken = _best_cells(alignment.masked_fill(~allowed, -1.0), counts, most) & allowed

    # Of the objects of a class that take a cell, the one that the cell's box fits best.
    wish = torch.where(taken, fit, -1.0)
    owner = torch.stack([_best_row(wish, labels == index) for index in range(logits.shape[1])], dim=1)
    rows = torch.arange(boxes.shape[1], device=boxes.device)[:, None, None]
    owned = owner.gather(1, labels.clamp_min(0)[..., None, None].expand(-1, -1, *grid)) == rows
    owned &= (labels >= 0)[..., None, None]

    aim = alignment * owned
    best_fit = (fit * owned).amax(dim=(-2, -1), keepdim=True)
    aim = aim * best_fit / aim.amax(dim=(-2, -1), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    has_owner = owner >= 0
    coverage = aim.gather(1, owner.clamp_min(0)) * has_owner
    weight = (config.aligned_cells / counts)[..., None, None].expand_as(aim).gather(1, owner.clamp_min(0))
    return GridTargets(
        coverage=coverage,
        boxes=distances_to_owner(boxes, owner, config) * has_owner[:, :, None],
        box_weight=coverage * weight,
        owner=owner,
        counted=has_owner | ~touched(boxes, labels == IGNORED, grid, config)[:, None],
    )


def _fit_and_score(
    logits: Tensor, distances: Tensor, boxes: Tensor, classes: Tensor, config: TargetConfig
) -> tuple[Tensor, Tensor]:
    """IoU of each cell's box with each object, and its coverage, in the object's class: (B, M, R, K) each."""
    at = classes[..., None, None].expand(-1, -1, *logits.shape[-2:])
    score = logits.sigmoid().gather(1, at)
    found = decode_boxes(distances, config)
    if logits.shape[1] > 1:
        found = found.gather(1, at[:, :, None].expand(-1, -1, 4, -1, -1))
    fit = iou(found.movedim(2, -1), boxes[:, :, None, None])
    return fit.nan_to_num(0.0).clamp_min(_LEAST_FIT), score.nan_to_num(0.0)


def _reference_inside(boxes: Tensor, grid: tuple[int, int], config: TargetConfig) -> Tensor:
    """Cells (B, M, R, K) whose reference point lies in a box, or within ``least_reach`` of its centre."""
    x, y = reference_points(grid, config, boxes.device)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = ((boxes[..., 2:] - boxes[..., :2]) / 2).clamp_min(config.stride * config.least_reach)
    in_x = (x - centre[..., 0, None]).abs() <= half[..., 0, None]
    in_y = (y - centre[..., 1, None]).abs() <= half[..., 1, None]
    return in_y[..., :, None] & in_x[..., None, :]


def _cell_counts(allowed: Tensor, config: TargetConfig) -> Tensor:
    """How many of its ``allowed`` cells (B, M, R, K) each object may take: (B, M)."""
    shares = allowed.sum(dim=(-2, -1)) * config.aligned_share
    return shares.round().long().clamp_min(config.aligned_cells)


def _best_cells(alignment: Tensor, counts: Tensor, most: int) -> Tensor:
    """True at the ``counts`` (B, M), up to ``most``, best cells of each row of ``alignment`` (B, M, R, K)."""
    flat = alignment.flatten(2)
    best = flat.topk(min(most, flat.shape[-1]), dim=-1).indices
    among = torch.arange(best.shape[-1], device=flat.device) < counts[..., None]
    chosen = torch.zeros_like(flat, dtype=torch.bool).scatter_(-1, best, among)
    return chosen.unflatten(-1, alignment.shape[-2:])


def _best_row(wish: Tensor, of_class: Tensor) -> Tensor:
    """Row (B, R, K) of the greatest ``wish`` (B, M, R, K) among the rows of a class; -1 where none is."""
    value, row = wish.masked_fill(~of_class[..., None, None], -1.0).max(dim=1)
    return torch.where(value >= 0, row, -1)
