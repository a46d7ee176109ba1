"""TensorRT's Python API as far as we use it, strict: a name or argument that the real one lacks is an error.

The names of classes and methods are held to the real TensorRT for RTX bindings by
``test_fake_names_exist_in_the_real_bindings``. What differs by version is what the release notes say:
precision flags until 10, an explicit-batch flag until 10, strong typing from 10 on and always from 11.
An engine "built" here runs the ONNX in ONNX Runtime on memory that the fake GPU holds.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime


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
        self.freed: list[int] = []

    def stream(self) -> int:
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
        self.graphs[5], self.recording = self.recording, None
        return 5

    def launch(self, graph: int, stream: int) -> None:
        self.launches += 1
        for work in self.graphs[graph]:
            work()

    def free(self, device: int) -> None:
        self.freed.append(device)

    def free_pinned(self, host: np.ndarray) -> None: ...


def make_tensorrt(version: str, gpu: FakeGpu | None = None, dla_cores: int = 0) -> Any:
    """A module that behaves as TensorRT ``version`` does."""
    major = int(version.split(".")[0])
    module = SimpleNamespace(__version__=version, float32="float32", calls=[])
    calls: list[tuple[Any, ...]] = module.calls

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

        def __init__(self) -> None: ...

    class Logger(ILogger):
        def __init__(self, severity: int) -> None: ...

    class Network:
        onnx = b""

    class OnnxParser:
        def __init__(self, network: Network, logger: ILogger) -> None:
            self._network = network
            self.num_errors = 0

        def parse(self, model: bytes) -> bool:
            self._network.onnx = model
            self.num_errors = int(not model.startswith(b"\x08"))
            return not self.num_errors

        def get_error(self, index: int) -> str:
            return "Failed to parse the ONNX"

    class TimingCache:
        def serialize(self) -> bytes:
            return b"timings"

    class Config:
        def __init__(self) -> None:
            self.default_device_type: Any = "GPU"
            self.DLA_core = -1

        def set_memory_pool_limit(self, pool: str, pool_size: int) -> None:
            calls.append(("pool", pool, pool_size))

        def set_flag(self, flag: str) -> None:
            calls.append(("flag", flag))

        def add_optimization_profile(self, profile: Any) -> int:
            calls.append(("profile", profile.shapes))
            return 0

        def create_timing_cache(self, serialized: bytes) -> TimingCache:
            calls.append(("timing_cache", serialized))
            return TimingCache()

        def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
            return True

    class Profile:
        def __init__(self) -> None:
            self.shapes: dict[str, Any] = {}

        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
            self.shapes[input] = (min, opt, max)

    class Builder:
        num_DLA_cores = dla_cores

        def __init__(self, logger: ILogger) -> None: ...

        def create_network(self, flags: int = 0) -> Network:
            calls.append(("network", flags))
            return Network()

        def create_builder_config(self) -> Config:
            return Config()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
            calls.append(("build", config.default_device_type, config.DLA_core))
            return network.onnx

    class Context:
        def __init__(self, session: Any) -> None:
            self._session = session
            self._addresses: dict[str, int] = {}
            self._shapes: dict[str, tuple[int, ...]] = {}

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            zeros = np.zeros(shape, np.float32)
            names = [item.name for item in self._session.get_outputs()]
            found = self._session.run(names, {name: zeros})
            self._shapes = {
                name: shape,
                **{key: value.shape for key, value in zip(names, found, strict=True)},
            }
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
            names = [item.name for item in self._session.get_outputs()]
            for name, value in zip(names, self._session.run(names, {feed: image}), strict=True):
                np.copyto(gpu.memory[self._addresses[name]], value.reshape(-1))

    class CudaEngine:
        def __init__(self, plan: bytes) -> None:
            self._session = onnxruntime.InferenceSession(plan, providers=["CPUExecutionProvider"])
            self._names = [item.name for item in (*self._session.get_inputs(), *self._session.get_outputs())]
            self.num_io_tensors = len(self._names)

        def get_tensor_name(self, index: int) -> str:
            return self._names[index]

        def get_tensor_dtype(self, name: str) -> str:
            return "float32"

        def create_execution_context(self) -> Context:
            return Context(self._session)

    class Runtime:
        def __init__(self, logger: ILogger) -> None: ...

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> CudaEngine | None:
            return CudaEngine(serialized_engine) if serialized_engine.startswith(b"\x08") else None

    flags: dict[str, Any] = {"GPU_FALLBACK": "GPU_FALLBACK"}
    creation: dict[str, Any] = {}
    if major < 11:
        flags |= {"FP16": "FP16", "INT8": "INT8"}
        creation["EXPLICIT_BATCH"] = 0
    if major >= 10:
        creation["STRONGLY_TYPED"] = 1
    for name, value in {
        "ILogger": ILogger,
        "Logger": Logger,
        "OnnxParser": OnnxParser,
        "Builder": Builder,
        "Runtime": Runtime,
        "BuilderFlag": SimpleNamespace(**flags),
        "NetworkDefinitionCreationFlag": SimpleNamespace(**creation),
        "MemoryPoolType": SimpleNamespace(WORKSPACE="WORKSPACE"),
        "DeviceType": SimpleNamespace(DLA="DLA", GPU="GPU"),
        "IBuilderConfig": Config,
        "IOptimizationProfile": Profile,
        "IExecutionContext": Context,
        "ICudaEngine": CudaEngine,
        "ITimingCache": TimingCache,
    }.items():
        setattr(module, name, value)
    return module
