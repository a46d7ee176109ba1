"""A peer as a network that is called with arrays, and as an ONNX file."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_detector import FloatArray, Network
from torch import nn

OPSET = 17


def torch_network(deployed: nn.Module, device: str) -> Network:
    """``deployed`` in float32 on ``device``, called with arrays."""
    deployed = deployed.to(device).eval()
    # Ours is scored in float32 as well.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False

    def call(image: FloatArray) -> tuple[FloatArray, FloatArray]:
        with torch.inference_mode():
            boxes, scores = deployed(torch.from_numpy(image).to(device))
        return boxes[0].cpu().numpy(), scores[0].cpu().numpy()

    return call


def export_onnx(deployed: nn.Module, size: tuple[int, int], path: Path) -> None:
    """Write the graph for one image of ``size`` (height, width), whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with torch.no_grad(), warnings.catch_warnings():
        # The tracer warns of each size that becomes a constant, which is meant: the size is fixed.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            deployed,
            (torch.zeros(1, 3, *size),),
            str(temporary),
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["boxes", "scores"],
        )
    os.replace(temporary, path)


def onnx_deviation(deployed: nn.Module, size: tuple[int, int], path: Path) -> dict[str, Any]:
    """How far ONNX Runtime is from PyTorch on a smooth picture: largest difference of sorted scores."""
    import onnxruntime

    rows, columns = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]), indexing="ij")
    image = np.stack((rows, columns, rows * columns))[None].astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(["scores"], {"image": image})[0][0]
    expected = torch_network(deployed, "cpu")(image)[1]
    return {"largest_score_difference": float(np.abs(np.sort(found) - np.sort(expected)).max())}
