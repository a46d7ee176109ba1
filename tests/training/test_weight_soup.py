"""Averaging trainings: the mean of their weights, and nothing averaged that does not belong together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_training.config import TrainingConfig, load_config
from palletjack_training.network import DetectNet
from palletjack_training.weight_soup import average_weights
from palletjack_training.weights_file import Weights, WeightsError, load_weights, save_weights


def _trained(path: Path, seed: int, config: TrainingConfig | None = None) -> Path:
    """Weights as a training of ``seed`` might leave them."""
    config = config or load_config("smoke")
    torch.manual_seed(seed)
    provenance = {"seed": seed, "steps": 100 + seed, "pruning": [{"macs": 0.7}], "validation": {"ap50": 0.5}}
    save_weights(Weights(config, DetectNet(config).state_dict(), provenance), path)
    return path


def test_each_training_counts_alike(tmp_path: Path) -> None:
    sources = [_trained(tmp_path / f"{seed}.pt", seed) for seed in (1, 2, 3)]
    words = ["average", *(word for source in sources for word in ("--weights", str(source)))]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "soup.pt")])
    assert result.exit_code == 0, result.output
    soup, parts = load_weights(tmp_path / "soup.pt"), [load_weights(source) for source in sources]
    moved = 0.0
    for name, tensor in soup.state.items():
        mean = sum(part.state[name].double() for part in parts) / 3
        torch.testing.assert_close(tensor.double(), torch.as_tensor(mean).double(), atol=1e-3, rtol=1e-3)
        moved += float((tensor - parts[0].state[name]).abs().sum())
    assert moved > 1.0
    assert soup.config == parts[0].config
    assert soup.provenance["pruning"] == [{"macs": 0.7}]
    assert [item["seed"] for item in soup.provenance["averaged"]] == [1, 2, 3]
    # The first's score says nothing about the average.
    assert "validation" not in soup.provenance


def test_the_average_of_a_training_with_itself_is_that_training(tmp_path: Path) -> None:
    source = _trained(tmp_path / "one.pt", 1)
    soup = average_weights([source, source], tmp_path / "soup.pt")
    for name, tensor in load_weights(source).state.items():
        torch.testing.assert_close(soup.state[name], tensor, atol=0, rtol=0)


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "soup.pt"
    first = _trained(tmp_path / "first.pt", 1)
    with pytest.raises(WeightsError, match="expected two files or more, found 1"):
        average_weights([first], out)

    wider = _trained(tmp_path / "wider.pt", 2, load_config("smoke", ["input.width=512"]))
    with pytest.raises(WeightsError, match=r"wider\.pt: input: expected that of the first"):
        average_weights([first, wider], out)

    quantized = load_weights(first)
    quantized.state["layer._amax"] = torch.ones(1)
    save_weights(quantized, tmp_path / "int8.pt")
    with pytest.raises(WeightsError, match=r"int8\.pt: expected weights without quantization"):
        average_weights([first, tmp_path / "int8.pt"], out)

    pruned = load_weights(first)
    name = next(name for name, tensor in pruned.state.items() if tensor.ndim == 4)
    pruned.state[name] = pruned.state[name][1:]
    save_weights(pruned, tmp_path / "pruned.pt")
    with pytest.raises(WeightsError, match=r"pruned\.pt: .*the same pruned network"):
        average_weights([first, tmp_path / "pruned.pt"], out)
    assert not out.exists()

    result = CliRunner().invoke(app, ["average", "--weights", str(first), "--out", str(out)])
    assert result.exit_code == 1
    assert "error: --weights: expected two files" in result.output
