"""Channels of zeros for a processor's kernels: which tensors get them, and that no output moves by a bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from palletjack_detection.processor import multiplies_int8  # noqa: E402
from palletjack_training.compression.aligned_channels import align_channels  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


class Graph:
    """A small INT8 graph, written layer by layer as ``realize`` writes it."""

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


def outputs(model: onnx.ModelProto, image: np.ndarray, *, optimize: bool) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})


def aligned(model: onnx.ModelProto) -> onnx.ModelProto:
    """A filled-up copy, checked: as valid, and with the same outputs as ``model``.

    The fast kernels of a processor without INT8 dot products cut sums of two products off, other two where
    channels are filled up: there only the plain ones are held to it.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    align_channels(copy)
    onnx.checker.check_model(copy)
    image = np.random.default_rng(0).random((2, 3, 8, 12), np.float32)
    for optimize in (False, True) if multiplies_int8() else (False,):
        for ours, theirs in zip(
            outputs(copy, image, optimize=optimize), outputs(model, image, optimize=optimize), strict=True
        ):
            assert np.ptp(theirs) > 0.1
            np.testing.assert_array_equal(ours, theirs)
    return copy


def test_a_bottleneck_is_filled_up_to_sixteens_between_its_convolutions() -> None:
    graph = Graph()
    expand = graph.conv(graph.round("image", 1 / 255), 3, 40, size=1)
    depthwise = graph.conv(expand, 40, 40, depthwise=True)
    project = graph.conv(depthwise, 40, 24, size=1)
    head = graph.conv(project, 24, 4, size=1)
    found = list(widths(aligned(graph.model(head))).values())
    assert found == [(48, 4, 1, 1), (48, 1, 3, 3), (24, 48, 1, 1), (4, 24, 1, 1)]


def test_channels_that_meet_in_a_sum_are_filled_up_alike() -> None:
    graph = Graph()
    first = graph.conv(graph.round("image", 1 / 255), 3, 20)
    second = graph.conv(first, 20, 20)
    total = graph.round(graph.node("Add", first, second), 0.1)
    passed = graph.conv(total, 20, 20, depthwise=True)
    head = graph.conv(passed, 20, 2, size=1)
    model = aligned(graph.model(head))
    assert list(widths(model).values()) == [(32, 4, 3, 3), (32, 32, 3, 3), (32, 1, 3, 3), (2, 32, 1, 1)]


def test_fewer_than_sixteen_outputs_and_odd_counts_are_filled_up_too() -> None:
    graph = Graph()
    narrow = graph.conv(graph.round("image", 1 / 255), 3, 8)
    odd = graph.conv(narrow, 8, 27, size=1)
    head = graph.conv(odd, 27, 5, size=1)
    assert list(widths(aligned(graph.model(head))).values()) == [(16, 4, 3, 3), (32, 16, 1, 1), (5, 32, 1, 1)]


def test_what_an_unknown_operator_or_the_caller_reads_stays_as_it_is() -> None:
    graph = Graph()
    first = graph.conv(graph.round("image", 1 / 255), 3, 24, size=7)
    unknown = graph.round(graph.node("Softmax", graph.conv(first, 24, 20)), 0.01)
    seen = graph.conv(unknown, 20, 20, depthwise=True)
    model = graph.model(seen)
    assert widths(aligned(model)) == widths(model)
    # Nor does an image that goes into a large kernel get a fourth channel.
    assert not any(node.op_type == "Pad" for node in aligned(model).graph.node)


def test_doing_it_twice_changes_nothing_more() -> None:
    graph = Graph()
    head = graph.conv(graph.conv(graph.round("image", 1 / 255), 3, 24), 24, 24, depthwise=True)
    once = aligned(graph.model(graph.conv(head, 24, 4, size=1)))
    assert aligned(once).SerializeToString() == once.SerializeToString()


@pytest.mark.parametrize("name", ["palletjack_lite", "palletjack_lite_pruned", "palletjack_resnet18"])
def test_shipped_graphs_for_processors_are_filled_up(name: str) -> None:
    path = ROOT / "models" / name / "model_int8_cpu.onnx"
    model = onnx.load(path)
    before = model.SerializeToString()
    align_channels(model)
    assert model.SerializeToString() == before
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    producer = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in producer:
            outputs, inputs, *_ = shapes[producer[node.input[1]].input[0]]
            assert outputs % (16 if inputs == 1 else 8) == 0, node.name
