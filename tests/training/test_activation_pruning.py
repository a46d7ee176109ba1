"""Pruning by what channels do on frames: the right ones go, and what is left keeps its statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

from tests.training.settled_network import settled_network  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from palletjack_cli.main import app  # noqa: E402
from palletjack_training.compression import activation_pruning, dependency_pruning, prune  # noqa: E402
from palletjack_training.compression import prune as prune_module  # noqa: E402
from palletjack_training.compression.activation_pruning import prune_by_activation  # noqa: E402
from palletjack_training.compression.dependency_pruning import (  # noqa: E402
    PruningError,
    prune_by_dependency,
    relative_macs,
    relative_time,
)
from palletjack_training.compression.layer_time import MacCost, Positions, TimeCost  # noqa: E402
from palletjack_training.compression.prune import PruneRequest, prune_weights  # noqa: E402
from palletjack_training.compression.rebuild import rebuild_network  # noqa: E402
from palletjack_training.config import load_config  # noqa: E402
from palletjack_training.network import DetectNet  # noqa: E402
from palletjack_training.weights_file import Weights, load_weights, save_weights  # noqa: E402


@pytest.fixture(autouse=True)
def _wider_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pruning by weights takes a quarter as many steps; the targets here are met to a tenth."""
    monkeypatch.setattr(dependency_pruning, "_STEPS", 30)


CONFIG = load_config(
    "palletjack_light",
    [
        *("input.width=128", "input.height=96", "network.weights=none", "network.freeze_norm=false"),
        *("network.neck_channels=32", "network.neck_blocks=1"),
    ],
)


def damage(network: DetectNet, dense: DetectNet, images: torch.Tensor, output: int = 0) -> float:
    """RMS error of the coverage logits (or of the boxes, output 1) over their deviation, without training."""
    with torch.no_grad():
        ours, theirs = network.eval()(images)[output], dense(images)[output]
    return float((ours - theirs).square().mean().sqrt() / theirs.std())


def blocks_of(network: DetectNet) -> Iterator[torch.nn.Module]:
    """The inverted bottlenecks of the backbone."""
    for stage in network.backbone.stages:  # type: ignore[union-attr]
        yield from stage


def settle(network: DetectNet, images: torch.Tensor) -> None:
    """Fit the normalizations to what the layers give by now."""
    with torch.no_grad():
        network.train()(images)
    network.eval()


def with_silent_channels(network: DetectNet) -> DetectNet:
    """Half of each block's inner channels never speak; their kernels and their readers' are the largest."""
    with torch.no_grad():
        for block in blocks_of(network):
            half = block.depthwise.conv.out_channels // 2
            layers = [block.depthwise]
            if not isinstance(block.expand, torch.nn.Identity):
                layers.append(block.expand)
            for layer in layers:
                layer.norm.weight[:half] = 0
                layer.norm.bias[:half] = -1
                layer.conv.weight[:half] *= 10
            block.project.conv.weight[:, :half] *= 10
    return network


def to_share_of_macs(network: DetectNet, share: float) -> Callable[[DetectNet], bool]:
    full = relative_macs(network)
    return lambda pruned: relative_macs(pruned) <= share * full


def test_channels_that_never_speak_go_first() -> None:
    """Removing them changes nothing, however large their weights are; ranking by weights harms."""
    network, images = settled_network(CONFIG)
    settle(with_silent_channels(network), images)
    dense, by_weights = (rebuild_network(CONFIG, network.state_dict()).eval() for _ in range(2))
    full, reached = relative_macs(network), to_share_of_macs(network, 0.85)
    prune_by_activation(network, images, reached)
    prune_by_dependency(by_weights, reached)
    assert 0.8 * full < relative_macs(network) <= 0.85 * full
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Conv2d) and name not in ("coverage", "boxes"):
            assert layer.out_channels % 8 == 0, name
    unseen = torch.rand(4, 3, 96, 128)
    assert damage(network, dense, unseen) < 0.01
    assert damage(by_weights, dense, unseen) > 0.5


def test_channels_that_nobody_reads_go_first() -> None:
    """Whatever they hold."""
    network, images = settled_network(CONFIG, spread_coverage=True)
    with torch.no_grad():
        for block in blocks_of(network):
            block.project.conv.weight[:, : block.depthwise.conv.out_channels // 2] = 0
    settle(network, images)
    dense = rebuild_network(CONFIG, network.state_dict()).eval()
    prune_by_activation(network, images, to_share_of_macs(network, 0.9))
    assert damage(network, dense, torch.rand(4, 3, 96, 128)) < 0.01


def test_constant_channels_go_before_those_that_vary() -> None:
    """However large the constant is: the normalization after the reader makes up for it."""
    network, images = settled_network(CONFIG, spread_coverage=True)
    with torch.no_grad():
        for block in blocks_of(network):
            half = block.depthwise.conv.out_channels // 2
            block.depthwise.norm.weight[:half] = 0
            block.depthwise.norm.bias[:half] = 5
            block.project.conv.weight[:, :half] *= 10
    settle(network, images)
    dense = rebuild_network(CONFIG, network.state_dict()).eval()
    prune_by_activation(network, images, to_share_of_macs(network, 0.9))
    removed = 0
    for before, after in zip(blocks_of(dense), blocks_of(network), strict=True):
        width = before.depthwise.conv.out_channels
        varying = int((after.depthwise.norm.weight != 0).sum())
        assert varying == width - width // 2
        removed += width - after.depthwise.conv.out_channels
    assert removed > 100
    assert damage(network, dense, torch.rand(4, 3, 96, 128)) < 0.01


def test_heads_make_up_for_constant_channels_too() -> None:
    """They have no normalization to do it."""
    network, images = settled_network(CONFIG, spread_coverage=True)
    with torch.no_grad():
        network.boxes.weight.normal_()
        for tower in (network.coverage_tower, network.box_tower):
            tower[1].norm.weight[:16] = 0  # type: ignore[index]
            tower[1].norm.bias[:16] = 5  # type: ignore[index]
    dense = rebuild_network(CONFIG, network.state_dict()).eval()
    prune_by_activation(
        network, images, lambda n: n.coverage.in_channels == 16 and n.boxes.in_channels == 16, OnlyHeads()
    )
    assert relative_macs(network) > 0.9 * relative_macs(dense)
    for output in (0, 1):
        assert damage(network, dense, torch.rand(4, 3, 96, 128), output) < 0.01


class OnlyHeads(MacCost):
    """Nothing is worth to be removed but what layers with a bias read: those are the heads."""

    def of_output(self, layer: torch.nn.Conv2d, positions: Positions) -> float:
        return 1e-6

    def of_input(self, layer: torch.nn.Conv2d, positions: Positions) -> float:
        return 1.0 if layer.bias is not None else 1e-6


def test_channels_left_keep_their_mean_and_deviation() -> None:
    """However often statistics were set on the way."""
    network, images = settled_network(CONFIG)
    dense = rebuild_network(CONFIG, network.state_dict()).eval()
    prune_by_activation(network, images, to_share_of_macs(network, 0.7))
    seen: list[torch.Tensor] = []
    for one in (dense, network):
        layer = one.neck.coarse.norm  # type: ignore[union-attr]
        layer.register_forward_hook(lambda _m, _i, out: seen.append(out))
        with torch.no_grad():
            one(images)
    before, after = (item.transpose(0, 1).flatten(1) for item in seen)
    assert before.shape[0] == after.shape[0], "this layer's channels all stay in this case"
    torch.testing.assert_close(after.mean(1), before.mean(1), rtol=0.01, atol=0.01)
    torch.testing.assert_close(after.std(1), before.std(1), rtol=0.02, atol=0.01)


def test_a_neck_of_full_convolutions_is_pruned_as_one_network() -> None:
    """Shortcuts tie its layers together; what is left still runs, and its weights make it again."""
    config = load_config(
        "palletjack_lite",
        [
            *("input.width=128", "input.height=96", "network.weights=none", "network.freeze_norm=false"),
            "network.neck_channels=32",
        ],
    )
    network, images = settled_network(config, spread_coverage=True)
    full = relative_time(network)
    prune_by_activation(network, images, lambda pruned: relative_time(pruned) <= 0.7 * full, TimeCost())
    assert relative_time(network) <= 0.7 * full
    assert network.neck is not None
    narrowed = [layer.out_channels for layer in network.neck.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert min(narrowed) < 32
    again = rebuild_network(config, network.state_dict()).eval()
    with torch.no_grad():
        for ours, theirs in zip(again(images), network.eval()(images), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_pruning_for_time_saves_more_time_than_pruning_for_work() -> None:
    network, images = settled_network(CONFIG, spread_coverage=True)
    for_time = rebuild_network(CONFIG, network.state_dict()).eval()
    full_time, reached = relative_time(network), to_share_of_macs(network, 0.8)
    prune_by_activation(network, images, reached, MacCost())
    prune_by_activation(for_time, images, reached, TimeCost())
    assert relative_time(for_time) < 0.95 * relative_time(network)
    assert relative_time(network) < full_time
    for one in (network, for_time):
        for name, layer in one.backbone.named_modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.groups > 1:
                assert layer.out_channels % 16 == 0, name


def test_what_is_out_of_reach_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation_pruning, "CHANNEL_MULTIPLE", 48)
    monkeypatch.setattr(activation_pruning, "DEPTHWISE_MULTIPLE", 48)
    network, images = settled_network(CONFIG)
    dense = rebuild_network(CONFIG, network.state_dict())
    with pytest.raises(PruningError, match="removing 80% of the channels is not enough"):
        prune_by_activation(network, images, lambda n: False)
    for before, after in zip(blocks_of(dense), blocks_of(network), strict=True):
        width, left = (block.depthwise.conv.out_channels for block in (before, after))
        assert left >= 0.2 * width
        assert left - 48 < max(48, 0.2 * width)


def test_the_command_ranks_by_a_folder_of_images(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    done = run_prune(tmp_path, "--macs", "0.8", "--images", str(tmp_path / "images"), "--frames", "3")
    assert done.startswith("0 ")
    pruning = load_weights(tmp_path / "out.pt").provenance["pruning"][0]
    assert pruning["frames"] == 3
    assert pruning["macs_kept"] <= 0.82
    assert "time" not in pruning
    done = run_prune(tmp_path, "--macs", "0.8", "--images", str(tmp_path / "nowhere"))
    assert done.startswith("1 error: ")


@pytest.mark.parametrize("ranked_by", ["images", "weights"])
def test_the_command_prunes_to_a_share_of_time(tmp_path: Path, ranked_by: str) -> None:
    dense = write_inputs(tmp_path)
    images = ["--images", str(tmp_path / "images")] if ranked_by == "images" else []
    assert run_prune(tmp_path, "--time", "0.8", "--frames", "2", *images).startswith("0 ")
    weights = load_weights(tmp_path / "out.pt")
    pruning = weights.provenance["pruning"][0]
    assert pruning["time"] == 0.8
    assert "macs" not in pruning
    assert pruning.get("frames") == (2 if images else None)
    share = relative_time(rebuild_network(weights.config, weights.state)) / relative_time(dense)
    assert 0.7 < share <= 0.8


def test_the_command_counts_time_where_time_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Channels are ranked for what they cost in the unit that the target has."""
    write_inputs(tmp_path)
    costs: list[object] = []
    monkeypatch.setattr(prune, "prune_by_activation", lambda *given: costs.append(type(given[-1])))
    for target in ("--time", "--macs"):
        assert run_prune(tmp_path, target, "0.8", "--images", str(tmp_path / "images")).startswith("0 ")
    assert costs == [TimeCost, MacCost]


def write_inputs(folder: Path) -> DetectNet:
    """A weights file and five images; returns the network."""
    network, _ = settled_network(CONFIG)
    save_weights(Weights(CONFIG, network.state_dict()), folder / "weights.pt")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for index in range(5):
        picture = rng.integers(0, 255, (72, 128, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"images/{index}.png"), picture)
    return network


def run_prune(folder: Path, *options: str) -> str:
    """Exit code and output of the command on what ``write_inputs`` wrote."""
    command = ["prune", "--checkpoint", str(folder / "weights.pt"), "--out", str(folder / "out.pt")]
    done = CliRunner().invoke(app, [*command, *options])
    return f"{done.exit_code} {done.output}"


def test_a_latency_that_is_reached_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is measured each time that a twentieth of the work is gone, and not asked for again in between."""
    network, images = settled_network(CONFIG)
    save_weights(Weights(CONFIG, network.state_dict()), tmp_path / "weights.pt")
    cv2.imwrite(str(tmp_path / "0.png"), (255 * images[0].permute(1, 2, 0).numpy()).astype(np.uint8))
    full = relative_macs(network)
    monkeypatch.setattr(
        prune_module._Target,
        "_milliseconds",
        lambda _, pruned: 100 * relative_macs(pruned) / full,
    )
    request = PruneRequest(latency_ms=85.0, images=(tmp_path / "0.png",))
    prune_weights(tmp_path / "weights.pt", tmp_path / "out.pt", request)
    pruned = load_weights(tmp_path / "out.pt")
    assert 0.7 < relative_macs(rebuild_network(CONFIG, pruned.state)) / full <= 0.85
