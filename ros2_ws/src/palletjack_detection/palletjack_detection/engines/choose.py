"""Which engine runs a model here: one of TensorRT that fits, or none, and then ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from palletjack_detection.engine import EngineError
from palletjack_detection.engines.api import TENSORRT, TENSORRT_RTX, load_tensorrt
from palletjack_detection.engines.cuda import Cuda
from palletjack_detection.engines.store import EngineRequest, ensure_engine, has_engines
from palletjack_detection.engines.tensorrt_engine import TensorRtEngine
from palletjack_detection.model_folder import load_model_spec


def named_engine(
    folder: Path, precision: str, runtime: str, *, build: bool, say: Callable[[str], None]
) -> TensorRtEngine:
    """The engine of ``runtime``, built where ``build`` allows it.

    Raises:
        ModelFolderError: the model cannot be used.
        EngineMissing: it is not built yet, and ``build`` is off.
        EngineError: the library or the GPU is missing, or the engine cannot be built or run.
    """
    library = load_tensorrt(runtime)
    # Before minutes of building for nothing: an engine needs the GPU.
    cuda = Cuda()
    stored = ensure_engine(library, EngineRequest(folder, precision), build=build, say=say)
    return TensorRtEngine(library, stored, cuda)


def best_engine(
    folder: Path, precision: str, *, build: bool, say: Callable[[str], None]
) -> TensorRtEngine | None:
    """The first engine that can be had, or None; ``say`` hears why not.

    Without ``build`` nothing of CUDA is touched unless an engine of this model lies in the cache.

    Raises:
        ModelFolderError: the model cannot be used.
    """
    spec = load_model_spec(folder)
    for runtime in (TENSORRT, TENSORRT_RTX):
        if not (build or has_engines(spec.name, runtime)):
            continue
        try:
            return named_engine(folder, precision, runtime, build=build, say=say)
        except (EngineError, OSError) as error:
            say(f"{runtime} is passed over: {error}")
    return None
