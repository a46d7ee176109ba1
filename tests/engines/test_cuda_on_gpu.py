"""The CUDA runtime through ctypes, on a real GPU. Skipped, saying so, where there is none."""

from __future__ import annotations

import re

import numpy as np
import pytest

from palletjack_detection.engine import EngineError
from palletjack_detection.engines.cuda import Cuda


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    try:
        return Cuda()
    except EngineError as error:
        pytest.skip(f"no GPU: {error}")


def test_the_gpu_has_a_name_and_a_compute_capability(cuda: Cuda) -> None:
    assert cuda.gpu.isprintable()
    assert len(cuda.gpu) > 3
    assert re.fullmatch(r"\d+\.\d", cuda.compute_capability)


@pytest.mark.parametrize("recorded", [False, True])
def test_what_goes_in_comes_out(cuda: Cuda, recorded: bool) -> None:
    shape = (1, 3, 544, 960)
    stream, here, back = cuda.stream(), cuda.pinned(shape), cuda.pinned(shape)
    device = cuda.device_memory(here.nbytes)

    def queue() -> None:
        cuda.copy_in(device, here, stream)
        cuda.copy_out(back, device, stream)

    graph = None
    if recorded:
        back[:] = -1
        cuda.begin_capture(stream)
        queue()
        graph = cuda.end_capture(stream)
        cuda.synchronize(stream)
        assert back[0, 0, 0, 0] == -1, "recording must not run"
    rng = np.random.default_rng(0)
    for _ in range(3):
        here[:] = rng.random(shape, np.float32)
        if graph is None:
            queue()
        else:
            cuda.launch(graph, stream)
        cuda.synchronize(stream)
        np.testing.assert_array_equal(back, here)
    if graph is not None:
        cuda.destroy_graph(graph)
    cuda.free(device)
    cuda.free_pinned(here)
    cuda.free_pinned(back)
    cuda.destroy_stream(stream)


def test_a_failure_is_named(cuda: Cuda) -> None:
    with pytest.raises(EngineError, match=r"cudaMalloc: CUDA error \d+: "):
        cuda.device_memory(1 << 60)
    stream = cuda.stream()
    cuda.synchronize(stream)  # and the next call works
    cuda.destroy_stream(stream)
