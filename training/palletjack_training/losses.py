"""The two losses over a grid: TAO's own, and focal loss with GIoU.

Both take coverage logits (B, C, R, K) and box distances (B, C, 4, R, K), and leave ignored cells out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palletjack_training.config import LossConfig, TargetConfig
from palletjack_training.targets import GridTargets, decode_boxes

_LOG_EPSILON = 1e-5


@dataclass(frozen=True)
class LossTerms:
    """Scalars of one step: what is minimised, and its two parts before weighting."""

    total: Tensor
    coverage: Tensor
    boxes: Tensor


def tao_coverage_cost(coverage: Tensor, targets: GridTargets, foreground_weight: float) -> Tensor:
    """TAO's weighted cross entropy of coverage in 0..1 (cost_functions.py:27), mean over all cells."""
    weight = torch.where(targets.coverage > 0.5, foreground_weight, 1 - foreground_weight)
    entropy = -(
        targets.coverage * torch.log(coverage + _LOG_EPSILON)
        + (1 - targets.coverage) * torch.log(1 - coverage + _LOG_EPSILON)
    )
    return (entropy * weight * targets.counted).mean()


def tao_box_cost(distances: Tensor, targets: GridTargets) -> Tensor:
    """TAO's L1 of box distances, weighted by normalized coverage, mean over all cells and sides."""
    return ((distances - targets.boxes).abs() * targets.box_weight[:, :, None]).mean()


def l1_of_convolutions(network: nn.Module) -> Tensor:
    """Sum of absolute weights and biases of every convolution, TAO's regularizer before its factor."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    terms = [tensor.abs().sum() for layer in layers for tensor in layer.parameters(recurse=False)]
    return torch.stack(terms).sum()


class ObjectiveWeights(nn.Module):
    """TAO's weights of the two objectives, re-balanced at each epoch's end (cost_auto_weight_hook.py).

    The state is in buffers, so that it is saved and resumed with the network. Order: coverage, boxes.
    """

    weights: Tensor
    cost_sums: Tensor
    target: Tensor

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        initial = torch.tensor([config.coverage_initial_weight, config.box_initial_weight])
        self._limits = (config.min_objective_weight, config.max_objective_weight)
        self._enabled = config.auto_weighting
        self.register_buffer("weights", initial / initial.sum())
        self.register_buffer("cost_sums", torch.zeros(2))
        self.register_buffer("target", torch.ones(2))

    def add(self, coverage_cost: Tensor, box_cost: Tensor) -> None:
        """Count one step's two costs."""
        self.cost_sums += torch.stack((coverage_cost.detach(), box_cost.detach()))

    def end_epoch(self) -> None:
        """Weigh the objectives so that each contributes its target share of the epoch's cost."""
        if self._enabled:
            balanced = self.target / self.cost_sums.clamp_min(torch.finfo(torch.float32).tiny)
            self.weights.copy_((balanced / balanced.sum()).clamp(*self._limits))
        self.cost_sums.zero_()


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) xyxy, in 0..1; 0 for an inverted box."""
    top_left = torch.maximum(first[..., :2], second[..., :2])
    bottom_right = torch.minimum(first[..., 2:], second[..., 2:])
    overlap = (bottom_right - top_left).clamp_min(0).prod(-1)
    area = [(box[..., 2:] - box[..., :2]).clamp_min(0).prod(-1) for box in (first, second)]
    return overlap / (area[0] + area[1] - overlap).clamp_min(1e-6)


def giou(first: Tensor, second: Tensor) -> Tensor:
    """Generalized IoU (Rezatofighi et al. 2019) of boxes (..., 4) xyxy, in -1..1."""
    top_left = torch.maximum(first[..., :2], second[..., :2])
    bottom_right = torch.minimum(first[..., 2:], second[..., 2:])
    overlap = (bottom_right - top_left).clamp_min(0).prod(-1)
    hull = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    hull_area = hull.prod(-1).clamp_min(1e-6)
    area = [(box[..., 2:] - box[..., :2]).clamp_min(0).prod(-1) for box in (first, second)]
    union = (area[0] + area[1] - overlap).clamp_min(1e-6)
    return overlap / union - (hull_area - union) / hull_area


def soft_focal_loss(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """Quality focal loss (Li et al. 2020) per cell, for targets anywhere in 0..1.

    ``alpha`` weighs cells by their target: alpha for objects, 1 - alpha for background; 0.5 is even.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    balance = 2 * (alpha * target + (1 - alpha) * (1 - target))
    return balance * (target - logits.sigmoid()).abs() ** gamma * entropy


def focal_giou_loss(
    logits: Tensor,
    distances: Tensor,
    targets: GridTargets,
    config: LossConfig,
    grid: TargetConfig,
    mean_over_ranks: Callable[[Tensor], Tensor] = lambda values: values,
) -> LossTerms:
    """Focal loss on coverage, GIoU and side errors on decoded boxes.

    Coverage is summed over all cells, boxes over cells of at least ``positive_coverage``; both are
    divided by the sum of the target coverage of those cells. That sum is averaged by ``mean_over_ranks``,
    so that the mean of the gradients of several processes is the gradient of their frames together.
    """
    share = _object_balance(targets, config.object_balance)
    counted = targets.coverage * targets.counted
    chosen = targets.coverage >= config.positive_coverage
    sums = torch.stack((counted.sum(), (counted * share).sum(), (counted * chosen * share).sum()))
    mass, shared_mass, chosen_mass = mean_over_ranks(sums).unbind()
    # Objects are balanced among themselves; all together they weigh against the background what they did.
    rescale = mass / shared_mass.clamp_min(_LOG_EPSILON)
    share = torch.where(targets.coverage > 0, share * rescale, 1.0)
    predicted = decode_boxes(distances, grid).movedim(2, -1)
    wanted = decode_boxes(targets.boxes, grid).movedim(2, -1)

    aim = targets.coverage
    if config.quality:
        aim = aim * (1 - config.quality + config.quality * iou(predicted.detach(), wanted))
    focal = soft_focal_loss(logits, aim, config.focal_gamma, config.focal_alpha)
    coverage_loss = (focal * targets.counted * share).sum() / mass.clamp_min(1)

    # GIoU alone is flat where a predicted box is inverted inside its object; the sides are not.
    side_error = (predicted - wanted).abs().mean(-1) / (wanted[..., 2:] - wanted[..., :2]).mean(-1).clamp_min(
        1
    )
    box_terms = 1 - giou(predicted, wanted) + config.side_weight * side_error
    box_loss = (box_terms * counted * chosen * share).sum() / (chosen_mass * rescale).clamp_min(1)
    return LossTerms(coverage_loss + config.box_weight * box_loss, coverage_loss, box_loss)


def _object_balance(targets: GridTargets, balance: float) -> Tensor:
    """Weight of each cell (B, C, R, K): one over its object's area in cells, to the power of ``balance``."""
    inverse_area = targets.box_weight / targets.coverage.clamp_min(_LOG_EPSILON)
    return inverse_area.clamp_min(_LOG_EPSILON) ** balance


def tao_loss(
    logits: Tensor,
    distances: Tensor,
    targets: GridTargets,
    config: LossConfig,
    objective: ObjectiveWeights,
) -> LossTerms:
    """TAO's weighted sum of both costs, without the regularizer (see ``l1_of_convolutions``)."""
    coverage = tao_coverage_cost(logits.sigmoid(), targets, config.foreground_weight)
    boxes = tao_box_cost(distances, targets)
    weights = objective.weights.clone()
    return LossTerms(weights[0] * coverage + weights[1] * boxes, coverage, boxes)
