"""The FP16 variant of a model folder, for engines that take a network's types from its ONNX."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from palletjack_detection.model_folder import ONNX_NAME, VARIANTS, load_model_spec, write_model_folder
from palletjack_training.onnx_metadata import stamp_metadata


def add_half_precision(folder: Path) -> Path:
    """Add ``model_fp16.onnx`` to the model in ``folder``, inputs and outputs staying single; return it.

    Raises ModelFolderError where the folder cannot be used. A folder that has it is left alone.
    """
    spec = load_model_spec(folder)
    target = folder / "model_fp16.onnx"
    if "fp16" in spec.precisions:
        return folder / spec.network_file("fp16", "any")
    network = convert_float_to_float16(onnx.load(str(folder / ONNX_NAME)), keep_io_types=True)
    # The converter appends its casts; ONNX wants nodes after what they read.
    OnnxModel(network).topological_sort()
    stamp_metadata(network, spec, "fp16")
    variants = {name: folder / item.file for name, item in spec.variants.items() if name in VARIANTS}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / target.name
        onnx.save(network, str(path))
        onnx.checker.check_model(str(path))
        write_model_folder(spec, folder / ONNX_NAME, folder, {**variants, "fp16": path})
    return target
