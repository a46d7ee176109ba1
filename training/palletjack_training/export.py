"""Averaged weights to a model folder: one ONNX graph with TAO's tensor names, and ``model.json``.

Batch normalization is folded into the convolutions, the sigmoid is part of the graph, the batch size
is free. The graph is compared with the network in ONNX Runtime before the folder is written.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from palletjack_detection.model_folder import ONNX_NAME, VARIANTS, ModelSpec, write_model_folder
from palletjack_training.backbones.conv_norm import ConvNorm
from palletjack_training.compression.rebuild import rebuild_network
from palletjack_training.compression.rounding import QuantizationError
from palletjack_training.config import TrainingConfig
from palletjack_training.deepstream import for_tensorrt, write_deepstream
from palletjack_training.model_spec import BOXES_NAME, COVERAGE_NAME, INPUT_NAME, model_spec
from palletjack_training.network import DetectNet, ExportableDetectNet
from palletjack_training.onnx_graph import OPSET, export_graph
from palletjack_training.onnx_metadata import stamp_file
from palletjack_training.weights_file import Weights, is_quantized

if TYPE_CHECKING:
    from palletjack_training.compression.int8_export import VariantDifference

CALIBRATION_NAME = "cal.json"
TOLERANCE = 1e-4


class ExportError(RuntimeError):
    """The exported graph does not do what the network does."""


@dataclass(frozen=True)
class ExportResult:
    """What was written, and by how much ONNX Runtime and PyTorch differ at most.

    ``variants`` are the differences of the INT8 graphs of a quantized network from its rounded form.
    """

    spec: ModelSpec
    coverage_difference: float
    box_difference: float
    variants: Mapping[str, VariantDifference] = field(default_factory=dict)


def export_model(
    weights: Weights,
    out: Path,
    name: str,
    *,
    threshold: float | None = None,
    metrics: dict[str, Any] | None = None,
) -> ExportResult:
    """Write the model folder ``out``.

    ``threshold`` replaces the configured score threshold; ``metrics`` are added to those of the run.
    Raises WeightsError if the weights do not fit their configuration, ExportError if ONNX Runtime
    gives other numbers than PyTorch. An existing folder is replaced only by a checked one.
    """
    config = weights.config
    if threshold is not None:
        config = config.model_copy(
            update={"export": config.export.model_copy(update={"score_threshold": threshold})}
        )
    network = restore_network(weights)
    training = {
        **{key: value for key, value in weights.provenance.items() if key != "validation"},
        "config": _shareable(config),
        "exported_with": f"torch {torch.__version__}, opset {OPSET}",
    }
    measured = {"synthetic_validation": weights.provenance.get("validation", {}), **(metrics or {})}
    spec = model_spec(config, name, training, measured)
    with tempfile.TemporaryDirectory() as folder:
        if is_quantized(weights.state):
            return _write_quantized(network, config, spec, Path(folder), out)
        path = Path(folder) / "model.onnx"
        write_onnx(network, config, path)
        coverage, boxes = _compare_or_refuse(network, path, config, out)
        stamp_file(path, spec)
        spec = write_model_folder(spec, path, out)
    # Ranges of a network that lay here before are not those of this one.
    (out / CALIBRATION_NAME).unlink(missing_ok=True)
    _renew_the_rest(spec, out)
    return ExportResult(spec, coverage, boxes)


def _renew_the_rest(spec: ModelSpec, out: Path) -> None:
    """Remove networks of a model that lay in ``out`` before, and describe the new one to DeepStream."""
    named = {ONNX_NAME, *(variant.file for variant in spec.variants.values())}
    for variant in VARIANTS:
        if (name := f"model_{variant}.onnx") not in named:
            (out / name).unlink(missing_ok=True)
    folder = out / "deepstream"
    if folder.is_dir():
        for path in folder.glob("config_infer*.txt"):
            path.unlink()
        write_deepstream(out, spec, for_tensorrt(spec), folder)


def _compare_or_refuse(
    network: DetectNet, path: Path, config: TrainingConfig, out: Path
) -> tuple[float, float]:
    coverage, boxes = compare(network, path, config)
    if not (coverage <= TOLERANCE and boxes <= TOLERANCE):
        raise ExportError(
            f"{out}: not written: ONNX Runtime and PyTorch differ by {coverage:.2e} in coverage and "
            f"{boxes:.2e} in boxes (at most {TOLERANCE:.0e})"
        )
    return coverage, boxes


def _write_quantized(
    network: DetectNet, config: TrainingConfig, spec: ModelSpec, folder: Path, out: Path
) -> ExportResult:
    """Write all forms of a quantized network; INT8 is the model's own precision."""
    # Imported here, for it needs a library that networks without quantizers do not.
    from palletjack_training.compression.int8_export import (
        LARGEST_STEPS,
        compare_variants,
        unrounded,
        write_calibration,
        write_graphs,
    )

    files = write_graphs(network, config, folder)
    coverage, boxes = _compare_or_refuse(unrounded(network), files.plain, config, out)
    differences = compare_variants(network, files, config)
    for name, difference in differences.items():
        if not difference.is_small:
            raise ExportError(
                f"{out}: not written: {name}: differs from the trained network by {difference.steps:.2f} "
                f"steps at {difference.layer} (at most {LARGEST_STEPS}) and by {difference.heads:.1e} in "
                "the heads"
            )
    stamp_file(files.plain, spec)
    for path in files.variants.values():
        stamp_file(path, spec, "int8")
    spec = write_model_folder(replace(spec, precision="int8"), files.plain, out, files.variants)
    write_calibration(files.scales, out / CALIBRATION_NAME)
    _renew_the_rest(spec, out)
    return ExportResult(spec, coverage, boxes, differences)


def _shareable(config: TrainingConfig) -> dict[str, Any]:
    """The configuration without the folders of the machine that trained."""
    content = config.model_dump(mode="json")
    content["network"]["weights"] = Path(config.network.weights).name
    return content


def restore_network(weights: Weights) -> DetectNet:
    """The network of ``weights``, ready for inference. Raises WeightsError if they do not fit."""
    return rebuild_network(weights.config, weights.state).eval()


def fold_normalization(network: nn.Module) -> nn.Module:
    """A copy of ``network`` with every normalization folded into its convolution."""
    folded = copy.deepcopy(network).eval()
    for layer in list(folded.modules()):
        for name, child in layer.named_children():
            if isinstance(child, ConvNorm):
                setattr(layer, name, _folded(child))
    return folded


@torch.no_grad()
def _folded(layer: ConvNorm) -> nn.Sequential:
    kernel, bias = layer.folded()
    conv = layer.conv
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        groups=conv.groups,
    )
    plain.weight.copy_(kernel)
    assert plain.bias is not None
    plain.bias.copy_(bias)
    return nn.Sequential(plain, layer.activation)


def write_onnx(network: DetectNet, config: TrainingConfig, path: Path) -> None:
    """Write the deployed graph; the same weights give the same bytes.

    Raises QuantizationError for a network that rounds: its files come from ``int8_export.write_graphs``.
    """
    if is_quantized(network.state_dict()):
        raise QuantizationError("expected weights without quantization, found them quantized")
    export_graph(fold_normalization(network), config, path)  # type: ignore[arg-type]
    onnx.checker.check_model(onnx.load(str(path)))


def compare(network: DetectNet, path: Path, config: TrainingConfig) -> tuple[float, float]:
    """Largest differences of coverage and of box distances between the network and its ONNX graph.

    In proportion to the largest value where that is more than 1 (for boxes: 35 px): so rounding errors go.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    images = rng.random((2, 3, config.input.height, config.input.width), np.float32)
    found = session.run([COVERAGE_NAME, BOXES_NAME], {INPUT_NAME: images})
    with torch.no_grad():
        wanted: tuple[Tensor, Tensor] = ExportableDetectNet(network).eval()(torch.from_numpy(images))
    rows, columns = config.grid
    for name, array, channels in zip((COVERAGE_NAME, BOXES_NAME), found, (1, 4), strict=True):
        shape = (2, channels * len(config.classes), rows, columns)
        if array.shape != shape:
            raise ExportError(f"{name}: expected shape {shape}, found {array.shape}")
    coverage, boxes = (
        float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))
        for ours, theirs in zip(found, (tensor.numpy() for tensor in wanted), strict=True)
    )
    return coverage, boxes
