"""The few calls of the CUDA runtime that running an engine needs, through ctypes.

A robot's image has the library, but rarely a Python package for it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.engine import EngineError

NAMES = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
CAPTURE_THREAD_LOCAL = 1
MAJOR, MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor and -Minor
NAME_BYTES = 256
PROPERTIES_BYTES = 4096  # room for cudaDeviceProp of any version; its name comes first


class Cuda:
    """The loaded CUDA runtime, on device 0.

    Raises:
        EngineError: the library is not there, or no GPU answers.
    """

    def __init__(self) -> None:
        self._library = _load()
        count = ctypes.c_int(0)
        self._call("cudaGetDeviceCount", ctypes.byref(count))
        if count.value < 1:
            raise EngineError("no CUDA device is visible")

    @property
    def gpu(self) -> str:
        """Name of the GPU."""
        properties = ctypes.create_string_buffer(PROPERTIES_BYTES)
        # CUDA 12 renamed the call together with its structure.
        for call in ("cudaGetDeviceProperties_v2", "cudaGetDeviceProperties"):
            if hasattr(self._library, call):
                self._call(call, properties, 0)
                return properties.raw[:NAME_BYTES].split(b"\0", 1)[0].decode(errors="replace")
        raise EngineError("libcudart: expected cudaGetDeviceProperties, found no such function")

    @property
    def compute_capability(self) -> str:
        """Such as 8.7."""
        numbers = []
        for attribute in (MAJOR, MINOR):
            value = ctypes.c_int(0)
            self._call("cudaDeviceGetAttribute", ctypes.byref(value), attribute, 0)
            numbers.append(str(value.value))
        return ".".join(numbers)

    def stream(self) -> int:
        """A new stream."""
        return self._handle("cudaStreamCreateWithFlags", 1)

    def device_memory(self, size: int) -> int:
        """``size`` bytes on the GPU."""
        return self._handle("cudaMalloc", ctypes.c_size_t(size))

    def pinned(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """A float32 array in page-locked host memory, from which copies run beside the processor."""
        size = int(np.prod(shape)) * 4
        address = self._handle("cudaHostAlloc", ctypes.c_size_t(size), 0)
        buffer = (ctypes.c_byte * size).from_address(address)
        return np.frombuffer(buffer, np.float32).reshape(shape)

    def copy_in(self, device: int, host: NDArray[np.float32], stream: int) -> None:
        """Queue a copy from page-locked memory to the GPU."""
        self._copy(device, host.ctypes.data, host.nbytes, HOST_TO_DEVICE, stream)

    def copy_out(self, host: NDArray[np.float32], device: int, stream: int) -> None:
        """Queue a copy from the GPU to page-locked memory."""
        self._copy(host.ctypes.data, device, host.nbytes, DEVICE_TO_HOST, stream)

    def synchronize(self, stream: int) -> None:
        """Wait until everything queued has run."""
        self._call("cudaStreamSynchronize", ctypes.c_void_p(stream))

    def begin_capture(self, stream: int) -> None:
        """From here on, record what is queued instead of running it."""
        self._call("cudaStreamBeginCapture", ctypes.c_void_p(stream), CAPTURE_THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        """Return what was recorded as a graph that ``launch`` runs in one call."""
        graph = ctypes.c_void_p()
        self._call("cudaStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
        executable = ctypes.c_void_p()
        if hasattr(self._library, "cudaGraphInstantiateWithFlags"):
            self._call(
                "cudaGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0)
            )
        else:
            self._call(
                "cudaGraphInstantiate", ctypes.byref(executable), graph, None, None, ctypes.c_size_t(0)
            )
        self._call("cudaGraphDestroy", graph)
        return int(executable.value or 0)

    def launch(self, graph: int, stream: int) -> None:
        """Queue a recorded graph."""
        self._call("cudaGraphLaunch", ctypes.c_void_p(graph), ctypes.c_void_p(stream))

    def destroy_graph(self, graph: int) -> None:
        """Drop a recorded graph."""
        self._call("cudaGraphExecDestroy", ctypes.c_void_p(graph))

    def destroy_stream(self, stream: int) -> None:
        """Drop a stream."""
        self._call("cudaStreamDestroy", ctypes.c_void_p(stream))

    def free(self, device: int) -> None:
        """Give GPU memory back."""
        self._call("cudaFree", ctypes.c_void_p(device))

    def free_pinned(self, host: NDArray[np.float32]) -> None:
        """Give page-locked memory back; the array must not be used again."""
        self._call("cudaFreeHost", ctypes.c_void_p(host.ctypes.data))

    def _copy(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        self._call(
            "cudaMemcpyAsync",
            ctypes.c_void_p(target),
            ctypes.c_void_p(source),
            ctypes.c_size_t(size),
            kind,
            ctypes.c_void_p(stream),
        )

    def _handle(self, name: str, *arguments: Any) -> int:
        result = ctypes.c_void_p()
        self._call(name, ctypes.byref(result), *arguments)
        return int(result.value or 0)

    def _call(self, name: str, *arguments: Any) -> None:
        code = int(getattr(self._library, name)(*arguments))
        if code:
            text = self._library.cudaGetErrorString
            text.restype = ctypes.c_char_p
            raise EngineError(f"{name}: CUDA error {code}: {text(code).decode(errors='replace')}")


def _load() -> Any:
    for name in _candidates():
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise EngineError("libcudart: not found; install the CUDA runtime, or use the ONNX Runtime backend")


def _candidates() -> Iterator[str]:
    yield from NAMES
    found = ctypes.util.find_library("cudart")
    if found:
        yield found
    for folder in sys.path:  # NVIDIA's own wheels, which PyTorch brings
        for path in sorted(Path(folder or ".").glob("nvidia/*/lib/libcudart.so.*")):
            yield str(path)
