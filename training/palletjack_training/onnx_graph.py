"""A network as ONNX, with the tensor names of TAO's export."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from palletjack_training.config import TrainingConfig
from palletjack_training.model_spec import BOXES_NAME, COVERAGE_NAME, INPUT_NAME
from palletjack_training.network import DetectNet, ExportableDetectNet

OPSET = 17
# Of operators that stand for rounding until a graph for a runtime is made.
DOMAIN = "palletjack"


def export_graph(network: DetectNet, config: TrainingConfig, path: Path, *, marked: bool = False) -> None:
    """Write ``network`` with TAO's tensor names, the sigmoid and a free batch size.

    ``marked`` says that it holds operators of our own DOMAIN.
    """
    graph = ExportableDetectNet(network).eval()
    sample = torch.zeros(1, 3, config.input.height, config.input.width)
    with warnings.catch_warnings():
        # The TorchScript exporter is deprecated, but it keeps names such as "input_1:0" as they are.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (sample,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[COVERAGE_NAME, BOXES_NAME],
            dynamic_axes={key: {0: "batch"} for key in (INPUT_NAME, COVERAGE_NAME, BOXES_NAME)},
            custom_opsets={DOMAIN: 1} if marked else None,
        )
