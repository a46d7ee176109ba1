"""Pruning: TAO's rule held to a plain formulation, dependent channels, and narrow networks that live on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

from typer.testing import CliRunner  # noqa: E402

from palletjack_cli.main import app  # noqa: E402
from palletjack_training.backbones.conv_norm import ConvNorm  # noqa: E402
from palletjack_training.compression import dependency_pruning  # noqa: E402
from palletjack_training.compression.dependency_pruning import (  # noqa: E402
    PruningError,
    prune_by_dependency,
    relative_macs,
)
from palletjack_training.compression.prune import PruneRequest, prune_weights  # noqa: E402
from palletjack_training.compression.rebuild import rebuild_network  # noqa: E402
from palletjack_training.compression.tao_pruning import (  # noqa: E402
    TaoRule,
    kept_channels,
    prune_by_tao_rule,
)
from palletjack_training.config import load_config  # noqa: E402
from palletjack_training.export import export_model  # noqa: E402
from palletjack_training.network import DetectNet, build_network  # noqa: E402
from palletjack_training.weights_file import Weights, WeightsError, load_weights, save_weights  # noqa: E402

SMALL = ["input.width=192", "input.height=128", "network.weights=none", "network.freeze_norm=false"]
LITE = [*SMALL, "network.neck_channels=32", "network.neck_blocks=1"]


@pytest.fixture(autouse=True)
def _wider_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The channels go in a quarter as many steps, of 2.7% each: targets here are met to a tenth."""
    monkeypatch.setattr(dependency_pruning, "_STEPS", 30)


def uneven(network: DetectNet) -> DetectNet:
    """Give every layer small and large filters, and normalizations that differ from the identity."""
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, ConvNorm):
                sizes = torch.rand(layer.conv.out_channels, generator=rng) ** 2
                layer.conv.weight *= sizes[:, None, None, None]
                assert layer.norm.running_var is not None
                layer.norm.running_var.uniform_(0.5, 1.5, generator=rng)
                layer.norm.weight.uniform_(0.5, 1.5, generator=rng)
    return network


def tao_reference(state: dict[str, np.ndarray], layers: list[str], rule: TaoRule) -> list[int]:
    """The rule as the facts have it, filter by filter."""
    norms = [
        [float(np.sqrt((f.astype(np.float64) ** 2).sum())) for f in state[f"{layer}.conv.weight"]]
        for layer in layers
    ]
    merged: list[float] = []
    for channel in range(len(norms[0])):
        values = [of_layer[channel] / max(of_layer) for of_layer in norms]
        merged.append(
            {
                "union": max(values),
                "intersection": min(values),
                "arithmetic_mean": sum(values) / len(values),
                "geometric_mean": float(np.prod(values)) ** (1 / len(values)),
            }[rule.equalization]
        )
    count = max(sum(value > rule.threshold for value in merged), min(rule.minimum, len(merged)))
    while count % rule.granularity:
        count += 1
    count = min(count, len(merged))
    return sorted(sorted(range(len(merged)), key=lambda i: merged[i])[len(merged) - count :])


@pytest.mark.parametrize(
    ("name", "equalization"),
    [
        ("palletjack_resnet18", "union"),
        ("palletjack_resnet18", "intersection"),
        ("palletjack_resnet18", "arithmetic_mean"),
        ("palletjack_resnet18", "geometric_mean"),
        ("palletjack_resnet34", "union"),
    ],
)
def test_tao_rule_on_a_resnet(name: str, equalization: str) -> None:
    network = uneven(build_network(load_config(name, SMALL), load_weights=False))
    before = {key: value.numpy().copy() for key, value in network.state_dict().items()}
    rule = TaoRule(threshold=0.4, equalization=equalization)  # type: ignore[arg-type]
    prune_by_tao_rule(network, rule)
    after = {key: value.numpy() for key, value in network.state_dict().items()}

    # Blocks of one width share their channels; the first block of each has the projection.
    kept = {"backbone.stem": tao_reference(before, ["backbone.stem"], rule)}
    shared: list[list[str]] = []
    for number in range(len(network.backbone.blocks)):  # type: ignore[arg-type]
        block = f"backbone.blocks.{number}"
        kept[f"{block}.first"] = tao_reference(before, [f"{block}.first"], rule)
        if f"{block}.shortcut.conv.weight" in before:
            shared.append([f"{block}.shortcut"])
        shared[-1].append(f"{block}.second")
    for group in shared:
        for layer in group:
            kept[layer] = tao_reference(before, group, rule)
    assert any(len(channels) < len(before[f"{layer}.conv.weight"]) for layer, channels in kept.items())

    inputs = kept["backbone.stem"]
    for number in range(len(network.backbone.blocks)):  # type: ignore[arg-type]
        block = f"backbone.blocks.{number}"
        into = {"first": inputs, "shortcut": inputs, "second": kept[f"{block}.first"]}
        for part, channels in into.items():
            layer = f"{block}.{part}"
            if f"{layer}.conv.weight" not in before:
                continue
            expected = before[f"{layer}.conv.weight"][kept[layer]][:, channels]
            np.testing.assert_array_equal(after[f"{layer}.conv.weight"], expected)
            for tensor in ("weight", "bias", "running_mean", "running_var"):
                expected = before[f"{layer}.norm.{tensor}"][kept[layer]]
                np.testing.assert_array_equal(after[f"{layer}.norm.{tensor}"], expected)
        inputs = kept[f"{block}.second"]
    np.testing.assert_array_equal(after["coverage.weight"], before["coverage.weight"][:, inputs])
    np.testing.assert_array_equal(after["boxes.bias"], before["boxes.bias"])


def test_tao_counts_are_rounded_up_and_have_a_floor() -> None:
    norms = torch.linspace(0.01, 1.0, 64)
    assert len(kept_channels(norms, TaoRule(threshold=0.5))) == 32
    assert len(kept_channels(norms, TaoRule(threshold=0.45))) == 40
    assert kept_channels(norms, TaoRule(threshold=2.0)) == list(range(48, 64))
    assert kept_channels(norms[:12], TaoRule(threshold=2.0)) == list(range(12))


def test_tao_rule_refuses_depthwise_networks() -> None:
    network = build_network(load_config("palletjack_light", LITE), load_weights=False)
    with pytest.raises(PruningError, match="expected a ResNet, found the grouped convolution"):
        prune_by_tao_rule(network, TaoRule())


@pytest.mark.parametrize(
    ("scope", "name"),
    [("global", "palletjack_light"), ("uniform", "palletjack_light"), ("global", "palletjack_lite")],
)
def test_dependent_channels_go_together_to_a_share_of_macs(scope: str, name: str) -> None:
    config = load_config(name, LITE)
    network = uneven(build_network(config, load_weights=False))
    full, stem = relative_macs(network), network.backbone.stem.conv.weight.detach().clone()
    prune_by_dependency(network, lambda n: relative_macs(n) <= 0.6 * full, scope=scope)  # type: ignore[arg-type]
    assert 0.5 * full < relative_macs(network) <= 0.6 * full
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Conv2d) and name not in ("coverage", "boxes"):
            assert layer.out_channels % 8 == 0, name
            assert layer.in_channels == 3 or layer.in_channels % 8 == 0
    assert network.coverage.out_channels == 1
    assert network.boxes.out_channels == 4
    # What is left is unchanged: kernels are only put to their folded scale while they are ranked.
    for kernel in network.backbone.stem.conv.weight.detach():
        assert any(torch.allclose(kernel, other, rtol=1e-4, atol=1e-6) for other in stem)
    image = torch.rand(1, 3, 128, 192)
    coverage, boxes = network.eval()(image)
    assert coverage.shape == (1, 1, 8, 12)
    again = rebuild_network(config, network.state_dict()).eval()
    for ours, theirs in zip(again(image), (coverage, boxes), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_importance_counts_normalization() -> None:
    """A channel that its normalization makes small goes, however large its kernel is."""
    network = build_network(load_config("palletjack_light", LITE), load_weights=False)
    block = network.backbone.stages[3][0]  # type: ignore[union-attr, index]
    with torch.no_grad():
        for layer in (block.expand, block.depthwise):
            layer.norm.weight[:40] = 1e-4
            layer.conv.weight[:40] *= 10
        # The biases do not count; they tell which channels are left.
        block.expand.norm.bias.copy_(torch.arange(block.expand.conv.out_channels))
    full, channels = relative_macs(network), block.expand.conv.out_channels
    prune_by_dependency(network, lambda n: relative_macs(n) <= 0.9 * full, scope="uniform")
    left = {int(tag) for tag in block.expand.norm.bias}
    assert len(left) < channels
    assert set(range(channels)) - left <= set(range(40))


def test_frozen_normalization_stays_frozen_and_folds(tmp_path: Path) -> None:
    config = load_config("palletjack_light", ["input.width=192", "input.height=128", "network.neck_blocks=0"])
    network = build_network(config, load_weights=False)
    full = relative_macs(network)
    prune_by_dependency(network, lambda n: relative_macs(n) <= 0.7 * full)
    assert relative_macs(network) <= 0.7 * full
    narrow = rebuild_network(config, network.state_dict())
    for layer in narrow.backbone.modules():
        if isinstance(layer, ConvNorm):
            assert layer.frozen
            assert not layer.norm.weight.requires_grad
            assert layer.conv.weight.requires_grad
    narrow.train()
    sum(out.sum() for out in narrow(torch.rand(1, 3, 128, 192))).backward()
    assert narrow.backbone.stem.conv.weight.grad is not None


def saved(tmp_path: Path, name: str = "palletjack_light", extra: list[str] | None = None) -> Path:
    config = load_config(name, extra or LITE)
    network = uneven(build_network(config, load_weights=False))
    path = tmp_path / "weights.pt"
    save_weights(Weights(config, network.state_dict(), {"validation": {"ap50": 1.0}, "steps": 3}), path)
    return path


def test_a_pruned_file_is_enough_to_export_and_to_prune_again(tmp_path: Path) -> None:
    path = saved(tmp_path)
    first = prune_weights(path, tmp_path / "once.pt", PruneRequest(macs=0.7))
    second = prune_weights(
        tmp_path / "once.pt", tmp_path / "twice.pt", PruneRequest(macs=0.7, scope="uniform")
    )
    assert first["after"]["macs"] == second["before"]["macs"]
    assert second["after"]["macs"] < 0.5 * first["before"]["macs"]
    weights = load_weights(tmp_path / "twice.pt")
    assert [step["method"] for step in weights.provenance["pruning"]] == ["dependency", "dependency"]
    assert "validation" not in weights.provenance
    result = export_model(weights, tmp_path / "model", "mine")
    assert result.coverage_difference < 1e-5
    assert result.spec.training["pruning"][1]["scope"] == "uniform"


def test_latency_is_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up clock that is proportional to the size of the graph."""
    from palletjack_training.compression import prune

    monkeypatch.setattr(prune, "measure_latency", lambda path, *_: path.stat().st_size / 1e6)
    path = saved(tmp_path)
    dense = path.stat().st_size / 1e6 * 2
    prune_weights(path, tmp_path / "pruned.pt", PruneRequest(latency_ms=0.7 * dense))
    export_model(load_weights(tmp_path / "pruned.pt"), tmp_path / "model", "mine")
    assert (tmp_path / "model/model.onnx").stat().st_size / 1e6 <= 0.7 * dense


@pytest.mark.long
def test_the_command_and_its_errors(tmp_path: Path) -> None:
    path, out = saved(tmp_path), tmp_path / "pruned.pt"
    run = CliRunner().invoke(
        app, ["prune", "--checkpoint", str(path), "--out", str(out), "--macs", "0.6"], catch_exceptions=False
    )
    assert run.exit_code == 0, run.output
    assert "MACs" in run.output
    report = json.loads(out.with_suffix(".json").read_text())
    assert report["after"]["macs"] <= 0.6 * report["before"]["macs"]
    assert report["after"]["file_bytes"] < report["before"]["file_bytes"]
    assert report["channels"]["coverage"] == [1, 1]

    for arguments, message in (
        ([], "expected --macs, --time, --latency-ms or several"),
        (["--macs", "0.01"], "out of reach"),
        (["--method", "tao"], "expected a ResNet"),
    ):
        failed = CliRunner().invoke(
            app, ["prune", "--checkpoint", str(path), "--out", str(tmp_path / "no.pt"), *arguments]
        )
        assert failed.exit_code == 1
        assert message in failed.output
        assert not (tmp_path / "no.pt").exists()


def test_a_checkpoint_of_another_network_is_no_pruned_one(tmp_path: Path) -> None:
    two = load_config("palletjack_light", [*LITE, "classes=[palletjack, forklift]"])
    one = build_network(load_config("palletjack_light", LITE), load_weights=False)
    with pytest.raises(WeightsError, match=r"x\.pt: weights of another network.*"):
        rebuild_network(two, one.state_dict(), "x.pt: ")
    other = build_network(load_config("palletjack_resnet18", SMALL), load_weights=False)
    with pytest.raises(WeightsError, match="weights of another network"):
        rebuild_network(two, other.state_dict())
