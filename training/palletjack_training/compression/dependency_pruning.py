"""Which channels depend on each other, and their removal (torch-pruning's dependency graph).

Channels that meet in a sum, pass a depthwise convolution or a normalization go together. The input image
and the outputs of the heads stay whole. Channels are ranked by their weights, or by what they do on frames.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import nn

from palletjack_training.backbones.conv_norm import ConvNorm
from palletjack_training.compression.activation_statistics import (
    EnergyPerWork,
    match_statistics,
    measure_inputs,
)
from palletjack_training.compression.cost import network_cost
from palletjack_training.network import DetectNet

CHANNEL_MULTIPLE = 8
# Counts and dependencies are the same for any image of whole cells of stride 32.
TRACE_SIZE = (128, 128)
_STEPS = 120
_MOST_OF_A_LAYER = 0.8
# Ranked by frames, a few channels of a layer stand out and the rest look free; a cap keeps layers balanced.
_MOST_BY_ACTIVATION = 0.7

Scope = Literal["global", "uniform"]


class PruningError(ValueError):
    """A network that cannot be pruned as asked."""


def prune_by_dependency(
    network: DetectNet, reached: Callable[[DetectNet], bool], *, scope: Scope = "global"
) -> None:
    """Remove the channels of least magnitude, a few at a time, until ``reached`` says so.

    A channel's importance is the L2 norm of everything that goes with it (Fang et al. 2023, DepGraph),
    normalization folded in, relative to the mean of its group. ``global`` ranks all groups together,
    ``uniform`` takes the same share of each. Channel counts stay multiples of 8.
    Raises PruningError if it is not reached with a fifth of the channels left.
    """
    import torch_pruning as tp

    importance = tp.importance.GroupMagnitudeImportance(p=2, target_types=[nn.modules.conv._ConvNd])
    with plain_norms(network):
        pruner = tp.pruner.BasePruner(
            network,
            _example(network),
            importance,
            global_pruning=scope == "global",
            pruning_ratio=_MOST_OF_A_LAYER,
            max_pruning_ratio=_MOST_OF_A_LAYER,
            iterative_steps=_STEPS,
            ignored_layers=_heads(network),
            round_to=CHANNEL_MULTIPLE,
        )
        for _ in range(_STEPS):
            if reached(network):
                return
            with _folded_scale(network):
                pruner.step()
    if not reached(network):
        raise _out_of_reach(_MOST_OF_A_LAYER)


def prune_by_activation(
    network: DetectNet, images: torch.Tensor, reached: Callable[[DetectNet], bool]
) -> None:
    """Remove the channels that matter least on ``images`` (B, 3, H, W) for their work, until ``reached``.

    All groups are ranked together by ``EnergyPerWork``. Afterwards each normalization is set so that its
    channels have the mean and deviation on ``images`` that they had. Channel counts stay multiples of 8.
    Raises PruningError if it is not reached with three tenths of the channels left.
    """
    import torch_pruning as tp

    dense = copy.deepcopy(network)
    with plain_norms(network), plain_norms(dense):
        kept = _KeptChannels(network)
        importance = EnergyPerWork(measure_inputs(network, images))
        pruner = tp.pruner.BasePruner(
            network,
            _example(network),
            importance,
            global_pruning=True,
            pruning_ratio=_MOST_BY_ACTIVATION,
            max_pruning_ratio=_MOST_BY_ACTIVATION,
            iterative_steps=_STEPS,
            ignored_layers=_heads(network),
            round_to=CHANNEL_MULTIPLE,
        )
        steps = 0
        while not reached(network):
            if steps == _STEPS:
                raise _out_of_reach(_MOST_BY_ACTIVATION)
            for group in pruner.step(interactive=True):
                for dependency, indices in group:
                    layer = dependency.target.module
                    if isinstance(layer, nn.Conv2d):
                        makes = pruner.DG.is_out_channel_pruning_fn(dependency.handler)
                        if makes:
                            kept.remove(layer, indices)
                        if not makes or layer.groups > 1:
                            importance.removed(layer, indices)
                group.prune()
            steps += 1
        match_statistics(dense, network, kept.by_name(), images)


def _out_of_reach(most: float) -> PruningError:
    return PruningError(f"the target is out of reach: removing {most:.0%} of the channels is not enough")


class _KeptChannels:
    """Which of the channels that each normalized convolution had are left."""

    def __init__(self, network: DetectNet) -> None:
        layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, ConvNorm)]
        self._names = {layer.conv: name for name, layer in layers}
        self._kept = {name: torch.arange(layer.conv.out_channels) for name, layer in layers}

    def remove(self, layer: nn.Conv2d, indices: list[int]) -> None:
        """Note that ``indices``, counted among those left, go."""
        name = self._names.get(layer)
        if name is not None:
            left = torch.ones(len(self._kept[name]), dtype=torch.bool)
            left[indices] = False
            self._kept[name] = self._kept[name][left]

    def by_name(self) -> dict[str, torch.Tensor]:
        """Indices of the channels left, by the name of the ConvNorm."""
        return self._kept


def relative_macs(network: DetectNet) -> int:
    """Multiply-accumulates for a small image; only their ratio to those of another network matters."""
    return network_cost(network, *TRACE_SIZE).macs


class ChannelGroups:
    """The sets of convolutions whose output channels can only be removed together."""

    def __init__(self, network: DetectNet) -> None:
        import torch_pruning as tp

        self._network = network
        self._out = tp.prune_conv_out_channels
        self._graph = tp.DependencyGraph().build_dependency(network, _example(network))

    def __iter__(self) -> Iterator[list[nn.Conv2d]]:
        """Groups in the order of the network, heads left out."""
        heads, seen = set(_heads(self._network)), set()
        for layer in self._network.modules():
            if isinstance(layer, nn.Conv2d) and layer not in heads and layer not in seen:
                group = self._members(layer)
                seen.update(group)
                yield group

    def keep(self, layer: nn.Conv2d, channels: list[int]) -> None:
        """Keep only ``channels`` of the output of ``layer`` and of all that goes with it."""
        removed = sorted(set(range(layer.out_channels)) - set(channels))
        if removed:
            self._graph.get_pruning_group(layer, self._out, idxs=removed).prune()

    def _members(self, layer: nn.Conv2d) -> list[nn.Conv2d]:
        group = self._graph.get_pruning_group(layer, self._out, idxs=list(range(layer.out_channels)))
        members: dict[nn.Conv2d, None] = {}
        for dependency, _ in group:
            target = dependency.target.module
            if isinstance(target, nn.Conv2d) and self._graph.is_out_channel_pruning_fn(dependency.handler):
                members[target] = None
        return list(members)


def _heads(network: DetectNet) -> list[nn.Module]:
    return [network.coverage, network.boxes]


def _example(network: DetectNet) -> torch.Tensor:
    return torch.rand(1, 3, *TRACE_SIZE, device=next(network.parameters()).device)


@contextlib.contextmanager
def plain_norms(network: DetectNet) -> Iterator[None]:
    """Let frozen normalizations be seen: their layers skip convolution and normalization modules."""
    frozen = [layer for layer in network.modules() if isinstance(layer, ConvNorm) and layer.frozen]
    was_training = network.training
    network.eval()
    trainable: list[tuple[nn.Module, dict[str, bool]]] = []
    for layer in frozen:
        trainable.append((layer, {name: p.requires_grad for name, p in layer.named_parameters()}))
        layer.frozen = False
        layer.requires_grad_(True)
    try:
        yield
    finally:
        for changed, flags in trainable:
            for name, parameter in changed.named_parameters():
                parameter.requires_grad_(flags[name])
        for layer in frozen:
            layer.frozen = True
        network.train(was_training)


@contextlib.contextmanager
def _folded_scale(network: DetectNet) -> Iterator[None]:
    """Give kernels the size that they have with their normalization folded in, as deployed."""
    layers = [layer for layer in network.modules() if isinstance(layer, ConvNorm)]
    _scale_kernels(layers, lambda scale: scale)
    try:
        yield
    finally:
        _scale_kernels(layers, lambda scale: 1 / scale)


@torch.no_grad()
def _scale_kernels(layers: list[ConvNorm], factor: Callable[[torch.Tensor], torch.Tensor]) -> None:
    for layer in layers:
        norm: Any = layer.norm
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        scale = torch.where(scale == 0, torch.finfo(scale.dtype).tiny ** 0.25, scale)
        layer.conv.weight *= factor(scale)[:, None, None, None]
