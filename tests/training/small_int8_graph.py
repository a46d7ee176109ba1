"""A small INT8 graph, written as ``realize`` writes one, for tests of what is done to such graphs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Nodes and tensors, layer by layer."""

    def __init__(self, height: int = 8, width: int = 12) -> None:
        self.rng = np.random.default_rng(3)
        self.size = (height, width)
        self.nodes: list = []
        self.tensors: list = []
        self.scales: dict[str, float] = {}

    def store(self, name: str, array: np.ndarray) -> str:
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def round(self, name: str, scale: float) -> str:
        pair = [self.store(f"{name}/scale", np.float32(scale)), self.store(f"{name}/zero", np.uint8(128))]
        self.nodes.append(helper.make_node("QuantizeLinear", [name, *pair], [f"{name}/q"]))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{name}/q", *pair], [f"{name}/r"]))
        self.scales[f"{name}/r"] = scale
        return f"{name}/r"

    def conv(self, source: str, inputs: int, outputs: int, size: int = 3, *, depthwise: bool = False) -> str:
        name = f"layer{len(self.nodes)}"
        whole = self.rng.integers(-127, 128, (outputs, 1 if depthwise else inputs, size, size), np.int8)
        scale = self.rng.uniform(0.001, 0.01, outputs).astype(np.float32)
        kernel = [
            self.store(f"{name}/w", whole),
            self.store(f"{name}/ws", scale),
            self.store(f"{name}/wz", np.zeros(outputs, np.int8)),
        ]
        bias = [
            self.store(f"{name}/b", self.rng.integers(-9000, 9000, outputs, np.int32)),
            self.store(f"{name}/bs", (scale * np.float32(self.scales[source])).astype(np.float32)),
            self.store(f"{name}/bz", np.zeros(outputs, np.int32)),
        ]
        self.nodes.append(helper.make_node("DequantizeLinear", kernel, [f"{name}/kernel"], axis=0))
        self.nodes.append(helper.make_node("DequantizeLinear", bias, [f"{name}/bias"], axis=0))
        pads = [size // 2] * 4
        self.nodes.append(
            helper.make_node(
                "Conv",
                [source, f"{name}/kernel", f"{name}/bias"],
                [name],
                name=name,
                pads=pads,
                kernel_shape=[size, size],
                group=outputs if depthwise else 1,
            )
        )
        return self.round(name, 0.05)

    def node(self, kind: str, *sources: str) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, sources, [name], name=name))
        return name

    def model(self, output: str) -> onnx.ModelProto:
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, *self.size])
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", None, None, None])
        graph = helper.make_graph(self.nodes, "small", [image], [result], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        return model


def widths(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shape of each convolution's kernel."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return {n.name: shapes[f"{n.name}/w"] for n in model.graph.node if n.op_type == "Conv"}


def answers(model: onnx.ModelProto, image: np.ndarray, *, optimize: bool) -> list[np.ndarray]:
    """What the graph puts out for ``image``, with the kernels of this processor or with the plain ones."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})
