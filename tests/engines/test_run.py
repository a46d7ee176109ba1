"""The TensorRT engine gives the network's own numbers, whatever GPU and version are behind it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palletjack_detection import detector as detector_module
from palletjack_detection.detector import Detector
from palletjack_detection.engine import EngineError
from palletjack_detection.engines import choose, store
from palletjack_detection.engines.api import TensorRt, load_tensorrt
from palletjack_detection.engines.build import BuildOptions
from palletjack_detection.engines.cuda import Cuda
from palletjack_detection.engines.store import EngineRequest, ensure_engine
from palletjack_detection.engines.tensorrt_engine import TensorRtEngine
from palletjack_detection.engines.trtexec import trtexec_command
from palletjack_detection.model_folder import load_model_spec, write_model_folder
from tests.engines.fake_tensorrt import FakeGpu, make_tensorrt


def picture() -> np.ndarray:
    image = np.full((64, 96, 3), 60, np.uint8)
    image[20:50, 30:60] = (230, 40, 30)
    return image


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "11.0.0"])
@pytest.mark.parametrize("can_capture", [True, False])
def test_the_engine_gives_the_networks_numbers(
    tiny: Path, tmp_path: Path, version: str, can_capture: bool
) -> None:
    gpu = FakeGpu(can_capture=can_capture)
    library = TensorRt("tensorrt", make_tensorrt(version, gpu))
    stored = ensure_engine(library, EngineRequest(tiny), cache=tmp_path / "cache")
    engine = TensorRtEngine(library, stored, gpu)  # type: ignore[arg-type]
    batch = np.random.default_rng(0).random((2, 3, 64, 96), np.float32)
    wanted = Detector.load(tiny).engine.run(batch)
    for ours, theirs in zip(engine.run(batch), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert (gpu.launches > 0) == can_capture
    assert engine.provider == f"tensorrt {version} on Fake GPU"
    with pytest.raises(EngineError, match="expected shape"):
        engine.run(batch[:, :, :32])
    engine.close()
    assert len(gpu.freed) == 3
    with pytest.raises(EngineError, match="closed"):
        engine.run(batch)


def test_an_engine_that_is_dropped_gives_the_gpus_memory_back(tiny: Path, robot: FakeGpu) -> None:
    for _ in range(3):
        detector = Detector.load(tiny, backend="tensorrt", build=True)
        assert len(detector.detect(picture())) == 1
    del detector
    assert (len(robot.freed), robot.open_streams, robot.graphs) == (9, 0, {})


def test_an_engine_that_the_gpu_refuses_is_named(tiny: Path, tmp_path: Path) -> None:
    gpu = FakeGpu()
    library = TensorRt("tensorrt", make_tensorrt("10.3.0", gpu))
    stored = ensure_engine(library, EngineRequest(tiny), cache=tmp_path / "cache")
    other = dataclasses.replace(stored, plan=b"for another GPU")
    with pytest.raises(EngineError, match=r"refused it on Fake GPU \(compute capability 8.7\)"):
        TensorRtEngine(library, other, gpu)  # type: ignore[arg-type]


def test_auto_takes_an_engine_that_was_built_and_builds_none(robot: FakeGpu, tiny: Path) -> None:
    first = Detector.load(tiny)
    assert (first.backend, first.engine.provider) == ("onnxruntime", "CPUExecutionProvider")
    built = Detector.load(tiny, backend="tensorrt", build=True)
    assert built.engine.provider.startswith("tensorrt 10.3.0")
    later = Detector.load(tiny)
    assert (later.backend, later.engine.provider) == ("tensorrt", "tensorrt 10.3.0 on Fake GPU")
    assert Detector.load(tiny, providers=["CPUExecutionProvider"]).backend == "onnxruntime"
    np.testing.assert_allclose(later.detect(picture()).boxes, first.detect(picture()).boxes, atol=1e-3)


def test_a_named_backend_that_cannot_work_is_an_error(tiny: Path, robot: FakeGpu) -> None:
    with pytest.raises(EngineError, match="setup_model"):
        Detector.load(tiny, backend="tensorrt")
    with pytest.raises(ValueError, match="backend: expected one of auto, onnxruntime"):
        Detector.load(tiny, backend="openvino")


def test_auto_says_why_a_stored_engine_is_passed_over(
    tiny: Path, robot: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    Detector.load(tiny, backend="tensorrt", build=True)

    def no_gpu() -> Cuda:
        raise EngineError("no CUDA device is visible")

    monkeypatch.setattr(choose, "Cuda", no_gpu)
    heard: list[str] = []
    assert Detector.load(tiny, say=heard.append).backend == "onnxruntime"
    assert heard == ["tensorrt is passed over: no CUDA device is visible"]
    with pytest.raises(EngineError, match="no CUDA device"):
        Detector.load(tiny, backend="tensorrt")


def test_loading_does_not_wait_for_another_process_that_builds(tiny: Path, robot: FakeGpu) -> None:
    stored = ensure_engine(choose.load_tensorrt("tensorrt"), EngineRequest(tiny))
    with store._locked(stored.path.parent, stored.path, print):
        assert Detector.load(tiny, backend="tensorrt").backend == "tensorrt"


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_a_real_engine_is_refused_without_a_gpu(tiny: Path, tmp_path: Path) -> None:
    try:
        library = load_tensorrt("tensorrt_rtx")
    except EngineError as error:
        pytest.skip(f"TensorRT for RTX is not installed: {error}")
    stored = ensure_engine(library, EngineRequest(tiny), cache=tmp_path / "cache")
    with pytest.raises(EngineError, match=r"tiny\..*: tensorrt_rtx .* refused it on Fake GPU"):
        TensorRtEngine(library, stored, FakeGpu())  # type: ignore[arg-type]
    with pytest.raises(EngineError, match=r"(?i)cuda"):
        Detector.load(tiny, backend="tensorrt_rtx")


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_without_a_gpu_the_cuda_runtime_says_so() -> None:
    with pytest.raises(EngineError, match=r"(?i)cuda"):
        Cuda()


@pytest.mark.parametrize(
    ("version", "precision", "runtime", "words"),
    [
        ((8, 6), "fp16", "tensorrt", ["trtexec", "--fp16", "model.onnx"]),
        ((10, 3), "int8", "tensorrt", ["trtexec", "--int8", "--fp16", "model_int8.onnx"]),
        ((11, 0), "int8", "tensorrt", ["trtexec", "model_int8.onnx"]),
        ((1, 7), "fp32", "tensorrt_rtx", ["tensorrt_rtx", "model.onnx"]),
    ],
)
def test_the_command_line_says_the_same_as_the_api(
    tiny: Path, tmp_path: Path, version: Any, precision: str, runtime: str, words: list[str]
) -> None:
    network = tiny / "model.onnx"
    folder = tmp_path / "both"
    spec = write_model_folder(load_model_spec(tiny), network, folder, {"int8": network})
    line = trtexec_command(
        folder,
        spec,
        precision,
        BuildOptions(batch=(1, 1, 4)),
        Path("x.engine"),
        runtime=runtime,
        version=version,
    )
    assert all(word in line for word in words), line
    assert ("--int8" in line) == ("--int8" in words)
    assert "--maxShapes=input_1:0:4x3x64x96" in line
    with pytest.raises(EngineError, match=r"expected 8\.6 or newer"):
        trtexec_command(folder, spec, "fp32", BuildOptions(), Path("x"), version=(8, 2))
    with pytest.raises(EngineError, match="found 'fp16'"):
        trtexec_command(folder, spec, "fp16", BuildOptions(), Path("x"), version=(11, 0))


def test_the_detector_module_offers_the_documented_backends() -> None:
    assert detector_module.BACKENDS == ("auto", "onnxruntime", "tensorrt", "tensorrt_rtx")
