"""DeepStream's nvinfer configuration of a model folder, and whether its box parser reads the model right.

nvinfer decodes this network with the parser it has built in: it takes the tensors whose names contain "cov"
and "bbox", one group of four channels after the other for each class, and computes
``x = (column * stride + 0.5) -+ 35 * value``. A model with other numbers gives shifted boxes and no error.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from palletjack_detection.engines.build import BuildOptions, file_for_tensorrt
from palletjack_detection.engines.trtexec import trtexec_command
from palletjack_detection.model_folder import ModelSpec

CONFIG_NAME, LABELS_NAME = "config_infer_primary.txt", "labels.txt"
PARSER_BOX_SCALE, PARSER_BOX_OFFSET = 35.0, 0.5
NETWORK_MODES = {"fp32": 0, "int8": 1, "fp16": 2}
CLUSTER_MODES = {"dbscan": 1, "nms": 2, "plain_nms": 2}
COLOURS = {"rgb": 0, "bgr": 1}


class DeepStreamError(ValueError):
    """A model that nvinfer would run wrongly; the message names the field."""


def check_parser(spec: ModelSpec) -> None:
    """Raise DeepStreamError where nvinfer's pre-processing or box parser differs from the model."""
    wanted = {
        "box_scale": (PARSER_BOX_SCALE, spec.box_scale),
        "box_offset": (PARSER_BOX_OFFSET, spec.box_offset),
        # nvinfer knows one scale, and offsets: it cannot divide by a deviation for each channel.
        "input.stddev": ((1.0, 1.0, 1.0), spec.input.stddev),
        "input.pad_value": (0, spec.input.pad_value),
    }
    for field, (expected, found) in wanted.items():
        if expected != found:
            raise DeepStreamError(f"model {spec.name}: {field}: nvinfer takes {expected}, found {found}")
    for field, word, name in (
        ("outputs.coverage", "cov", spec.outputs.coverage),
        ("outputs.boxes", "bbox", spec.outputs.boxes),
    ):
        if word not in name:
            raise DeepStreamError(
                f"model {spec.name}: {field}: nvinfer looks for a name with {word!r}, found {name!r}"
            )


def nvinfer_config(spec: ModelSpec, precision: str, *, folder: str = "..") -> str:
    """The text of the configuration; ``folder`` leads from it to the model.

    INT8 comes as an engine that trtexec built: for an ONNX without a calibration file nvinfer itself falls
    back to FP16, although the network holds its ranges.

    Raises DeepStreamError for a model that nvinfer would run wrongly, EngineError for a precision that the
    folder does not hold.
    """
    check_parser(spec)
    engine = f"model.{precision}.engine"
    build = trtexec_command(Path(folder), spec, precision, BuildOptions(), Path(folder) / engine)
    onnx = file_for_tensorrt(Path(), spec, "fp32" if precision == "fp16" else precision)
    data = spec.input
    letterbox = data.resize == "letterbox"
    clustering = spec.clustering
    properties = {
        "gpu-id": 0,
        "net-scale-factor": repr(data.scale),
        "offsets": ";".join(repr(mean / data.scale) for mean in data.mean),
        "model-color-format": COLOURS[data.channels],
        "onnx-file": f"{folder}/{onnx}",
        "model-engine-file": f"{folder}/{engine}",
        "labelfile-path": LABELS_NAME,
        "infer-dims": f"3;{data.height};{data.width}",
        "batch-size": 1,
        "network-mode": NETWORK_MODES[precision],
        "network-type": 0,
        "num-detected-classes": len(spec.classes),
        "interval": 0,
        "gie-unique-id": 1,
        "output-blob-names": f"{spec.outputs.coverage};{spec.outputs.boxes}",
        "cluster-mode": CLUSTER_MODES[clustering.method],
        "maintain-aspect-ratio": int(letterbox),
        "symmetric-padding": int(letterbox and data.padding == "center"),
    }
    classes: dict[str, object] = {"pre-cluster-threshold": spec.score_threshold, "topk": 100}
    if clustering.method != "dbscan":
        classes["nms-iou-threshold"] = clustering.iou_threshold
    else:
        classes = {
            "pre-cluster-threshold": clustering.coverage_threshold,
            "post-cluster-threshold": spec.score_threshold,
            "eps": clustering.eps,
            "minBoxes": max(1, round(clustering.min_samples)),
        }
    lines = [
        f"# DeepStream nvinfer, {spec.name}, {precision}. Made by: palletjack deepstream-config",
        "# Build the engine first, on the machine that runs it:",
        f"#   {build}",
        "[property]",
        *(f"{key}={value}" for key, value in properties.items()),
        "",
        "[class-attrs-all]",
        *(f"{key}={value}" for key, value in classes.items()),
    ]
    return "\n".join(lines) + "\n"


def for_tensorrt(spec: ModelSpec) -> tuple[str, ...]:
    """Precisions that nvinfer can run, the model's own first; not those that are for processors alone."""
    held = {item.precision for item in spec.variants.values() if item.runtime != "cpu"}
    others = tuple(name for name in spec.precisions if name != spec.precision and name in held | {"fp32"})
    return (spec.precision, *others)


def deepstream_files(spec: ModelSpec, precisions: Sequence[str], folder: str) -> dict[str, str]:
    """Name and text of every file: one configuration a precision, the first under the usual name."""
    files = {LABELS_NAME: "\n".join(spec.classes) + "\n"}
    for position, precision in enumerate(precisions):
        name = CONFIG_NAME if not position else CONFIG_NAME.replace(".txt", f"_{precision}.txt")
        files[name] = nvinfer_config(spec, precision, folder=folder)
    return files


def write_deepstream(model: Path, spec: ModelSpec, precisions: Sequence[str], out: Path) -> list[Path]:
    """Write configurations and labels into ``out``, which lies in the model's folder or beside its files."""
    files = deepstream_files(spec, precisions, _way(out, model))
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in files.items():
        temporary = out / f".{name}.tmp"
        temporary.write_text(text)
        temporary.replace(out / name)
        written.append(out / name)
    return written


def _way(start: Path, goal: Path) -> str:
    return os.path.relpath(goal.resolve(), start.resolve())
