"""A real ONNX network, built by hand, that finds saturated rectangles to the pixel.

It keeps the tensors of DetectNet_v2 (coverage and box distances on a grid of stride 16) but gets them
without weights: every cell looks at the pixel in its middle, and where that pixel has the class's
colour, the run of that colour along its row and its column gives the box. Touching rectangles of one
colour merge; a rectangle needs 16 network pixels each way to be sure to hold a cell's middle.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDE = 16
BOX_SCALE = 35.0
BOX_OFFSET = 0.5
# Class k answers to colour k.
COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


def write_tiny_model(
    folder: Path,
    *,
    width: int = 960,
    height: int = 544,
    classes: tuple[str, ...] = ("palletjack",),
    coverage: float = 0.95,
    fades: bool = False,
    resize: str = "letterbox",
    padding: str = "center",
    pad_value: int = 0,
    method: str = "nms",
    score_threshold: float = 0.5,
    input_name: str = "input_1:0",
    coverage_name: str = "output_cov/Sigmoid:0",
    boxes_name: str = "output_bbox/BiasAdd:0",
    pixels: bool = False,
    changes: dict[str, Any] | None = None,
) -> Path:
    """Write model.onnx and model.json into ``folder`` (made if missing) and return it.

    ``classes``: up to three; the first finds red, the second green, the third blue. ``coverage`` is
    what a hit's cells say, so the score; with ``fades`` times the colour's brightness, 0..1, at the cell.
    With ``pixels`` it takes bytes (N, H, W, 4). The ``*_name`` arguments name the network's tensors;
    model.json always says the standard names.
    ``changes`` replaces top-level fields of model.json (None removes).
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = build_network(
        width=width,
        height=height,
        class_count=len(classes),
        coverage=coverage,
        fades=fades,
        input_name=input_name,
        coverage_name=coverage_name,
        boxes_name=boxes_name,
        pixels=pixels,
    )
    onnx.save(network, str(folder / "model.onnx"))
    document: dict[str, Any] = {
        "format": "palletjack-model/1",
        "name": "tiny",
        "architecture": "detectnet_v2",
        "input": {
            "name": "input_1:0",
            "width": width,
            "height": height,
            "channels": "rgb",
            "scale": 1 / 255,
            "mean": [0, 0, 0],
            "stddev": [1, 1, 1],
            "resize": resize,
            "padding": padding,
            "pad_value": pad_value,
        },
        "outputs": {"coverage": "output_cov/Sigmoid:0", "boxes": "output_bbox/BiasAdd:0"},
        "classes": list(classes),
        "stride": STRIDE,
        "box_scale": BOX_SCALE,
        "box_offset": BOX_OFFSET,
        "clustering": {
            "method": method,
            "coverage_threshold": 0.05,
            "iou_threshold": 0.5,
            "eps": 0.15,
            "min_samples": 0.05,
            "score": "max",
            "minimum_height": 0,
        },
        "score_threshold": score_threshold,
        "training": {},
        "metrics": {},
    }
    for key, value in (changes or {}).items():
        if value is None:
            document.pop(key)
        else:
            document[key] = value
    (folder / "model.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    return folder


def paint_rectangle(
    image: np.ndarray, box: tuple[int, int, int, int], colour: tuple[int, int, int] = (230, 20, 20)
) -> None:
    """Fill the box xmin, ymin, xmax, ymax (edges, pixels) of an RGB image with a colour that is found."""
    xmin, ymin, xmax, ymax = box
    image[ymin:ymax, xmin:xmax] = colour


def build_network(
    *,
    width: int,
    height: int,
    class_count: int,
    coverage: float,
    fades: bool,
    input_name: str,
    coverage_name: str,
    boxes_name: str,
    pixels: bool = False,
) -> onnx.ModelProto:
    """Return the network for a dynamic batch of (N, 3, height, width) in 0..1, or of bytes."""
    graph = _Graph()
    image = _planes(graph, input_name) if pixels else input_name
    covers, distances = [], []
    for colour in list(COLOURS.values())[:class_count]:
        mask = _colour_mask(graph, image, colour)
        cover, boxes = _cells(graph, mask, width, height)
        if fades:
            channel = graph.constant([colour.index(1)], np.int64)
            bright = graph.add("Gather", [image, channel], axis=1)
            bright = graph.every_sixteenth(graph.every_sixteenth(bright, 2, height), 3, width)
            cover = graph.add("Mul", [cover, bright])
        covers.append(graph.add("Mul", [cover, graph.constant(coverage)]))
        distances.append(boxes)
    graph.nodes.append(helper.make_node("Concat", covers, [coverage_name], axis=1))
    graph.nodes.append(helper.make_node("Concat", distances, [boxes_name], axis=1))
    rows, columns = height // STRIDE, width // STRIDE
    kind = TensorProto.UINT8 if pixels else TensorProto.FLOAT
    shape = ["N", height, width, 4] if pixels else ["N", 3, height, width]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "tiny_detectnet",
            [helper.make_tensor_value_info(input_name, kind, shape)],
            [
                helper.make_tensor_value_info(
                    coverage_name, TensorProto.FLOAT, ["N", class_count, rows, columns]
                ),
                helper.make_tensor_value_info(
                    boxes_name, TensorProto.FLOAT, ["N", 4 * class_count, rows, columns]
                ),
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
    )
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Collects nodes and constants and names what they put out."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def every_sixteenth(self, tensor: str, axis: int, length: int) -> str:
        """Take the middle row or column of each cell."""
        bounds = ([STRIDE // 2], [length], [axis], [STRIDE])
        return self.add("Slice", [tensor, *(self.constant(b, np.int64) for b in bounds)])


def _planes(graph: _Graph, pixels: str) -> str:
    """Return (N, 3, H, W) in 0..1 of bytes (N, H, W, 4)."""
    bounds = ([0], [3], [3])
    colours = graph.add("Slice", [pixels, *(graph.constant(bound, np.int64) for bound in bounds)])
    floats = graph.add("Cast", [graph.add("Transpose", [colours], perm=[0, 3, 1, 2])], to=TensorProto.FLOAT)
    return graph.add("Mul", [floats, graph.constant(1 / 255)])


def _colour_mask(graph: _Graph, image: str, colour: tuple[int, int, int]) -> str:
    """Return 1 where the colour's channel is above 0.6 and the others are below 0.35, (N, 1, H, W)."""
    channels = graph.add("Split", [image, graph.constant([1, 1, 1], np.int64)], axis=1)
    split = graph.nodes.pop()
    parts = [f"{channels}_{k}" for k in range(3)]
    graph.nodes.append(helper.make_node("Split", list(split.input), parts, axis=1))
    tests = [
        graph.add("Greater", [part, graph.constant(0.6)])
        if bright
        else graph.add("Less", [part, graph.constant(0.35)])
        for part, bright in zip(parts, colour, strict=True)
    ]
    both = graph.add("And", [graph.add("And", tests[:2]), tests[2]])
    return graph.add("Cast", [both], to=TensorProto.FLOAT)


def _cells(graph: _Graph, mask: str, width: int, height: int) -> tuple[str, str]:
    """Return each cell's mask (N, 1, h, w) and its box distances (N, 4, h, w)."""
    rows = graph.every_sixteenth(mask, 2, height)
    columns = graph.every_sixteenth(mask, 3, width)
    cells = graph.every_sixteenth(rows, 3, width)
    left, right = _run_edges(graph, rows, axis=3, length=width)
    top, bottom = _run_edges(graph, columns, axis=2, length=height)
    x = graph.constant(np.arange(0, width, STRIDE).reshape(1, 1, 1, -1) + BOX_OFFSET)
    y = graph.constant(np.arange(0, height, STRIDE).reshape(1, 1, -1, 1) + BOX_OFFSET)
    distances = [
        graph.add("Sub", [x, left]),
        graph.add("Sub", [y, top]),
        graph.add("Sub", [right, x]),
        graph.add("Sub", [bottom, y]),
    ]
    joined = graph.add("Concat", distances, axis=1)
    return cells, graph.add("Mul", [joined, graph.constant(1 / BOX_SCALE)])


def _run_edges(graph: _Graph, mask: str, *, axis: int, length: int) -> tuple[str, str]:
    """Return the edges of the run of ones that each cell's middle lies in, along ``axis``.

    A pixel outside the colour carries its far edge; the running maximum (a max pool as long as the
    image, padded on one side) of that is the run's near edge.
    """
    outside = graph.add("Sub", [graph.constant(1.0), mask])
    shape = [1, 1, 1, 1]
    shape[axis] = length
    kernel = [length, 1] if axis == 2 else [1, length]
    before = [length - 1, 0, 0, 0] if axis == 2 else [0, length - 1, 0, 0]
    after = [0, 0, length - 1, 0] if axis == 2 else [0, 0, 0, length - 1]
    index = np.arange(length, dtype=np.float32).reshape(shape)
    past = graph.add("Mul", [outside, graph.constant(index + 1)])
    ahead = graph.add("Mul", [outside, graph.constant(length - index)])
    start = graph.add("MaxPool", [past], kernel_shape=kernel, pads=before)
    stop = graph.add("MaxPool", [ahead], kernel_shape=kernel, pads=after)
    stop = graph.add("Sub", [graph.constant(float(length)), stop])
    return graph.every_sixteenth(start, axis, length), graph.every_sixteenth(stop, axis, length)
