"""A machine with TensorRT and a GPU, as far as the code under test can see."""

from __future__ import annotations

from pathlib import Path

import pytest

from palletjack_detection.engine import EngineError
from palletjack_detection.engines import choose, store
from palletjack_detection.engines.api import TENSORRT, TensorRt
from palletjack_detection.engines.api import load_tensorrt as load_real
from tests.detector.tiny_model import write_tiny_model
from tests.engines.fake_tensorrt import FakeGpu, make_tensorrt

NO_RTX = "tensorrt-rtx-cu13-libs and -bindings are not installed"


@pytest.fixture(scope="session")
def rtx() -> TensorRt:
    try:
        return load_real("tensorrt_rtx")
    except EngineError as error:
        pytest.skip(f"{NO_RTX}: {error}")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny", width=96, height=64)


@pytest.fixture
def robot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeGpu:
    """TensorRT 10.3, and an engine cache of its own."""
    gpu = FakeGpu()
    library = TensorRt(TENSORRT, make_tensorrt("10.3.0", gpu))
    monkeypatch.setattr(
        choose, "load_tensorrt", lambda name: library if name == TENSORRT else load_real(name)
    )
    monkeypatch.setattr(choose, "Cuda", lambda: gpu)
    monkeypatch.setattr(store, "gpu_identity", lambda: (gpu.gpu, gpu.compute_capability))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return gpu
