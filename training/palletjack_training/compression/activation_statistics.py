"""What layers are given on real frames, and the statistics that pruning has to keep."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from palletjack_training.backbones.conv_norm import ConvNorm
from palletjack_training.compression.layer_time import after_each_convolution
from palletjack_training.network import DetectNet


def variances_of_inputs(network: DetectNet, images: Tensor) -> dict[nn.Conv2d, Tensor]:
    """Run ``images`` (B, 3, H, W) in 0..1; the variance (I,) of each input channel of each convolution.

    Depthwise convolutions are left out. Frozen normalizations have to be shown (``plain_norms``): they run
    without their convolution otherwise.
    """
    found: dict[nn.Conv2d, Tensor] = {}

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        if layer.groups == 1:
            # PyTorch's own ``var`` takes more than twice as long on a CPU.
            mean = inputs[0].mean(dim=(0, 2, 3), keepdim=True)
            found[layer] = (inputs[0] - mean).square().mean(dim=(0, 2, 3))

    with after_each_convolution(network, record), torch.no_grad():
        network(images)
    return found


@dataclass(frozen=True)
class DenseStatistics:
    """What a network's channels did before pruning.

    ``layers``: of each normalized layer the mean and deviation (C,) of what is normalized, then the running
    mean and variance (C,). ``outputs``: the mean (C,) of each head.
    """

    layers: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]]
    outputs: tuple[Tensor, ...]


def dense_statistics(network: DetectNet, images: Tensor) -> DenseStatistics:
    """Run ``images`` (B, 3, H, W) in 0..1; what :func:`match_statistics` holds a pruned network to."""
    layers: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def note(name: str, values: Tensor, norm: nn.BatchNorm2d) -> None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        layers[name] = (*_moments(values), norm.running_mean.clone(), norm.running_var.clone())

    with _hooked(network, note), torch.no_grad():
        outputs = network(images)
    return DenseStatistics(layers, tuple(output.mean(dim=(0, 2, 3)) for output in outputs))


def match_statistics(
    dense: DenseStatistics, pruned: DetectNet, kept: Mapping[str, Tensor], images: Tensor
) -> None:
    """Set the normalizations of ``pruned`` so that each channel has the mean and deviation that it had.

    ``dense`` is what it was on the same ``images`` (B, 3, H, W); ``kept`` are the channels of each layer that
    are left. Layers are set in the order in which they run, each with those before it set already. The heads
    have none: their biases are set so that the outputs keep their means.
    """

    def set_norm(name: str, values: Tensor, norm: nn.BatchNorm2d) -> None:
        # Not the statistics that ``pruned`` has by now: another matching may have set them.
        mean, deviation, old_mean, old_variance = (item[kept[name]] for item in dense.layers[name])
        found_mean, found_deviation = _moments(values)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        ratio = (found_deviation / deviation.clamp(min=1e-6)).clamp(0.1, 10)
        old = torch.sqrt(old_variance + norm.eps)
        norm.running_mean.copy_(found_mean - (mean - old_mean) * ratio)
        norm.running_var.copy_(((old * ratio).square() - norm.eps).clamp(min=0))

    with _hooked(pruned, set_norm), torch.no_grad():
        outputs = pruned(images)
        heads = (pruned.coverage, pruned.boxes)
        for head, before, after in zip(heads, dense.outputs, outputs, strict=True):
            assert head.bias is not None
            head.bias += before - after.mean(dim=(0, 2, 3))


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (C,) in two passes; PyTorch's own ``std`` takes more than twice as long on a CPU."""
    mean = values.mean(dim=(0, 2, 3), keepdim=True)
    squares = (values - mean).square().sum(dim=(0, 2, 3))
    count = values.numel() // values.shape[1]
    return mean.flatten(), (squares / max(1, count - 1)).sqrt()


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
