"""A robot sees from the start: ONNX Runtime runs the model until its engine is built."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palletjack_detection import engine as engine_module
from palletjack_detection.detector import Detector
from palletjack_detection.engine import EngineError, OnnxRuntimeEngine, engine_cache, provider_options
from palletjack_detection.engines import choose, store
from palletjack_detection.engines.build import BuildOptions
from palletjack_detection.engines.store import EngineMissing, EngineRequest
from palletjack_detection.loading import BackgroundBuild, DetectorSettings, load_ready
from palletjack_detection.model_folder import load_model_spec
from tests.engines.fake_tensorrt import FakeGpu


def picture() -> np.ndarray:
    image = np.full((64, 96, 3), 60, np.uint8)
    image[20:50, 30:60] = (230, 40, 30)
    return image


def run(settings: DetectorSettings) -> tuple[BackgroundBuild, list[Detector]]:
    """Build in the background to the end."""
    taken: list[Detector] = []
    build = BackgroundBuild(settings, lambda source, detector: taken.append(detector))
    build.start()
    build.join(30)
    assert not build.running
    return build, taken


@pytest.mark.parametrize("backend", ["auto", "tensorrt"])
def test_the_engine_takes_over_when_it_is_built(robot: FakeGpu, tiny: Path, backend: str) -> None:
    settings = DetectorSettings(tiny, backend=backend, build_engine=True, score_threshold=0.3)
    detector, waiting = load_ready(settings)
    assert (detector.backend, waiting) == ("onnxruntime", True)
    build, taken = run(settings)
    assert [found.backend for found in taken] == ["tensorrt"]
    assert (build.note, build.failure) == ("", "")
    assert taken[0].score_threshold == 0.3
    np.testing.assert_allclose(taken[0].detect(picture()).boxes, detector.detect(picture()).boxes, atol=1e-3)
    # From now on it is there from the start.
    detector, waiting = load_ready(settings)
    assert (detector.backend, waiting) == ("tensorrt", False)


def test_what_goes_on_is_said_while_it_builds(
    robot: FakeGpu, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, real = threading.Event(), store.build_engine

    def slow(*arguments: Any, **options: Any) -> bytes:
        assert held.wait(30)
        return real(*arguments, **options)

    monkeypatch.setattr(store, "build_engine", slow)
    settings = DetectorSettings(tiny, build_engine=True)
    taken: list[Detector] = []
    build = BackgroundBuild(settings, lambda source, detector: taken.append(detector))
    build.start()
    try:
        for _ in range(200):
            if "building tiny.fp32" in build.note:
                break
            threading.Event().wait(0.05)
        assert "building the engine for 0 s, ONNX Runtime runs meanwhile: building tiny.fp32" in build.note
        assert build.running
    finally:
        held.set()
        build.join(30)
    assert len(taken) == 1


def test_a_precision_that_only_an_engine_has_is_bridged_by_the_models_own(robot: FakeGpu, tiny: Path) -> None:
    settings = DetectorSettings(tiny, backend="tensorrt", precision="fp16", build_engine=True)
    detector, waiting = load_ready(settings)
    assert (detector.backend, waiting) == ("onnxruntime", True)
    assert run(settings)[1][0].backend == "tensorrt"


def test_an_engine_built_with_other_options_is_taken(robot: FakeGpu, tiny: Path) -> None:
    library = choose.load_tensorrt("tensorrt")
    built = BuildOptions(batch=(1, 2, 4), workspace_mib=64)
    store.ensure_engine(library, EngineRequest(tiny, options=BuildOptions(batch=(2, 2, 4))))
    with pytest.raises(EngineMissing, match="expected an engine for single images"):
        Detector.load(tiny, backend="tensorrt")
    store.ensure_engine(library, EngineRequest(tiny, options=built))
    found = store.ensure_engine(library, EngineRequest(tiny), build=False)
    assert found.identity.options == built.as_dict()
    assert Detector.load(tiny).backend == "tensorrt"
    # Asked for by its options, it must have them.
    with pytest.raises(EngineMissing):
        store.ensure_engine(library, EngineRequest(tiny, options=BuildOptions()), build=False)


def test_without_building_a_missing_engine_is_an_error(robot: FakeGpu, tiny: Path) -> None:
    with pytest.raises(EngineMissing, match="setup_model"):
        load_ready(DetectorSettings(tiny, backend="tensorrt"))
    assert load_ready(DetectorSettings(tiny))[1] is False


@pytest.mark.parametrize("backend", ["auto", "tensorrt"])
def test_an_engine_that_cannot_be_built_leaves_onnx_runtime_and_says_why(
    robot: FakeGpu, tiny: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    def broken(*arguments: Any, **options: Any) -> bytes:
        raise EngineError("out of memory")

    monkeypatch.setattr(store, "build_engine", broken)
    # The second library that auto tries has no GPU to run on either.
    build, taken = run(DetectorSettings(tiny, backend=backend, build_engine=True))
    assert taken == []
    assert build.note.startswith("no engine was built, ONNX Runtime runs the model:")
    assert "out of memory" in build.note or backend == "auto"


def test_the_cache_is_not_asked_for_cuda_without_need(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError("CUDA was touched")

    monkeypatch.setattr(choose, "Cuda", never)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tiny / "no such folder"))
    assert Detector.load(tiny).backend == "onnxruntime"


@pytest.mark.parametrize(
    ("precision", "half", "int8"),
    [("fp32", "False", "False"), ("fp16", "True", "False"), ("int8", "True", "True")],
)
def test_onnx_runtimes_tensorrt_is_told_precision_and_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, half: str, int8: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = provider_options("TensorrtExecutionProvider", precision)
    assert (options["trt_fp16_enable"], options["trt_int8_enable"]) == (half, int8)
    assert options["trt_engine_cache_path"] == str(engine_cache() / "onnxruntime")
    assert Path(options["trt_engine_cache_path"]).is_dir()
    assert provider_options("CPUExecutionProvider", precision) == {}


def test_a_robot_without_onnx_runtime_is_told_what_to_install(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, robot: FakeGpu
) -> None:
    built = Detector.load(tiny, backend="tensorrt", build=True)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"onnxruntime cannot be loaded .* pip install onnxruntime"):
        OnnxRuntimeEngine(tiny / "model.onnx", load_model_spec(tiny))
    assert "onnxruntime" not in vars(engine_module)
    assert built.backend == "tensorrt"
