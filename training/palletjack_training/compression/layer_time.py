"""How long a convolution takes on a processor in INT8, told from its shape.

Multiply-accumulates say little about that: a depthwise one takes 14 to 23 times as long as one of a pointwise
convolution, and writing a value as long as fifty. So pruning for time takes other channels than pruning for
work. The numbers are a least-squares fit to ONNX Runtime's own profile of three networks (`palletjack
benchmark layer_time`): one thread of a Xeon with VNNI. All three were EfficientNets with a light neck, whose
one full convolution is the stem. What a full convolution of many inputs takes against a pointwise one was
measured on an EPYC with VNNI: 4.4 ps a multiply-accumulate against 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

# Picoseconds of a multiply-accumulate, by the kind of the convolution, and of a value read or written.
POINTWISE_MAC = 2.6
DEPTHWISE_MAC = {3: 60.0, 5: 37.0}
FIRST_MAC = 15.6
FULL_MAC = 2.7
OUTPUT_VALUE = 127.0
INPUT_VALUE = 69.0
# Inputs are filled up to fours, the three channels of an image as well; see aligned_channels.py.
_INPUTS = 4


# What a forward hook is told: the layer, its inputs and its output.
Noticed = Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]


@dataclass(frozen=True)
class Positions:
    """Rows times columns of what a convolution reads and of what it writes."""

    read: int
    written: int


class ChannelCost(Protocol):
    """What channels of a convolution cost, in any unit."""

    def of_output(self, layer: nn.Conv2d, positions: Positions) -> float:
        """One output channel; of a depthwise convolution, the input channel with it."""

    def of_input(self, layer: nn.Conv2d, positions: Positions) -> float:
        """One input channel of a convolution that is not depthwise."""


class MacCost:
    """Multiply-accumulates."""

    def of_output(self, layer: nn.Conv2d, positions: Positions) -> float:
        """Of one output channel."""
        return positions.written * layer.weight[0].numel()

    def of_input(self, layer: nn.Conv2d, positions: Positions) -> float:
        """Of one input channel."""
        return positions.written * layer.weight[:, 0].numel()


class TimeCost:
    """Picoseconds of the INT8 graph on one thread of a processor."""

    def of_output(self, layer: nn.Conv2d, positions: Positions) -> float:
        """Of one output channel."""
        kernel = layer.weight[0, 0].numel()
        inputs = 1 if layer.groups > 1 else -(-layer.in_channels // _INPUTS) * _INPUTS
        macs = positions.written * kernel * inputs * _picoseconds_of_a_mac(layer)
        return macs if layer.groups > 1 else macs + positions.written * OUTPUT_VALUE

    def of_input(self, layer: nn.Conv2d, positions: Positions) -> float:
        """Of one input channel."""
        macs = positions.written * layer.weight[:, 0].numel() * _picoseconds_of_a_mac(layer)
        return macs + positions.read * INPUT_VALUE


def _picoseconds_of_a_mac(layer: nn.Conv2d) -> float:
    kernel = layer.kernel_size[0]
    if layer.groups > 1:
        return DEPTHWISE_MAC[3] if kernel <= 3 else DEPTHWISE_MAC[5]
    if kernel == 1:
        return POINTWISE_MAC
    return FIRST_MAC if layer.in_channels <= _INPUTS else FULL_MAC


def network_time(network: nn.Module, width: int, height: int) -> float:
    """Milliseconds of the convolutions of ``network`` for an image of ``width`` x ``height`` pixels.

    In INT8 on one thread, as this model has it; frozen normalizations have to be shown (``plain_norms``).
    """
    device = next(network.parameters()).device
    positions = measure_positions(network, torch.zeros(1, 3, height, width, device=device))
    cost = TimeCost()
    total = 0.0
    for layer, found in positions.items():
        total += layer.out_channels * cost.of_output(layer, found)
        if layer.groups == 1:
            total += layer.in_channels * found.read * INPUT_VALUE
    return total / 1e9


def measure_positions(network: nn.Module, images: Tensor) -> dict[nn.Conv2d, Positions]:
    """Run ``images`` (B, 3, H, W) and note the size of what each convolution reads and writes."""
    found: dict[nn.Conv2d, Positions] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        found[layer] = Positions(inputs[0][0, 0].numel(), output[0, 0].numel())

    with after_each_convolution(network, note), torch.no_grad():
        network(images)
    return found


@contextmanager
def after_each_convolution(network: nn.Module, action: Noticed) -> Iterator[None]:
    """Call ``action`` with each convolution, what it was given and what it made of it."""
    hooks = [m.register_forward_hook(action) for m in network.modules() if isinstance(m, nn.Conv2d)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
