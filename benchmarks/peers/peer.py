"""What the training and the scoring need to know of a detector that ours is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from palletjack_training.backbones.conv_norm import ConvNorm
from palletjack_training.backbones.efficientnet_lite import EfficientNetLite0, imagenet_weights_path
from palletjack_training.targets import BoxBatch


class Peer(Protocol):
    """A network with its published loss and rates.

    ``options`` are what ``build_peer`` makes it from again. ``backbone`` is the start of the names of
    the parameters that learn at ``backbone_factor`` of the rate.
    """

    name: str
    options: dict[str, Any]
    network: nn.Module
    note: str
    learning_rate: float
    weight_decay: float
    gradient_clip: float
    backbone: tuple[str, ...]
    backbone_factor: float
    needs_nms: bool

    def loss(self, images: Tensor, boxes: BoxBatch) -> Tensor:
        """The loss of images (B, 3, H, W) in 0..1 with boxes in network pixels, both on one device."""

    def deployed(self) -> nn.Module:
        """Maps an image (1, 3, H, W) to boxes (1, Q, 4) xyxy in network pixels and scores (1, Q)."""


def build_peer(options: dict[str, Any], *, load_weights: bool = True) -> Peer:
    """The peer that ``options`` describe; without ``load_weights`` nothing pretrained is looked for."""
    if options["peer"] == "rtdetr":
        from rtdetr import RTDetr

        return RTDetr(options, load_weights)
    from yolo import Yolo

    return Yolo(options, load_weights)


def lite0_backbone(imagenet: bool) -> EfficientNetLite0:
    """Our own backbone: with ImageNet weights and frozen normalization as we use it, or untrained."""
    backbone = EfficientNetLite0()
    if imagenet:
        path = imagenet_weights_path()
        backbone.load_imagenet(torch.load(path, map_location="cpu", weights_only=True))
        freeze_norm(backbone)
    return backbone


def freeze_norm(network: nn.Module) -> None:
    """Keep every normalization of our kind as it is."""
    for layer in network.modules():
        if isinstance(layer, ConvNorm):
            layer.freeze()


def parameter_groups(peer: Peer) -> Iterator[dict[str, Any]]:
    """Parameters for AdamW: the backbone apart, and only kernels and matrices decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in peer.network.named_parameters():
        if parameter.requires_grad:
            factor = peer.backbone_factor if peer.backbone and name.startswith(peer.backbone) else 1.0
            decay = peer.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((factor, decay), []).append(parameter)
    for (factor, decay), parameters in groups.items():
        yield {"params": parameters, "weight_decay": decay, "factor": factor}
