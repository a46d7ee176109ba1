"""Running a TensorRT engine: page-locked buffers, one stream, and the whole pass as one CUDA graph."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.engine import Batch, EngineError
from palletjack_detection.engines.api import TensorRt
from palletjack_detection.engines.cuda import Cuda
from palletjack_detection.engines.store import StoredEngine
from palletjack_detection.model_folder import ModelSpec

FloatArray = NDArray[np.float32]


class TensorRtEngine:
    """A deserialized engine for one image at a time; see :class:`palletjack_detection.engine.Engine`.

    Raises:
        EngineError: there is no GPU, the engine is refused, or its tensors are not those of the model.
    """

    # Engines are built from files that take floats.
    takes_pixels = False

    def __init__(self, library: TensorRt, stored: StoredEngine, cuda: Cuda | None = None) -> None:
        self._library = library
        self.spec = self._spec = stored.spec
        self._cuda = cuda or Cuda()
        trt = library.module
        logger = trt.Logger(trt.Logger.ERROR)
        # Runtime and engine must live as long as the context.
        self._runtime = trt.Runtime(logger)
        self._engine = self._runtime.deserialize_cuda_engine(stored.plan)
        if self._engine is None:
            raise EngineError(
                f"{stored.path}: {library.runtime} {library.version} refused it on {self._cuda.gpu} "
                f"(compute capability {self._cuda.compute_capability})"
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"{stored.path}: no execution context; is the GPU's memory full?")
        self._stream = self._cuda.stream()
        self._host: dict[str, FloatArray] = {}
        self._device: dict[str, int] = {}
        self._graphs: list[int] = []
        # A node that changes its model drops the old engine; its memory on the GPU must go with it.
        self._release = weakref.finalize(
            self, _release, self._cuda, self._stream, self._graphs, self._device, self._host
        )
        try:
            self._bind(stored)
            self._warm_up()
        except Exception:
            self.close()
            raise

    @property
    def runtime(self) -> str:
        """``tensorrt`` or ``tensorrt_rtx``."""
        return self._library.runtime

    @property
    def provider(self) -> str:
        """Library, version and GPU."""
        return f"{self._library.runtime} {self._library.version} on {self._cuda.gpu}"

    def run(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """See :meth:`palletjack_detection.engine.Engine.run`; images of a batch run one after the other.

        Raises:
            EngineError: the GPU failed, or the batch has another shape.
        """
        if not self._release.alive:
            raise EngineError("the engine was closed")
        spec = self._spec
        target = self._host[spec.input.name]
        if batch.shape[1:] != target.shape[1:]:
            raise EngineError(f"input: expected shape (N, {target.shape[1:]}), found {batch.shape}")
        coverage, boxes = [], []
        for image in batch:
            np.copyto(target[0], image)
            self._pass()
            coverage.append(self._host[spec.outputs.coverage][0].copy())
            boxes.append(self._host[spec.outputs.boxes][0].copy())
        return np.stack(coverage), np.stack(boxes)

    def close(self) -> None:
        """Give the memory back, which happens at the latest when the engine is no longer referred to."""
        self._release()

    def _bind(self, stored: StoredEngine) -> None:
        spec, trt = self._spec, self._library.module
        wanted = tensor_shapes(spec)
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        if set(names) != set(wanted):
            raise EngineError(f"{stored.path}: tensors: expected {sorted(wanted)}, found {sorted(names)}")
        if not self._context.set_input_shape(spec.input.name, wanted[spec.input.name]):
            raise EngineError(f"{stored.path}: {spec.input.name}: shape {wanted[spec.input.name]} is refused")
        for name, shape in wanted.items():
            kind = self._engine.get_tensor_dtype(name)
            if kind != trt.float32:
                raise EngineError(f"{stored.path}: {name}: expected float32, found {kind}")
            found = tuple(self._context.get_tensor_shape(name))
            if found != shape:
                raise EngineError(f"{stored.path}: {name}: expected shape {shape}, found {found}")
            self._host[name] = self._cuda.pinned(shape)
            self._device[name] = self._cuda.device_memory(self._host[name].nbytes)
            self._context.set_tensor_address(name, self._device[name])

    def _warm_up(self) -> None:
        """Run once, which allocates; then record a pass, where the engine allows it."""
        self._host[self._spec.input.name][:] = 0
        self._queue()
        self._cuda.synchronize(self._stream)
        try:
            self._cuda.begin_capture(self._stream)
            try:
                self._queue()
            finally:
                graph = self._cuda.end_capture(self._stream)
        except EngineError:
            return  # some engines cannot be captured; they run call by call
        self._graphs.append(graph)

    def _queue(self) -> None:
        spec = self._spec
        self._cuda.copy_in(self._device[spec.input.name], self._host[spec.input.name], self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise EngineError(f"{self._library.runtime}: running the network failed")
        for name in (spec.outputs.coverage, spec.outputs.boxes):
            self._cuda.copy_out(self._host[name], self._device[name], self._stream)

    def _pass(self) -> None:
        if self._graphs:
            self._cuda.launch(self._graphs[0], self._stream)
        else:
            self._queue()
        self._cuda.synchronize(self._stream)


def _release(
    cuda: Cuda, stream: int, graphs: list[int], device: dict[str, int], host: dict[str, FloatArray]
) -> None:
    steps: list[tuple[Callable[[Any], None], Any]] = [
        (cuda.synchronize, stream),
        *((cuda.destroy_graph, graph) for graph in graphs),
        *((cuda.free, address) for address in device.values()),
        *((cuda.free_pinned, array) for array in host.values()),
        (cuda.destroy_stream, stream),
    ]
    for give_back, what in steps:
        # After a failure of the GPU every call fails; the others must still be tried.
        with contextlib.suppress(EngineError):
            give_back(what)


def tensor_shapes(spec: ModelSpec) -> dict[str, tuple[Any, ...]]:
    """Shapes of the three tensors for one image, input first."""
    rows, columns = spec.grid
    classes = len(spec.classes)
    return {
        spec.input.name: (1, 3, spec.input.height, spec.input.width),
        spec.outputs.coverage: (1, classes, rows, columns),
        spec.outputs.boxes: (1, 4 * classes, rows, columns),
    }
