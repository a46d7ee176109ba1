"""Removing the channels that give least to the layers after them, for what they cost.

A block of channels at a time goes from the group in which it does least harm for its cost. Every few per cent
what the layers are given is measured anew on what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from palletjack_training.backbones.conv_norm import ConvNorm
from palletjack_training.compression.activation_statistics import (
    dense_statistics,
    match_statistics,
    variances_of_inputs,
)
from palletjack_training.compression.dependency_pruning import (
    CHANNEL_MULTIPLE,
    ChannelGroups,
    out_of_reach,
    plain_norms,
)
from palletjack_training.compression.layer_time import ChannelCost, MacCost, Positions, measure_positions
from palletjack_training.network import DetectNet

# Fast INT8 kernels want depthwise convolutions of whole sixteens; see aligned_channels.py.
DEPTHWISE_MULTIPLE = 16
# Of the whole cost, between two measurements.
_SHARE_OF_A_ROUND = 0.08
_LEAST_OF_A_GROUP = 0.2
_TINY = 1e-20


@dataclass(frozen=True, eq=False)
class _Group:
    """Channels that can only go together: who makes them and who reads them."""

    makers: list[nn.Conv2d]
    readers: list[nn.Conv2d]
    least: int
    multiple: int

    @property
    def width(self) -> int:
        return self.makers[0].out_channels

    @property
    def block(self) -> int:
        """How many channels to remove next, so that a multiple is left; 0: none."""
        count = self.width % self.multiple or self.multiple
        return count if self.width - count >= self.least else 0

    def cost(self, cost: ChannelCost, positions: Mapping[nn.Conv2d, Positions]) -> float:
        """Of one channel."""
        made = sum(cost.of_output(layer, positions[layer]) for layer in self.makers)
        return made + sum(cost.of_input(layer, positions[layer]) for layer in self.readers)


def prune_by_activation(
    network: DetectNet,
    images: Tensor,
    reached: Callable[[DetectNet], bool],
    cost: ChannelCost | None = None,
) -> None:
    """Remove the channels that matter least on ``images`` (B, 3, H, W) for their ``cost``, until ``reached``.

    The harm of removing a channel is its share of what the layers that read it make of their inputs. The cost
    is in multiply-accumulates where none is given. Afterwards each normalization is set so that its channels
    have the mean and deviation on ``images`` that they had. Channels of groups with a depthwise convolution
    stay multiples of 16, others of 8.
    Raises PruningError if it is not reached with a fifth of the channels left.
    """
    cost = cost or MacCost()
    with plain_norms(network):
        dense = dense_statistics(network, images)
        positions = measure_positions(network, images[:1])
        structure = ChannelGroups(network)
        groups = [_group(makers, readers) for makers, readers in structure.with_readers()]
        kept = _KeptChannels(network)
        whole = sum(layer.out_channels * cost.of_output(layer, found) for layer, found in positions.items())
        # Asked once for each network: an answer may take a measurement, and may not be given twice.
        done = reached(network)
        while not done:
            harms = _Harms(groups, variances_of_inputs(network, images))
            removed = 0.0
            while removed < _SHARE_OF_A_ROUND * whole and not done:
                group, left = harms.cheapest(cost, positions)
                removed += group.block * group.cost(cost, positions)
                harms.keep(group, left)
                kept.keep(group.makers, left.cpu())
                structure.keep(group.makers[0], left.tolist())
                done = reached(network)
            match_statistics(dense, network, kept.by_name(), images)


def _group(makers: list[nn.Conv2d], readers: list[nn.Conv2d]) -> _Group:
    multiple = DEPTHWISE_MULTIPLE if any(layer.groups > 1 for layer in makers) else CHANNEL_MULTIPLE
    least = max(multiple, round(_LEAST_OF_A_GROUP * makers[0].out_channels))
    return _Group(makers, readers, least, multiple)


class _Harms:
    """What the readers of each group lose with each of its channels, as a share of all that they make.

    A channel's part in a layer is its variance times the squared norm of the kernel's part for it: what is
    constant in a channel is made up for by the normalization after the layer.
    """

    def __init__(self, groups: list[_Group], variances: dict[nn.Conv2d, Tensor]) -> None:
        self._groups = groups
        self._variances = variances
        # Sorted, of those groups whose readers have not changed since.
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    def cheapest(self, cost: ChannelCost, positions: Mapping[nn.Conv2d, Positions]) -> tuple[_Group, Tensor]:
        """The group whose next block does least harm for its cost, and the channels that stay.

        Raises PruningError where no group has a block to give.
        """
        found: list[tuple[float, _Group, Tensor]] = []
        for group in self._groups:
            if group.block:
                harm, order = self._of(group)
                price = float(harm[: group.block].sum()) / (group.block * group.cost(cost, positions))
                found.append((price, group, order[group.block :]))
        if not found:
            raise out_of_reach(1 - _LEAST_OF_A_GROUP)
        _, group, left = min(found, key=lambda item: item[0])
        return group, left.sort().values

    def keep(self, group: _Group, left: Tensor) -> None:
        """Note that of the channels of ``group`` only ``left`` stay."""
        for reader in group.readers:
            self._variances[reader] = self._variances[reader][left]
        changed = {*group.makers, *group.readers}
        for index, other in enumerate(self._groups):
            if changed.intersection(other.readers):
                self._known.pop(index, None)

    def _of(self, group: _Group) -> tuple[Tensor, Tensor]:
        index = self._groups.index(group)
        if index not in self._known:
            shares = []
            for reader in group.readers:
                part = reader.weight.detach().square().sum(dim=(0, 2, 3)) * self._variances[reader]
                shares.append(part / part.sum().clamp(min=_TINY))
            self._known[index] = torch.stack(shares).mean(0).sort()
        return self._known[index]


class _KeptChannels:
    """Which of the channels that each normalized convolution had are left."""

    def __init__(self, network: DetectNet) -> None:
        layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, ConvNorm)]
        self._names = {layer.conv: name for name, layer in layers}
        self._kept = {name: torch.arange(layer.conv.out_channels) for name, layer in layers}

    def keep(self, layers: list[nn.Conv2d], left: Tensor) -> None:
        """Note that of the channels of ``layers`` only ``left``, counted among those left before, stay."""
        for layer in layers:
            name = self._names.get(layer)
            if name is not None:
                self._kept[name] = self._kept[name][left]

    def by_name(self) -> dict[str, Tensor]:
        """Indices of the channels left, by the name of the ConvNorm."""
        return self._kept
