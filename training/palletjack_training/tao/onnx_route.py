"""Which way an ONNX graph of TAO was exported: tf2onnx, which is right, or keras2onnx, which is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from palletjack_training.model_spec import BOXES_NAME, COVERAGE_NAME, INPUT_NAME

KERAS2ONNX_NAMES = ({"input_1"}, {"output_bbox", "output_cov"})


class RouteError(ValueError):
    """A file that is not the ONNX graph of a DetectNet_v2; the message says what was found."""


def load_graph(path: Path) -> Any:
    """The graph of an ONNX file.

    Raises:
        RouteError: the file is not ONNX.
        OSError: it cannot be read.
    """
    try:
        return onnx.load(str(path)).graph
    except OSError:
        raise
    except Exception as error:  # protobuf's own error class is not public
        raise RouteError(f"{path}: expected an ONNX network, found {error}") from None


def tensor_names(graph: Any) -> tuple[set[str], set[str]]:
    """Names of inputs (without weights) and outputs."""
    weights = {item.name for item in graph.initializer}
    return {item.name for item in graph.input} - weights, {item.name for item in graph.output}


def keras2onnx_signs(graph: Any) -> list[str]:
    """What shows that keras2onnx made the graph; empty where nothing does."""
    signs = []
    inputs, outputs = tensor_names(graph)
    if (inputs, outputs) == KERAS2ONNX_NAMES:
        signs.append(f"tensors {', '.join(sorted(inputs | outputs))}")
    for node in graph.node:
        pads = [list(item.ints) for item in node.attribute if item.name == "pads"]
        if node.op_type == "Conv" and pads and pads[0][: len(pads[0]) // 2] != pads[0][len(pads[0]) // 2 :]:
            signs.append(f"{node.name or node.output[0]} pads {pads[0]}")
            break
    return signs


def check_names(graph: Any, path: Path) -> None:
    """Refuse a graph without the tf2onnx route's tensors.

    Raises:
        RouteError: naming the expected and the found tensors, and the remedy for keras2onnx.
    """
    inputs, outputs = tensor_names(graph)
    signs = keras2onnx_signs(graph)
    if signs:
        raise RouteError(
            f"{path}: exported through keras2onnx ({'; '.join(signs)}), whose padding moves boxes and "
            "coverage; export again with --onnx_route tf2onnx"
        )
    expected = ({INPUT_NAME}, {COVERAGE_NAME, BOXES_NAME})
    if (inputs, outputs) != expected:
        raise RouteError(
            f"{path}: expected input {INPUT_NAME} and outputs {COVERAGE_NAME}, {BOXES_NAME}, "
            f"found {', '.join(sorted(inputs))} and {', '.join(sorted(outputs))}"
        )


def static_shape(value: Any, path: Path) -> tuple[int, int, int]:
    """Channels, height and width of a tensor (N, channels, height, width).

    Raises:
        RouteError: one of them is not fixed.
    """
    sizes = [item.dim_value for item in value.type.tensor_type.shape.dim]
    if len(sizes) != 4 or not all(sizes[1:]):
        raise RouteError(f"{path}: {value.name}: expected (N, C, H, W) with fixed C, H and W, found {sizes}")
    return sizes[1], sizes[2], sizes[3]
