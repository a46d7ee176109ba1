"""What a network costs: parameters, multiply-accumulates, and time in ONNX Runtime."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from palletjack_training.backbones.conv_norm import ConvNorm


@dataclass(frozen=True)
class NetworkCost:
    """Learned parameters, and multiply-accumulates of the convolutions for one image."""

    parameters: int
    macs: int


def network_cost(network: nn.Module, width: int, height: int) -> NetworkCost:
    """Count ``network`` for an image of ``width`` x ``height`` pixels. Additions of biases do not count."""
    macs = 0

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        conv = layer.conv if isinstance(layer, ConvNorm) else layer
        assert isinstance(conv, nn.Conv2d)
        macs += conv.weight[0].numel() * output[0].numel()

    # A frozen ConvNorm does not call its convolution, so it is counted as a whole.
    inner = {layer.conv for layer in network.modules() if isinstance(layer, ConvNorm)}
    counted = [
        layer
        for layer in network.modules()
        if isinstance(layer, ConvNorm) or (isinstance(layer, nn.Conv2d) and layer not in inner)
    ]
    hooks = [layer.register_forward_hook(count) for layer in counted]
    was_training = network.training
    try:
        device = next(network.parameters()).device
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, height, width, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return NetworkCost(sum(p.numel() for p in network.parameters()), macs)


def measure_latency(
    onnx_path: Path, width: int, height: int, *, threads: int = 2, seconds: float = 3.0
) -> float:
    """Median milliseconds for one image in ONNX Runtime on this CPU, over about ``seconds``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(onnx_path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    image = np.random.default_rng(0).random((1, 3, height, width), np.float32)
    for _ in range(3):
        session.run(None, {name: image})
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, {name: image})
        taken.append(time.perf_counter() - start)
    return 1e3 * float(np.median(taken))
