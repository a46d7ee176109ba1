"""TAO's pruning rule (nvidia_tao_tf1 core/pruning): small filters of each layer, relative to its largest.

It is written for the ResNets. Other networks have depthwise convolutions, which TAO treats apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from palletjack_training.compression.dependency_pruning import ChannelGroups, PruningError, plain_norms
from palletjack_training.network import DetectNet

Equalization = Literal["union", "intersection", "arithmetic_mean", "geometric_mean"]


@dataclass(frozen=True)
class TaoRule:
    """TAO's flags: ``-pth``, ``-pg``, ``-nf`` and ``-eq``, with its defaults."""

    threshold: float = 0.1
    granularity: int = 8
    minimum: int = 16
    equalization: Equalization = "union"


def filter_norms(kernel: Tensor) -> Tensor:
    """L2 norm of each filter of a kernel (O, I, H, W) over the largest of the layer; shape (O,)."""
    norms = kernel.detach().flatten(1).double().norm(dim=1)
    return norms / norms.max().clamp(min=torch.finfo(norms.dtype).tiny)


def merge_norms(norms: list[Tensor], equalization: Equalization) -> Tensor:
    """One norm for each channel that several layers share."""
    stacked = torch.stack(norms)
    if equalization == "union":
        return stacked.amax(0)
    if equalization == "intersection":
        return stacked.amin(0)
    if equalization == "arithmetic_mean":
        return stacked.mean(0)
    return stacked.prod(0) ** (1 / len(norms))


def kept_channels(norms: Tensor, rule: TaoRule) -> list[int]:
    """Channels to keep, ascending: those above the threshold, their number rounded up to the granularity."""
    depth = len(norms)
    count = max(int((norms > rule.threshold).sum()), min(rule.minimum, depth))
    count = min(-(-count // rule.granularity) * rule.granularity, depth)
    strongest = torch.argsort(norms, stable=True)[depth - count :]
    return sorted(strongest.tolist())


def prune_by_tao_rule(network: DetectNet, rule: TaoRule) -> None:
    """Prune ``network`` in place. Raises PruningError if it has depthwise convolutions."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            raise PruningError(f"--method tao: expected a ResNet, found the grouped convolution {name}")
    with plain_norms(network):
        groups = ChannelGroups(network)
        # All is decided before anything is removed: TAO looks at the trained filters.
        chosen = []
        for group in groups:
            norms = merge_norms([filter_norms(layer.weight) for layer in group], rule.equalization)
            chosen.append((group[0], kept_channels(norms, rule)))
        for layer, channels in chosen:
            groups.keep(layer, channels)
