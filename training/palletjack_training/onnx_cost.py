"""What a network costs by its ONNX file alone: parameters and multiply-accumulates, whoever exported it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

# What a stored kernel may pass before the layer that uses it; only the first input carries the values.
_PASSES_ON = frozenset(("DequantizeLinear", "QuantizeLinear", "Identity", "Transpose", "Reshape", "Cast"))
# The inputs that are learned.
_LEARNED = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2),
    "PRelu": (1,),
}


class OnnxCostError(ValueError):
    """A graph whose cost cannot be counted; the message names the file and the node."""


@dataclass(frozen=True)
class OnnxCost:
    """Numbers that were learned, and multiply-accumulates for one image by the name of the node.

    A normalization that is folded away counts as the bias that it became; a kernel in INT8 counts as it
    does in FP32. A bias that stands in an Add of its own is not told from other constants and left out.
    """

    parameters: int
    node_macs: dict[str, int]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all convolutions and matrix products. Biases do not count."""
        return sum(self.node_macs.values())


def onnx_cost(path: Path) -> OnnxCost:
    """Count the network in ``path`` for one image of the size that its input states.

    Raises:
        OnnxCostError: no readable ONNX, an input without a size, or a node whose shapes are not known.
    """
    try:
        model = onnx.load(str(path))
    except Exception as error:  # a missing file, or any of protobuf's and onnx's own classes
        raise OnnxCostError(f"{path}: expected an ONNX file, found {error}") from None
    _set_batch_to_one(model.graph, path)
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = _shapes(graph)
    learned: dict[str, int] = {}
    macs: dict[str, int] = {}
    stored = {tensor.name: math.prod(tensor.dims) for tensor in _stored(graph)}
    producer = {name: node for node in graph.node for name in node.output}
    for number, node in enumerate(graph.node):
        for place in _LEARNED.get(node.op_type, ()):
            source = _source(node.input[place], producer) if place < len(node.input) else ""
            if source in stored:
                learned[source] = stored[source]
        label = node.name or f"{node.op_type}_{number}"
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            try:
                macs[label] = _macs(node, shapes)
            except KeyError as error:
                raise OnnxCostError(
                    f"{path}: {label}: expected tensors of known shape, found none for {error}"
                ) from None
    return OnnxCost(sum(learned.values()), macs)


def _set_batch_to_one(graph: onnx.GraphProto, path: Path) -> None:
    stored = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        if value.name in stored:
            continue
        for index, dimension in enumerate(value.type.tensor_type.shape.dim):
            if index == 0:
                dimension.dim_value = 1
            elif not dimension.dim_value:
                raise OnnxCostError(
                    f"{path}: input {value.name!r}: expected a size for dimension {index}, found "
                    f"{dimension.dim_param or 'none'!r}"
                )
    # What the exporter wrote for another batch would contradict it.
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


def _stored(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Initializers, and the tensors of Constant nodes under the names of their outputs."""
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            tensor = onnx.TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            yield tensor


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    shapes = {tensor.name: tuple(tensor.dims) for tensor in _stored(graph)}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if dimensions and all(dimension.HasField("dim_value") for dimension in dimensions):
            shapes[value.name] = tuple(dimension.dim_value for dimension in dimensions)
    return shapes


def _source(name: str, producer: dict[str, onnx.NodeProto]) -> str:
    while name in producer and producer[name].op_type in _PASSES_ON:
        name = producer[name].input[0]
    return name


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type == "Conv":
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":
        return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
    first = shapes[node.input[0]]
    transposed = any(item.name == "transA" and item.i for item in node.attribute)
    return math.prod(shapes[node.output[0]]) * first[0 if transposed else -1]
