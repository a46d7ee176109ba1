"""What convolutions take: every INT8 one is found, its work counted right, and the fit finds the numbers."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("modelopt")
pytest.importorskip("scipy")

from onnx import helper  # noqa: E402

from palletjack_training.compression.quantize import quantize_network  # noqa: E402
from palletjack_training.config import load_config  # noqa: E402
from palletjack_training.export import export_model  # noqa: E402
from palletjack_training.weights_file import Weights  # noqa: E402
from tests.detector.tiny_model import write_tiny_model  # noqa: E402
from tests.training.settled_network import settled_network  # noqa: E402

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = [
    *("input.width=64", "input.height=64", "network.weights=none", "network.freeze_norm=false"),
    *("network.neck_channels=16", "network.neck_blocks=1", "quantization.enabled=true"),
]


@pytest.fixture
def layer_time(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("layer_time")


@pytest.fixture(scope="module")
def quantized_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A model folder with INT8, and the multiply-accumulates of its rounded convolutions by their names."""
    torch.set_num_threads(1)
    config = load_config("palletjack_light", SMALL)
    network, images = settled_network(config, spread_coverage=True)
    quantize_network(network, config.quantization, list(images[:, None]), torch.device("cpu"))
    macs: dict[str, int] = {}
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Conv2d) and name not in ("coverage", "boxes"):
            layer.register_forward_hook(
                lambda conv, _, out, name=name: macs.update({name: conv.weight[0].numel() * out[0].numel()})
            )
    with torch.no_grad():
        network.eval()(images[:1])
    folder = tmp_path_factory.mktemp("layer_time") / "small"
    export_model(Weights(config, network.state_dict(), {"quantization": "calibrated"}), folder, "small")
    return folder, macs


def module_name(node: str) -> str:
    """The name in PyTorch; ONNX has /network/neck/mix/mix.0/mix.0.1/Conv for neck.mix.0.1."""
    parts: list[str] = []
    for part in node.split("/Conv")[0].split("/")[2:]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)


def test_every_int8_convolution_is_timed_once(
    layer_time: ModuleType, quantized_model: tuple[Path, dict[str, int]]
) -> None:
    folder, macs = quantized_model
    layers, total = layer_time.profile(folder, threads=1, runs=3)
    assert len(layers) == len(macs)
    found = {module_name(layer.name): layer for layer in layers}
    assert set(found) == set(macs)
    exact = 0
    for name, layer in found.items():
        assert layer.microseconds > 0
        (counted,) = (term for term in layer.terms[:4] if term)
        # The image's three channels are filled up to four, and some others to whole sixteens.
        assert macs[name] <= counted <= macs[name] * 4 / 3
        exact += counted == macs[name]
    assert exact > 0.8 * len(macs)
    assert sum(layer.microseconds for layer in layers) < total


def test_the_script_fits_and_writes(
    layer_time: ModuleType,
    quantized_model: tuple[Path, dict[str, int]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    folder, macs = quantized_model
    words = ["--model", str(folder), "--runs", "3", "--out", str(tmp_path / "time.json")]
    monkeypatch.setattr("sys.argv", ["layer_time", *words])
    layer_time.main()
    document = json.loads((tmp_path / "time.json").read_text())
    assert json.loads(capsys.readouterr().out) == document
    assert list(document["picoseconds"]) == list(layer_time.TERMS)
    assert len(document["layers"]) == len(macs)
    (network,) = document["networks"]
    assert network["model"] == "small"
    assert 0 < network["convolutions_ms"] < network["all_ms"]
    assert document["commit"]


@pytest.mark.parametrize(
    ("kernel", "groups", "read", "written", "expected"),
    [
        (3, 16, [1, 8, 10, 16], [1, 4, 5, 16], {"depthwise_mac_3": 9 * 16 * 20}),
        (5, 16, [1, 8, 10, 16], [1, 8, 10, 16], {"depthwise_mac_5": 25 * 16 * 80}),
        (
            *(1, 1, [1, 8, 10, 16], [1, 8, 10, 24]),
            {"pointwise_mac": 16 * 24 * 80, "output_value": 24 * 80, "input_value": 16 * 80},
        ),
        (
            *(3, 1, [1, 8, 10, 4], [1, 4, 5, 32]),
            {"first_mac": 9 * 4 * 32 * 20, "output_value": 32 * 20, "input_value": 4 * 80},
        ),
        (
            *(3, 1, [1, 8, 10, 16], [1, 8, 10, 32]),
            {"full_mac": 9 * 16 * 32 * 80, "output_value": 32 * 80, "input_value": 16 * 80},
        ),
    ],
)
def test_work_is_counted_by_kind(
    layer_time: ModuleType,
    kernel: int,
    groups: int,
    read: list[int],
    written: list[int],
    expected: dict[str, int],
) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[kernel, kernel], group=groups)
    found = dict(zip(layer_time.TERMS, layer_time.work_of(node, read, written), strict=True))
    assert {term: value for term, value in found.items() if value} == expected


def test_the_fit_finds_known_picoseconds(layer_time: ModuleType) -> None:
    known = np.array([2.6, 60.0, 37.0, 15.6, 2.7, 127.0, 69.0])
    rng = np.random.default_rng(0)
    layers = []
    for number in range(30):
        terms = np.zeros(len(known))
        kind = number % 5
        terms[kind] = rng.uniform(1e6, 1e8)
        if kind in (0, 3, 4):
            terms[5:] = rng.uniform(1e5, 1e6, 2)
        layers.append(layer_time.TimedLayer(f"layer {number}", tuple(terms), float(terms @ known) / 1e6))
    document = layer_time.fit(layers)
    assert list(document["picoseconds"].values()) == pytest.approx(list(known), rel=1e-3)
    assert document["relative_error"] == {"median": 0, "p90": 0}
    first = document["layers"][0]
    assert first == {"name": "layer 0", "us": first["us"], "told_us": first["us"]}

    # One layer that is slower than its kind is seen as such.
    slow = layer_time.TimedLayer("slow", layers[1].terms, 3 * layers[1].microseconds)
    told = layer_time.fit([*layers, slow])["layers"][-1]
    assert told["told_us"] < 0.7 * told["us"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plain", "--model: model tiny: precision: expected one of fp32, found 'int8'"),
        ("nothing", "--model: .*nothing: expected a model folder, found nothing there"),
    ],
)
def test_a_folder_without_int8_is_refused(
    layer_time: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, message: str
) -> None:
    write_tiny_model(tmp_path / "plain", width=96, height=64)
    monkeypatch.setattr("sys.argv", ["layer_time", "--model", str(tmp_path / name)])
    with pytest.raises(SystemExit, match=message):
        layer_time.main()
