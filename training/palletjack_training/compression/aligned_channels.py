"""Channel counts that a processor's INT8 kernels take, for an INT8 graph that computes the same numbers.

ONNX Runtime's fast convolutions on x86-64 want a depthwise convolution of whole sixteens of channels, sixteen
outputs at least, and inputs in fours (MlasConvSymPackWSize in its convsym.cpp). Whatever does not fit goes a
way that is several times as slow: so do the counts of pruned networks, and the three channels of an image
(``pixel_input``). Channels of zeros fill them up. They add nothing to any sum, so outputs stay the same to
the last bit (but on processors without INT8 dot products, whose kernels cut off sums of two products).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

# Of a group of channels that passes a depthwise convolution, and the least of any.
_SIXTEEN = 16
# AVX2 wants outputs in eights; inputs in fours are in eights then as well.
_EIGHT = 8
# Operators whose output has the channels of their inputs, each in its place.
_PASSING = {"QuantizeLinear", "DequantizeLinear", "Relu", "Clip", "MaxPool", "Add"}


def align_channels(model: onnx.ModelProto) -> None:
    """Fill up the channels of the INT8 graph ``model`` (QuantizeLinear, DequantizeLinear, Conv), in place."""
    graph = model.graph
    stored = StoredTensors(graph)
    changed = False
    for group in _channel_groups(graph, stored):
        wanted = group.aligned_width()
        if wanted != group.width:
            group.fill(stored, wanted - group.width)
            changed = True
    if changed:
        # Shapes noted by the exporter are those from before.
        del graph.value_info[:]


class StoredTensors:
    """The tensors stored in a graph, found through the DequantizeLinear in front of their reader."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._dequantize = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}

    def array(self, name: str) -> NDArray | None:
        """A stored tensor as it is; None for one that is computed."""
        found = self._tensors.get(name)
        return None if found is None else numpy_helper.to_array(found)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a stored tensor, in floats or in integers; None for one that is computed."""
        found = self._tensors.get(self._whole(name))
        return None if found is None else tuple(found.dims)

    def pad(self, name: str, axis: int, count: int) -> None:
        """Append ``count`` zeros along ``axis``; outputs among them get the scale of the last one.

        A runtime looks whether the scale of a bias is that of the input times that of the kernel, and
        scales repeated alike stay so.
        """
        self._append(self._whole(name), axis, count, repeat=False)
        dequantize = self._dequantize.get(name)
        if dequantize is not None and axis == 0:
            self._append(dequantize.input[1], 0, count, repeat=True)
            self._append(dequantize.input[2], 0, count, repeat=True)

    def _whole(self, name: str) -> str:
        dequantize = self._dequantize.get(name)
        return name if dequantize is None else dequantize.input[0]

    def _append(self, name: str, axis: int, count: int, *, repeat: bool) -> None:
        array: NDArray = numpy_helper.to_array(self._tensors[name])
        widths = [(0, count if position == axis else 0) for position in range(array.ndim)]
        padded = np.pad(array, widths, mode="edge" if repeat else "constant")
        self._tensors[name].CopyFrom(numpy_helper.from_array(padded, name))


class _ChannelGroup:
    """Tensors that have the same channels, with the convolutions that write, keep and read them."""

    def __init__(self) -> None:
        self.width = 0
        self.fixed = False
        self.writers: list[onnx.NodeProto] = []
        self.keepers: list[onnx.NodeProto] = []
        self.readers: list[onnx.NodeProto] = []

    def aligned_width(self) -> int:
        """The number of channels to fill up to; what it is where nothing may be changed."""
        if self.fixed or not self.writers:
            return self.width
        step = _SIXTEEN if self.keepers or self.width < _SIXTEEN else _EIGHT
        return -(-self.width // step) * step

    def fill(self, stored: StoredTensors, count: int) -> None:
        for conv in (*self.writers, *self.keepers):
            for name in conv.input[1:]:
                stored.pad(name, 0, count)
        for conv in self.keepers:
            _group_attribute(conv).i += count
        for conv in self.readers:
            stored.pad(conv.input[1], 1, count)


def _channel_groups(graph: onnx.GraphProto, stored: StoredTensors) -> Iterator[_ChannelGroup]:
    """Groups in the order of the graph; one that meets an operator not known here is fixed."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for node in graph.node:
        if _keeps_channels(node, stored):
            for name in _channel_inputs(node, stored):
                parent[root(name)] = root(node.output[0])
    groups: dict[str, _ChannelGroup] = {}

    def group_of(name: str) -> _ChannelGroup:
        return groups.setdefault(root(name), _ChannelGroup())

    for node in graph.node:
        shape = stored.shape(node.input[1]) if node.op_type == "Conv" else None
        if shape is not None and _is_depthwise(node, shape):
            group_of(node.output[0]).keepers.append(node)
        elif shape is not None and _group_attribute(node).i == 1:
            group_of(node.input[0]).readers.append(node)
            written = group_of(node.output[0])
            written.writers.append(node)
            written.width = shape[0]
        elif not _keeps_channels(node, stored):
            for name in (*node.input, *node.output):
                if stored.shape(name) is None:
                    group_of(name).fixed = True
    for outside in (*graph.input, *graph.output):
        group_of(outside.name).fixed = True
    # Kernels that several convolutions share would be filled up more than once.
    for group in groups.values():
        kernels = [conv.input[1] for conv in (*group.writers, *group.keepers)]
        group.fixed |= len(set(kernels)) != len(kernels)
    yield from groups.values()


def _keeps_channels(node: onnx.NodeProto, stored: StoredTensors) -> bool:
    if node.op_type == "Conv":
        shape = stored.shape(node.input[1])
        return shape is not None and _is_depthwise(node, shape)
    if node.op_type == "Resize":
        # By factors; a list of sizes would hold the number of channels.
        return len(node.input) < 4
    return node.op_type in _PASSING


def _channel_inputs(node: onnx.NodeProto, stored: StoredTensors) -> list[str]:
    """Inputs with the channels of the output: both of a sum, the first of anything else."""
    names = list(node.input) if node.op_type == "Add" else [node.input[0]]
    return [name for name in names if stored.shape(name) is None]


def _is_depthwise(conv: onnx.NodeProto, shape: tuple[int, ...]) -> bool:
    return shape[1] == 1 and _group_attribute(conv).i == shape[0] > 1


def _group_attribute(conv: onnx.NodeProto) -> onnx.AttributeProto:
    for attribute in conv.attribute:
        if attribute.name == "group":
            return attribute
    conv.attribute.append(helper.make_attribute("group", 1))
    return conv.attribute[-1]
