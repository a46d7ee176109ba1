"""Removing the weakest channels of one group of layers that share them, before anything is trained on.

A channel is silenced, not cut out: what the layers behind it see is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from layer_damage.change import Change
from palletjack_training.backbones.conv_norm import ConvNorm
from palletjack_training.compression.dependency_pruning import ChannelGroups, plain_norms
from palletjack_training.config import TrainingConfig
from palletjack_training.export import write_onnx
from palletjack_training.network import DetectNet


def changes(network: DetectNet, config: TrainingConfig, share: float) -> list[Change]:
    """For each group of layers, the ``share`` of its channels with the smallest kernels silenced."""
    with plain_norms(network):
        groups = list(ChannelGroups(network))
    names = {layer: name for name, layer in network.named_modules()}
    owners = {layer.conv: layer for layer in network.modules() if isinstance(layer, ConvNorm)}
    result = []
    for group in groups:
        members = [owners[conv] for conv in group if conv in owners]
        if members:
            first = names[members[0]]
            name = first if len(members) == 1 else f"{first} (+{len(members) - 1})"
            write = partial(_write_silenced, network, config, members, _weakest(members, share))
            result.append(Change(name, write))
    return result


def _write_silenced(
    network: DetectNet, config: TrainingConfig, members: list[ConvNorm], channels: Tensor, path: Path
) -> None:
    with _silenced(members, channels):
        write_onnx(network, config, path)


@torch.no_grad()
def _weakest(members: list[ConvNorm], share: float) -> Tensor:
    """The channels whose kernels, normalization folded in, have the smallest L2 norm over all members."""
    squares: Any = sum(layer.folded()[0].flatten(1).pow(2).sum(1) for layer in members)
    count = round(share * len(squares))
    chosen: Tensor = torch.argsort(squares, stable=True)[:count]
    return chosen


@contextmanager
def _silenced(members: list[ConvNorm], channels: Tensor) -> Iterator[None]:
    """Let ``channels`` of every member be zero: their normalization multiplies by 0 and adds 0."""
    norms: list[nn.BatchNorm2d] = [layer.norm for layer in members]
    kept = [(norm.weight.detach().clone(), norm.bias.detach().clone()) for norm in norms]
    with torch.no_grad():
        for norm in norms:
            norm.weight[channels] = 0
            norm.bias[channels] = 0
    try:
        yield
    finally:
        with torch.no_grad():
            for norm, (weight, bias) in zip(norms, kept, strict=True):
                norm.weight.copy_(weight)
                norm.bias.copy_(bias)
