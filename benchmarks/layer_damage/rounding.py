"""Rounding one layer to INT8, and sets of layers."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from layer_damage.change import Change
from palletjack_training.compression.int8_export import quantizer_name
from palletjack_training.compression.marked_graph import ROUND_KERNEL, marked_graph
from palletjack_training.compression.post_training import quantize_state
from palletjack_training.compression.rebuild import rebuild_network
from palletjack_training.compression.rounding import LEVELS, round_kernel
from palletjack_training.config import QuantizationConfig
from palletjack_training.onnx_graph import DOMAIN
from palletjack_training.weights_file import Weights, is_quantized

_HEADS = ("coverage", "boxes")
_STEM = "backbone.stem"


class RoundableGraph:
    """A network with a mark at every place where it could be rounded, heads included."""

    def __init__(self, weights: Weights, calibration: list[Path]) -> None:
        """Ranges are those that were trained; weights without any are calibrated on images."""
        if is_quantized(weights.state):
            settings = weights.config.quantization.model_copy(update={"keep_float": ()})
            config = weights.config.model_copy(update={"quantization": settings})
            weights = Weights(config, weights.state, weights.provenance)
        else:
            settings = QuantizationConfig(calibration_frames=len(calibration), keep_float=())  # type: ignore[call-arg]
            weights = quantize_state(weights, calibration, settings)
        network = rebuild_network(weights.config, weights.state).eval()
        with tempfile.TemporaryDirectory() as folder:
            self._marked = marked_graph(network, weights.config, Path(folder) / "marked.onnx")

    @property
    def places(self) -> dict[str, str]:
        """The layer of each mark, by the name of the tensor that the mark makes, in the network's order.

        A mark that is repeated behind a resize is part of the layer in front of it.
        """
        layers: dict[str, str] = {}
        for node in self._marked.graph.node:
            if node.domain == DOMAIN:
                source = layers.get(node.input[0]) or self._resized(node.input[0], layers)
                layers[node.output[0]] = source or _layer(node)
        return layers

    def is_kernel(self, mark: str) -> bool:
        """Whether a mark rounds a kernel."""
        return any(
            node.output[0] == mark and node.op_type == ROUND_KERNEL for node in self._marked.graph.node
        )

    def write(self, marks: Collection[str], path: Path) -> None:
        """Write the graph in which only ``marks`` round, in TensorRT's signed levels.

        Rounding is spelled out in FP32: ONNX Runtime merges lone pairs of QuantizeLinear and
        DequantizeLinear in ways that change the numbers by more than the rounding does.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self._marked)
        graph = model.graph
        kernels = {tensor.name: tensor for tensor in graph.initializer}
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            if node.domain != DOMAIN:
                nodes.append(node)
            elif node.output[0] not in marks:
                nodes.append(helper.make_node("Identity", [node.input[0]], [node.output[0]]))
            elif node.op_type == ROUND_KERNEL:
                kernel = torch.from_numpy(numpy_helper.to_array(kernels[node.input[0]]).copy())
                graph.initializer.append(
                    numpy_helper.from_array(round_kernel(kernel).numpy(), node.output[0])
                )
            else:
                nodes += _spelled_out(node, graph)
        del graph.node[:]
        graph.node.extend(nodes)
        kept = [item for item in model.opset_import if item.domain != DOMAIN]
        del model.opset_import[:]
        model.opset_import.extend(kept)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))

    def _resized(self, name: str, layers: dict[str, str]) -> str:
        for node in self._marked.graph.node:
            if name in node.output and node.op_type == "Resize":
                return layers.get(node.input[0], "")
        return ""


def _spelled_out(mark: onnx.NodeProto, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes that round a tensor as ``mark`` says: divide, round half to even, clip, multiply."""
    name = mark.output[0]
    constants = {"scale": mark.attribute[0].f / LEVELS, "low": -LEVELS - 1, "high": LEVELS}
    for label, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), f"{name}/{label}"))
    steps = (("Div", ["scale"]), ("Round", []), ("Clip", ["low", "high"]), ("Mul", ["scale"]))
    nodes, source = [], mark.input[0]
    for kind, more in steps:
        result = name if kind == "Mul" else f"{name}/{kind}"
        nodes.append(helper.make_node(kind, [source, *(f"{name}/{item}" for item in more)], [result]))
        source = result
    return nodes


def _layer(mark: onnx.NodeProto) -> str:
    """The layer whose quantizer became ``mark``."""
    return quantizer_name(mark.output[0].removesuffix("_output_0").rpartition("/")[0]).rpartition(".")[0]


def changes(graph: RoundableGraph) -> list[Change]:
    """Each layer (its kernel, and the tensor that it makes) rounded alone, then sets of layers."""
    places = graph.places
    layers = list(dict.fromkeys(places.values()))
    kernels = [mark for mark in places if graph.is_kernel(mark)]

    def rounded(name: str, marks: list[str], *, is_layer: bool = False) -> Change:
        return Change(name, partial(graph.write, frozenset(marks)), is_layer)

    def of(*names: str) -> list[str]:
        return [mark for mark, layer in places.items() if layer in names]

    def without(*names: str) -> list[str]:
        return [mark for mark, layer in places.items() if layer not in names]

    return [
        *(rounded(layer, of(layer), is_layer=True) for layer in layers),
        rounded("all kernels", kernels),
        rounded("all tensors", [mark for mark in places if mark not in kernels]),
        rounded("both heads", of(*_HEADS)),
        rounded("all but the heads", without(*_HEADS)),
        rounded("all but heads and stem", without(*_HEADS, _STEM)),
        rounded("everything", list(places)),
    ]
