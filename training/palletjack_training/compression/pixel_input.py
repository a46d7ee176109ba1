"""The bytes of a picture as the input of an INT8 graph for a processor.

The levels that such a graph rounds the image to are the bytes it came from: p stands for p / 255. Given
these, nobody has to make floats of them, round the floats to them again and bring them into the order of the
kernels: on two cores of a Xeon that takes 1.4 ms before the network, 1.6 ms in it (ResNet-18: 3.9). A pixel
has four bytes, because the kernels take inputs in fours; what the fourth holds adds nothing.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from palletjack_detection.engine import PIXEL_BYTES
from palletjack_training.compression.aligned_channels import StoredTensors

_COLOURS = 3
_LEVEL = 1 / 255


def take_pixels(model: onnx.ModelProto) -> bool:
    """Let the INT8 graph ``model`` take (N, H, W, 4) uint8 in place of (N, 3, H, W) floats, in place.

    Returns whether it does: an image of free size, one that is not rounded to 255 levels of 0..1, or that is
    read by anything but a rounding and convolutions, stays as it is.
    """
    graph = model.graph
    stored = StoredTensors(graph)
    image = graph.input[0]
    rounding = [node for node in graph.node if image.name in node.input]
    if len(rounding) != 1 or not _rounds_to_bytes(rounding[0], stored):
        return False
    whole = rounding[0].output[0]
    restored = [node for node in graph.node if whole in node.input]
    colours = {name for node in restored for name in node.output}
    readers = [node for node in graph.node if colours.intersection(node.input)]
    if any(n.op_type != "DequantizeLinear" for n in restored) or any(n.op_type != "Conv" for n in readers):
        return False
    kernels = {node.input[1] for node in readers}
    if not kernels or any(not _reads_three(stored.shape(name)) for name in kernels):
        return False
    dimensions = image.type.tensor_type.shape.dim
    height, width = dimensions[2].dim_value, dimensions[3].dim_value
    if not height or not width:
        return False
    for name in sorted(kernels):
        stored.pad(name, 1, PIXEL_BYTES - _COLOURS)
    image.type.tensor_type.elem_type = TensorProto.UINT8
    for dimension, size in zip(dimensions[1:], (height, width, PIXEL_BYTES), strict=True):
        dimension.dim_value = size
    order = helper.make_node("Transpose", [image.name], [whole], name=rounding[0].name, perm=[0, 3, 1, 2])
    rounding[0].CopyFrom(order)
    # Shapes noted by the exporter are those from before.
    del graph.value_info[:]
    return True


def _rounds_to_bytes(node: onnx.NodeProto, stored: StoredTensors) -> bool:
    if node.op_type != "QuantizeLinear" or len(node.input) < 3:
        return False
    scale, zero = stored.array(node.input[1]), stored.array(node.input[2])
    if scale is None or zero is None:
        return False
    # A float32's next neighbours lie 6e-8 away.
    return bool(zero.dtype == np.uint8 and zero == 0 and abs(float(scale) / _LEVEL - 1) < 1e-6)


def _reads_three(kernel: tuple[int, ...] | None) -> bool:
    return kernel is not None and len(kernel) == 4 and kernel[1] == _COLOURS
