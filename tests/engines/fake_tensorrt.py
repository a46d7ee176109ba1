"""A stand-in for TensorRT that runs: as strict as the recorded API of its version, with ONNX Runtime inside.

What a version has and lacks is what record_tensorrt_api.py read in NVIDIA's own bindings: a name or an
argument that is not there is an error. An engine "built" here is the ONNX itself, run on memory that the fake
GPU holds.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from tests.engines.strict_api import enumerations, hold, record_of


class FakeGpu:
    """Stands in for ``engines.cuda.Cuda``: memory is numpy arrays, streams run what is queued at once."""

    gpu = "Fake GPU"
    compute_capability = "8.7"

    def __init__(self, *, can_capture: bool = True) -> None:
        self.memory: dict[int, np.ndarray] = {}
        self.can_capture = can_capture
        self.recording: list[Any] | None = None
        self.graphs: dict[int, list[Any]] = {}
        self.launches = 0
        self._graphs_made = 0
        self.freed: list[int] = []
        self.open_streams = 0

    def stream(self) -> int:
        self.open_streams += 1
        return 77

    def device_memory(self, size: int) -> int:
        address = 1000 + len(self.memory)
        self.memory[address] = np.full(size // 4, np.nan, np.float32)
        return address

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, np.nan, np.float32)

    def queue(self, work: Any) -> None:
        if self.recording is not None:
            self.recording.append(work)
        else:
            work()

    def copy_in(self, device: int, host: np.ndarray, stream: int) -> None:
        self.queue(lambda: np.copyto(self.memory[device], host.reshape(-1)))

    def copy_out(self, host: np.ndarray, device: int, stream: int) -> None:
        self.queue(lambda: np.copyto(host, self.memory[device].reshape(host.shape)))

    def synchronize(self, stream: int) -> None: ...

    def begin_capture(self, stream: int) -> None:
        from palletjack_detection.engine import EngineError

        if not self.can_capture:
            raise EngineError("cudaStreamBeginCapture: CUDA error 900: not permitted")
        self.recording = []

    def end_capture(self, stream: int) -> int:
        assert self.recording is not None
        self._graphs_made += 1
        self.graphs[self._graphs_made], self.recording = self.recording, None
        return self._graphs_made

    def launch(self, graph: int, stream: int) -> None:
        self.launches += 1
        for work in self.graphs[graph]:
            work()

    def destroy_graph(self, graph: int) -> None:
        del self.graphs[graph]

    def destroy_stream(self, stream: int) -> None:
        self.open_streams -= 1

    def free(self, device: int) -> None:
        self.freed.append(device)

    def free_pinned(self, host: np.ndarray) -> None: ...


def make_tensorrt(version: str, gpu: FakeGpu | None = None, dla_cores: int = 0) -> Any:
    """A module that behaves as TensorRT ``version`` does; ``calls`` lists what was asked of the builder."""
    record = record_of(version)
    names = enumerations(record)
    module = SimpleNamespace(__version__=version, calls=[], float32=names.DataType.FLOAT, **vars(names))
    calls: list[tuple[Any, ...]] = module.calls

    class ILogger:
        ERROR, WARNING = names.Severity.ERROR, names.Severity.WARNING

        def __init__(self) -> None: ...

    class Logger(ILogger):
        def __init__(self, min_severity: int) -> None: ...

    class Network:
        onnx = b""

    class OnnxParser:
        def __init__(self, network: Network, logger: ILogger) -> None:
            self._network = network
            self._broken = False

        @property
        def num_errors(self) -> int:
            return int(self._broken)

        def parse(self, model: bytes) -> bool:
            self._network.onnx = model
            self._broken = not model.startswith(b"\x08")
            return not self._broken

        def get_error(self, index: int) -> str:
            return "Failed to parse the ONNX"

    class TimingCache:
        def serialize(self) -> bytes:
            return b"timings"

    class Config:
        def __init__(self) -> None:
            self.default_device_type = names.DeviceType.GPU
            self.DLA_core = -1

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            calls.append(("pool", pool.name, pool_size))

        def set_flag(self, flag: Any) -> None:
            calls.append(("flag", flag.name))

        def add_optimization_profile(self, profile: Any) -> int:
            calls.append(("profile", profile._shapes))
            return 0

        def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache:
            calls.append(("timing_cache", serialized_timing_cache))
            return TimingCache()

        def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
            return True

    class Profile:
        def __init__(self) -> None:
            self._shapes: dict[str, Any] = {}

        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
            self._shapes[input] = (min, opt, max)

    class Builder:
        def __init__(self, logger: ILogger) -> None: ...

        @property
        def num_DLA_cores(self) -> int:
            return dla_cores

        def create_network(self, flags: int = 0) -> Network:
            calls.append(("network", flags))
            return Network()

        def create_builder_config(self) -> Config:
            return Config()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
            calls.append(("build", config.default_device_type.name, config.DLA_core))
            return network.onnx

    class Context:
        def __init__(self, session: Any) -> None:
            self._session = session
            self._addresses: dict[str, int] = {}
            self._shapes: dict[str, tuple[int, ...]] = {}

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            zeros = np.zeros(shape, np.float32)
            outputs = [item.name for item in self._session.get_outputs()]
            found = self._session.run(outputs, {name: zeros})
            shapes = {key: value.shape for key, value in zip(outputs, found, strict=True)}
            self._shapes = {name: shape, **shapes}
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return self._shapes[name]

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            assert gpu is not None
            assert stream_handle == 77
            gpu.queue(self._run)
            return True

        def _run(self) -> None:
            assert gpu is not None
            feed = self._session.get_inputs()[0].name
            image = gpu.memory[self._addresses[feed]].reshape(self._shapes[feed])
            outputs = [item.name for item in self._session.get_outputs()]
            for name, value in zip(outputs, self._session.run(outputs, {feed: image}), strict=True):
                np.copyto(gpu.memory[self._addresses[name]], value.reshape(-1))

    class CudaEngine:
        def __init__(self, plan: bytes) -> None:
            self._session = onnxruntime.InferenceSession(plan, providers=["CPUExecutionProvider"])
            self._names = [item.name for item in (*self._session.get_inputs(), *self._session.get_outputs())]

        @property
        def num_io_tensors(self) -> int:
            return len(self._names)

        def get_tensor_name(self, index: int) -> str:
            return self._names[index]

        def get_tensor_dtype(self, name: str) -> Any:
            return names.DataType.FLOAT

        def create_execution_context(self) -> Context:
            return Context(self._session)

    class Runtime:
        def __init__(self, logger: ILogger) -> None: ...

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> CudaEngine | None:
            return CudaEngine(serialized_engine) if serialized_engine.startswith(b"\x08") else None

    for stand_in, name in (
        (Logger, "Logger"),
        (OnnxParser, "OnnxParser"),
        (Builder, "Builder"),
        (Runtime, "Runtime"),
        (Config, "IBuilderConfig"),
        (Profile, "IOptimizationProfile"),
        (TimingCache, "ITimingCache"),
        (CudaEngine, "ICudaEngine"),
        (Context, "IExecutionContext"),
    ):
        setattr(module, name, hold(stand_in, name, record))
    module.ILogger = ILogger
    return module
