"""What an engine file was built from and for. An engine is only loaded where its sidecar fits.

TensorRT's files are not portable: another GPU or version gives an error at best, wrong boxes at worst.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palletjack_detection.engine import EngineError

FORMAT = "palletjack-engine/1"


@dataclass(frozen=True)
class EngineIdentity:
    """All that must be equal for an engine to be used again.

    ``model_sha256`` is that of the ONNX file. ``gpu`` is its name, ``compute_capability`` such as 8.7; both
    are empty for an engine built without a GPU. ``options`` are the builder's.
    """

    model: str
    model_sha256: str
    precision: str
    runtime: str
    runtime_version: str
    gpu: str
    compute_capability: str
    options: dict[str, Any] = field(default_factory=dict)
    format: str = FORMAT

    @property
    def key(self) -> str:
        """A short hash of everything."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def file_name(self) -> str:
        """Name of the engine file: readable, and different for whatever differs."""
        return f"{file_stem(self.model)}.{self.precision}.{self.runtime}.{self.key}.engine"

    def difference(self, other: EngineIdentity) -> str:
        """The first thing in which ``other`` differs, as a sentence, or an empty string."""
        for item in dataclasses.fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if mine != theirs:
                return f"{item.name}: expected {mine!r}, found {theirs!r}"
        return ""


def file_stem(model: str) -> str:
    """The model's name as it stands in file names."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", model)


def sidecar_path(engine: Path) -> Path:
    """Where the description of ``engine`` lies."""
    return engine.with_name(engine.name + ".json")


def write_engine(engine: Path, plan: bytes, identity: EngineIdentity) -> None:
    """Write engine and sidecar; the engine appears last, so that it is never there alone."""
    engine.parent.mkdir(parents=True, exist_ok=True)
    content = {**dataclasses.asdict(identity), "engine_sha256": hashlib.sha256(plan).hexdigest()}
    for path, data in (
        (sidecar_path(engine), json.dumps(content, indent=2).encode() + b"\n"),
        (engine, plan),
    ):
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def read_sidecar(engine: Path) -> tuple[EngineIdentity, str]:
    """What ``engine`` is for, and the SHA-256 that the file must have.

    Raises:
        EngineError: there is no engine or no sidecar, or the sidecar is no description of one.
    """
    sidecar = sidecar_path(engine)
    for path in (engine, sidecar):
        if not path.is_file():
            raise EngineError(f"{path}: expected an engine and its description, found none")
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
        digest = content.pop("engine_sha256")
        return EngineIdentity(**content), str(digest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"{sidecar}: expected the description of an engine, found {error}") from error


def read_engine(engine: Path, wanted: EngineIdentity) -> bytes:
    """Return the engine's bytes if its sidecar says that they are what is ``wanted``.

    Raises:
        EngineError: there is no engine or no sidecar, they differ from what is wanted, or the file is not
            the one that the sidecar describes.
    """
    found, digest = read_sidecar(engine)
    sidecar = sidecar_path(engine)
    if difference := wanted.difference(found):
        raise EngineError(f"{sidecar}: {difference}: the engine is not for this machine or model")
    plan = engine.read_bytes()
    if hashlib.sha256(plan).hexdigest() != digest:
        raise EngineError(f"{engine}: expected the file that {sidecar.name} describes, found another")
    return plan
