"""A marked graph for each runtime: FP32, INT8 for TensorRT, INT8 for ONNX Runtime on a CPU.

TensorRT takes signed INT8 with zero point 0, so a tensor behind a ReLU has 128 levels. ONNX Runtime's CPU
kernels want unsigned activations: a tensor that can be negative has the same levels there, shifted by 128,
and one behind a ReLU has 256 levels over the same range, whose lower end is the ReLU and whose upper end is
the clipping. The finer levels are nearer to the unrounded network, and nothing is left between two layers.
There, channels of zeros fill up what its fast kernels would not take (``aligned_channels``), and the image
comes in as bytes (``pixel_input``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from palletjack_training.compression.aligned_channels import align_channels
from palletjack_training.compression.marked_graph import ROUND, ROUND_KERNEL
from palletjack_training.compression.pixel_input import take_pixels
from palletjack_training.compression.rounding import LEVELS, kernel_ranges, round_kernel
from palletjack_training.onnx_graph import DOMAIN

Target = Literal["float", "int8", "int8_cpu"]

_UNSIGNED_LEVELS = 255
# A bias has to fit into 32 bits together with the sums that are added to it.
_LARGEST_BIAS = 2.0**30


@dataclass(frozen=True)
class _Levels:
    """q in ``low``..``high`` stands for (q - zero) * scale."""

    scale: np.float32
    zero: np.int8 | np.uint8

    @property
    def name(self) -> str:
        return f"{self.zero.dtype}_{self.zero}"


def tensor_scales(marked: onnx.ModelProto) -> dict[str, float]:
    """Range (largest magnitude) of each rounded tensor, by its name in the FP32 graph."""
    return {node.input[0]: _amax(node) for node in _marks(marked.graph, ROUND)}


def realize(marked: onnx.ModelProto, target: Target) -> onnx.ModelProto:
    """The network of ``marked`` for ``target``; the same marked graph gives the same bytes."""
    model = onnx.ModelProto()
    model.CopyFrom(marked)
    for index in reversed(range(len(model.opset_import))):
        if model.opset_import[index].domain == DOMAIN:
            del model.opset_import[index]
    if target == "float":
        _drop_marks(model.graph)
    else:
        _Realization(model.graph, unsigned=target == "int8_cpu").run()
        if target == "int8_cpu":
            align_channels(model)
            take_pixels(model)
    onnx.checker.check_model(model)
    return model


def _marks(graph: onnx.GraphProto, kind: str) -> Iterator[onnx.NodeProto]:
    return (node for node in graph.node if node.domain == DOMAIN and node.op_type == kind)


def _amax(mark: onnx.NodeProto) -> float:
    return float(mark.attribute[0].f)


def _drop_marks(graph: onnx.GraphProto) -> None:
    source = {node.output[0]: node.input[0] for node in graph.node if node.domain == DOMAIN}
    kept = [node for node in graph.node if node.domain != DOMAIN]
    for node in kept:
        for position, name in enumerate(node.input):
            node.input[position] = source.get(name, name)
    del graph.node[:]
    graph.node.extend(kept)


class _Realization:
    """Replaces marks by QuantizeLinear and DequantizeLinear, and marked kernels by INT8 ones."""

    def __init__(self, graph: onnx.GraphProto, *, unsigned: bool) -> None:
        self._graph = graph
        self._unsigned = unsigned
        self._producer = {name: node for node in graph.node for name in node.output}
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._kernel_scales: dict[str, NDArray[np.float32]] = {}
        # By the name of the rounded tensor.
        self._levels = {mark.output[0]: self._levels_of(mark) for mark in _marks(graph, ROUND)}
        self._new: dict[str, onnx.TensorProto] = {}

    def run(self) -> None:
        nodes: list[onnx.NodeProto] = []
        for node in self._graph.node:
            if node.domain != DOMAIN:
                if node.op_type == "Conv" and self._unsigned:
                    nodes.extend(self._integer_bias(node))
                nodes.append(node)
            elif node.op_type == ROUND:
                nodes.extend(self._activation(node))
            else:
                assert node.op_type == ROUND_KERNEL
                nodes.append(self._kernel(node))
        _replace_nodes(self._graph, nodes, [*self._tensors.values(), *self._new.values()])

    def _activation(self, mark: onnx.NodeProto) -> list[onnx.NodeProto]:
        source, result = mark.input[0], mark.output[0]
        levels = self._levels[result]
        if levels.zero.dtype == np.uint8 and levels.zero == 0:
            source = self._before_relu(source)
        scale = self._store(f"{result}/scale", np.asarray(levels.scale))
        zero = self._store(f"zero_point/{levels.name}", np.asarray(levels.zero))
        whole = f"{result}/quantized"
        return [
            helper.make_node("QuantizeLinear", [source, scale, zero], [whole], name=f"{mark.name}/quantize"),
            helper.make_node(
                "DequantizeLinear", [whole, scale, zero], [result], name=f"{mark.name}/dequantize"
            ),
        ]

    def _levels_of(self, mark: onnx.NodeProto) -> _Levels:
        amax = np.float32(_amax(mark))
        if self._unsigned and self._is_never_negative(mark.input[0]):
            return _Levels(np.float32(amax / _UNSIGNED_LEVELS), np.uint8(0))
        if self._unsigned:
            return _Levels(np.float32(amax / LEVELS), np.uint8(LEVELS + 1))
        return _Levels(np.float32(amax / LEVELS), np.int8(0))

    def _is_never_negative(self, name: str) -> bool:
        """Whether a tensor is the image, or comes out of a ReLU or ReLU6, maybe resized."""
        node = self._producer.get(name)
        if node is None:
            return any(name == given.name for given in self._graph.input)
        if node.op_type == "Resize" or node.domain == DOMAIN:
            return self._is_never_negative(node.input[0])
        return node.op_type == "Relu" or (node.op_type == "Clip" and self._lower_bound(node) == 0)

    def _before_relu(self, name: str) -> str:
        """What the tensor was before its ReLU, which rounding to unsigned levels does as well."""
        node = self._producer.get(name)
        return node.input[0] if node is not None and node.op_type in ("Relu", "Clip") else name

    def _lower_bound(self, clip: onnx.NodeProto) -> float | None:
        value = self._constant(clip.input[1])
        return None if value is None else float(value)

    def _constant(self, name: str) -> NDArray[np.float32] | None:
        if name in self._tensors:
            return numpy_helper.to_array(self._tensors[name])
        node = self._producer.get(name)
        if node is not None and node.op_type == "Constant":
            return numpy_helper.to_array(node.attribute[0].t)
        return None

    def _kernel(self, mark: onnx.NodeProto) -> onnx.NodeProto:
        kernel = torch.from_numpy(numpy_helper.to_array(self._tensors[mark.input[0]]).copy())
        scale = kernel_ranges(kernel) / LEVELS
        if self._unsigned:
            scale = torch.maximum(scale, self._smallest_scale(mark.output[0], len(scale)))
        whole = torch.round(round_kernel(kernel) / scale[:, None, None, None]).to(torch.int8)
        self._kernel_scales[mark.output[0]] = scale.numpy()
        inputs = [
            self._store(f"{mark.output[0]}/int8", whole.numpy()),
            self._store(f"{mark.output[0]}/scale", scale.numpy()),
            self._store(f"{mark.output[0]}/zero_point", np.zeros(len(scale), np.int8)),
        ]
        return helper.make_node(
            "DequantizeLinear", inputs, [mark.output[0]], name=f"{mark.name}/dequantize", axis=0
        )

    def _smallest_scale(self, kernel: str, channels: int) -> torch.Tensor:
        """Scale (O,) below which the bias of a channel would not fit: that channel is all bias."""
        conv = next(node for node in self._graph.node if node.op_type == "Conv" and node.input[1] == kernel)
        # The mark of the input may come after that of the kernel, as it does for the image.
        mark = self._producer.get(conv.input[0])
        bias = self._constant(conv.input[2])
        if mark is None or mark.op_type != ROUND or bias is None:
            return torch.zeros(channels)
        levels = self._levels_of(mark)
        return torch.from_numpy(np.abs(bias) / (levels.scale * _LARGEST_BIAS)).float()

    def _integer_bias(self, conv: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Give a convolution of INT8 input and kernel a bias in 32 bits, which its kernel adds."""
        levels, scales = self._levels.get(conv.input[0]), self._kernel_scales.get(conv.input[1])
        if levels is None or scales is None:
            return []
        name = f"{conv.name}/bias"
        bias = self._constant(conv.input[2])
        assert bias is not None
        scale = levels.scale * scales
        whole = np.rint(bias.astype(np.float64) / scale).astype(np.int32)
        inputs = [
            self._store(f"{name}/int32", whole),
            self._store(f"{name}/scale", scale.astype(np.float32)),
            self._store(f"{name}/zero_point", np.zeros(len(whole), np.int32)),
        ]
        conv.input[2] = f"{name}/rounded"
        return [
            helper.make_node("DequantizeLinear", inputs, [conv.input[2]], name=f"{name}/dequantize", axis=0)
        ]

    def _store(self, name: str, array: NDArray) -> str:
        self._new[name] = numpy_helper.from_array(array, name)
        return name


def _replace_nodes(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto]
) -> None:
    """Put ``nodes`` and ``tensors`` into ``graph``, without those that no output needs any more."""
    needed = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    stored = [tensor for tensor in tensors if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(stored)
