"""Which channels depend on each other, and their removal (torch-pruning's dependency graph).

Channels that meet in a sum, pass a depthwise convolution or a normalization go together. The input image
and the outputs of the heads stay whole. Channels are ranked by their weights, or by what they do on frames.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import nn

from palletjack_training.backbones.conv_norm import ConvNorm
from palletjack_training.compression.cost import network_cost
from palletjack_training.compression.layer_time import network_time
from palletjack_training.network import DetectNet

CHANNEL_MULTIPLE = 8
# Dependencies and shares of the counts are the same for any image of whole cells of stride 32. The smallest
# is run, for pruning asks hundreds of times.
TRACE_SIZE = (32, 32)
_STEPS = 120
_MOST_OF_A_LAYER = 0.8

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
    with plain_norms(network), _one_thread():
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
        raise out_of_reach(_MOST_OF_A_LAYER)


def out_of_reach(most: float) -> PruningError:
    """The error where a share ``most`` of the channels of each layer may go, and that is not enough."""
    return PruningError(f"the target is out of reach: removing {most:.0%} of the channels is not enough")


def relative_macs(network: DetectNet) -> int:
    """Multiply-accumulates for a small image; only their ratio to those of another network matters."""
    return network_cost(network, *TRACE_SIZE).macs


def relative_time(network: DetectNet) -> float:
    """Modelled time in INT8 for a small image; only its ratio to that of another network matters."""
    with plain_norms(network):
        return network_time(network, *TRACE_SIZE)


class ChannelGroups:
    """The sets of convolutions whose output channels can only be removed together."""

    def __init__(self, network: DetectNet) -> None:
        import torch_pruning as tp

        self._network = network
        self._out = tp.prune_conv_out_channels
        self._graph = tp.DependencyGraph().build_dependency(network, _example(network))

    def __iter__(self) -> Iterator[list[nn.Conv2d]]:
        """Groups in the order of the network, heads left out."""
        for makers, _ in self.with_readers():
            yield makers

    def with_readers(self) -> Iterator[tuple[list[nn.Conv2d], list[nn.Conv2d]]]:
        """Each group with the convolutions that read its channels; a depthwise one counts as a maker."""
        heads, seen = set(_heads(self._network)), set()
        for layer in self._network.modules():
            if isinstance(layer, nn.Conv2d) and layer not in heads and layer not in seen:
                makers, readers = self._convolutions(layer)
                seen.update(makers)
                yield makers, readers

    def keep(self, layer: nn.Conv2d, channels: list[int]) -> None:
        """Keep only ``channels`` of the output of ``layer`` and of all that goes with it."""
        removed = sorted(set(range(layer.out_channels)) - set(channels))
        if removed:
            self._graph.get_pruning_group(layer, self._out, idxs=removed).prune()

    def _convolutions(self, layer: nn.Conv2d) -> tuple[list[nn.Conv2d], list[nn.Conv2d]]:
        """Who makes the channels that ``layer`` makes, and who reads them."""
        group = self._graph.get_pruning_group(layer, self._out, idxs=list(range(layer.out_channels)))
        makers: dict[nn.Conv2d, None] = {}
        readers: dict[nn.Conv2d, None] = {}
        for dependency, _ in group:
            target = dependency.target.module
            if isinstance(target, nn.Conv2d):
                makes = self._graph.is_out_channel_pruning_fn(dependency.handler)
                (makers if makes else readers)[target] = None
        return list(makers), [reader for reader in readers if reader not in makers]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Thousands of sums over a few kernels: more threads spend their time on waiting for each other.

    Two of them take 3.5 times the processor time, and longer.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
