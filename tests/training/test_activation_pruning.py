"""Pruning by what channels do on frames: the right ones go, and what is left keeps its statistics."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

from tests.training.settled_network import settled_network  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from palletjack_cli.main import app  # noqa: E402
from palletjack_training.compression import dependency_pruning  # noqa: E402
from palletjack_training.compression.dependency_pruning import (  # noqa: E402
    PruningError,
    prune_by_activation,
    prune_by_dependency,
    relative_macs,
)
from palletjack_training.compression.rebuild import rebuild_network  # noqa: E402
from palletjack_training.config import load_config  # noqa: E402
from palletjack_training.network import DetectNet  # noqa: E402
from palletjack_training.weights_file import Weights, load_weights, save_weights  # noqa: E402

CONFIG = load_config(
    "palletjack_lite",
    [
        *("input.width=192", "input.height=128", "network.weights=none", "network.freeze_norm=false"),
        *("network.neck_channels=32", "network.neck_blocks=1"),
    ],
)


def one_shot_damage(network: DetectNet, dense: DetectNet, images: torch.Tensor) -> float:
    """RMS error of the coverage logits over their deviation, without any training."""
    with torch.no_grad():
        ours, theirs = network.eval()(images)[0], dense(images)[0]
    return float((ours - theirs).square().mean().sqrt() / theirs.std())


def with_silent_channels(network: DetectNet) -> DetectNet:
    """Half of each block's inner channels never speak; their kernels and their readers' are the largest."""
    with torch.no_grad():
        for stage in network.backbone.stages:  # type: ignore[union-attr]
            for block in stage:
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


def test_channels_that_never_speak_go_first() -> None:
    """Removing them changes nothing, however large their weights are; ranking by weights harms."""
    network, images = settled_network(CONFIG)
    with_silent_channels(network)
    dense, by_weights = (rebuild_network(CONFIG, network.state_dict()).eval() for _ in range(2))
    full = relative_macs(network)

    def reached(pruned: DetectNet) -> bool:
        return relative_macs(pruned) <= 0.8 * full

    prune_by_activation(network, images, reached)
    prune_by_dependency(by_weights, reached)
    assert 0.4 * full < relative_macs(network) <= 0.8 * full
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Conv2d) and name not in ("coverage", "boxes"):
            assert layer.out_channels % 8 == 0, name
    unseen = torch.rand(4, 3, 128, 192)
    assert one_shot_damage(network, dense, unseen) < 0.3
    assert one_shot_damage(by_weights, dense, unseen) > 0.5


def test_channels_left_keep_their_mean_and_deviation() -> None:
    network, images = settled_network(CONFIG)
    dense = rebuild_network(CONFIG, network.state_dict()).eval()
    full = relative_macs(network)
    prune_by_activation(network, images, lambda n: relative_macs(n) <= 0.7 * full)
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


def test_what_is_out_of_reach_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependency_pruning, "_STEPS", 5)
    network, images = settled_network(CONFIG)
    with pytest.raises(PruningError, match="removing 70% of the channels is not enough"):
        prune_by_activation(network, images, lambda n: False)


def test_the_command_ranks_by_a_folder_of_images(tmp_path: Path) -> None:
    network, _ = settled_network(CONFIG)
    save_weights(Weights(CONFIG, network.state_dict()), tmp_path / "weights.pt")
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for index in range(5):
        picture = rng.integers(0, 255, (108, 192, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"images/{index}.png"), picture)

    def run(images: Path) -> str:
        command = ["prune", "--checkpoint", str(tmp_path / "weights.pt"), "--out", str(tmp_path / "out.pt")]
        done = CliRunner().invoke(app, [*command, "--macs", "0.8", "--images", str(images), "--frames", "3"])
        return f"{done.exit_code} {done.output}"

    assert run(tmp_path / "images").startswith("0 ")
    pruning = load_weights(tmp_path / "out.pt").provenance["pruning"][0]
    assert pruning["frames"] == 3
    assert pruning["macs_kept"] <= 0.82
    assert run(tmp_path / "nowhere").startswith("1 error: ")
