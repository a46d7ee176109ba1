"""How far the forms of one network differ: PyTorch, ONNX in each precision, and the ROS node.

All run through the robot's own detector library, on the same images, so that only the network differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from palletjack_detection.detector import Detector, precision_here
from palletjack_detection.engine import Batch, Engine, OnnxRuntimeEngine
from palletjack_detection.image_files import ImageFileError, read_image
from palletjack_detection.model_folder import ONNX_NAME, ModelSpec, load_model_spec
from palletjack_training.evaluation.ground_truth import GroundTruth
from palletjack_training.evaluation.inference import SCORE_FLOOR
from palletjack_training.evaluation.predictions import Predictions, Row, to_rows
from palletjack_training.evaluation.scoring import overlap_shares, score
from palletjack_training.export import restore_network
from palletjack_training.network import DetectNet, ExportableDetectNet
from palletjack_training.weights_file import Weights, load_weights

FloatArray = NDArray[np.float32]
PYTORCH, ONNX = "pytorch", "onnx"
_SAME_OBJECT = 0.5


class ParityError(ValueError):
    """A checkpoint and a model folder that cannot be of the same network; the message names both."""


class TorchEngine:
    """The training graph behind the robot's interface."""

    provider = "PyTorch"
    takes_pixels = False

    def __init__(self, network: DetectNet) -> None:
        self._graph = ExportableDetectNet(network).eval()

    def run(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """See ``palletjack_detection.engine.Engine``."""
        with torch.no_grad():
            coverage, boxes = self._graph(torch.from_numpy(batch))
        return coverage.numpy(), boxes.numpy()


@dataclass
class _Form:
    """One form of the network and what it answered: rows by image, and coverage's distance from the first."""

    detector: Detector
    predictions: Predictions = field(default_factory=dict)
    coverage_max: float = 0.0
    coverage_sum: float = 0.0


def compare_forms(
    checkpoint: Path | None,
    model: Path,
    truth: GroundTruth,
    *,
    node_predictions: Predictions | None = None,
    node_precision: str = "auto",
    on_image: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Run every form over the images of ``truth`` and return the report, for the model's first class.

    The forms are ``pytorch`` (where there is a ``checkpoint``), ``onnx`` (model.onnx) and ``onnx_NAME`` for
    each variant; the first is what the others are compared with. ``node_predictions`` are what the ROS node
    published; it is compared with the form that it runs on a processor in ``node_precision`` (``auto``: as a
    node on this machine would).

    Raises:
        ParityError: the checkpoint's classes or input are not the folder's, or there is but one form.
        WeightsError, ModelFolderError, EngineError: a form cannot be loaded.
    """
    spec = load_model_spec(model)
    engines: dict[str, Engine] = {}
    if checkpoint is not None:
        weights = load_weights(checkpoint)
        _refuse_strangers(weights, spec, checkpoint, model)
        engines[PYTORCH] = TorchEngine(restore_network(weights))
    files = {ONNX: ONNX_NAME, **{f"{ONNX}_{name}": item.file for name, item in spec.variants.items()}}
    for name, file in files.items():
        engines[name] = OnnxRuntimeEngine(model / file, spec, providers=["CPUExecutionProvider"])
    if len(engines) == 1 and node_predictions is None:
        raise ParityError(f"{model}: holds {ONNX_NAME} alone: expected a checkpoint to compare it with")
    forms = {
        name: _Form(Detector(spec, engine, score_threshold=SCORE_FLOOR)) for name, engine in engines.items()
    }
    read = _run(forms, truth, on_image)
    first = next(iter(forms))
    report = {
        name: {
            **({} if name == first else _coverage(form, read)),
            **_summary(truth, form.predictions, forms[first].predictions, spec.score_threshold),
        }
        for name, form in forms.items()
    }
    if node_predictions is not None:
        ran = spec.network_file(precision_here(spec) if node_precision == "auto" else node_precision)
        same = next(name for name, file in files.items() if file == ran)
        # A node publishes from its threshold up, so its AP is of that part of the curve only.
        report["node"] = {
            "compared_with": same,
            **_summary(truth, node_predictions, forms[same].predictions, spec.score_threshold),
        }
    return {
        "model": spec.name,
        "images": read,
        "threshold": spec.score_threshold,
        "reference": first,
        "forms": report,
    }


def _refuse_strangers(weights: Weights, spec: ModelSpec, checkpoint: Path, model: Path) -> None:
    config = weights.config
    for name, ours, theirs in (
        ("classes", config.classes, spec.classes),
        ("input", (config.input.width, config.input.height), (spec.input.width, spec.input.height)),
    ):
        if ours != theirs:
            raise ParityError(f"{checkpoint}: {name}: expected {theirs} as in {model}, found {ours}")


def _run(forms: Mapping[str, _Form], truth: GroundTruth, on_image: Callable[[str], None] | None) -> int:
    """Answer every readable image with every form; return how many there were."""
    read = 0
    for name in truth.images:
        try:
            image = read_image(truth.image_dir / name)
        except ImageFileError:
            continue
        read += 1
        wanted: FloatArray | None = None
        for form in forms.values():
            batch, geometry = form.detector.prepare(image)
            coverage, boxes = form.detector.engine.run(batch)
            form.predictions[name] = to_rows(form.detector.decode(coverage[0], boxes[0], geometry))
            wanted = coverage if wanted is None else wanted
            difference = np.abs(coverage - wanted)
            form.coverage_max = max(form.coverage_max, float(difference.max()))
            form.coverage_sum += float(difference.mean())
        if on_image is not None:
            on_image(name)
    return read


def _coverage(form: _Form, images: int) -> dict[str, float]:
    return {
        "coverage_max_difference": form.coverage_max,
        "coverage_mean_difference": form.coverage_sum / max(images, 1),
    }


def _summary(
    truth: GroundTruth, predictions: Predictions, reference: Predictions, threshold: float
) -> dict[str, Any]:
    scores = score(truth.images, predictions, threshold)
    return {
        "ap50": scores["ap50"],
        "ap50_95": scores["ap50_95"],
        "f1": scores["at_threshold"]["f1"],
        "boxes": compare_boxes(predictions, reference, threshold),
    }


def compare_boxes(predictions: Predictions, reference: Predictions, threshold: float) -> dict[str, Any]:
    """Pair boxes of at least ``threshold``, best overlap first, from IoU 0.5 up, and measure their edges.

    ``edge_px`` is the largest difference of the four edges of a pair, in pixels of the image.
    """
    edges: list[float] = []
    lonely, missing = 0, 0
    for name in sorted({*predictions, *reference}):
        ours, theirs = (_above(rows.get(name, []), threshold) for rows in (predictions, reference))
        iou, _ = overlap_shares(ours, theirs)
        pairs = 0
        while iou.size and iou.max() >= _SAME_OBJECT:
            row, column = np.unravel_index(int(iou.argmax()), iou.shape)
            edges.append(float(np.abs(ours[row] - theirs[column]).max()))
            iou[row], iou[:, column] = -1.0, -1.0
            pairs += 1
        lonely, missing = lonely + len(ours) - pairs, missing + len(theirs) - pairs
    return {
        "paired": len(edges),
        "only_here": lonely,
        "only_in_reference": missing,
        "edge_px_mean": float(np.mean(edges)) if edges else 0.0,
        "edge_px_max": max(edges, default=0.0),
    }


def _above(rows: list[Row], threshold: float) -> NDArray[np.float64]:
    return np.array([row[:4] for row in rows if row[4] >= threshold], np.float64).reshape(-1, 4)


def table(report: Mapping[str, Any]) -> str:
    """The report as lines of text."""
    header = ("form", "coverage max", "mean", "edge px max", "mean", "paired", "extra", "lost", "AP50", "F1")
    lines = [header]
    for name, form in report["forms"].items():
        boxes = form["boxes"]
        coverage = [form.get(f"coverage_{kind}_difference") for kind in ("max", "mean")]
        lines.append(
            (
                name,
                *("-" if value is None else f"{value:.1e}" for value in coverage),
                f"{boxes['edge_px_max']:.2f}",
                f"{boxes['edge_px_mean']:.2f}",
                *(str(boxes[key]) for key in ("paired", "only_here", "only_in_reference")),
                f"{form['ap50']:.3f}",
                f"{form['f1']:.3f}",
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
