"""Small ONNX graphs with the tensors that TAO's two export routes leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_network(path: Path, *, keras: bool = False, odd_pads: bool | None = None, classes: int = 1) -> Path:
    """Write a graph of 64 x 32 pixels: one convolution of stride 16 and the two heads.

    ``keras`` takes keras2onnx's names, and its asymmetric pads unless ``odd_pads`` says otherwise.
    """
    names = (
        ("input_1", "output_cov", "output_bbox")
        if keras
        else (
            "input_1:0",
            "output_cov/Sigmoid:0",
            "output_bbox/BiasAdd:0",
        )
    )
    source, coverage, boxes = names
    pads = [2, 2, 3, 3] if (keras if odd_pads is None else odd_pads) else [3, 3, 3, 3]
    rng = np.random.default_rng(0)
    weights = {
        "stem": rng.normal(size=(8, 3, 7, 7)).astype(np.float32),
        "cov": rng.normal(size=(classes, 8, 1, 1)).astype(np.float32),
        "bbox": rng.normal(size=(4 * classes, 8, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", [source, "stem"], ["stem:0"], name="conv1", strides=[16, 16], pads=pads),
        helper.make_node("Relu", ["stem:0"], ["activation_1/Relu6:0"]),
        helper.make_node("Conv", ["activation_1/Relu6:0", "cov"], ["cov:0"]),
        helper.make_node("Sigmoid", ["cov:0"], [coverage]),
        helper.make_node("Conv", ["activation_1/Relu6:0", "bbox"], [boxes]),
    ]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "detectnet",
        [tensor(source, TensorProto.FLOAT, ["N", 3, 32, 64])],
        [
            tensor(coverage, TensorProto.FLOAT, ["N", classes, 2, 4]),
            tensor(boxes, TensorProto.FLOAT, ["N", 4 * classes, 2, 4]),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
