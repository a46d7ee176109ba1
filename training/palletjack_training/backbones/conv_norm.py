"""Convolution with batch normalization, folded while training when the normalization is frozen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class _Constant:
    """What a frozen normalization does, and the state of its tensors when that was computed."""

    written: tuple[tuple[int, int], ...]
    scale: Tensor
    shift: Tensor

    def holds_for(self, norm: nn.BatchNorm2d) -> bool:
        """Whether nothing was written to ``norm`` since."""
        return self.written == _written(norm)


def _written(norm: nn.BatchNorm2d) -> tuple[tuple[int, int], ...]:
    """Where the tensors of ``norm`` lie, and how often each was written to."""
    tensors = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors if tensor is not None)


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
        self.frozen = False
        self._keeps_statistics = False
        self._constant: _Constant | None = None

    def freeze(self) -> None:
        """Keep the normalization as it is from now on."""
        self.frozen = True
        self.norm.requires_grad_(False)
        self.keep_statistics()

    def keep_statistics(self) -> None:
        """Keep the mean and variance of the normalization from now on; its scale and shift still learn."""
        self._keeps_statistics = True
        self.norm.eval()

    def train(self, mode: bool = True) -> ConvNorm:
        """Set training mode, except for a normalization that keeps its statistics."""
        super().train(mode)
        if self._keeps_statistics:
            self.norm.eval()
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        if not self.frozen:
            return self.activation(self.norm(self.conv(features)))
        conv = self.conv
        scale, shift = self._scale_and_shift()
        kernel = conv.weight * scale
        return self.activation(
            F.conv2d(features, kernel, shift, conv.stride, conv.padding, conv.dilation, conv.groups)
        )

    def folded(self) -> tuple[Tensor, Tensor]:
        """Kernel and bias that do convolution and normalization (with running statistics) at once."""
        scale = self._scale()
        return self.conv.weight * scale[:, None, None, None], self._shift(scale)

    def _scale(self) -> Tensor:
        assert self.norm.running_var is not None
        with torch.no_grad():
            deviation = torch.sqrt(self.norm.running_var + self.norm.eps)
        return self.norm.weight / deviation

    def _shift(self, scale: Tensor) -> Tensor:
        assert self.norm.running_mean is not None
        bias = 0.0 if self.conv.bias is None else self.conv.bias
        return self.norm.bias + (bias - self.norm.running_mean) * scale

    def _scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Scale (outputs, 1, 1, 1) and shift (outputs,) of a frozen normalization.

        Computed once: some eight small kernels for each layer and step cost a GPU more time to start than
        to run. Tensors count the writes to them, which tells when the numbers are no longer those. A
        convolution's bias is trained, so that a shift with one is made anew.
        """
        if must_compute_anew(self.norm.weight):
            scale = self._scale()
            return scale[:, None, None, None], self._shift(scale)
        if self._constant is None or not self._constant.holds_for(self.norm):
            with torch.inference_mode(False), torch.no_grad():
                scale = self._scale()
                self._constant = _Constant(
                    _written(self.norm), scale[:, None, None, None], self._shift(scale)
                )
        column = self._constant.scale
        return column, self._constant.shift if self.conv.bias is None else self._shift(column.flatten())


class Sum(nn.Module):
    """Sum of two features and, optionally, an activation. It is a module so that quantization finds it."""

    def __init__(self, activation: type[nn.Module] | None = None) -> None:
        super().__init__()
        self.activation = nn.Identity() if activation is None else activation()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Add two tensors of the same shape."""
        return self.activation(first + second)


def separable(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Depthwise, then pointwise convolution, each normalized, with one ReLU6 after each."""
    return nn.Sequential(ConvNorm(inputs, inputs, kernel, groups=inputs), ConvNorm(inputs, outputs, 1))


def must_compute_anew(parameter: Tensor) -> bool:
    """Whether what is computed from ``parameter`` now must not be kept for later calls.

    A compiler traces the computation itself. It is asked about first: it cannot trace the other question,
    and would cut the network in two at every layer. A recorded CUDA graph must not read memory that its
    owner may give up.
    """
    if torch.compiler.is_compiling():
        return True
    return parameter.is_cuda and torch.cuda.is_current_stream_capturing()
