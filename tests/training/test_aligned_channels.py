"""Channels of zeros for a processor's kernels: which tensors get them, and that no output moves by a bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.training.small_int8_graph import Graph, answers, widths  # noqa: E402

from palletjack_detection.processor import multiplies_int8  # noqa: E402
from palletjack_training.compression.aligned_channels import align_channels  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


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
            answers(copy, image, optimize=optimize), answers(model, image, optimize=optimize), strict=True
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
    assert found == [(48, 3, 1, 1), (48, 1, 3, 3), (24, 48, 1, 1), (4, 24, 1, 1)]


def test_channels_that_meet_in_a_sum_are_filled_up_alike() -> None:
    graph = Graph()
    first = graph.conv(graph.round("image", 1 / 255), 3, 20)
    second = graph.conv(first, 20, 20)
    total = graph.round(graph.node("Add", first, second), 0.1)
    passed = graph.conv(total, 20, 20, depthwise=True)
    head = graph.conv(passed, 20, 2, size=1)
    model = aligned(graph.model(head))
    assert list(widths(model).values()) == [(32, 3, 3, 3), (32, 32, 3, 3), (32, 1, 3, 3), (2, 32, 1, 1)]


def test_fewer_than_sixteen_outputs_and_odd_counts_are_filled_up_too() -> None:
    graph = Graph()
    narrow = graph.conv(graph.round("image", 1 / 255), 3, 8)
    odd = graph.conv(narrow, 8, 27, size=1)
    head = graph.conv(odd, 27, 5, size=1)
    assert list(widths(aligned(graph.model(head))).values()) == [(16, 3, 3, 3), (32, 16, 1, 1), (5, 32, 1, 1)]


def test_what_an_unknown_operator_or_the_caller_reads_stays_as_it_is() -> None:
    graph = Graph()
    first = graph.conv(graph.round("image", 1 / 255), 3, 24, size=7)
    unknown = graph.round(graph.node("Softmax", graph.conv(first, 24, 20)), 0.01)
    seen = graph.conv(unknown, 20, 20, depthwise=True)
    model = graph.model(seen)
    assert widths(aligned(model)) == widths(model)


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
