"""Measurements of a model kept in its own model.json: by data set, and by the precision that ran.

``metrics.DATA.PRECISION`` holds the scores, what ran (``ran``) and where the images come from (``data``).
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from palletjack_detection.model_folder import (
    JSON_NAME,
    PRECISIONS,
    ModelFolderError,
    ModelSpec,
    load_model_spec,
    parse_model_spec,
)
from palletjack_sdg.whole_file import write_whole

_KEPT = (
    "data",
    "images",
    "boxes",
    "ap50",
    "ap50_95",
    "at_threshold",
    "at_best_f1",
    "intervals_95",
    "by_height",
    "duplicates",
)
# Of several views: not what each photo of them had.
_KEPT_OF_VIEWS = ("views", "ap50", "at_threshold", "at_best_f1", "intervals_95")
_KEPT_OF_RUN = ("precision", "backend", "provider")


def measurements(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Data set, precision and scores of everything that was recorded, in the order of ``metrics``."""
    for name, by_precision in metrics.items():
        if _is_by_precision(by_precision):
            for precision, scores in by_precision.items():
                yield name, precision, scores


def check_recordable(folder: Path, name: str, class_name: str = "") -> None:
    """Say before the work that it could not be kept.

    Raises ModelFolderError where ``metrics`` has something else under the data set's ``name``, ValueError for
    another class than the model's first: there is one place for each data set and precision.
    """
    spec = load_model_spec(folder)
    if class_name not in ("", spec.classes[0]):
        raise ValueError(f"--record: expected the class {spec.classes[0]!r}, found --class {class_name}")
    _check(spec.metrics, name, folder / JSON_NAME)


def record_measurement(folder: Path, spec: ModelSpec, name: str, scores: Mapping[str, Any]) -> None:
    """Put ``scores``, made by the networks of ``spec``, under their precision of data set ``name``.

    A measurement of that data set and precision that was there is replaced, all else stays. Evaluations that
    end at one time write one after the other.

    Raises:
        ModelFolderError: the folder holds other networks by now, or ``metrics`` something else of that name.
        OSError: model.json cannot be written.
    """
    path = folder / JSON_NAME
    with _alone(folder):
        present = load_model_spec(folder)
        if (present.onnx_sha256, present.variants) != (spec.onnx_sha256, spec.variants):
            raise ModelFolderError(
                f"{path}: onnx_sha256: expected the networks that were measured, {spec.onnx_sha256!r}, "
                f"found {present.onnx_sha256!r}: the model was replaced meanwhile"
            )
        _check(present.metrics, name, path)
        document = json.loads(path.read_text(encoding="utf-8"))
        entry = document.setdefault("metrics", {}).setdefault(name, {})
        entry[scores["ran"]["precision"]] = _kept(scores)
        _replace(path, document)


def _kept(scores: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: scores[key] for key in _KEPT if key in scores}
    if "views" in scores:
        kept["views"] = {key: scores["views"][key] for key in _KEPT_OF_VIEWS}
    kept["ran"] = {key: scores["ran"][key] for key in _KEPT_OF_RUN}
    return {key: _finite(value) for key, value in kept.items()}


def _finite(value: Any) -> Any:
    """``value`` with null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_by_precision(entry: object) -> bool:
    return (
        isinstance(entry, Mapping)
        and set(entry) <= set(PRECISIONS)
        and all(isinstance(scores, Mapping) for scores in entry.values())
    )


def _check(metrics: Mapping[str, Any], name: str, path: Path) -> None:
    entry = metrics.get(name, {})
    if not _is_by_precision(entry):
        found = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else repr(entry)
        raise ModelFolderError(
            f"{path}: metrics.{name}: expected scores by precision ({', '.join(PRECISIONS)}), "
            f"found {found:.80}; rename it, or the data set's folder"
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other evaluations of the model from writing meanwhile, without a file of its own in the folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, document: dict[str, Any]) -> None:
    """Write model.json, once it has been checked; the old one stays until then."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    parse_model_spec(json.loads(text), str(path))
    write_whole(path, text.encode())
