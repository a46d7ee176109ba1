"""The files of a quantized network, each compared with the network before it is shipped."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from palletjack_training.compression.int8_graph import realize, tensor_scales
from palletjack_training.compression.marked_graph import marked_graph
from palletjack_training.compression.quantizers import Quantizer
from palletjack_training.config import TrainingConfig
from palletjack_training.model_spec import BOXES_NAME, COVERAGE_NAME, INPUT_NAME
from palletjack_training.network import DetectNet, ExportableDetectNet

# In parts of what rounding itself does to the outputs (root mean square). A graph with the same levels
# differs where a value lies between two of them, which sixty layers later is noise nearly as large as
# rounding's own; one with finer levels is about as far from the unrounded network as the rounded one is. A
# wrong scale, zero point or bias costs several times as much.
LARGEST_SHARE = 1.5

Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class VariantDifference:
    """How far a graph is from the network that was trained, which rounds as TensorRT does.

    Largest differences of coverage and of box edges in pixels of the network's input; and the share of
    root mean squares (the larger of both outputs) that must not be above LARGEST_SHARE.
    """

    coverage: float
    box_px: float
    share: float

    @property
    def is_small(self) -> bool:
        """Whether the graph is good enough to be shipped."""
        return self.share <= LARGEST_SHARE


@dataclass(frozen=True)
class QuantizedFiles:
    """The FP32 graph, the INT8 graphs by name of their variant, and the ranges by tensor of the former."""

    plain: Path
    variants: Mapping[str, Path]
    scales: Mapping[str, float]


def write_graphs(network: DetectNet, config: TrainingConfig, folder: Path) -> QuantizedFiles:
    """Write model.onnx, model_int8.onnx and model_int8_cpu.onnx of a quantized ``network``."""
    marked = marked_graph(network, config, folder / "marked.onnx")
    paths = {}
    for target, name in (("float", "model"), ("int8", "model_int8"), ("int8_cpu", "model_int8_cpu")):
        paths[target] = folder / f"{name}.onnx"
        onnx.save(realize(marked, target), str(paths[target]))  # type: ignore[arg-type]
    return QuantizedFiles(paths.pop("float"), paths, tensor_scales(marked))


def unrounded(network: DetectNet) -> DetectNet:
    """A copy of a quantized ``network`` that does not round: what its FP32 graph computes."""
    plain = copy.deepcopy(network)
    for layer in plain.modules():
        if isinstance(layer, Quantizer):
            layer.disable()
    return plain


def compare_variants(
    network: DetectNet, files: QuantizedFiles, config: TrainingConfig
) -> dict[str, VariantDifference]:
    """Run each INT8 graph and the network on the same made-up pictures."""
    pictures = _pictures(config)
    rounded, plain = (_run_network(form, pictures) for form in (network, unrounded(network)))
    noise = [_rms(a - b) for a, b in zip(rounded, plain, strict=True)]
    differences = {}
    for name, path in files.variants.items():
        found = _run_graph(path, pictures)
        reference = rounded if name == "int8" else plain
        shares = [_rms(a - b) / max(scale, 1e-9) for a, b, scale in zip(found, reference, noise, strict=True)]
        coverage, boxes = (float(np.abs(a - b).max()) for a, b in zip(found, rounded, strict=True))
        differences[name] = VariantDifference(
            coverage,
            boxes * config.targets.box_scale,
            max(shares),
        )
    return differences


def write_calibration(scales: Mapping[str, float], path: Path) -> None:
    """Write ``path`` as TAO's cal.json: the range of each tensor of model.onnx."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps({"tensor_scales": dict(scales)}, indent=2) + "\n")
    temporary.replace(path)


def _pictures(config: TrainingConfig) -> NDArray[np.float32]:
    """Two pictures (2, 3, H, W) in 0..1 with coarse and fine structure, always the same."""
    rng = np.random.default_rng(0)
    height, width = config.input.height, config.input.width
    coarse = torch.from_numpy(rng.random((2, 3, height // 32, width // 32), np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").numpy()
    return np.clip(smooth + rng.normal(0, 0.05, smooth.shape), 0, 1).astype(np.float32)


def _run_network(network: DetectNet, pictures: NDArray[np.float32]) -> Outputs:
    with torch.no_grad():
        outputs: tuple[Tensor, Tensor] = ExportableDetectNet(network).eval()(torch.from_numpy(pictures))
    return outputs[0].numpy(), outputs[1].numpy()


def _run_graph(path: Path, pictures: NDArray[np.float32]) -> Outputs:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    coverage, boxes = session.run([COVERAGE_NAME, BOXES_NAME], {INPUT_NAME: pictures})
    return coverage, boxes


def _rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
