"""The command line of NVIDIA's builder for machines where TensorRT's Python API is not installed."""

from __future__ import annotations

import shlex
from pathlib import Path

from palletjack_detection.engine import EngineError
from palletjack_detection.engines.api import OLDEST, TENSORRT, TENSORRT_RTX
from palletjack_detection.engines.build import BuildOptions, file_for_tensorrt
from palletjack_detection.model_folder import ModelSpec

PROGRAMS = {TENSORRT: "trtexec", TENSORRT_RTX: "tensorrt_rtx"}
STRONGLY_TYPED_SINCE = 11


def typed_by_onnx(runtime: str, version: tuple[int, int]) -> bool:
    """Whether precisions come from the ONNX alone, and FP16 so needs a file of its own."""
    return runtime == TENSORRT_RTX or version[0] >= STRONGLY_TYPED_SINCE


def trtexec_command(
    folder: Path,
    spec: ModelSpec,
    precision: str,
    options: BuildOptions,
    engine: Path,
    *,
    runtime: str = TENSORRT,
    version: tuple[int, int] = (10, 3),
    timing_cache: Path | None = None,
) -> str:
    """Return the line that builds the same engine as the Python API does, for ``version`` of ``runtime``.

    Raises:
        EngineError: the model has no file for this precision and version, or the version is too old.
    """
    by_onnx = typed_by_onnx(runtime, version)
    if runtime == TENSORRT and version < OLDEST:
        raise EngineError(f"version: expected 8.6 or newer, found {'.'.join(map(str, version))}")
    source = "fp32" if precision == "fp16" and not by_onnx else precision
    if source not in spec.precisions:
        raise EngineError(
            f"{folder}: precision: expected one of {', '.join(spec.precisions)}, found {precision!r}"
        )
    words = [PROGRAMS[runtime], f"--onnx={file_for_tensorrt(folder, spec, source)}"]
    words.append(f"--saveEngine={engine}")
    sides = f"3x{spec.input.height}x{spec.input.width}"
    for name, count in zip(("min", "opt", "max"), options.batch, strict=True):
        words.append(f"--{name}Shapes={spec.input.name}:{count}x{sides}")
    if not by_onnx:
        words += {"fp32": [], "fp16": ["--fp16"], "int8": ["--int8", "--fp16"]}[precision]
    if options.dla >= 0:
        words += [f"--useDLACore={options.dla}", "--allowGPUFallback"]
    words.append(f"--memPoolSize=workspace:{options.workspace_mib}")
    if timing_cache is not None and runtime == TENSORRT:
        words.append(f"--timingCacheFile={timing_cache}")
    return shlex.join(words)
