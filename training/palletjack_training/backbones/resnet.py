"""ResNet18 and ResNet34 as TAO's DetectNet_v2 builds them (core/templates/resnet.py): stride 16, no pooling.

They differ from the usual ones: no max pooling, stride 1 in the last stage, biases in all
convolutions, and a projection shortcut in the first block of every stage, the first one included.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from palletjack_training.backbones.conv_norm import ConvNorm, Sum

_STAGES = ((64, 2), (128, 2), (256, 2), (512, 1))  # channels and stride


def _conv(inputs: int, outputs: int, kernel: int, stride: int, *, active: bool) -> ConvNorm:
    return ConvNorm(inputs, outputs, kernel, stride=stride, bias=True, activation=nn.ReLU if active else None)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution if ``project``."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, project: bool) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs, 3, stride, active=True)
        self.second = _conv(outputs, outputs, 3, 1, active=False)
        self.shortcut = _conv(inputs, outputs, 1, stride, active=False) if project else nn.Identity()
        self.add = Sum(nn.ReLU)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return self.add(self.second(self.first(features)), self.shortcut(features))


class ResNet(nn.Module):
    """512 channels at stride 16 of an RGB image in 0..1; weights as Keras starts them."""

    channels = (512,)
    repeats: ClassVar[tuple[int, int, int, int]]

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 64, 7, 2, active=True)
        blocks: list[nn.Module] = []
        inputs = 64
        for (outputs, stride), repeats in zip(_STAGES, self.repeats, strict=True):
            blocks.append(BasicBlock(inputs, outputs, stride, project=True))
            blocks.extend(BasicBlock(outputs, outputs, 1, project=False) for _ in range(repeats - 1))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Map (N, 3, H, W) to one feature map (N, 512, H/16, W/16)."""
        return (self.blocks(self.stem(image)),)


class ResNet18(ResNet):
    """Two blocks in each stage."""

    repeats = (2, 2, 2, 2)


class ResNet34(ResNet):
    """Three, four, six and three blocks."""

    repeats = (3, 4, 6, 3)
