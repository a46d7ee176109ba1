"""Building an engine from a model folder with TensorRT's Python API.

Explicit quantization only: INT8 comes from the model's own quantize and dequantize nodes. FP16 is a flag up
to TensorRT 10; where networks are strongly typed (TensorRT 11, TensorRT for RTX) it takes an FP16 ONNX.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from palletjack_detection.engine import EngineError
from palletjack_detection.engines.api import TENSORRT, TensorRt
from palletjack_detection.model_folder import ModelSpec

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class BuildOptions:
    """``batch``: smallest, usual and largest. ``dla``: number of the DLA core, or -1 for the GPU.
    ``workspace_mib``: scratch memory that the builder may plan with."""

    batch: tuple[int, int, int] = (1, 1, 1)
    dla: int = -1
    workspace_mib: int = 1024

    def __post_init__(self) -> None:
        low, usual, high = self.batch
        if not 1 <= low <= usual <= high:
            raise EngineError(f"batch: expected 1 <= smallest <= usual <= largest, found {self.batch}")
        if self.dla < -1:
            raise EngineError(f"dla: expected a core's number, or -1 for the GPU, found {self.dla}")
        if self.workspace_mib < 1:
            raise EngineError(f"workspace_mib: expected at least 1, found {self.workspace_mib}")

    def as_dict(self) -> dict[str, Any]:
        """For the sidecar: plain JSON values."""
        return {**asdict(self), "batch": list(self.batch)}


def network_for(folder: Path, spec: ModelSpec, precision: str, library: TensorRt) -> Path:
    """The ONNX file from which an engine of ``precision`` is built.

    Raises:
        EngineError: the folder does not hold what this library needs for that precision.
    """
    if precision == "fp16" and library.has_precision_flags:
        return folder / spec.network_file("fp32")
    if precision not in spec.precisions:
        hint = ""
        if precision == "fp16":
            hint = (
                f"; {library.runtime} {library.version} types networks by their ONNX: "
                "'palletjack build-engine' makes the half-precision file, or add it as variant fp16"
            )
        raise EngineError(
            f"{folder}: precision: expected one of {', '.join(spec.precisions)}, found {precision!r}{hint}"
        )
    return file_for_tensorrt(folder, spec, precision)


def file_for_tensorrt(folder: Path, spec: ModelSpec, precision: str) -> Path:
    """The file of a precision that the folder holds, if it is not one for processors alone.

    Raises:
        EngineError: it is, with unsigned activations, which TensorRT cannot read.
    """
    file = spec.network_file(precision, "tensorrt")
    if any(item.file == file and item.runtime == "cpu" for item in spec.variants.values()):
        raise EngineError(
            f"{folder / file}: expected a network for TensorRT, signed and symmetric; found one "
            "for processors"
        )
    return folder / file


def build_engine(
    library: TensorRt,
    onnx: Path,
    spec: ModelSpec,
    precision: str,
    options: BuildOptions,
    *,
    timing_cache: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> bytes:
    """Return the serialized engine.

    ``timing_cache`` is read where it is there and written afterwards; it makes the next build quicker.

    Raises:
        EngineError: the ONNX cannot be parsed, an option does not exist in this version, or the build fails.
    """
    trt = library.module
    messages = _Messages(trt, say)
    builder = trt.Builder(messages.logger)
    network = builder.create_network(library.creation_flags())
    parser = trt.OnnxParser(network, messages.logger)
    if not parser.parse(onnx.read_bytes()):
        problems = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise EngineError(f"{onnx}: {library.runtime} {library.version} cannot read it: {problems}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * MEBIBYTE)
    _set_precision(library, config, precision)
    if options.dla >= 0:
        _use_dla(library, builder, config, precision, options.dla)
    profile = builder.create_optimization_profile()
    sides = (3, spec.input.height, spec.input.width)
    profile.set_shape(spec.input.name, *((count, *sides) for count in options.batch))
    config.add_optimization_profile(profile)
    # TensorRT for RTX compiles on first use and keeps no timings.
    timing_cache = timing_cache if library.runtime == TENSORRT else None
    cache = _read_timing_cache(config, timing_cache, say)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(
            f"{onnx}: {library.runtime} {library.version} built no engine: "
            f"{messages.last or 'no reason given'}"
        )
    if timing_cache is not None and cache is not None:
        timing_cache.parent.mkdir(parents=True, exist_ok=True)
        temporary = timing_cache.with_name(f".{timing_cache.name}.tmp")
        temporary.write_bytes(bytes(cache.serialize()))
        temporary.replace(timing_cache)
    return bytes(plan)


def _set_precision(library: TensorRt, config: Any, precision: str) -> None:
    if not library.has_precision_flags:
        return
    flags = library.module.BuilderFlag
    if precision in ("fp16", "int8"):
        # Layers that the quantizers leave out run in half precision.
        config.set_flag(flags.FP16)
    if precision == "int8":
        config.set_flag(flags.INT8)


def _use_dla(library: TensorRt, builder: Any, config: Any, precision: str, core: int) -> None:
    cores = int(builder.num_DLA_cores)
    if core >= cores:
        raise EngineError(f"dla: expected a core below {cores}, which this machine has, found {core}")
    if precision == "fp32":
        raise EngineError("dla: expected precision fp16 or int8, found fp32: a DLA has no single precision")
    config.default_device_type = library.module.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(library.module.BuilderFlag.GPU_FALLBACK)


def _read_timing_cache(config: Any, path: Path | None, say: Callable[[str], None]) -> Any:
    if path is None:
        return None
    content = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(content)
    if not config.set_timing_cache(cache, False):
        say(f"{path}: not a timing cache of this version; starting a new one")
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


class _Messages:
    """TensorRT's log: errors are kept for the exception, warnings and errors are told."""

    def __init__(self, trt: Any, say: Callable[[str], None]) -> None:
        self.last = ""
        outer = self

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if int(severity) <= int(trt.ILogger.ERROR):
                    outer.last = message
                if int(severity) <= int(trt.ILogger.WARNING):
                    say(message)

        self.logger = Logger()
