"""A network that computes in INT8: where values are rounded, and within which ranges.

Normalization is folded first, as it is when deployed. Then every kernel is rounded, and every tensor that
one layer hands to the next, once, where it is made: after the activation of a convolution and after a sum.
So each tensor has one range, and a chain of layers never has to leave INT8.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palletjack_training.backbones.conv_norm import ConvNorm, Sum
from palletjack_training.compression.quantizers import (
    Calibration,
    Quantizer,
    activation_quantizer,
    kernel_quantizer,
)
from palletjack_training.compression.rounding import QuantizationError
from palletjack_training.config import QuantizationConfig
from palletjack_training.network import DetectNet

AMAX = "._amax"


class QuantizedConv(nn.Conv2d):
    """Convolution with bias and activation; rounds its kernel and its result where it has a quantizer."""

    def __init__(self, kernel: Tensor, bias: Tensor, like: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__(
            like.in_channels,
            like.out_channels,
            like.kernel_size,  # type: ignore[arg-type]
            like.stride,  # type: ignore[arg-type]
            like.padding,  # type: ignore[arg-type]
            groups=like.groups,
        )
        self.weight = nn.Parameter(kernel.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())
        self.activation = activation
        self.input_quantizer: nn.Module = nn.Identity()
        self.kernel_quantizer: nn.Module = nn.Identity()
        self.output_quantizer: nn.Module = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H / stride, W / stride)."""
        kernel = self.kernel_quantizer(self.weight)
        out = F.conv2d(
            self.input_quantizer(features), kernel, self.bias, self.stride, self.padding, groups=self.groups
        )
        return self.output_quantizer(self.activation(out))


class QuantizedSum(nn.Module):
    """Sum with an activation, rounded."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation
        self.output_quantizer: nn.Module = nn.Identity()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Add two tensors of the same shape."""
        return self.output_quantizer(self.activation(first + second))


def add_quantizers(
    network: DetectNet,
    keep_float: Sequence[str],
    state: Mapping[str, Tensor] | None = None,
    calibration: Calibration = "percentile",
) -> None:
    """Fold normalization and put quantizers into ``network``, in place.

    Layers whose name starts with one of ``keep_float`` keep their kernels as they are. The ranges come
    from ``state``, or have to be measured by ``calibrate``.
    Raises QuantizationError if a name in ``keep_float`` is that of no layer.
    """
    _check_names(network, keep_float)
    heads = {network.coverage, network.boxes}
    for name, layer in list(network.named_modules()):
        if isinstance(layer, ConvNorm):
            kernel, bias = layer.folded()
            conv = QuantizedConv(kernel, bias, layer.conv, layer.activation)
            conv.output_quantizer = activation_quantizer(calibration)
        elif layer in heads:
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            conv = QuantizedConv(layer.weight, layer.bias, layer, nn.Identity())
        elif isinstance(layer, Sum):
            total = QuantizedSum(layer.activation)
            total.output_quantizer = activation_quantizer(calibration)
            _replace(network, name, total)
            continue
        else:
            continue
        if not any(name == kept or name.startswith(kept + ".") for kept in keep_float):
            conv.kernel_quantizer = kernel_quantizer()
            if name == "backbone.stem":
                conv.input_quantizer = _image_quantizer()
        _replace(network, name, conv)
    if state is not None:
        _set_ranges(network, state)


def calibrate(
    network: DetectNet, images: Iterable[Tensor], settings: QuantizationConfig, device: torch.device
) -> dict[str, float]:
    """Measure the ranges of activations on ``images`` (each (B, 3, H, W) in 0..1) and set them.

    The network runs unrounded meanwhile. Returns the ranges by the quantizers' names.
    """
    measured = {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, Quantizer) and layer.axis is None and layer.amax is None
    }
    everything = [layer for layer in network.modules() if isinstance(layer, Quantizer)]
    network.to(device).eval()
    for quantizer in everything:
        quantizer.disable_quant()
    for quantizer in measured.values():
        quantizer.enable_calib()
    with torch.no_grad():
        for batch in images:
            network(batch.to(device))
    for quantizer in measured.values():
        quantizer.load_calib_amax(**_calibration_arguments(settings))
        quantizer.disable_calib()
        quantizer._calibrator.reset()
    for quantizer in everything:
        quantizer.enable_quant()
    network.to(device).train()
    return {name: float(layer.amax) for name, layer in measured.items()}


def quantize_network(
    network: DetectNet,
    settings: QuantizationConfig,
    images: Iterable[Tensor],
    device: torch.device,
    report: Callable[[str], None] = lambda text: None,
) -> None:
    """Fold, add quantizers and calibrate, in place: what follows is QAT, or nothing (PTQ)."""
    add_quantizers(network, settings.keep_float, calibration=settings.calibration)
    ranges = calibrate(network, images, settings, device)
    smallest, largest = min(ranges, key=ranges.__getitem__), max(ranges, key=ranges.__getitem__)
    report(
        f"quantized: {len(ranges)} ranges by {settings.calibration}, from {ranges[smallest]:.3g} "
        f"({smallest.removesuffix('.output_quantizer')}) to {ranges[largest]:.3g} "
        f"({largest.removesuffix('.output_quantizer')})"
    )


def _calibration_arguments(settings: QuantizationConfig) -> dict[str, object]:
    if settings.calibration == "max":
        return {}
    # Model Optimizer 0.47 offers mean squared error and entropy too, but hands its own rounding the wrong
    # arguments there: the ranges come out too small by an order of magnitude.
    return {"method": "percentile", "percentile": settings.percentile}


def _image_quantizer() -> nn.Module:
    """Images are RGB in 0..1, whatever a calibration set happens to hold."""
    quantizer = activation_quantizer("max")
    quantizer.amax = torch.tensor(1.0)
    return quantizer


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, layer)


def _check_names(network: nn.Module, keep_float: Sequence[str]) -> None:
    names = [name for name, _ in network.named_modules() if name]
    for kept in keep_float:
        if kept not in names:
            near = difflib.get_close_matches(kept, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise QuantizationError(
                f"quantization.keep_float: expected names of layers, found {kept!r}{hint}"
            )


def _set_ranges(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    for name, layer in network.named_modules():
        if not isinstance(layer, Quantizer) or layer.axis is not None:
            continue
        amax = state.get(name + AMAX)
        if amax is None:
            raise QuantizationError(f"weights of another network: {name}: expected a range, found none")
        if layer.amax is None:
            layer.amax = amax.detach().clone()
