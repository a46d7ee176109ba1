"""A training configuration as the description that the deployed model carries."""

from __future__ import annotations

from typing import Any

from palletjack_detection.model_folder import ClusteringSpec, InputSpec, ModelSpec, OutputSpec
from palletjack_training.config import TrainingConfig

INPUT_NAME = "input_1:0"
COVERAGE_NAME = "output_cov/Sigmoid:0"
BOXES_NAME = "output_bbox/BiasAdd:0"


def input_spec(config: TrainingConfig) -> InputSpec:
    """How an image becomes the network's input: RGB over 255, placed as configured."""
    return InputSpec(
        name=INPUT_NAME,
        width=config.input.width,
        height=config.input.height,
        channels="rgb",
        scale=1 / 255,
        mean=(0.0, 0.0, 0.0),
        stddev=(1.0, 1.0, 1.0),
        resize=config.input.resize,
        padding=config.input.padding,
        pad_value=config.input.pad_value,
    )


def clustering_spec(config: TrainingConfig) -> ClusteringSpec:
    """How the model's hot cells become boxes."""
    export = config.export
    return ClusteringSpec(
        method=export.method,
        coverage_threshold=export.coverage_threshold,
        iou_threshold=export.iou_threshold,
        eps=export.eps,
        min_samples=export.min_samples,
        score=export.score,
        minimum_height=export.minimum_height,
    )


def model_spec(
    config: TrainingConfig, name: str, training: dict[str, Any], metrics: dict[str, Any]
) -> ModelSpec:
    """The whole ``model.json`` of a network trained with ``config``."""
    return ModelSpec(
        name=name,
        architecture="detectnet_v2",
        input=input_spec(config),
        outputs=OutputSpec(coverage=COVERAGE_NAME, boxes=BOXES_NAME),
        classes=config.classes,
        stride=config.targets.stride,
        box_scale=config.targets.box_scale,
        box_offset=config.targets.box_offset,
        clustering=clustering_spec(config),
        score_threshold=config.export.score_threshold,
        training=training,
        metrics=metrics,
    )
