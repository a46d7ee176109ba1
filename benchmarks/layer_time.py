#!/usr/bin/env python3
"""What convolutions of an INT8 network take on this processor, by their shape.

    palletjack benchmark layer_time -- --model models/palletjack_lite --model models/palletjack_lite_pruned

ONNX Runtime profiles each network on one thread. Non-negative least squares, in which the error of a layer
counts by the root of its time, give the picoseconds of a multiply-accumulate of each kind of convolution
and of a value read or written: the numbers of palletjack_training/compression/layer_time.py, by which
`palletjack prune --time` ranks channels. The JSON also says how far each layer is from them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from machine import describe_machine
from noise_input import noise_for
from result_file import write_result

from palletjack_detection.model_folder import ModelFolderError, load_model_spec

TERMS = (
    "pointwise_mac",
    "depthwise_mac_3",
    "depthwise_mac_5",
    "first_mac",
    "full_mac",
    "output_value",
    "input_value",
)
# A convolution of no more inputs is the one that reads the image.
_IMAGE_CHANNELS = 4


@dataclass(frozen=True)
class TimedLayer:
    """A convolution: what it has to do, in the order of TERMS, and its microseconds."""

    name: str
    terms: tuple[float, ...]
    microseconds: float


def main() -> None:
    """Parse the options, profile, fit, print and optionally write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", required=True, type=Path, help="model folder; repeat")
    parser.add_argument("--threads", type=int, default=1, help="of ONNX Runtime (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=30, help="of each network (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    options = parser.parse_args()
    layers: list[TimedLayer] = []
    networks = []
    for folder in options.model:
        print(f"profiling {folder}", file=sys.stderr)
        try:
            found, total = profile(folder, options.threads, options.runs)
        except ModelFolderError as error:
            raise SystemExit(f"Error: --model: {error}") from None
        layers += found
        convolutions = sum(layer.microseconds for layer in found)
        networks.append({"model": folder.name, "all_ms": total / 1e3, "convolutions_ms": convolutions / 1e3})
    if len(layers) < 2 * len(TERMS):
        raise SystemExit(f"Error: --model: expected networks with INT8 convolutions, found {len(layers)}")
    document = {"benchmark": "layer_time", "threads": options.threads, "networks": networks, **fit(layers)}
    write_result({**document, **describe_machine("onnxruntime")}, options.out)


def fit(layers: list[TimedLayer]) -> dict[str, Any]:
    """Picoseconds of each term, and how well they explain ``layers``."""
    from scipy.optimize import nnls

    work = np.array([layer.terms for layer in layers])
    taken = np.array([layer.microseconds for layer in layers])
    weight = 1 / np.sqrt(taken)
    # Microseconds of a million are picoseconds of one.
    picoseconds, _ = nnls(work / 1e6 * weight[:, None], taken * weight)
    told = work / 1e6 @ picoseconds
    error = np.abs(told - taken) / taken
    return {
        "picoseconds": dict(zip(TERMS, picoseconds.round(2).tolist(), strict=True)),
        "relative_error": {
            "median": round(float(np.median(error)), 3),
            "p90": round(float(np.quantile(error, 0.9)), 3),
        },
        "layers": [
            {"name": layer.name, "us": round(layer.microseconds, 1), "told_us": round(float(value), 1)}
            for layer, value in zip(layers, told, strict=True)
        ],
    }


def profile(folder: Path, threads: int, runs: int) -> tuple[list[TimedLayer], float]:
    """The INT8 convolutions of the model ``folder``, and the time of all its nodes in microseconds."""
    import onnxruntime

    path = folder / load_model_spec(folder).network_file("int8", "cpu")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as place:
        options.profile_file_prefix = str(Path(place) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
        image = noise_for(given)
        for _ in range(runs):
            session.run(None, {given.name: image})
        events = json.loads(Path(session.end_profiling()).read_text())
    taken: dict[str, list[float]] = defaultdict(list)
    shapes: dict[str, tuple[list[int], list[int]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            taken[event["name"]].append(event["dur"])
            if event["args"]["op_name"] == "QLinearConv":
                read, written = event["args"]["input_type_shape"][0], event["args"]["output_type_shape"][0]
                shapes[event["name"]] = next(iter(read.values())), next(iter(written.values()))
    # The first runs warm caches up.
    medians = {name: float(np.median(values[len(values) // 5 :])) for name, values in taken.items()}
    kinds = {node.name: node for node in onnx.load(path).graph.node if node.op_type == "Conv"}
    layers = [
        TimedLayer(f"{folder.name}: {_origin(name)}", work_of(kinds[_origin(name)], *shape), medians[name])
        for name, shape in shapes.items()
    ]
    return layers, sum(medians.values())


def work_of(node: onnx.NodeProto, read: list[int], written: list[int]) -> tuple[float, ...]:
    """What the convolution ``node`` does, in the order of TERMS; shapes are (N, H, W, C)."""
    values = {item.name: item for item in node.attribute}
    kernel, groups = values["kernel_shape"].ints[0], values["group"].i
    macs = kernel * kernel * np.prod(read[3:]) / groups * np.prod(written[1:])
    work = dict.fromkeys(TERMS, 0.0)
    if groups > 1:
        work["depthwise_mac_3" if kernel <= 3 else "depthwise_mac_5"] = macs
    else:
        full = "first_mac" if read[3] <= _IMAGE_CHANNELS else "full_mac"
        work["pointwise_mac" if kernel == 1 else full] = macs
        work["output_value"], work["input_value"] = float(np.prod(written[1:])), float(np.prod(read[1:]))
    return tuple(float(work[term]) for term in TERMS)


def _origin(name: str) -> str:
    """The node of the file that ONNX Runtime made the node ``name`` of."""
    return name.removesuffix("_kernel_time").split("_token_")[0]


if __name__ == "__main__":
    main()
