"""The detector: a backbone, a neck for backbones that go below stride 16, and two heads.

The contract is the outputs: coverage (N, C, H/16, W/16) and box distances (N, 4C, H/16, W/16),
class-major, over the box scale.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from palletjack_training.backbones.conv_norm import ConvNorm
from palletjack_training.backbones.efficientnet_lite import (
    EfficientNetLite,
    EfficientNetLite0,
    EfficientNetLite2,
    imagenet_weights_path,
)
from palletjack_training.backbones.resnet import ResNet, ResNet18, ResNet34
from palletjack_training.config import TrainingConfig
from palletjack_training.necks import LightNeck, PathNeck

_BACKBONES: dict[str, type[EfficientNetLite] | type[ResNet]] = {
    "efficientnet_lite0": EfficientNetLite0,
    "efficientnet_lite2": EfficientNetLite2,
    "resnet18": ResNet18,
    "resnet34": ResNet34,
}

_NECKS: dict[str, type[LightNeck] | type[PathNeck]] = {"light": LightNeck, "path": PathNeck}


class DetectNet(nn.Module):
    """Coverage logits and box distances of RGB images in 0..1."""

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        network = config.network
        self.classes = len(config.classes)
        self.backbone = _BACKBONES[network.architecture]()
        if isinstance(self.backbone, EfficientNetLite):
            neck = _NECKS[network.neck](
                self.backbone.channels, network.neck_channels, network.neck_blocks, config.targets.stride
            )
            self.neck: LightNeck | PathNeck | None = neck
            self.coverage_tower: nn.Module = neck.tower()
            self.box_tower: nn.Module = neck.tower()
            width = neck.tower_channels
        else:
            self.neck = None
            width = self.backbone.channels[-1]
            self.coverage_tower = nn.Identity()
            self.box_tower = nn.Identity()
        self.coverage = nn.Conv2d(width, self.classes, 1)
        self.boxes = nn.Conv2d(width, 4 * self.classes, 1)
        self._start_heads(network.coverage_bias, network.box_bias)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, H, W) to coverage logits (N, C, H/16, W/16) and distances (N, 4C, H/16, W/16)."""
        features = self.backbone(image)
        shared = features[-1] if self.neck is None else self.neck(features)
        coverage, boxes = self.coverage_tower(shared), self.box_tower(shared)
        # A distance of 400 px has a step of 2 px in bfloat16, so the heads stay in float32.
        with torch.autocast(image.device.type, enabled=False):
            return self.coverage(_single(coverage)), self.boxes(_single(boxes))

    def freeze_backbone_norm(self, *, only_statistics: bool = False) -> None:
        """Freeze every batch normalization of the backbone, or only its statistics."""
        for layer in self.backbone.modules():
            if isinstance(layer, ConvNorm):
                layer.keep_statistics() if only_statistics else layer.freeze()

    def _start_heads(self, coverage_bias: float, box_bias: float) -> None:
        """Start from almost no coverage (few cells are objects) and from boxes of positive size."""
        for head, bias in ((self.coverage, coverage_bias), (self.boxes, box_bias)):
            assert head.bias is not None
            nn.init.normal_(head.weight, std=0.01)
            nn.init.constant_(head.bias, bias)


def _single(features: Tensor) -> Tensor:
    """Single precision; without a trace in an exported graph where that is so already."""
    return features if features.dtype == torch.float32 else features.float()


class ExportableDetectNet(nn.Module):
    """The deployed graph: coverage after the sigmoid, then box distances."""

    def __init__(self, network: DetectNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, H, W) to coverage in 0..1 and distances, shaped as in ``DetectNet``."""
        logits, boxes = self.network(image)
        return logits.sigmoid(), boxes


def build_network(config: TrainingConfig, *, load_weights: bool = True) -> DetectNet:
    """Make the configured network; with ``load_weights`` start its backbone from ``network.weights``.

    Raises FileNotFoundError where the weights are not found, ValueError where they do not fit.
    """
    network = DetectNet(config)
    source = config.network.weights
    if load_weights and source != "none":
        backbone = network.backbone
        if source == "imagenet" and isinstance(backbone, EfficientNetLite):
            path = imagenet_weights_path(type(backbone))
        else:
            path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"network.weights: expected imagenet, none or a file, found {source!r}")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(backbone, EfficientNetLite):
            backbone.load_imagenet(state)
        else:
            backbone.load_state_dict(state)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = config.network.norm_momentum
    if config.network.freeze_norm:
        network.freeze_backbone_norm(only_statistics=config.network.freeze_norm == "statistics")
    return network
