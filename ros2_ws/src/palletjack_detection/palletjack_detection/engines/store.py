"""The engine for this machine: found where it was built before, built once where it was not.

Engines lie in a cache folder, each with its sidecar. A lock keeps two nodes from building the same one.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from palletjack_detection.engine import EngineError, engine_cache
from palletjack_detection.engines.api import TensorRt
from palletjack_detection.engines.build import BuildOptions, build_engine, network_for
from palletjack_detection.engines.cuda import Cuda
from palletjack_detection.engines.sidecar import (
    EngineIdentity,
    file_stem,
    read_engine,
    read_sidecar,
    sidecar_path,
    write_engine,
)
from palletjack_detection.model_folder import ModelSpec, load_model_spec, sha256_of


class EngineMissing(EngineError):
    """There is no engine for this machine and model yet, and building one was not asked for."""


@dataclass(frozen=True)
class EngineRequest:
    """Which engine: of the model in ``folder``, in ``precision`` (``auto``: the model's own).

    ``options``: those that it must be built with. None takes an engine built with any, the last one first,
    if it runs single images; and builds with the defaults.
    """

    folder: Path
    precision: str = "auto"
    options: BuildOptions | None = None


@dataclass(frozen=True)
class StoredEngine:
    """An engine that fits this machine. ``plan`` is its content; ``built`` whether it was just made."""

    path: Path
    plan: bytes
    identity: EngineIdentity
    spec: ModelSpec
    built: bool


def gpu_identity() -> tuple[str, str]:
    """Name and compute capability of the GPU; empty where there is none."""
    try:
        cuda = Cuda()
    except EngineError:
        return "", ""
    return cuda.gpu, cuda.compute_capability


def identify(
    library: TensorRt, request: EngineRequest, gpu: tuple[str, str]
) -> tuple[EngineIdentity, Path, ModelSpec]:
    """The identity of the wanted engine, the ONNX it is built from, and the model's description.

    Raises:
        ModelFolderError, EngineError: the model cannot be used, or does not hold that precision.
    """
    spec = load_model_spec(request.folder)
    precision = spec.precision if request.precision == "auto" else request.precision
    onnx = network_for(request.folder, spec, precision, library)
    identity = EngineIdentity(
        model=spec.name,
        model_sha256=sha256_of(onnx),
        precision=precision,
        runtime=library.runtime,
        runtime_version=library.version,
        gpu=gpu[0],
        compute_capability=gpu[1],
        options=(request.options or BuildOptions()).as_dict(),
    )
    return identity, onnx, spec


def ensure_engine(
    library: TensorRt,
    request: EngineRequest,
    *,
    cache: Path | None = None,
    timing_cache: Path | None = None,
    build: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> StoredEngine:
    """Return the engine for this machine from the cache, or build it (minutes on a Jetson).

    ``timing_cache``: the builder's own cache, in the engines' folder if left out.

    Raises:
        ModelFolderError: the model cannot be used.
        EngineMissing: ``build`` is off and there is none that fits.
        EngineError: it cannot be built.
    """
    cache = cache or engine_cache()
    identity, onnx, spec = identify(library, request, gpu_identity())
    path = cache / identity.file_name
    any_options = request.options is None
    try:
        return _stored(cache, identity, spec, any_options=any_options)
    except EngineError as error:
        if not build:
            raise EngineMissing(
                f"{error}; build it with 'ros2 run palletjack_detection setup_model'"
            ) from None
    with _locked(cache, path, say):
        try:
            # Another process may have built it while this one waited.
            return _stored(cache, identity, spec, any_options=any_options)
        except EngineError as error:
            if path.exists() or sidecar_path(path).exists():
                say(f"{error}; building it anew")
        say(
            f"building {path.name} from {onnx} with {library.runtime} {library.version}; this is done once "
            "and can take minutes"
        )
        timing = timing_cache or cache / f"timing.{library.runtime}.{library.version}.cache"
        options = request.options or BuildOptions()
        plan = build_engine(library, onnx, spec, identity.precision, options, timing_cache=timing, say=say)
        write_engine(path, plan, identity)
    return StoredEngine(path, plan, identity, spec, built=True)


def _stored(cache: Path, identity: EngineIdentity, spec: ModelSpec, *, any_options: bool) -> StoredEngine:
    """The engine in the cache that fits ``identity``, with its options or with any; else EngineError."""
    exact = cache / identity.file_name
    candidates = [exact]
    if any_options:
        pattern = f"{file_stem(identity.model)}.{identity.precision}.{identity.runtime}.*.engine"
        newest_first = sorted(cache.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
        candidates = newest_first or [exact]
    # Not the exception itself: it would keep its frames alive, and with them engines on the GPU.
    problem = ""
    for path in candidates:
        try:
            wanted = identity
            if any_options:
                options = read_sidecar(path)[0].options
                if options.get("batch", [1])[0] > 1:
                    raise EngineError(f"{path}: expected an engine for single images, found batches only")
                wanted = replace(identity, options=options)
            return StoredEngine(path, read_engine(path, wanted), wanted, spec, built=False)
        except EngineError as error:
            problem = problem or str(error)
    raise EngineError(problem)


def has_engines(model: str, runtime: str, cache: Path | None = None) -> bool:
    """Whether any engine of the model lies in the cache, for whatever machine: a look at names only."""
    return any((cache or engine_cache()).glob(f"{file_stem(model)}.*.{runtime}.*.engine"))


@contextmanager
def _locked(cache: Path, engine: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of ``engine``; it ends with the process, so a crash leaves none behind."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{engine.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is building {engine.name}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
