"""Quantized networks: what is rounded, the graphs held to the network, one whole chain."""

from __future__ import annotations

import collections
import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("modelopt")

from typer.testing import CliRunner  # noqa: E402

from palletjack_cli.main import app  # noqa: E402
from palletjack_detection.model_folder import load_model_spec  # noqa: E402
from palletjack_training.compression import int8_export, quantize  # noqa: E402
from palletjack_training.compression.int8_export import compare_variants, unrounded, write_graphs  # noqa: E402
from palletjack_training.compression.int8_graph import realize  # noqa: E402
from palletjack_training.compression.marked_graph import marked_graph  # noqa: E402
from palletjack_training.compression.prune import PruneRequest, prune_weights  # noqa: E402
from palletjack_training.compression.quantize import QuantizedConv, quantize_network  # noqa: E402
from palletjack_training.compression.rebuild import rebuild_network  # noqa: E402
from palletjack_training.compression.rounding import QuantizationError  # noqa: E402
from palletjack_training.config import TrainingConfig, load_config  # noqa: E402
from palletjack_training.export import ExportError, export_model, write_onnx  # noqa: E402
from palletjack_training.network import DetectNet, build_network  # noqa: E402
from palletjack_training.trainer import RunRequest, run_training  # noqa: E402
from palletjack_training.weights_file import (  # noqa: E402
    Weights,
    WeightsError,
    is_quantized,
    load_weights,
    save_weights,
)

SMALL = ["input.width=192", "input.height=128", "network.weights=none", "network.freeze_norm=false"]
LITE = [*SMALL, "network.neck_channels=32", "network.neck_blocks=1"]
PATH = [*SMALL, "network.neck_channels=32"]


def quantized(name: str, extra: list[str]) -> tuple[TrainingConfig, DetectNet]:
    """A calibrated network whose outputs vary over the picture."""
    config = load_config(name, [*extra, "quantization.enabled=true"])
    torch.manual_seed(1)
    network = build_network(config, load_weights=False)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.uniform_(layer.bias, -0.5, 0.5)
    # Statistics of real activations, so that these neither die out nor overflow.
    network.train()
    pictures = [torch.from_numpy(int8_export._picture(config))]
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1.0
        network(pictures[0])
        for head in (network.coverage, network.boxes):
            head.weight *= 30
    quantize_network(network, config.quantization, pictures, torch.device("cpu"))
    return config, network.eval()


@pytest.fixture(scope="module")
def lite() -> tuple[TrainingConfig, DetectNet]:
    return quantized("palletjack_light", LITE)


def test_what_is_rounded_and_what_is_not(lite: tuple[TrainingConfig, DetectNet]) -> None:
    _, network = lite
    convolutions = {n: m for n, m in network.named_modules() if isinstance(m, QuantizedConv)}
    kept = {n for n, m in convolutions.items() if isinstance(m.kernel_quantizer, torch.nn.Identity)}
    assert kept == {"coverage", "boxes"}
    assert float(network.backbone.stem.input_quantizer.amax) == 1.0  # type: ignore[union-attr]
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    for name, layer in network.named_modules():
        if isinstance(layer, quantize.QuantizedSum) or (name in convolutions and name not in kept):
            assert layer.output_quantizer.amax > 0, name  # type: ignore[union-attr]


def test_folding_changes_nothing_before_rounding() -> None:
    config = load_config("palletjack_resnet18", SMALL)
    network = build_network(config, load_weights=False).eval()
    folded = copy.deepcopy(network)
    quantize_network(folded, config.quantization, [torch.rand(1, 3, 128, 192)], torch.device("cpu"))
    image = torch.rand(1, 3, 128, 192)
    for ours, theirs in zip(unrounded(folded).eval()(image), network(image), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_unknown_names_and_missing_ranges_are_refused(lite: tuple[TrainingConfig, DetectNet]) -> None:
    config = load_config("palletjack_light", LITE)
    network = build_network(config, load_weights=False)
    with pytest.raises(QuantizationError, match=r"keep_float: .*'coverge'; did you mean 'coverage'"):
        quantize.add_quantizers(network, ["coverge"])
    full, _ = lite
    state = dict(lite[1].state_dict())
    missing = "neck.coarse.output_quantizer._amax"
    del state[missing]
    with pytest.raises(WeightsError, match=r"x\.pt: .*neck\.coarse\.output_quantizer: expected a range"):
        rebuild_network(full, state, "x.pt: ")


def test_the_writer_of_plain_graphs_refuses_a_network_that_rounds(
    lite: tuple[TrainingConfig, DetectNet], tmp_path: Path
) -> None:
    """PyTorch's exporter fails on the quantizers with a page of its own graph."""
    config, network = lite
    with pytest.raises(QuantizationError, match="expected weights without quantization"):
        write_onnx(network, config, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_graphs_are_the_network(lite: tuple[TrainingConfig, DetectNet], tmp_path: Path) -> None:
    config, network = lite
    files = write_graphs(network, config, tmp_path)
    differences = compare_variants(network, files, config)
    assert set(differences) == {"int8", "int8_cpu"}
    for difference in differences.values():
        assert difference.is_small
        assert difference.steps > 0.4 or difference.heads > 0  # The comparison compares two things.

    graph = onnx.load(str(files.variants["int8"])).graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            assert tensors[node.input[2]].dtype == np.int8
            assert tensors[node.input[2]] == 0
    assert not any(node.domain for node in graph.node)
    # The ranges for older TensorRT are those of tensors that the FP32 graph has.
    plain = onnx.load(str(files.plain)).graph
    names = {"input_1:0", *(name for node in plain.node for name in node.output)}
    assert set(files.scales) <= names
    assert files.scales["input_1:0"] == 1.0
    assert "DequantizeLinear" not in {node.op_type for node in plain.node}


@pytest.mark.parametrize("factor", [0.97, 1.05])
def test_a_wrong_scale_of_one_layer_is_noticed(
    factor: float, lite: tuple[TrainingConfig, DetectNet], tmp_path: Path
) -> None:
    config, network = lite
    files = write_graphs(network, config, tmp_path)
    for path in files.variants.values():
        model = onnx.load(str(path))
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        scale = next(
            tensors[node.input[1]]
            for node in model.graph.node
            if node.op_type == "QuantizeLinear" and "stages.3" in node.output[0]
        )
        wrong = np.asarray(onnx.numpy_helper.to_array(scale) * np.float32(factor))
        scale.CopyFrom(onnx.numpy_helper.from_array(wrong, scale.name))
        onnx.save(model, str(path))
    for difference in compare_variants(network, files, config).values():
        assert not difference.is_small
        assert "stages.3" in difference.layer


@pytest.mark.parametrize("name", ["palletjack_light", "palletjack_lite", "palletjack_resnet18"])
def test_onnx_runtime_stays_in_int8(
    name: str, lite: tuple[TrainingConfig, DetectNet], tmp_path: Path
) -> None:
    """Only the heads are left in FP32, only what leads into them is converted, and the image is bytes."""
    config, network = (
        lite if name == "palletjack_light" else quantized(name, PATH if name == "palletjack_lite" else SMALL)
    )
    files = write_graphs(network, config, tmp_path)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(files.variants["int8_cpu"]), options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(str(tmp_path / "optimized.onnx")).graph
    kinds = collections.Counter(node.op_type for node in optimized.node)
    convolutions = sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules())
    sums = sum(isinstance(layer, quantize.QuantizedSum) for layer in network.modules())
    assert kinds["QLinearConv"] == convolutions - 2
    assert kinds["Conv"] + kinds["FusedConv"] == 2
    assert kinds["QLinearAdd"] == sums
    assert kinds["QuantizeLinear"] == 0
    assert not kinds["Clip"] + kinds["Relu"] + kinds["Add"]
    # INT8 kernels, not FP32 ones with marks.
    small = files.variants["int8_cpu"].stat().st_size
    assert small < 0.45 * files.plain.stat().st_size


def test_the_same_weights_give_the_same_bytes(lite: tuple[TrainingConfig, DetectNet], tmp_path: Path) -> None:
    config, network = lite
    first, second = (marked_graph(network, config, tmp_path / name) for name in ("a", "b"))
    for target in ("float", "int8", "int8_cpu"):
        ours, theirs = (realize(marked, target) for marked in (first, second))  # type: ignore[arg-type]
        assert ours.SerializeToString() == theirs.SerializeToString()


def test_a_channel_of_zeros_with_a_bias_survives(tmp_path: Path) -> None:
    config, network = quantized("palletjack_light", LITE)
    stem = network.backbone.stem
    with torch.no_grad():
        stem.weight[3] = 0  # type: ignore[union-attr, index]
        stem.weight[5] *= 1e-9  # type: ignore[union-attr, index]
        stem.bias[3] = stem.bias[5] = 2.0  # type: ignore[union-attr, index]
    differences = compare_variants(network, write_graphs(network, config, tmp_path), config)
    assert all(difference.is_small for difference in differences.values())


def test_a_model_folder_holds_all_forms(lite: tuple[TrainingConfig, DetectNet], tmp_path: Path) -> None:
    config, network = lite
    weights = Weights(config, network.state_dict(), {"quantization": "trained"})
    save_weights(weights, tmp_path / "weights.pt")
    again = load_weights(tmp_path / "weights.pt")
    for key, tensor in weights.state.items():
        assert torch.equal(again.state[key], tensor), key  # Not even by half precision.
    result = export_model(again, tmp_path / "model", "mine")
    assert set(result.variants) == {"int8", "int8_cpu"}
    spec = load_model_spec(tmp_path / "model")
    assert spec.precision == "int8"
    assert spec.network_file("auto", "cpu") == "model_int8_cpu.onnx"
    assert spec.network_file("auto", "tensorrt") == "model_int8.onnx"
    scales = json.loads((tmp_path / "model/cal.json").read_text())["tensor_scales"]
    assert scales["input_1:0"] == 1.0
    # The route of TensorRT before Q/DQ: the plain graph with the ranges beside it, as TAO exports it.
    (tmp_path / "labels.txt").write_text("palletjack\n")
    words = ["tao", "import", "--onnx", str(tmp_path / "model/model.onnx"), "--out", str(tmp_path / "back")]
    words += ["--labels", str(tmp_path / "labels.txt"), "--cal-json", str(tmp_path / "model/cal.json")]
    imported = CliRunner().invoke(app, words)
    assert imported.exit_code == 0, imported.output
    assert f"{len(scales)} tensor scales in cal.json" in imported.output
    assert json.loads((tmp_path / "back/cal.json").read_text())["tensor_scales"] == scales

    # An FP32 model in its place takes the ranges away.
    plain = load_config("palletjack_light", LITE)
    state = build_network(plain, load_weights=False).state_dict()
    export_model(Weights(plain, state), tmp_path / "model", "mine")
    assert not (tmp_path / "model/cal.json").exists()
    assert load_model_spec(tmp_path / "model").variants == {}


def test_a_graph_with_other_numbers_is_not_written(
    lite: tuple[TrainingConfig, DetectNet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, network = lite
    monkeypatch.setattr(int8_export, "LARGEST_STEPS", -1.0)
    with pytest.raises(ExportError, match="not written: int8: differs"):
        export_model(Weights(config, network.state_dict()), tmp_path / "model", "mine")
    assert not (tmp_path / "model").exists()


def test_only_what_is_used_of_model_optimizer_is_needed() -> None:
    """Its architecture search imports SciPy and PuLP; a robot's or a trainer's machine may lack both."""
    code = (
        "import importlib.machinery as m\n"
        "find = m.PathFinder.find_spec\n"
        "hidden = ('scipy', 'pulp')\n"
        "m.PathFinder.find_spec = staticmethod(\n"
        "    lambda n, *a: None if n.split('.')[0] in hidden else find(n, *a))\n"
        "from palletjack_training.compression import quantizers\n"
        "quantizers.activation_quantizer(), quantizers.kernel_quantizer()\n"
        "import sys\n"
        "assert not [n for n in sys.modules if n.split('.')[0] in hidden]\n"
        "try:\n"
        "    import scipy\n"
        "except ModuleNotFoundError:\n"
        "    print('missing, as it should be')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "missing, as it should be" in run.stdout


def test_rounding_goes_on_with_what_was_pruned_and_can_be_stopped(
    tmp_path: Path, write_frames: Callable
) -> None:
    """Train, prune, fine-tune, train through rounding (stopped and resumed), each for a few steps."""
    write_frames(tmp_path / "set", 8)
    data = (tmp_path / "set",)
    quiet = [
        "trainer.snapshots=0",
        "trainer.validate_every=1000",
        "trainer.batch_size=4",
        "augment.enabled=false",
        "trainer.backbone_lr_factor=1",
    ]
    small = load_config("palletjack_light", [*LITE, *quiet, "trainer.steps=2"])
    run_training(small, RunRequest(data, tmp_path / "dense"))
    prune_weights(tmp_path / "dense/weights.pt", tmp_path / "pruned.pt", PruneRequest(macs=0.8))
    tuned = run_training(small, RunRequest(data, tmp_path / "tuned", initial=tmp_path / "pruned.pt"))
    assert tuned["pruning"][0]["macs_kept"] <= 0.8

    options = ["quantization.enabled=true", "quantization.calibration_frames=8"]
    qat = load_config("palletjack_light", [*LITE, *quiet, *options, "trainer.steps=4"])
    with pytest.raises(WeightsError, match="stem"):
        run_training(small, RunRequest(data, tmp_path / "x", initial=_with_wrong_stem(tmp_path)))
    initial = tmp_path / "tuned/weights.pt"
    run_training(qat, RunRequest(data, tmp_path / "qat", initial=initial, stop_after=2))
    resumed = run_training(qat, RunRequest(data, tmp_path / "qat", initial=initial, resume=True))
    assert resumed["steps"] == 4
    assert resumed["quantization"] == "trained"
    assert resumed["pruning"] == tuned["pruning"]
    weights = load_weights(tmp_path / "qat/weights.pt")
    assert is_quantized(weights.state)
    start = load_weights(initial).state
    assert any(not torch.equal(weights.state[key], start[key]) for key in start if key in weights.state)

    # The same steps without a stop end at the same weights.
    run_training(qat, RunRequest(data, tmp_path / "whole", initial=initial))
    whole = load_weights(tmp_path / "whole/weights.pt")
    for key, tensor in whole.state.items():
        torch.testing.assert_close(weights.state[key], tensor, rtol=0, atol=0, msg=key)

    with pytest.raises(WeightsError, match="quantization"):
        run_training(small, RunRequest(data, tmp_path / "y", initial=tmp_path / "qat/weights.pt"))


def _with_wrong_stem(folder: Path) -> Path:
    weights = load_weights(folder / "tuned/weights.pt")
    state = {**weights.state, "backbone.stem.conv.weight": torch.zeros(40, 3, 3, 3)}
    save_weights(Weights(weights.config, state), folder / "wrong.pt")
    return folder / "wrong.pt"


def test_the_commands_quantize_and_its_errors(tmp_path: Path, write_frames: Callable) -> None:
    write_frames(tmp_path / "set", 4)
    config = load_config("palletjack_light", LITE)
    network = build_network(config, load_weights=False)
    save_weights(Weights(config, network.state_dict(), {"steps": 1}), tmp_path / "w.pt")

    def run(source: str, out: str, *more: str) -> tuple[int, str]:
        images = str(tmp_path / "set/images")
        arguments = ["quantize", "--checkpoint", str(tmp_path / source), "--images", images]
        result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / out), *more])
        return result.exit_code, result.output

    code, output = run("w.pt", "q.pt", "--calibration", "max", "--keep-float", "coverage")
    assert code == 0, output
    weights = load_weights(tmp_path / "q.pt")
    assert weights.provenance["quantization"] == "calibrated"
    assert weights.config.quantization.keep_float == ("coverage",)
    rebuilt = rebuild_network(weights.config, weights.state)
    assert not isinstance(rebuilt.boxes.kernel_quantizer, torch.nn.Identity)  # type: ignore[union-attr]

    code, output = run("q.pt", "again.pt")
    assert code == 1
    assert "q.pt: expected weights without quantization" in output
    code, output = run("w.pt", "no.pt", "--keep-float", "stem")
    assert code == 1
    assert "keep_float" in output
    assert not (tmp_path / "no.pt").exists()
    pruned = CliRunner().invoke(
        app,
        ["prune", "--checkpoint", str(tmp_path / "q.pt"), "--out", str(tmp_path / "p.pt"), "--macs", "0.5"],
    )
    assert pruned.exit_code == 1
    assert "prune first, then quantize" in pruned.output
