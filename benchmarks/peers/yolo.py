"""A YOLO nano of the `ultralytics` package, where the user has installed it himself.

That package is under the AGPL-3.0: nothing of this project depends on it, ships it or copies from it. Its
network and its loss are used as they are; frames, augmentation, optimizer and schedule are ours. Weights
pretrained on COCO cannot be had without a network. Either it starts untrained, or its backbone is our
EfficientNet-Lite0 with ImageNet weights, under the same neck and head.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from detector_data import normalized_objects
from peer import lite0_backbone
from torch import Tensor, nn
from ultralytics.nn.tasks import DetectionModel

from palletjack_training.backbones.conv_norm import ConvNorm
from palletjack_training.targets import BoxBatch

# The weights of the parts of its loss that its documentation gives as defaults.
LOSS_WEIGHTS = {"box": 7.5, "cls": 0.5, "dfl": 1.5}
# How fast normalizations follow a batch: that of the package's own layers and of ours.
_MOMENTUM = 0.03


class Yolo:
    """The peer; ``options``: size in pixels, ``network`` (such as yolo11n), ``backbone`` (own, imagenet)."""

    name = "yolo"
    # What the package itself takes for one class and a short run.
    learning_rate = 2e-3
    weight_decay = 5e-4
    gradient_clip = 10.0
    needs_nms = True

    def __init__(self, options: dict[str, Any], load_weights: bool) -> None:
        self.options = options
        self.network = DetectionModel(f"{options['network']}.yaml", ch=3, nc=1, verbose=False)
        self.network.args = SimpleNamespace(**LOSS_WEIGHTS)
        start = "from scratch: no pretrained weights (compare with our row no_imagenet)"
        self.backbone: tuple[str, ...] = ()
        if options["backbone"] == "imagenet":
            _use_lite0(self.network, load_weights)
            start = "neck and head on EfficientNet-Lite0 with ImageNet weights and frozen normalization"
            self.backbone = tuple(f"model.{index}.backbone." for index in (0, 5, 7))
        self.backbone_factor = 0.1
        self.note = f"{options['network']}, {start}"

    def loss(self, images: Tensor, boxes: BoxBatch) -> Tensor:
        """The package's own loss: task-aligned assignment, CIoU, distribution focal loss."""
        kind = images.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
            found = self.network(images)
        if getattr(self.network, "criterion", None) is None:
            self.network.criterion = self.network.init_criterion()
        objects = normalized_objects(boxes, images.shape[-1], images.shape[-2])
        counts = torch.tensor([len(item) for item in objects], device=images.device)
        rows = torch.cat(objects)
        labels = {
            "batch_idx": torch.arange(len(objects), device=images.device).repeat_interleave(counts).float(),
            "cls": rows.new_zeros(len(rows)),
            "bboxes": rows,
        }
        total, _ = self.network.criterion(_single(found), labels)
        return total.sum()

    def deployed(self) -> nn.Module:
        """The network with boxes in pixels and scores after the sigmoid, before NMS."""
        return _Deployed(self.network)


class _Features(nn.Module):
    """Some stages of our backbone, in the place of a layer."""

    def __init__(self, *stages: nn.Module) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*stages)

    def forward(self, image: Tensor) -> Tensor:
        """Features (N, C, H, W) behind the stages."""
        return self.backbone(image)


def _use_lite0(network: DetectionModel, imagenet: bool) -> None:
    """Put our backbone in the place of the layers up to stride 32; the neck reads layers 4, 6 and 8 on."""
    body = lite0_backbone(imagenet)
    widths = [_width(network, index) for index in (4, 6, 8)]
    fine, middle, coarse = body.channels
    place: dict[int, tuple[nn.Module, int]] = {
        0: (_Features(body.stem, *body.stages[:3]), -1),
        **{index: (nn.Identity(), -1) for index in (1, 2, 3)},
        4: (ConvNorm(fine, widths[0], 1, momentum=_MOMENTUM), -1),
        5: (_Features(*body.stages[3:5]), 3),
        6: (ConvNorm(middle, widths[1], 1, momentum=_MOMENTUM), -1),
        7: (_Features(*body.stages[5:]), 5),
        8: (ConvNorm(coarse, widths[2], 1, momentum=_MOMENTUM), -1),
    }
    for index, (layer, source) in place.items():
        # Where the package's own forward pass finds the place of a layer and of its input.
        setattr(layer, "i", index)  # noqa: B010
        setattr(layer, "f", source)  # noqa: B010
        network.model[index] = layer
    network.save = sorted({*network.save, 3, 5})


def _width(network: DetectionModel, index: int) -> int:
    """Output channels of a block, which are those of its closing convolution."""
    return int(network.model[index].cv2.conv.out_channels)


def _single(found: dict[str, Any]) -> dict[str, Any]:
    """The network's outputs in float32, in which the loss is computed."""
    return {
        key: [item.float() for item in value] if isinstance(value, list) else value.float()
        for key, value in found.items()
    }


class _Deployed(nn.Module):
    def __init__(self, network: DetectionModel) -> None:
        super().__init__()
        self.network = network
        network.model[-1].export = True

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (1, Q, 4) xyxy in pixels and scores (1, Q)."""
        rows = self.network(image).transpose(1, 2)
        centre, half = rows[..., :2], rows[..., 2:4] / 2
        return torch.cat((centre - half, centre + half), -1), rows[..., 4]
