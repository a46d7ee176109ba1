"""Running the network: one small interface, and ONNX Runtime behind it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.model_folder import ModelSpec
from palletjack_detection.pool_cores import PoolCores, thread_ids, threads_of_python

FloatArray = NDArray[np.float32]
Batch = FloatArray | NDArray[np.uint8]
# Of a pixel, for a network that takes bytes: red, green, blue and one without meaning.
PIXEL_BYTES = 4
CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
# When ONNX Runtime's threads wait for work in a loop, which wakes them sooner and takes a core meanwhile; by
# its own choice ("always") they do so between two images too.
WHILE_RUNNING = "while_running"
_SPINNING = {
    WHILE_RUNNING: ("session.force_spinning_stop", "1"),
    "never": ("session.intra_op.allow_spinning", "0"),
    "always": ("session.intra_op.allow_spinning", "1"),
}
SPINNING = tuple(_SPINNING)


class EngineError(RuntimeError):
    """A network that cannot be loaded or does not fit its model.json."""


class Engine(Protocol):
    """A loaded network. ``provider`` names what runs it."""

    @property
    def provider(self) -> str:
        """Name of what runs the network, for diagnostics."""
        ...

    @property
    def takes_pixels(self) -> bool:
        """Whether a batch is bytes (N, H, W, 4), see ``Preprocessor.pixels``, or floats (N, 3, H, W)."""
        ...

    def run(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Return coverage (N, C, h, w) in 0..1 and boxes (N, 4C, h, w) for a batch of images."""
        ...


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU, or on the GPU where its CUDA provider is installed.

    TensorRT is used only when it is named in ``providers``: it builds an engine on first use, which
    takes minutes that a caller should have asked for. ONNX Runtime keeps that engine in our cache folder.
    """

    def __init__(
        self,
        onnx_path: Path,
        spec: ModelSpec,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        precision: str = "fp32",
        spinning: str = WHILE_RUNNING,
    ) -> None:
        """Load ``onnx_path``, check it against ``spec`` and run it once.

        ``threads``: threads within one operator; None leaves the choice to ONNX Runtime. ``precision``:
        that of the file, which its TensorRT provider must be told. ``spinning``: one of SPINNING.

        Raises:
            EngineError: ONNX Runtime is not installed, the file is no readable ONNX, tensors differ from
                the spec, or a provider is not available.
        """
        onnxruntime = import_onnxruntime()
        self._path = Path(onnx_path)
        self._spec = spec
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            if threads < 1:
                raise EngineError(f"threads: expected 1 or more, found {threads}")
            options.intra_op_num_threads = threads
        if spinning not in _SPINNING:
            raise EngineError(f"spinning: expected one of {', '.join(SPINNING)}, found {spinning!r}")
        options.add_session_config_entry(*_SPINNING[spinning])
        names = choose_providers(providers)
        threads_before = thread_ids()
        try:
            self._session = onnxruntime.InferenceSession(
                str(self._path),
                options,
                providers=names,
                provider_options=[provider_options(name, precision) for name in names],
            )
        except Exception as error:  # ONNX Runtime raises a class of its own for every kind of failure
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise EngineError(
                f"{self._path}: expected a network that ONNX Runtime can load, found: {reason}"
            ) from error
        # Without a number of threads, ONNX Runtime gives each a core itself.
        new = frozenset() if threads is None else thread_ids() - threads_before - threads_of_python()
        self._pool = PoolCores(new)
        # INT8 files for processors do, see docs/model_folder.md.
        self.takes_pixels = any(node.type == "tensor(uint8)" for node in self._session.get_inputs())
        self._check_tensors()
        # Symbolic dimensions show their value only when the network runs; this also warms it up.
        self.run(np.zeros((1, *self._input_shape), np.uint8 if self.takes_pixels else np.float32))

    @property
    def provider(self) -> str:
        """The provider that ONNX Runtime gave the highest priority."""
        return str(self._session.get_providers()[0])

    @property
    def _input_shape(self) -> tuple[int, int, int]:
        height, width = self._spec.input.height, self._spec.input.width
        return (height, width, PIXEL_BYTES) if self.takes_pixels else (3, height, width)

    def run(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """See :meth:`Engine.run`.

        Raises:
            EngineError: the network failed, or its outputs do not have the shape that the spec says.
        """
        outputs = self._spec.outputs
        self._pool.leave_callers_core()
        try:
            coverage, boxes = self._session.run(
                [outputs.coverage, outputs.boxes], {self._spec.input.name: batch}
            )
        except Exception as error:
            raise EngineError(f"{self._path}: running the network failed: {error}") from error
        classes, (rows, columns) = len(self._spec.classes), self._spec.grid
        for name, array, channels in (
            (outputs.coverage, coverage, classes),
            (outputs.boxes, boxes, 4 * classes),
        ):
            expected = (len(batch), channels, rows, columns)
            if array.shape != expected:
                raise EngineError(
                    f"{self._path}: output '{name}': expected shape {expected}, found {array.shape}"
                )
        return coverage, boxes

    def _check_tensors(self) -> None:
        spec, classes, (rows, columns) = self._spec, len(self._spec.classes), self._spec.grid
        inputs = {node.name: node for node in self._session.get_inputs()}
        outputs = {node.name: node for node in self._session.get_outputs()}
        if set(inputs) != {spec.input.name}:
            raise EngineError(
                f"{self._path}: input tensors: expected ['{spec.input.name}'], found {sorted(inputs)}"
            )
        wanted = {spec.outputs.coverage, spec.outputs.boxes}
        if not wanted <= set(outputs):
            raise EngineError(
                f"{self._path}: output tensors: expected {sorted(wanted)}, found {sorted(outputs)}"
            )
        kind = "tensor(uint8)" if self.takes_pixels else "tensor(float)"
        self._check_tensor("input", inputs[spec.input.name], self._input_shape, kind)
        self._check_tensor("output", outputs[spec.outputs.coverage], (classes, rows, columns))
        self._check_tensor("output", outputs[spec.outputs.boxes], (4 * classes, rows, columns))
        if self.takes_pixels and not spec.input.is_plain:
            raise EngineError(
                f"{self._path}: input '{spec.input.name}' takes bytes, for which model.json has to say "
                f"scale 1/255, mean 0 and stddev 1; found {spec.input.scale}, {list(spec.input.mean)}, "
                f"{list(spec.input.stddev)}"
            )

    def _check_tensor(
        self, role: str, node: Any, expected: tuple[int, int, int], kind: str = "tensor(float)"
    ) -> None:
        """Compare type, rank and every fixed dimension; a symbolic one (a string or None) may be any."""
        where = f"{self._path}: {role} '{node.name}'"
        if node.type != kind:
            raise EngineError(f"{where}: expected {kind}, found {node.type}")
        shape = list(node.shape)
        wanted = [1, *expected]
        fits = len(shape) == 4 and all(
            not isinstance(found, int) or found == want for found, want in zip(shape, wanted, strict=True)
        )
        if not fits:
            raise EngineError(
                f"{where}: expected shape ['N' or 1, {', '.join(map(str, expected))}], found {shape}"
            )


def import_onnxruntime() -> Any:
    """Return the module, which is imported only where it runs: a robot may have TensorRT alone.

    Raises:
        EngineError: it is not installed or does not load.
    """
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise EngineError(
            f"onnxruntime cannot be loaded ({error}). pip install onnxruntime, or onnxruntime-gpu for CUDA"
        ) from error
    return onnxruntime


def engine_cache() -> Path:
    """Where engines built on this machine lie: ~/.cache/palletjack/engines, or as XDG_CACHE_HOME says."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "palletjack" / "engines"


def provider_options(provider: str, precision: str) -> dict[str, str]:
    """Options of an ONNX Runtime provider for a network of ``precision``, by their documented names."""
    if provider != TENSORRT:
        return {}
    cache = engine_cache() / "onnxruntime"
    cache.mkdir(parents=True, exist_ok=True)
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache),
        # Layers that INT8's quantizers leave out run in half precision.
        "trt_fp16_enable": str(precision in ("fp16", "int8")),
        "trt_int8_enable": str(precision == "int8"),
    }


def choose_providers(requested: Sequence[str] | None = None) -> list[str]:
    """Return ONNX Runtime providers by priority: ``requested``, or CUDA where installed, then the CPU.

    Raises:
        EngineError: a requested provider is not in the installed ONNX Runtime.
    """
    available = import_onnxruntime().get_available_providers()
    if requested is None:
        return [p for p in (CUDA, CPU) if p in available]
    unknown = [p for p in requested if p not in available]
    if unknown or not requested:
        raise EngineError(f"providers: expected some of {available}, found {list(requested)}")
    return list(requested)
