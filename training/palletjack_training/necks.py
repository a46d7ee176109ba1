"""What brings a backbone's strides 8, 16 and 32 to the stride of the grid, and each head's own layers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from palletjack_training.backbones.conv_norm import ConvNorm, Sum, separable


class LightNeck(nn.Module):
    """Brings strides 8, 16 and 32 to ``stride`` (16 or 8), adds them and lets them mix.

    Depthwise separable throughout: little to compute, and little that it can tell apart.
    """

    def __init__(self, inputs: tuple[int, int, int], width: int, blocks: int, stride: int = 16) -> None:
        super().__init__()
        fine, middle, coarse = inputs
        self.finer = 16 // stride
        self.fine = nn.Sequential(
            ConvNorm(fine, fine, 3, stride=stride // 8, groups=fine),
            ConvNorm(fine, width, 1, activation=None),
        )
        self.middle = ConvNorm(middle, width, 1, activation=None)
        self.coarse = ConvNorm(coarse, width, 1, activation=None)
        self.add_detail = Sum()
        self.add_context = Sum(nn.ReLU6)
        self.mix = nn.Sequential(*(separable(width, width, 5) for _ in range(blocks)))
        self.tower_channels = width

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Map features at strides 8, 16 and 32 to (N, width, H / stride, W / stride)."""
        fine, middle, coarse = self.fine(features[0]), self.middle(features[1]), self.coarse(features[2])
        if self.finer > 1:
            middle = F.interpolate(middle, scale_factor=float(self.finer), mode="nearest")
        context = F.interpolate(coarse, scale_factor=2.0 * self.finer, mode="nearest")
        return self.mix(self.add_context(self.add_detail(fine, middle), context))

    def tower(self) -> nn.Module:
        """What one head has for itself."""
        return separable(self.tower_channels, self.tower_channels)


class Residual(nn.Module):
    """Two full 3x3 convolutions and a shortcut (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width, 3)
        self.second = ConvNorm(width, width, 3, activation=None)
        self.add = Sum(nn.ReLU6)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        return self.add(features, self.second(self.first(features)))


class PathNeck(nn.Module):
    """Context goes down to the finest stride, then detail up again to ``stride`` (Liu et al. 2018, PANet).

    Full convolutions throughout: INT8 kernels of a processor take a tenth to a twentieth of the time for a
    multiply-accumulate of theirs that they take for a depthwise one (``compression/layer_time.py``). Stride 8
    has half the ``width``. ``blocks`` is the number of residual blocks at each level.
    """

    def __init__(self, inputs: tuple[int, int, int], width: int, blocks: int, stride: int = 16) -> None:
        super().__init__()
        fine, middle, coarse = inputs
        half = width // 2
        self.coarse = nn.Sequential(ConvNorm(coarse, width, 1), *_residuals(width, blocks))
        self.middle = ConvNorm(middle, width, 1, activation=None)
        self.add_context = Sum(nn.ReLU6)
        self.mix = nn.Sequential(*_residuals(width, blocks))
        self.fine = ConvNorm(fine, half, 1, activation=None)
        self.narrow = ConvNorm(width, half, 1, activation=None)
        self.add_detail = Sum(nn.ReLU6)
        self.mix_fine = nn.Sequential(*_residuals(half, blocks))
        self.goes_up = stride == 16
        if self.goes_up:
            self.up = ConvNorm(half, width, 3, stride=2, activation=None)
            self.add_up = Sum(nn.ReLU6)
            self.mix_up = nn.Sequential(*_residuals(width, blocks))
        self._width = width if self.goes_up else half
        self.tower_channels = half

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Map features at strides 8, 16 and 32 to (N, width or half of it, H / stride, W / stride)."""
        context = F.interpolate(self.coarse(features[2]), scale_factor=2.0, mode="nearest")
        middle = self.mix(self.add_context(self.middle(features[1]), context))
        context = F.interpolate(self.narrow(middle), scale_factor=2.0, mode="nearest")
        fine = self.mix_fine(self.add_detail(self.fine(features[0]), context))
        return self.mix_up(self.add_up(middle, self.up(fine))) if self.goes_up else fine

    def tower(self) -> nn.Module:
        """What one head has for itself."""
        half = self.tower_channels
        return nn.Sequential(ConvNorm(self._width, half, 3), ConvNorm(half, half, 3))


def _residuals(width: int, blocks: int) -> list[nn.Module]:
    return [Residual(width) for _ in range(blocks)]
