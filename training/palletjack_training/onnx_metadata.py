"""What an ONNX file says about itself, for those who meet it without its model.json."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import onnx

from palletjack_detection.model_folder import ModelSpec

PREFIX = "palletjack."


def describe(spec: ModelSpec, precision: str) -> dict[str, str]:
    """The metadata by key; lists and objects as JSON. ``config_sha256`` is of the training configuration."""
    config = json.dumps(spec.training.get("config", {}), sort_keys=True, separators=(",", ":"))
    return {
        "format": spec.format,
        "name": spec.name,
        "architecture": spec.architecture,
        "classes": json.dumps(list(spec.classes)),
        "input": json.dumps(dataclasses.asdict(spec.input), sort_keys=True),
        "stride": str(spec.stride),
        "box_scale": repr(spec.box_scale),
        "box_offset": repr(spec.box_offset),
        "precision": precision,
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
    }


def stamp_metadata(model: onnx.ModelProto, spec: ModelSpec, precision: str = "fp32") -> None:
    """Write the description into ``model``; the same spec gives the same bytes, and others' keys stay."""
    kept = {item.key: item.value for item in model.metadata_props if not item.key.startswith(PREFIX)}
    ours = {PREFIX + key: value for key, value in describe(spec, precision).items()}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(sorted({**kept, **ours}.items())))


def stamp_file(path: Path, spec: ModelSpec, precision: str = "fp32") -> None:
    """:func:`stamp_metadata` on a file, in place."""
    model = onnx.load(str(path))
    stamp_metadata(model, spec, precision)
    onnx.save(model, str(path))
