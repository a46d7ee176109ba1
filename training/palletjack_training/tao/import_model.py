"""A network that TAO exported as a model folder of ours."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palletjack_detection.model_folder import (
    ClusteringSpec,
    InputSpec,
    ModelSpec,
    OutputSpec,
    write_model_folder,
)
from palletjack_training.model_spec import BOXES_NAME, COVERAGE_NAME, INPUT_NAME
from palletjack_training.tao.onnx_route import RouteError, check_names, load_graph, static_shape
from palletjack_training.tao.schema import EXPERIMENT, Spec

STRIDE, BOX_SCALE, BOX_OFFSET = 16, 35.0, 0.5
CAL_JSON = "cal.json"


class ImportModelError(ValueError):
    """Files of TAO that do not make a model; the message names the file, what was expected and found."""


@dataclass(frozen=True)
class Imported:
    """What was written, how many scales of cal.json were kept, and classes whose own clustering was not."""

    spec: ModelSpec
    scales: int
    other_clustering: tuple[str, ...] = ()


def import_model(
    onnx_path: Path,
    out: Path,
    *,
    name: str,
    classes: tuple[str, ...],
    threshold: float,
    spec: Spec | None = None,
    cal_json: Path | None = None,
) -> Imported:
    """Write the model folder ``out`` for TAO's ``onnx_path``.

    Sizes come from the graph; clustering, box scale and offset from the training ``spec`` where there is one,
    else TAO's usual numbers. ``threshold`` is on the mean coverage of a cluster: TAO's own, on the sum, does
    not carry over.

    Raises:
        ImportModelError: the spec, the classes or cal.json do not fit the graph.
        RouteError: the graph is not one of the tf2onnx route.
        OSError: a file cannot be read or written.
    """
    graph = load_graph(onnx_path)
    check_names(graph, onnx_path)
    _, height, width = static_shape(next(item for item in graph.input if item.name == INPUT_NAME), onnx_path)
    shapes = {item.name: static_shape(item, onnx_path) for item in graph.output}
    expected = {
        COVERAGE_NAME: (len(classes), height // STRIDE, width // STRIDE),
        BOXES_NAME: (4 * len(classes), height // STRIDE, width // STRIDE),
    }
    for tensor, shape in expected.items():
        if shapes[tensor] != shape:
            raise ImportModelError(
                f"{onnx_path}: {tensor}: expected {shape} for {len(classes)} classes, found {shapes[tensor]}"
            )
    scales = None if cal_json is None else read_scales(cal_json, graph)
    model = ModelSpec(
        name=name,
        architecture="detectnet_v2",
        input=InputSpec(
            name=INPUT_NAME,
            width=width,
            height=height,
            channels="rgb",
            scale=1 / 255,
            mean=(0.0, 0.0, 0.0),
            stddev=(1.0, 1.0, 1.0),
            resize="stretch",
        ),
        outputs=OutputSpec(coverage=COVERAGE_NAME, boxes=BOXES_NAME),
        classes=classes,
        stride=STRIDE,
        box_scale=_objective(spec, "scale", BOX_SCALE),
        box_offset=_objective(spec, "offset", BOX_OFFSET),
        clustering=_clustering(spec, classes),
        score_threshold=threshold,
        training={"trained_with": "NVIDIA TAO DetectNet_v2", "exported_as": onnx_path.name},
    )
    written = write_model_folder(model, onnx_path, out)
    if cal_json is not None:
        _copy(cal_json, out / CAL_JSON)
    return Imported(written, len(scales or ()), _other_clustering(spec, classes))


def spec_classes(spec: Spec) -> tuple[str, ...]:
    """The network's classes in channel order: the order of cost_function_config.

    Raises:
        ImportModelError: it is no training spec, or names none.
    """
    if spec.kind != EXPERIMENT:
        raise ImportModelError(f"{spec.path}: expected a training spec, found {spec.kind}")
    names = tuple(item.name for item in spec.message.cost_function_config.target_classes)
    if not names:
        raise ImportModelError(
            f"{spec.path}: cost_function_config.target_classes: expected classes, found none"
        )
    return names


def read_scales(path: Path, graph: Any) -> dict[str, float]:
    """The tensor scales of a cal.json, each of a tensor that the graph has.

    Raises:
        ImportModelError: not TAO's form, a scale that is not positive, or a tensor of another graph.
    """
    try:
        scales = json.loads(path.read_text(encoding="utf-8"))["tensor_scales"]
        found = {str(name): float(value) for name, value in scales.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ImportModelError(f'{path}: expected {{"tensor_scales": {{tensor: scale}}}}') from None
    tensors = {item.name for item in graph.input} | {name for node in graph.node for name in node.output}
    unknown = sorted(set(found) - tensors)
    if unknown:
        raise ImportModelError(
            f"{path}: tensor_scales: expected tensors of the graph, found {len(unknown)} others, "
            f"such as {unknown[0]!r}: the file belongs to another export"
        )
    wrong = [name for name, value in found.items() if not 0 < value < float("inf")]
    if wrong:
        raise ImportModelError(
            f"{path}: tensor_scales.{wrong[0]}: expected more than 0, found {found[wrong[0]]}"
        )
    return found


def _objective(spec: Spec | None, name: str, usual: float) -> float:
    if spec is None:
        return usual
    bbox = spec.message.model_config.objective_set.bbox
    return round(float(getattr(bbox, name)), 6) if bbox.scale else usual


def _clustering(spec: Spec | None, classes: tuple[str, ...]) -> ClusteringSpec:
    if spec is None:
        return ClusteringSpec(
            method="dbscan",
            coverage_threshold=0.005,
            eps=0.15,
            min_samples=1.0,
            score="mean",
            minimum_height=20.0,
        )
    entries = spec.message.postprocessing_config.target_class_config
    if classes[0] not in entries:
        raise ImportModelError(
            f"{spec.path}: postprocessing_config.target_class_config: expected {classes[0]!r}, "
            f"found {', '.join(entries) or 'none'}"
        )
    config = entries[classes[0]].clustering_config
    # 5.x counts with a whole number of at least 1 whatever it reads; 4.0 takes the share as given.
    samples = (
        float(config.dbscan_min_samples)
        if spec.version == "4.0"
        else max(float(config.dbscan_min_samples), 1.0)
    )
    return ClusteringSpec(
        method="nms" if config.clustering_algorithm == config.NMS else "dbscan",
        coverage_threshold=round(config.coverage_threshold, 6),
        iou_threshold=round(config.nms_iou_threshold, 6) or 0.5,
        eps=round(config.dbscan_eps, 6),
        min_samples=round(samples, 6),
        score="mean",
        minimum_height=float(config.minimum_bounding_box_height),
    )


def _other_clustering(spec: Spec | None, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Classes whose clustering differs from the first one's, which is what a model folder has room for."""
    if spec is None:
        return ()
    entries = spec.message.postprocessing_config.target_class_config
    first = entries[classes[0]].clustering_config
    return tuple(name for name in classes[1:] if name in entries and entries[name].clustering_config != first)


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


__all__ = ["ImportModelError", "Imported", "RouteError", "import_model", "read_scales", "spec_classes"]
