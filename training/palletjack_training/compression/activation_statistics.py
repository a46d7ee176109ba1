"""What layers do on real frames: which channels matter, and the statistics that pruning has to keep."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from palletjack_training.backbones.conv_norm import ConvNorm
from palletjack_training.network import DetectNet

_TINY = 1e-20


@dataclass(frozen=True)
class LayerInput:
    """Mean square of each input channel of a convolution (I,), and how many positions its output has."""

    energy: Tensor
    positions: int


def measure_inputs(network: DetectNet, images: Tensor) -> dict[nn.Conv2d, LayerInput]:
    """Run ``images`` (B, 3, H, W) in 0..1 and return what each convolution was given.

    Frozen normalizations have to be shown (``plain_norms``): they run without their convolution otherwise.
    """
    found: dict[nn.Conv2d, LayerInput] = {}

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        found[layer] = LayerInput(inputs[0].square().mean(dim=(0, 2, 3)), output[0, 0].numel())

    hooks = [m.register_forward_hook(record) for m in network.modules() if isinstance(m, nn.Conv2d)]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


class EnergyPerWork:
    """Importance of channels for torch-pruning: what the layers after them get from them, for their work.

    The energy of channel c in a layer that reads it is the mean square of the channel times the squared norm
    of the kernel's part for it, as a share of all channels. Shares are averaged over the layers that read the
    channel and divided by the multiply-accumulates that go with it.
    """

    def __init__(self, inputs: dict[nn.Conv2d, LayerInput]) -> None:
        self._inputs = inputs
        self._kept = {layer: torch.arange(len(item.energy)) for layer, item in inputs.items()}

    def __call__(self, group: Any) -> Tensor:
        """Importance of each channel of a group."""
        shares: list[Tensor] = []
        work = 0.0
        for dependency, indices in group:
            layer = dependency.target.module
            if not isinstance(layer, nn.Conv2d):
                continue
            positions = self._inputs[layer].positions
            if layer.groups > 1 or "in_channels" not in dependency.handler.__name__:
                work += positions * layer.weight[0].numel()
                continue
            energy = layer.weight.detach().square().sum(dim=(0, 2, 3)) * self._energy(layer)
            shares.append(energy[indices] / energy.sum().clamp(min=_TINY))
            work += positions * layer.weight[:, 0].numel()
        importance = torch.stack(shares).mean(0) if shares else torch.ones(len(group[0].idxs))
        return importance / max(work, 1.0)

    def _energy(self, layer: nn.Conv2d) -> Tensor:
        return self._inputs[layer].energy[self._kept[layer]]

    def removed(self, layer: nn.Conv2d, indices: list[int]) -> None:
        """Note that input channels ``indices`` (of those left) of ``layer`` are gone."""
        keep = torch.ones(len(self._kept[layer]), dtype=torch.bool)
        keep[indices] = False
        self._kept[layer] = self._kept[layer][keep]


def match_statistics(dense: DetectNet, pruned: DetectNet, kept: Mapping[str, Tensor], images: Tensor) -> None:
    """Set the normalizations of ``pruned`` so that each channel has the mean and deviation that it had.

    ``kept`` are the channels of each layer of ``dense`` that are left. Layers are set in the order in which
    they run, on ``images`` (B, 3, H, W), each with those before it set already.
    """
    wanted: dict[str, tuple[Tensor, Tensor]] = {}
    with _hooked(dense, lambda name, y, norm: wanted.__setitem__(name, _moments(y))), torch.no_grad():
        dense(images)

    def set_norm(name: str, values: Tensor, norm: nn.BatchNorm2d) -> None:
        mean, deviation = (item[kept[name]] for item in wanted[name])
        found_mean, found_deviation = _moments(values)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        ratio = (found_deviation / deviation.clamp(min=1e-6)).clamp(0.1, 10)
        old = torch.sqrt(norm.running_var + norm.eps)
        norm.running_mean.copy_(found_mean - (mean - norm.running_mean) * ratio)
        norm.running_var.copy_(((old * ratio).square() - norm.eps).clamp(min=0))

    with _hooked(pruned, set_norm), torch.no_grad():
        pruned(images)


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(dim=(0, 2, 3)), values.std(dim=(0, 2, 3))


@contextlib.contextmanager
def _hooked(network: DetectNet, action: Callable[[str, Tensor, nn.BatchNorm2d], None]) -> Iterator[None]:
    """Call ``action`` with the name of each normalized layer, what is normalized, and the normalization."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def before(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(norm, nn.BatchNorm2d)
            action(name, inputs[0], norm)

        return before

    layers = [(name, m) for name, m in network.named_modules() if isinstance(m, ConvNorm)]
    handles = [layer.norm.register_forward_pre_hook(hook(name)) for name, layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
