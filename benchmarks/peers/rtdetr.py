"""RT-DETRv2 of the size of its R18 model (Lv et al. 2024), from Hugging Face transformers (Apache-2.0).

Encoder and decoder are those of the R18 configuration. Its pretrained weights cannot be had without a
network, so that the backbone is our EfficientNet-Lite0 with ImageNet weights: both detectors start alike.
"""

from __future__ import annotations

from typing import Any

import torch
from detector_data import normalized_objects
from peer import lite0_backbone
from torch import Tensor, nn
from transformers import RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection
from transformers.modeling_outputs import BackboneOutput, BaseModelOutput

from palletjack_training.targets import BoxBatch

NOTE = (
    "RT-DETRv2, R18 configuration (d_model {width}, 3 decoder layers, 300 queries) with EfficientNet-Lite0 "
    "as its backbone{weights}; encoder and decoder from scratch: no COCO weights"
)

# Linear layers that the package starts as the authors do.
_STARTED = (
    "class_embed",
    "enc_score_head",
    "sampling_offsets",
    "attention_weights",
    "value_proj",
    "output_proj",
)


class RTDetr:
    """The peer; ``options``: size in pixels, ``channels`` of encoder and decoder, ``backbone`` weights."""

    name = "rtdetr"
    learning_rate = 2e-4
    weight_decay = 1e-4
    gradient_clip = 0.1
    backbone: tuple[str, ...] = ("model.backbone.",)
    needs_nms = False

    def __init__(self, options: dict[str, Any], load_weights: bool) -> None:
        self.options = options
        imagenet = options["backbone"] == "imagenet"
        self.network = _network(options["channels"], imagenet and load_weights)
        # Ours learns at 2e-4 in the backbone: so does this one. An untrained one has no slower part.
        self.backbone_factor = 1.0
        weights = " (ImageNet weights, frozen normalization, as ours)" if imagenet else " (untrained)"
        self.note = NOTE.format(width=options["channels"], weights=weights)

    def loss(self, images: Tensor, boxes: BoxBatch) -> Tensor:
        """Varifocal, L1 and GIoU losses over all decoder layers, with denoising queries."""
        height, width = images.shape[-2:]
        labels = [
            {"class_labels": objects.new_zeros(len(objects), dtype=torch.long), "boxes": objects}
            for objects in normalized_objects(boxes, width, height)
        ]
        return self.network(pixel_values=images, labels=labels).loss

    def deployed(self) -> nn.Module:
        """The network with boxes in pixels and scores after the sigmoid; it needs no NMS."""
        return _Deployed(self.network, self.options["width"], self.options["height"])


def _network(channels: int, imagenet: bool) -> RTDetrV2ForObjectDetection:
    backbone = _Backbone(imagenet)
    placeholder = RTDetrResNetConfig(
        layer_type="basic",
        embedding_size=32,
        hidden_sizes=[32, *backbone.channels],
        depths=[1, 1, 1, 1],
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrV2Config(
        backbone_config=placeholder,
        encoder_in_channels=list(backbone.channels),
        num_labels=1,
        encoder_hidden_dim=channels,
        encoder_ffn_dim=4 * channels,
        d_model=channels,
        decoder_in_channels=[channels] * 3,
        decoder_ffn_dim=4 * channels,
        decoder_layers=3,
        hidden_expansion=0.5,
        num_queries=300,
        # The published start. Left out it would follow from the number of classes: a half for one class.
        initializer_bias_prior_prob=0.01,
    )
    network = RTDetrV2ForObjectDetection(config)
    _start_as_published(network)
    network.model.backbone.model = backbone
    network.model.encoder = _HalfEncoder(network.model.encoder)
    return network


def _start_as_published(network: RTDetrV2ForObjectDetection) -> None:
    """Give untrained layers the first weights of the authors' own code.

    The package starts normalizations with a scale of about 0 and linear layers with 0.01, which does no
    harm to who loads pretrained weights, and keeps who does not from learning in a short run.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d)):
            layer.reset_parameters()
        elif isinstance(layer, nn.Linear) and not any(part in name for part in _STARTED):
            nn.init.xavier_uniform_(layer.weight)
    model = network.model
    for head in (*model.decoder.bbox_embed, model.enc_bbox_head):
        for hidden in head.layers[:-1]:
            hidden.reset_parameters()
        nn.init.zeros_(head.layers[-1].weight)
        nn.init.zeros_(head.layers[-1].bias)


class _Backbone(nn.Module):
    """Our backbone with the outputs that the encoder takes."""

    def __init__(self, imagenet: bool) -> None:
        super().__init__()
        self.body = lite0_backbone(imagenet)
        self.channels = self.body.channels

    def forward(self, pixel_values: Tensor) -> BackboneOutput:
        """Features at strides 8, 16 and 32."""
        with _half(pixel_values, self.training):
            features = self.body(pixel_values)
        return BackboneOutput(feature_maps=tuple(item.float() for item in features))


class _HalfEncoder(nn.Module):
    """The hybrid encoder in bfloat16 while it trains on a GPU.

    The decoder stays in float32: a position in bfloat16 has a step of 4 px in 960.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.inner = encoder

    def forward(self, inputs_embeds: list[Tensor], **options: Any) -> BaseModelOutput:
        """The fused maps of three scales."""
        with _half(inputs_embeds[0], self.training):
            fused = self.inner(inputs_embeds, **options).last_hidden_state
        return BaseModelOutput(last_hidden_state=[item.float() for item in fused])


def _half(tensor: Tensor, training: bool) -> torch.autocast:
    kind = tensor.device.type
    return torch.autocast(kind, torch.bfloat16, enabled=training and kind == "cuda")


class _Deployed(nn.Module):
    size: Tensor

    def __init__(self, network: RTDetrV2ForObjectDetection, width: int, height: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("size", torch.tensor([width, height] * 2, dtype=torch.float32), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (1, Q, 4) xyxy in pixels and scores (1, Q)."""
        found = self.network(pixel_values=image)
        centre, half = found.pred_boxes[..., :2], found.pred_boxes[..., 2:] / 2
        boxes = torch.cat((centre - half, centre + half), -1) * self.size
        return boxes, found.logits[..., 0].sigmoid()
