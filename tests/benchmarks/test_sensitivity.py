"""What layers bear: a change is to that layer alone, damage grows with it, and a stopped run goes on."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("modelopt")

import onnxruntime  # noqa: E402
from PIL import Image  # noqa: E402

from palletjack_training.config import load_config  # noqa: E402
from palletjack_training.weights_file import Weights, save_weights  # noqa: E402
from tests.training.settled_network import settled_network  # noqa: E402

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = [
    *("input.width=64", "input.height=64", "network.weights=none", "network.freeze_norm=false"),
    *("network.neck_channels=16", "network.neck_blocks=1"),
]


@pytest.fixture
def sensitivity(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("sensitivity")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights whose cells differ, and two labelled images."""
    place = tmp_path_factory.mktemp("sensitivity")
    torch.set_num_threads(1)
    config = load_config("palletjack_light", SMALL)
    network, _ = settled_network(config, spread_coverage=True)
    save_weights(Weights(config, network.state_dict()), place / "weights.pt")
    rng = np.random.default_rng(1)
    for name in ("images", "labels"):
        (place / "set" / name).mkdir(parents=True)
    for number in range(2):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
            place / f"set/images/{number}.png"
        )
        line = "palletjack 0 0 0 8 8 40 40 1.2 0.5 1.5 0 0 5 0\n"
        (place / f"set/labels/{number}.txt").write_text(line)
    return place


def run(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, out: Path, *more: str
) -> dict[str, Any]:
    words = ["--checkpoint", str(folder / "weights.pt"), "--data", f"set={folder / 'set'}"]
    monkeypatch.setattr("sys.argv", ["x", *more, *words, "--out", str(out), "--threads", "1"])
    module.main()
    document: dict[str, Any] = json.loads((out / "table.json").read_text())
    return document


@pytest.mark.long
def test_rounding_a_layer_moves_less_than_rounding_all(
    sensitivity: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    words = ("rounding", "--calibration", str(folder / "set/images"), "--only", "backbone.stem")
    words = (*words, "--only", "coverage", "--only", "boxes")
    document = run(sensitivity, monkeypatch, folder, tmp_path, *words)
    changes = {change["name"]: change for change in document["changes"]}
    assert [name for name, change in changes.items() if change["is_layer"]] == [
        *("backbone.stem", "coverage_tower.0", "coverage_tower.1", "coverage", "boxes"),
    ]
    assert document["images"] == {"set": 2}
    assert changes["coverage"]["coverage"] > 0
    assert changes["coverage"]["edge_px"] == 0
    assert changes["boxes"]["edge_px"] > 0
    assert changes["boxes"]["coverage"] == 0
    assert changes["both heads"]["coverage"] == changes["coverage"]["coverage"]
    assert changes["everything"]["coverage"] > changes["backbone.stem"]["coverage"] > 0
    assert (tmp_path / "table.png").stat().st_size > 5000

    # What was measured is read, not measured again.
    monkeypatch.setattr(sensitivity.Witness, "damage", None)
    assert run(sensitivity, monkeypatch, folder, tmp_path, *words)["changes"] == document["changes"]


def test_removing_channels_leaves_the_network_as_it_was(
    sensitivity: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    document = run(sensitivity, monkeypatch, folder, tmp_path, "pruning", "--only", "box_tower")
    assert [change["name"] for change in document["changes"]] == ["box_tower.1"]
    (change,) = document["changes"]
    assert change["edge_px"] > 0
    # The box tower is no way to coverage: what differs would be left over from another layer's change.
    assert change["coverage"] == 0


def test_what_cannot_be_measured_is_said_in_a_sentence(
    sensitivity: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=r"--calibration: expected a folder .*weights.pt was not trained"):
        run(sensitivity, monkeypatch, folder, tmp_path, "rounding")
    with pytest.raises(SystemExit, match=r"--only: expected the start of one of .*box_tower.*found 'nosuch'"):
        run(sensitivity, monkeypatch, folder, tmp_path, "pruning", "--only", "nosuch")


def test_the_graph_that_rounds_everything_is_the_quantized_network(
    sensitivity: ModuleType, folder: Path, tmp_path: Path
) -> None:
    from palletjack_training.compression.post_training import quantize_state
    from palletjack_training.compression.rebuild import rebuild_network
    from palletjack_training.config import QuantizationConfig
    from palletjack_training.network import ExportableDetectNet
    from palletjack_training.weights_file import load_weights

    rounding = importlib.import_module("layer_damage.rounding")
    weights = load_weights(folder / "weights.pt")
    images = sorted((folder / "set/images").iterdir())
    settings = QuantizationConfig(calibration_frames=2, keep_float=())  # type: ignore[call-arg]
    quantized = quantize_state(weights, images, settings)
    graph = rounding.RoundableGraph(quantized, [])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    pictures = np.random.default_rng(0).random((8, 1, 3, 64, 64), np.float32)
    network = ExportableDetectNet(rebuild_network(quantized.config, quantized.state).eval())
    with torch.no_grad():
        wanted = [network(torch.from_numpy(picture)) for picture in pictures]

    def distance(places: frozenset[str]) -> list[float]:
        """Mean difference of each output of the graph that rounds ``places`` from the network's."""
        graph.write(places, tmp_path / "graph.onnx")
        session = onnxruntime.InferenceSession(str(tmp_path / "graph.onnx"), options)
        found = [session.run(None, {"input_1:0": picture}) for picture in pictures]
        pairs = [list(zip(one, other, strict=True)) for one, other in zip(found, wanted, strict=True)]
        return [
            float(np.mean([np.abs(a - b.numpy()).mean() for a, b in outputs]))
            for outputs in zip(*pairs, strict=True)
        ]

    # A value on the edge between two levels falls either way, by the order in which a processor adds.
    rounded, unrounded = distance(frozenset(graph.places)), distance(frozenset())
    assert all(near < far / 2 for near, far in zip(rounded, unrounded, strict=True)), (rounded, unrounded)
