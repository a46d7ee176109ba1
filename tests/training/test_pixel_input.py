"""Bytes in place of a float image: the same numbers to the last bit, where levels and bytes are one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, numpy_helper  # noqa: E402
from tests.training.small_int8_graph import Graph, answers, widths  # noqa: E402

from palletjack_detection.processor import multiplies_int8  # noqa: E402
from palletjack_training.compression.pixel_input import take_pixels  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LEVEL = 1 / 255


def graph_of(scale: float = LEVEL, zero: int = 0, outputs: int = 20, size: int = 3) -> onnx.ModelProto:
    """The image, rounded, and two convolutions."""
    graph = Graph()
    first = graph.conv(graph.round("image", scale), 3, outputs, size=size)
    model = graph.model(graph.conv(first, outputs, 4, size=1))
    for tensor in model.graph.initializer:
        if tensor.name == "image/zero":
            tensor.CopyFrom(numpy_helper.from_array(np.uint8(zero), tensor.name))
    return model


@pytest.mark.parametrize(("outputs", "size"), [(20, 3), (8, 3), (64, 7)])
def test_answers_are_the_same_to_the_last_bit(outputs: int, size: int) -> None:
    floats = graph_of(outputs=outputs, size=size)
    pixels = onnx.ModelProto()
    pixels.CopyFrom(floats)
    assert take_pixels(pixels)
    onnx.checker.check_model(pixels, full_check=True)
    assert next(iter(widths(pixels).values())) == (outputs, 4, size, size)
    image = np.arange(2 * 8 * 12 * 4).reshape(2, 8, 12, 4).astype(np.uint8)
    tensor = image[..., :3].transpose(0, 3, 1, 2).astype(np.float32) * np.float32(LEVEL)
    # On a processor without INT8 dot products its fast kernels cut sums of two neighbours off.
    plain = [answers(floats, tensor, optimize=False), answers(pixels, image, optimize=False)]
    assert np.ptp(plain[0][0]) > 0.1
    np.testing.assert_array_equal(*plain)
    if multiplies_int8():
        np.testing.assert_allclose(answers(pixels, image, optimize=True)[0], plain[0][0], atol=0.2)


def test_the_fourth_byte_means_nothing() -> None:
    model = graph_of()
    assert take_pixels(model)
    image = np.random.default_rng(0).integers(0, 256, (1, 8, 12, 4), np.uint8)
    other = image.copy()
    other[..., 3] = 255 - other[..., 3]
    np.testing.assert_array_equal(answers(model, image, optimize=True), answers(model, other, optimize=True))


@pytest.mark.parametrize(("scale", "zero"), [(1 / 127, 0), (1.001 / 255, 0), (LEVEL, 128)])
def test_an_image_of_other_levels_stays_a_float_image(scale: float, zero: int) -> None:
    model = graph_of(scale, zero)
    before = model.SerializeToString()
    assert not take_pixels(model)
    assert model.SerializeToString() == before


def test_an_image_that_something_else_reads_stays_too() -> None:
    graph = Graph()
    rounded = graph.round("image", LEVEL)
    total = graph.round(graph.node("Add", graph.conv(rounded, 3, 3), rounded), 0.1)
    model = graph.model(graph.conv(total, 3, 4))
    for tensor in model.graph.initializer:
        if tensor.name == "image/zero":
            tensor.CopyFrom(numpy_helper.from_array(np.uint8(0), tensor.name))
    assert not take_pixels(model)


def test_an_image_of_free_size_stays_too() -> None:
    model = graph_of()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    before = model.SerializeToString()
    assert not take_pixels(model)
    assert model.SerializeToString() == before


def test_doing_it_twice_changes_nothing_more() -> None:
    model = graph_of()
    assert take_pixels(model)
    once = model.SerializeToString()
    assert not take_pixels(model)
    assert model.SerializeToString() == once


@pytest.mark.parametrize("name", ["palletjack_lite", "palletjack_lite_pruned", "palletjack_resnet18"])
def test_shipped_graphs_for_processors_take_bytes(name: str) -> None:
    (image,) = onnx.load(ROOT / "models" / name / "model_int8_cpu.onnx").graph.input
    kind = image.type.tensor_type
    assert kind.elem_type == TensorProto.UINT8
    assert [dimension.dim_value for dimension in kind.shape.dim][1:] == [544, 960, 4]
