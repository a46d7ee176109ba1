"""The files of a quantized network, each compared with the network before it is shipped."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palletjack_detection.engine import PIXEL_BYTES
from palletjack_training.compression.int8_graph import realize, tensor_scales
from palletjack_training.compression.marked_graph import ROUND, marked_graph
from palletjack_training.compression.quantizers import Quantizer
from palletjack_training.compression.rounding import LEVELS
from palletjack_training.config import TrainingConfig
from palletjack_training.model_spec import BOXES_NAME, COVERAGE_NAME, INPUT_NAME
from palletjack_training.network import DetectNet, ExportableDetectNet

# In steps between levels: a value may lie between two of them, and finer levels lie in between.
LARGEST_STEPS = 1.01
# Of the heads, which are not rounded.
_HEAD_TOLERANCE = 1e-3
_MARK_RESULT = f"/{ROUND}_output_0"


@dataclass(frozen=True)
class VariantDifference:
    """How far a graph is from the network that was trained, which rounds as TensorRT does.

    ``steps`` is the largest difference of any layer, given the same input, in steps of its levels, and
    ``layer`` where that is; ``heads`` the same of the outputs, as a number. ``coverage`` is the largest
    difference of coverage where those of all layers have added up.
    """

    steps: float
    layer: str
    heads: float
    coverage: float

    @property
    def is_small(self) -> bool:
        """Whether each layer of the graph does what the network's does."""
        return self.steps <= LARGEST_STEPS and self.heads <= _HEAD_TOLERANCE


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
    """Run each INT8 graph and the network on the same made-up picture."""
    picture = _picture(config)
    with torch.no_grad():
        outputs: tuple[Tensor, Tensor] = ExportableDetectNet(network).eval()(torch.from_numpy(picture))
    differences = {}
    for name, path in files.variants.items():
        steps, heads = _compare_layers(network, path, picture)
        session = _session(str(path))
        (coverage,) = session.run([COVERAGE_NAME], {INPUT_NAME: _as_taken(picture, session)})
        worst = max(steps, key=steps.__getitem__)
        far = float(np.abs(coverage - outputs[0].numpy()).max())
        differences[name] = VariantDifference(steps[worst], worst, heads, far)
    return differences


def _compare_layers(
    network: DetectNet, path: Path, picture: NDArray[np.float32]
) -> tuple[dict[str, float], float]:
    """Largest difference of each layer in steps, and of the outputs.

    The network's layers are given what the graph's were given, so that differences do not add up. The
    graph runs as it is written, without the kernels of this processor.
    """
    model = onnx.load(str(path))
    exposed = {
        quantizer_name(name): name
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
        for name in node.output
        if name.endswith(_MARK_RESULT)
    }
    for name in exposed.values():
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    names = [COVERAGE_NAME, BOXES_NAME, *exposed.values()]
    session = _session(model.SerializeToString(), optimize=False)
    given = _as_taken(picture, session)
    found = dict(zip(names, session.run(names, {INPUT_NAME: given}), strict=True))
    steps: dict[str, float] = {}

    def take_over(name: str, quantizer: Quantizer) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def hook(layer: nn.Module, _: Any, output: Tensor) -> Tensor:
            # A graph for a processor may have channels of zeros behind those of the network.
            theirs = torch.from_numpy(found[exposed[name]][:, : output.shape[1]])
            steps[name] = float((output - theirs).abs().max()) * LEVELS / float(quantizer.amax)
            return theirs

        return hook

    hooks = [
        layer.register_forward_hook(take_over(name, layer))
        for name, layer in network.named_modules()
        if isinstance(layer, Quantizer) and layer.axis is None
    ]
    try:
        with torch.no_grad():
            outputs: tuple[Tensor, Tensor] = ExportableDetectNet(network).eval()(torch.from_numpy(picture))
    finally:
        for handle in hooks:
            handle.remove()
    heads = max(
        float(np.abs(found[name] - output.numpy()).max())
        for name, output in zip((COVERAGE_NAME, BOXES_NAME), outputs, strict=True)
    )
    return steps, heads


def quantizer_name(tensor: str) -> str:
    """The quantizer that rounds a tensor, such as ``/network/stages.0/stages.0.1/output_quantizer/...``."""
    parts: list[str] = []
    for part in tensor.removesuffix(_MARK_RESULT).split("/")[2:]:
        if parts and part.startswith(parts[-1] + "."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)


def write_calibration(scales: Mapping[str, float], path: Path) -> None:
    """Write ``path`` as TAO's cal.json: the range of each tensor of model.onnx."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps({"tensor_scales": dict(scales)}, indent=2) + "\n")
    temporary.replace(path)


def _picture(config: TrainingConfig) -> NDArray[np.float32]:
    """A picture (1, 3, H, W) in 0..1 with coarse and fine structure, in bytes over 255, always the same."""
    rng = np.random.default_rng(0)
    height, width = config.input.height, config.input.width
    coarse = torch.from_numpy(rng.random((1, 3, height // 32, width // 32), np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").numpy()
    whole = np.rint(255 * np.clip(smooth + rng.normal(0, 0.05, smooth.shape), 0, 1))
    return whole.astype(np.float32) * np.float32(1 / 255)


def _as_taken(picture: NDArray[np.float32], session: onnxruntime.InferenceSession) -> NDArray:
    """``picture`` as the graph takes it: as it is, or as bytes (1, H, W, 4)."""
    if session.get_inputs()[0].type == "tensor(float)":
        return picture
    pixels = np.rint(255 * picture).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.pad(pixels, ((0, 0), (0, 0), (0, 0), (0, PIXEL_BYTES - 3)))


def _session(model: str | bytes, *, optimize: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
