"""Rounding to INT8 as TensorRT computes with it, and as TAO trains with it, with its gradients.

Values are rounded to q * amax / 127, half to even: q in -128..127 for activations (one range for a tensor),
-127..127 for kernels (one range for each output channel, always that of the kernel itself). The gradient
passes where the value was within the range.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LEVELS = 127
# The smallest range: that of a channel of zeros.
SMALLEST = 2.0**-24


class QuantizationError(ValueError):
    """A network that cannot be quantized as asked."""


def round_activation(values: Tensor, amax: Tensor) -> Tensor:
    """Round ``values`` of any shape to the levels of the range ``amax`` (a scalar tensor)."""
    scale = amax.detach().float().reshape(1).clamp(min=SMALLEST) / LEVELS
    zero = torch.zeros(1, dtype=torch.int32, device=values.device)
    # Single precision: in bfloat16 a value could be rounded to the wrong level.
    with torch.autocast(values.device.type, enabled=False):
        rounded = torch.fake_quantize_per_tensor_affine(values.float(), scale, zero, -LEVELS - 1, LEVELS)
    return rounded.to(values.dtype)


def kernel_ranges(kernel: Tensor) -> Tensor:
    """Largest magnitude of each output channel (O,) of a kernel (O, I, H, W)."""
    return kernel.detach().flatten(1).abs().amax(dim=1).float().clamp(min=SMALLEST)


def round_kernel(kernel: Tensor) -> Tensor:
    """Round a kernel (O, I, H, W), each output channel to the levels of its own range."""
    scale = kernel_ranges(kernel) / LEVELS
    # Of an integer zero point PyTorch would check the range, which waits for the GPU and breaks CUDA graphs.
    zero = torch.zeros(len(scale), device=kernel.device)
    with torch.autocast(kernel.device.type, enabled=False):
        return torch.fake_quantize_per_channel_affine(kernel.float(), scale, zero, 0, -LEVELS, LEVELS)


class _TaoRound(torch.autograd.Function):
    """TAO's rounding: its gradient is 1 everywhere, outside of the range as well."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, amax: Tensor) -> Tensor:
        low = -amax * (LEVELS + 1) / LEVELS
        clipped = torch.minimum(torch.maximum(values, low), amax)
        return torch.round(clipped * LEVELS / amax) * amax / LEVELS

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def tao_round(values: Tensor, amax: Tensor) -> Tensor:
    """Fake quantization as TAO's QAT does it (core/templates/qdq_layer.py), for activations.

    round_half_even(clip(x, -128 M / 127, M) * 127 / M) * M / 127 with the range M = ``amax``.
    """
    result: Tensor = _TaoRound.apply(values, amax)
    return result


def tao_round_kernel(kernel: Tensor) -> Tensor:
    """TAO's rounding of a kernel: one range for the whole tensor, its largest magnitude."""
    return tao_round(kernel, kernel.detach().abs().max())
