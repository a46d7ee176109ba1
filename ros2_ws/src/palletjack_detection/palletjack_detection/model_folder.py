"""A model is a folder: `model.onnx` plus `model.json`, which says how to feed and to read it.

The network may lie beside it in other precisions, as variants; see :mod:`palletjack_detection.model_spec`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palletjack_detection.model_spec import (
    FORMAT,
    JSON_NAME,
    ONNX_NAME,
    PRECISIONS,
    RUNTIMES,
    VARIANTS,
    ClusteringSpec,
    InputSpec,
    ModelFolderError,
    ModelSpec,
    OutputSpec,
    Variant,
    parse_model_spec,
)

# Readers of a model folder need no second import for what is in it.
__all__ = [
    "FORMAT",
    "JSON_NAME",
    "ONNX_NAME",
    "PRECISIONS",
    "RUNTIMES",
    "VARIANTS",
    "ClusteringSpec",
    "InputSpec",
    "ModelFolderError",
    "ModelSpec",
    "OutputSpec",
    "Variant",
    "load_model_spec",
    "parse_model_spec",
    "sha256_of",
    "write_model_folder",
]


def load_model_spec(folder: Path) -> ModelSpec:
    """Read and check ``folder``/model.json, and that its networks lie beside it.

    Raises:
        ModelFolderError: the folder, a file or a field is missing, unknown, of the wrong type, out of
            range or at odds with another field.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelFolderError(f"{folder}: expected a model folder, found {_describe_path(folder)}")
    path = folder / JSON_NAME
    if not path.is_file():
        raise ModelFolderError(f"{path}: expected the model's description, found {_describe_path(path)}")
    spec = parse_model_spec(_read_json(path), str(path))
    _check_file(folder / ONNX_NAME, spec.onnx_sha256, f"{path}: onnx_sha256")
    for name, variant in spec.variants.items():
        _check_file(folder / variant.file, variant.sha256, f"{path}: variants.{name}.sha256")
    return spec


def _check_file(onnx: Path, sha256: str, where: str) -> None:
    if not onnx.is_file():
        raise ModelFolderError(f"{onnx}: expected the network, found {_describe_path(onnx)}")
    if sha256 and (found := sha256_of(onnx)) != sha256.lower():
        raise ModelFolderError(
            f"{where}: expected {sha256}, found {found} for {onnx.name}: "
            "the two files are not of the same model"
        )


def write_model_folder(
    spec: ModelSpec, onnx_path: Path, folder: Path, variants: Mapping[str, Path] | None = None
) -> ModelSpec:
    """Put model.onnx (a copy of ``onnx_path``) and model.json into ``folder``, other files untouched.

    ``variants`` are further networks by name (those of VARIANTS); they become model_NAME.onnx. All are
    staged under temporary names and then renamed, model.json last. Should the process die between the
    renames, the hashes in model.json make :func:`load_model_spec` refuse the mixture. Returns the spec as
    written, with the hashes of the networks.

    Raises:
        ModelFolderError: the spec is not valid, a variant's name is unknown, or a network is no file.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    sources = {ONNX_NAME: Path(onnx_path)}
    described: dict[str, Variant] = {}
    for name, path in (variants or {}).items():
        if name not in VARIANTS:
            raise ModelFolderError(f"variants: expected one of {', '.join(VARIANTS)}, found {name!r}")
        sources[f"model_{name}.onnx"] = Path(path)
    for source in sources.values():
        if not source.is_file():
            raise ModelFolderError(f"{source}: expected an ONNX file, found {_describe_path(source)}")
    for name in variants or {}:
        file = f"model_{name}.onnx"
        described[name] = Variant(file, sha256_of(sources[file]), *VARIANTS[name])
    spec = dataclasses.replace(spec, onnx_sha256=sha256_of(sources[ONNX_NAME]), variants=described)
    text = json.dumps(dataclasses.asdict(spec), indent=2, sort_keys=False) + "\n"
    parse_model_spec(json.loads(text), str(folder / JSON_NAME))
    folder.mkdir(parents=True, exist_ok=True)
    staged = {name: folder / f".{name}.{os.getpid()}.tmp" for name in (*sources, JSON_NAME)}
    try:
        for name, source in sources.items():
            shutil.copyfile(source, staged[name])
        staged[JSON_NAME].write_text(text, encoding="utf-8")
        for name, path in staged.items():
            os.replace(path, folder / name)
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)
    return spec


def _read_json(path: Path) -> object:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise ModelFolderError(f"{path}: {key}: expected once, found twice")
            result[key] = value
        return result

    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except UnicodeDecodeError as error:
        raise ModelFolderError(f"{path}: expected UTF-8 text, found {error.reason}") from None
    except json.JSONDecodeError as error:
        raise ModelFolderError(
            f"{path}: expected JSON, found {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None


def _describe_path(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "a file" if path.exists() else "nothing there"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
