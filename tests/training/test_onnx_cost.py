"""What a network costs by its ONNX file: by hand on a small graph, and as the trainer counts its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from palletjack_training.onnx_cost import OnnxCostError, onnx_cost

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, nodes: list[onnx.NodeProto], stored: dict[str, np.ndarray], size: object) -> Path:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, size, 8])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "g", [given], [made], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, str(path))
    return path


def test_kernels_count_once_and_through_their_quantization(tmp_path: Path) -> None:
    """A depthwise convolution in INT8 with stride 2, then a dense one whose kernel is a Constant node."""
    dense = numpy_helper.from_array(np.ones((6, 4, 1, 1), np.float32))
    nodes = [
        helper.make_node("DequantizeLinear", ["k", "s"], ["kernel"]),
        helper.make_node("Conv", ["x", "kernel", "b"], ["a"], "first", group=4, strides=[2, 2], pads=[1] * 4),
        helper.make_node("Constant", [], ["dense"], value=dense),
        helper.make_node("Conv", ["a", "dense"], ["y"], "second"),
    ]
    stored = {
        "k": np.ones((4, 1, 3, 3), np.int8),
        "s": np.float32(0.1),
        "b": np.zeros(4, np.float32),
    }
    cost = onnx_cost(write(tmp_path / "m.onnx", nodes, stored, 6))
    assert cost.parameters == 4 * 9 + 4 + 24
    assert cost.node_macs == {"first": 4 * 3 * 4 * 9, "second": 6 * 3 * 4 * 4}
    assert cost.macs == 432 + 288


def test_an_input_without_a_size_and_what_is_no_network_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    with pytest.raises(OnnxCostError, match="input 'x': expected a size for dimension 2, found 'height'"):
        onnx_cost(write(tmp_path / "m.onnx", nodes, {}, "height"))
    (tmp_path / "bad.onnx").write_text("no network")
    with pytest.raises(OnnxCostError, match=r"bad\.onnx: expected an ONNX file"):
        onnx_cost(tmp_path / "bad.onnx")


def test_the_shipped_files_are_one_network() -> None:
    folder = ROOT / "models/palletjack_lite"
    costs = [onnx_cost(folder / f"{name}.onnx") for name in ("model", "model_int8")]
    assert {(cost.parameters, cost.macs) for cost in costs} == {(2_947_141, 4_693_738_080)}
    # Channels of zeros: a fourth of the image, and up to sixteens where a depthwise convolution follows.
    filled_up = onnx_cost(folder / "model_int8_cpu.onnx")
    assert filled_up.parameters > 2_947_141
    assert 4_693_738_080 < filled_up.macs < 1.1 * 4_693_738_080


@pytest.mark.parametrize("name", ["palletjack_lite", "palletjack_light", "palletjack_resnet18"])
def test_macs_are_those_that_training_counts(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from palletjack_training.compression.cost import network_cost
    from palletjack_training.config import load_config
    from palletjack_training.export import write_onnx
    from palletjack_training.network import build_network

    small = ["input.width=128", "input.height=64", "network.weights=none", "network.freeze_norm=false"]
    config = load_config(name, small)
    network = build_network(config)
    write_onnx(network, config, tmp_path / "model.onnx")
    assert onnx_cost(tmp_path / "model.onnx").macs == network_cost(network, 128, 64).macs
