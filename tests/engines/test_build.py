"""Engines: built once, kept with what they are for, never used for anything else."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from palletjack_detection.engine import EngineError, engine_cache
from palletjack_detection.engines.api import TensorRt, load_tensorrt
from palletjack_detection.engines.build import BuildOptions, build_engine
from palletjack_detection.engines.sidecar import read_engine, sidecar_path
from palletjack_detection.engines.store import EngineRequest, ensure_engine, identify
from palletjack_detection.model_folder import load_model_spec, write_model_folder
from palletjack_training.config import parse_config
from palletjack_training.deepstream import for_tensorrt
from palletjack_training.export import export_model
from palletjack_training.half import add_half_precision
from palletjack_training.network import build_network
from palletjack_training.weights_file import Weights
from tests.engines.fake_tensorrt import make_tensorrt
from tests.engines.record_tensorrt_api import describe
from tests.engines.strict_api import VERSIONS, record_of

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = sorted(path.parent for path in (REPOSITORY / "models").glob("*/model.json"))
UNTRAINED = {
    "input": {"width": 96, "height": 64},
    "network": {"weights": "none", "freeze_norm": False, "neck_channels": 16, "neck_blocks": 1},
}


def quantized(folder: Path) -> Path:
    """The network of ``folder`` with explicit signed symmetric quantization, as TensorRT takes it."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    spec = load_model_spec(folder)

    class Noise(CalibrationDataReader):
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            shape = (1, 3, spec.input.height, spec.input.width)
            self._rows = iter([{spec.input.name: rng.random(shape, np.float32)} for _ in range(2)])

        def get_next(self) -> Any:
            return next(self._rows, None)

    target = folder / "quantized.onnx"
    quantize_static(
        str(folder / "model.onnx"),
        str(target),
        Noise(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )
    return target


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_network_builds_with_the_real_parser_and_builder(rtx: TensorRt, folder: Path) -> None:
    spec = load_model_spec(folder)
    files = {spec.network_file(precision, "tensorrt"): precision for precision in for_tensorrt(spec)}
    for file, precision in files.items():
        plan = build_engine(rtx, folder / file, spec, precision, BuildOptions(batch=(1, 1, 4)))
        assert len(plan) > 100_000, file


def convolutional(folder: Path) -> Path:
    """A model folder with the flagship's network, untrained, at a small size."""
    weights = Weights(parse_config(UNTRAINED, "test"), {})
    network = build_network(weights.config, load_weights=False)
    export_model(dataclasses.replace(weights, state=network.state_dict()), folder, "untrained")
    return folder


def test_a_quantized_network_builds_with_the_real_builder(rtx: TensorRt, tmp_path: Path) -> None:
    tiny = convolutional(tmp_path / "plain")
    network = quantized(tiny)
    kinds = {node.op_type for node in onnx.load(str(network)).graph.node}
    assert "QuantizeLinear" in kinds
    folder = tmp_path / "int8"
    write_model_folder(load_model_spec(tiny), tiny / "model.onnx", folder, {"int8": network})
    stored = ensure_engine(rtx, EngineRequest(folder, "int8"), cache=tmp_path / "cache")
    assert stored.built
    assert stored.identity.precision == "int8"
    assert stored.identity.runtime_version == rtx.version


def test_half_precision_builds_with_the_real_builder(rtx: TensorRt, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"precision: expected one of fp32, found 'fp16'; .*build-engine"):
        ensure_engine(rtx, EngineRequest(tiny, "fp16"), cache=tmp_path)
    added = add_half_precision(tiny)
    assert add_half_precision(tiny) == added
    assert ensure_engine(rtx, EngineRequest(tiny, "fp16"), cache=tmp_path).built


def test_an_engine_is_built_once(rtx: TensorRt, tiny: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    first = ensure_engine(rtx, EngineRequest(tiny), cache=tmp_path, say=heard.append)
    again = ensure_engine(rtx, EngineRequest(tiny), cache=tmp_path, build=False)
    assert (first.built, again.built) == (True, False)
    assert first.plan == again.plan
    assert any("building" in line for line in heard)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_sha256", "0" * 64),
        ("runtime_version", "9.9.9"),
        ("gpu", "another GPU"),
        ("compute_capability", "12.0"),
        ("precision", "int8"),
        ("options", {"batch": [1, 2, 4], "dla": -1, "workspace_mib": 1024}),
    ],
)
def test_an_engine_for_something_else_is_refused_and_built_anew(
    tiny: Path, tmp_path: Path, field: str, value: Any
) -> None:
    library = TensorRt("tensorrt", make_tensorrt("10.3.0"))
    request = EngineRequest(tiny, options=BuildOptions())
    stored = ensure_engine(library, request, cache=tmp_path)
    described = json.loads(sidecar_path(stored.path).read_text())
    sidecar_path(stored.path).write_text(json.dumps({**described, field: value}))
    with pytest.raises(EngineError, match=rf"{field}: expected .* not for this machine or model"):
        read_engine(stored.path, stored.identity)
    with pytest.raises(EngineError, match="setup_model"):
        ensure_engine(library, request, cache=tmp_path, build=False)
    assert ensure_engine(library, request, cache=tmp_path).built


def test_every_part_of_the_identity_changes_the_file_name(tiny: Path) -> None:
    library = TensorRt("tensorrt", make_tensorrt("10.3.0"))
    identity, _, _ = identify(library, EngineRequest(tiny), ("GPU", "8.7"))
    names = {identity.file_name}
    for field in ("model", "model_sha256", "precision", "runtime", "runtime_version", "gpu"):
        changed: dict[str, Any] = {field: "other"}
        names.add(dataclasses.replace(identity, **changed).file_name)
    assert len(names) == 7


@pytest.mark.parametrize("damage", ["engine", "sidecar", "no sidecar"])
def test_a_damaged_engine_is_never_loaded(tiny: Path, tmp_path: Path, damage: str) -> None:
    library = TensorRt("tensorrt", make_tensorrt("10.3.0"))
    stored = ensure_engine(library, EngineRequest(tiny), cache=tmp_path)
    if damage == "engine":
        stored.path.write_bytes(stored.plan[:-10])
    elif damage == "sidecar":
        sidecar_path(stored.path).write_text("{")
    else:
        sidecar_path(stored.path).unlink()
    with pytest.raises(EngineError):
        read_engine(stored.path, stored.identity)
    assert ensure_engine(library, EngineRequest(tiny), cache=tmp_path).built


def test_two_processes_build_an_engine_once(tiny: Path, tmp_path: Path) -> None:
    """The second waits for the first and takes its engine."""
    script = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from palletjack_detection.engines import store
        from palletjack_detection.engines.api import TensorRt
        from palletjack_detection.engines.store import EngineRequest, ensure_engine
        from tests.engines.fake_tensorrt import make_tensorrt
        slow = store.build_engine
        def build(*arguments, **options):
            time.sleep(1.5)
            return slow(*arguments, **options)
        store.build_engine = build
        library = TensorRt("tensorrt", make_tensorrt("10.3.0"))
        print(ensure_engine(library, EngineRequest(Path({str(tiny)!r})), cache=Path({str(tmp_path)!r})).built)
        """
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        for _ in range(2)
    ]
    assert sorted(process.communicate(timeout=60)[0].strip() for process in running) == ["False", "True"]


@pytest.mark.parametrize(
    ("version", "precision", "flags", "creation"),
    [
        ("8.6.1", "fp32", [], 1),
        ("8.6.1", "fp16", ["FP16"], 1),
        ("8.6.1", "int8", ["FP16", "INT8"], 1),
        ("10.3.0", "int8", ["FP16", "INT8"], 1),
        ("11.0.0", "int8", [], 1),
    ],
)
def test_each_version_is_asked_in_its_own_way(
    tiny: Path, version: str, precision: str, flags: list[str], creation: int
) -> None:
    module = make_tensorrt(version)
    spec = load_model_spec(tiny)
    options = BuildOptions(batch=(1, 2, 4), workspace_mib=64)
    build_engine(TensorRt("tensorrt", module), tiny / "model.onnx", spec, precision, options)
    assert [call[1] for call in module.calls if call[0] == "flag"] == flags
    assert ("network", creation) in module.calls
    assert ("pool", "WORKSPACE", 64 << 20) in module.calls
    shapes = {"input_1:0": ((1, 3, 64, 96), (2, 3, 64, 96), (4, 3, 64, 96))}
    assert ("profile", shapes) in module.calls


def test_a_dla_falls_back_to_the_gpu(tiny: Path) -> None:
    module = make_tensorrt("10.3.0", dla_cores=2)
    library, spec = TensorRt("tensorrt", module), load_model_spec(tiny)
    build_engine(library, tiny / "model.onnx", spec, "fp16", BuildOptions(dla=1))
    assert ("build", "DLA", 1) in module.calls
    assert ("flag", "GPU_FALLBACK") in module.calls
    with pytest.raises(EngineError, match="dla: expected a core below 2"):
        build_engine(library, tiny / "model.onnx", spec, "fp16", BuildOptions(dla=2))
    with pytest.raises(EngineError, match="expected precision fp16 or int8"):
        build_engine(library, tiny / "model.onnx", spec, "fp32", BuildOptions(dla=0))


def test_what_the_parser_refuses_is_said(rtx: TensorRt, tiny: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes((tiny / "model.onnx").read_bytes()[:200])
    with pytest.raises(EngineError, match=r"broken\.onnx: tensorrt_rtx .* cannot read it"):
        build_engine(rtx, broken, load_model_spec(tiny), "fp32", BuildOptions())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": (2, 1, 4)}, "batch: expected 1 <= smallest"),
        ({"dla": -2}, "dla: expected"),
        ({"workspace_mib": 0}, "workspace_mib: expected at least 1"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        BuildOptions(**options)


def test_a_timing_cache_is_used_again(tiny: Path, tmp_path: Path) -> None:
    module = make_tensorrt("10.3.0")
    library = TensorRt("tensorrt", module)
    ensure_engine(library, EngineRequest(tiny), cache=tmp_path)
    ensure_engine(library, EngineRequest(tiny, options=BuildOptions(workspace_mib=2)), cache=tmp_path)
    assert [call[1] for call in module.calls if call[0] == "timing_cache"] == [b"", b"timings"]


def test_a_library_that_is_missing_or_old_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineError, match=r"tensorrt cannot be loaded .* JetPack"):
        load_tensorrt("tensorrt")
    monkeypatch.setitem(sys.modules, "tensorrt", make_tensorrt("8.2.1"))
    with pytest.raises(EngineError, match=r"expected version 8\.6 or newer, found 8\.2\.1"):
        load_tensorrt("tensorrt")
    with pytest.raises(EngineError, match="runtime: expected one of tensorrt, tensorrt_rtx, found 'onnx'"):
        load_tensorrt("onnx")


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_recorded_of_each_version_holds_in_the_bindings_installed_here(
    rtx: TensorRt, version: str
) -> None:
    """TensorRT for RTX has the same API: all that we call is there under the same name and arguments."""

    def needed(signatures: Any) -> set[tuple[str, ...]]:
        return {tuple(name for name, optional in signature if not optional) for signature in signatures}

    recorded, real = record_of(version)["classes"], describe(rtx.module)["classes"]
    used = make_tensorrt(version)
    compared = 0
    for name in recorded:
        for member, value in vars(getattr(used, name, object)).items():
            if member.startswith("_") or not callable(value):
                continue
            assert needed(recorded[name][member]) & needed(real[name][member]), f"{name}.{member}"
            compared += 1
    assert compared > 20


def test_the_stand_in_refuses_what_a_version_lacks() -> None:
    eleven, eight = make_tensorrt("11.0.0"), make_tensorrt("8.6.1")
    builder = eight.Builder(eight.Logger(eight.ILogger.ERROR))
    config = builder.create_builder_config()
    with pytest.raises(TypeError, match="set_timing_cache: 1 arguments"):
        config.set_timing_cache(b"")
    with pytest.raises(TypeError, match=r"\['frames'\] fit none"):
        builder.create_network(frames=1)
    with pytest.raises(AttributeError, match="cannot be set"):
        config.fp16_mode = True
    with pytest.raises(AttributeError, match="FP16"):
        _ = eleven.BuilderFlag.FP16
    with pytest.raises(AttributeError, match="STRONGLY_TYPED"):
        _ = eight.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    with pytest.raises(AttributeError, match="execute_async_v2"):
        _ = eleven.IExecutionContext.execute_async_v2


def test_shipped_models_are_what_is_tested() -> None:
    assert SHIPPED, "the parametrized test above must not run over nothing"


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engine_cache() == tmp_path / "palletjack" / "engines"
