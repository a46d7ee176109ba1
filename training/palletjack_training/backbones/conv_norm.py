"""Convolution with batch normalization, folded while training when the normalization is frozen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNorm(nn.Module):
    """Convolution, batch normalization and, optionally, ReLU or ReLU6.

    With ``freeze`` the normalization keeps its statistics and its affine. It is then the constant map
    y * scale + shift, which is applied to the kernel instead of to the activations: the result and
    the gradients are the same and a full pass over memory is saved.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        activation: type[nn.Module] | None = nn.ReLU6,
        eps: float = 1e-3,
        momentum: float = 0.01,
    ) -> None:
        super().__init__()
        padding = (kernel - 1) // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(outputs, eps=eps, momentum=momentum)
        self.activation = nn.Identity() if activation is None else activation(inplace=True)
        self._frozen = False

    def freeze(self) -> None:
        """Keep the normalization as it is from now on."""
        self._frozen = True
        self.norm.requires_grad_(False)
        self.norm.eval()

    def train(self, mode: bool = True) -> ConvNorm:
        """Set training mode, except for a frozen normalization."""
        super().train(mode)
        if self._frozen:
            self.norm.eval()
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        if not self._frozen:
            return self.activation(self.norm(self.conv(features)))
        kernel, shift = self.folded()
        conv = self.conv
        return self.activation(
            F.conv2d(features, kernel, shift, conv.stride, conv.padding, conv.dilation, conv.groups)
        )

    def folded(self) -> tuple[Tensor, Tensor]:
        """Kernel and bias that do convolution and normalization (with running statistics) at once."""
        norm = self.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        with torch.no_grad():
            deviation = torch.sqrt(norm.running_var + norm.eps)
        scale = norm.weight / deviation
        bias = 0.0 if self.conv.bias is None else self.conv.bias
        return self.conv.weight * scale[:, None, None, None], norm.bias + (bias - norm.running_mean) * scale


def separable(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Depthwise, then pointwise convolution, each normalized, with one ReLU6 after each."""
    return nn.Sequential(ConvNorm(inputs, inputs, kernel, groups=inputs), ConvNorm(inputs, outputs, 1))
