"""A quantized network as an ONNX graph in which marks stand where values are rounded.

The marks are operators of our own domain. ``realize`` (in ``int8_graph``) turns them into what a runtime
knows, so that the graphs for TensorRT, for ONNX Runtime and in FP32 are one network.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from palletjack_training.compression.quantizers import Quantizer
from palletjack_training.config import TrainingConfig
from palletjack_training.network import DetectNet
from palletjack_training.onnx_graph import DOMAIN, export_graph

ROUND = "Round"
ROUND_KERNEL = "RoundKernel"


class _MarkActivation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, amax: float) -> Tensor:
        return values.clone()

    @staticmethod
    def symbolic(graph: Any, values: Any, amax: float) -> Any:
        return graph.op(f"{DOMAIN}::{ROUND}", values, amax_f=amax).setType(values.type())


class _MarkKernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Tensor) -> Tensor:
        return kernel.clone()

    @staticmethod
    def symbolic(graph: Any, kernel: Any) -> Any:
        return graph.op(f"{DOMAIN}::{ROUND_KERNEL}", kernel).setType(kernel.type())


class _Mark(nn.Module):
    def __init__(self, amax: float | None) -> None:
        super().__init__()
        self._amax = amax

    def forward(self, values: Tensor) -> Tensor:
        marked = (
            _MarkKernel.apply(values) if self._amax is None else _MarkActivation.apply(values, self._amax)
        )
        assert isinstance(marked, Tensor)
        return marked


def marked_graph(network: DetectNet, config: TrainingConfig, path: Path) -> onnx.ModelProto:
    """The graph of a quantized ``network``, written to ``path`` on the way."""
    marked = copy.deepcopy(network).eval()
    for layer in list(marked.modules()):
        for name, child in layer.named_children():
            if isinstance(child, Quantizer):
                setattr(layer, name, _Mark(None if child.axis is not None else float(child.amax)))
    export_graph(marked, config, path, marked=True)
    model = onnx.load(str(path))
    _name_shared_tensors(model.graph)
    _mark_behind_resizes(model.graph)
    return model


def _name_shared_tensors(graph: onnx.GraphProto) -> None:
    """Read stored tensors directly, where the exporter copies equal ones from each other."""
    stored = {tensor.name for tensor in graph.initializer}
    copies = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity" and n.input[0] in stored}
    kept = [node for node in graph.node if node.output[0] not in copies]
    for node in kept:
        for position, name in enumerate(node.input):
            node.input[position] = copies.get(name, name)
    del graph.node[:]
    graph.node.extend(kept)


def _mark_behind_resizes(graph: onnx.GraphProto) -> None:
    """Repeat the mark behind each nearest-neighbour resize: its values are rounded already.

    Runtimes look for marks on both sides before they resize in INT8.
    """
    marks = {node.output[0]: node for node in graph.node if node.domain == DOMAIN and node.op_type == ROUND}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if node.op_type != "Resize" or node.input[0] not in marks:
            continue
        source = node.output[0]
        repeated = copy.deepcopy(marks[node.input[0]])
        repeated.name, repeated.input[0], repeated.output[0] = f"{source}/Round", source, f"{source}/rounded"
        for reader in graph.node:
            for position, name in enumerate(reader.input):
                if name == source:
                    reader.input[position] = repeated.output[0]
        graph.node.insert(index + 1, repeated)
