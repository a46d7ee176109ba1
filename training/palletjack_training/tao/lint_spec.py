"""Traps that a spec file shows by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from palletjack_training.tao.findings import Finding
from palletjack_training.tao.schema import CONVERSION, EXPERIMENT, Spec, SpecError, read_spec

# TAO 5.0, cv/detectnet_v2/spec_handler/constants.py: lowest and highest, None where a side is open. Fields
# named here are checked wherever they occur. Those in _POSITIVE must be more than 0.
_UNIT = [
    "cov_center_x",
    "cov_center_y",
    "cov_radius_x",
    "cov_radius_y",
    "bbox_min_radius",
    "deadzone_radius",
    "coverage_threshold",
    "nms_iou_threshold",
    "nms_confidence_threshold",
    "dbscan_eps",
    "dbscan_min_samples",
    "dbscan_confidence_threshold",
    "hflip_probability",
    "vflip_probability",
    "color_shift_stddev",
    "saturation_shift_max",
    "contrast_scale_max",
    "contrast_center",
    "soft_start",
    "annealing",
]
_POSITIVE = [
    "batch_size_per_gpu",
    "num_epochs",
    "min_learning_rate",
    "max_learning_rate",
    "output_image_width",
    "output_image_height",
    "epsilon",
    "beta1",
    "beta2",
    "initial_exponent",
    "increment",
    "decrement",
    "maximum_height",
    "maximum_width",
    "validation_period_during_training",
    "first_validation_epoch",
]
_ARCHITECTURES = [
    "resnet",
    "vgg",
    "darknet",
    "mobilenet_v1",
    "mobilenet_v2",
    "squeezenet",
    "googlenet",
    "efficientnet_b0",
]


def load(path: Path, version: str) -> tuple[Spec | None, list[Finding]]:
    """Parse ``path``; a 4.0 spec given as 5.x is read all the same, so that the rest of it is looked at."""
    try:
        return read_spec(path, version), []
    except SpecError as error:
        message = str(error).removeprefix(f"{path}:").strip()
        if version != "4.0":
            try:
                old = read_spec(path, "4.0")
            except SpecError:
                return None, [Finding("TAO001", str(path), message.rstrip("."))]
            line = message.split(" ")[0].rstrip(":")
            return old, [Finding("TAO002", f"{path}:{line}:dbscan_min_samples", message.rsplit(": ", 1)[-1])]
        return None, [Finding("TAO001", str(path), message.rstrip("."))]


def lint_spec(spec: Spec) -> Iterator[Finding]:
    """Findings that need nothing but the spec."""
    yield from _ranges(spec)
    if spec.kind == EXPERIMENT:
        yield from _sizes(spec)
        yield from _classes(spec)
        yield from _dataset(spec)
        yield from _training(spec)
        yield from _model(spec)
    elif spec.kind == CONVERSION:
        kitti = spec.message.kitti_config
        if kitti.image_extension and not kitti.image_extension.startswith("."):
            yield Finding(
                "TAO028",
                f"{spec.path}:kitti_config.image_extension",
                f"{kitti.image_extension!r} needs its dot here",
            )
    else:
        config = spec.message.inferencer_config
        for name, value in (("image_width", config.image_width), ("image_height", config.image_height)):
            if value % 16:
                yield Finding("TAO008", f"{spec.path}:inferencer_config.{name}", str(value))
        for name, entry in spec.message.bbox_handler_config.classwise_bbox_handler_config.items():
            if entry.confidence_model == "mean_cov":
                place = f"{spec.path}:bbox_handler_config.classwise_bbox_handler_config[{name}]"
                yield Finding("TAO035", f"{place}.confidence_model", "mean_cov")
    yield from _clustering(spec)


def walk(message: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every scalar that is set: dotted path, field name, value; map keys stand in brackets."""
    for field, value in message.ListFields():
        here = f"{path}.{field.name}" if path else field.name
        if field.message_type is None:
            yield here, field.name, value
        elif field.message_type.GetOptions().map_entry:
            for key in value:
                if hasattr(value[key], "ListFields"):
                    yield from walk(value[key], f"{here}[{key}]")
                else:
                    yield f"{here}[{key}]", field.name, value[key]
        elif hasattr(value, "ListFields"):
            yield from walk(value, here)
        else:
            for number, item in enumerate(value):
                yield from walk(item, f"{here}[{number}]")


def _ranges(spec: Spec) -> Iterator[Finding]:
    for path, name, value in walk(spec.message):
        if name in _UNIT and not 0 <= value <= 1:
            yield Finding("TAO023", f"{spec.path}:{path}", f"expected 0 to 1, found {value:g}")
        elif name in _POSITIVE and value <= 0:
            yield Finding("TAO023", f"{spec.path}:{path}", f"expected more than 0, found {value:g}")


def _sizes(spec: Spec) -> Iterator[Finding]:
    preprocessing = spec.message.augmentation_config.preprocessing
    for name in ("output_image_width", "output_image_height"):
        value = getattr(preprocessing, name)
        if value % 16 or not value:
            yield Finding("TAO008", f"{spec.path}:augmentation_config.preprocessing.{name}", str(value))
    if spec.message.dataset_config.dataloader_mode == 0:
        for name in ("min_bbox_width", "min_bbox_height"):
            value = getattr(preprocessing, name)
            if value > 1:
                yield Finding("TAO017", f"{spec.path}:augmentation_config.preprocessing.{name}", f"{value:g}")
        flip = spec.message.augmentation_config.spatial_augmentation.vflip_probability
        if flip:
            place = f"{spec.path}:augmentation_config.spatial_augmentation.vflip_probability"
            yield Finding("TAO024", place, f"{flip:g}")


def _classes(spec: Spec) -> Iterator[Finding]:
    message = spec.message
    mapping = dict(message.dataset_config.target_class_mapping)
    for name in mapping:
        if name != name.lower():
            yield Finding("TAO009", f"{spec.path}:dataset_config.target_class_mapping", f"{name!r}")
    wanted = set(mapping.values())
    sections = {
        "postprocessing_config.target_class_config": set(message.postprocessing_config.target_class_config),
        "bbox_rasterizer_config.target_class_config": set(message.bbox_rasterizer_config.target_class_config),
        "cost_function_config.target_classes": {
            item.name for item in message.cost_function_config.target_classes
        },
        "evaluation_config.minimum_detection_ground_truth_overlap": set(
            message.evaluation_config.minimum_detection_ground_truth_overlap
        ),
    }
    for path, names in sections.items():
        # The rasterizer may name more: entries without a mapped class are never looked up.
        missing = wanted - names
        extra = set() if path.startswith("bbox_raster") else names - wanted
        if wanted and (missing or extra):
            yield Finding(
                "TAO027", f"{spec.path}:{path}", f"expected {sorted(wanted)}, found {sorted(names)}"
            )


def _dataset(spec: Spec) -> Iterator[Finding]:
    for number, source in enumerate(spec.message.dataset_config.data_sources):
        if _meets_warning(source.tfrecords_path):
            place = f"{spec.path}:dataset_config.data_sources[{number}].tfrecords_path"
            yield Finding("TAO003", place, source.tfrecords_path)


def _meets_warning(pattern: str) -> bool:
    """Whether the last part of a pattern would take ``<prefix>_warning.json`` as well as a shard."""
    leaf = pattern.rsplit("/", 1)[-1]
    return bool(re.search(r"\*", leaf)) and "fold" not in leaf and "shard" not in leaf


def _training(spec: Spec) -> Iterator[Finding]:
    training = spec.message.training_config
    visualizer = training.visualizer
    if visualizer.enabled and visualizer.infrequent_logging_frequency > training.num_epochs:
        yield Finding(
            "TAO006",
            f"{spec.path}:training_config.visualizer.infrequent_logging_frequency",
            f"{visualizer.infrequent_logging_frequency} with {training.num_epochs} epochs",
        )
    if spec.message.evaluation_config.average_precision_mode == 1:
        yield Finding("TAO016", f"{spec.path}:evaluation_config.average_precision_mode", "INTEGRATE")


def _model(spec: Spec) -> Iterator[Finding]:
    model = spec.message.model_config
    if model.arch and model.arch not in _ARCHITECTURES:
        yield Finding(
            "TAO023", f"{spec.path}:model_config.arch", f"expected {_ARCHITECTURES}, found {model.arch!r}"
        )
    if "prune" in model.pretrained_model_file.lower() and not model.load_graph:
        yield Finding("TAO025", f"{spec.path}:model_config.load_graph", model.pretrained_model_file)
    if model.use_pooling:
        yield Finding("TAO029", f"{spec.path}:model_config.use_pooling", "true")
    if spec.message.training_config.enable_qat and model.arch.startswith("mobilenet"):
        yield Finding("TAO031", f"{spec.path}:training_config.enable_qat", f"true with arch {model.arch}")


def _clustering(spec: Spec) -> Iterator[Finding]:
    message = spec.message
    if spec.kind != EXPERIMENT:
        return
    for name, entry in message.postprocessing_config.target_class_config.items():
        config = entry.clustering_config
        if config.dbscan_confidence_threshold != config.nms_confidence_threshold:
            yield Finding(
                "TAO015",
                f"{spec.path}:postprocessing_config.target_class_config[{name}].clustering_config",
                f"dbscan {config.dbscan_confidence_threshold:g}, nms {config.nms_confidence_threshold:g}",
            )
