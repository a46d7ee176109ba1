"""Pruning a weights file: the network is made narrower, to be trained on."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from palletjack_detection.image_files import read_image
from palletjack_detection.preprocess import Preprocessor
from palletjack_sdg.whole_file import write_whole
from palletjack_training.compression.activation_pruning import prune_by_activation
from palletjack_training.compression.cost import NetworkCost, measure_latency, network_cost
from palletjack_training.compression.dependency_pruning import (
    PruningError,
    Scope,
    prune_by_dependency,
    relative_macs,
    relative_time,
)
from palletjack_training.compression.layer_time import MacCost, TimeCost
from palletjack_training.compression.rebuild import rebuild_network
from palletjack_training.compression.tao_pruning import TaoRule, prune_by_tao_rule
from palletjack_training.lineage import next_stage
from palletjack_training.model_spec import input_spec
from palletjack_training.network import DetectNet
from palletjack_training.weights_file import Weights, is_quantized, load_weights, save_weights

# Trying a latency takes seconds, so it is tried only each time that this share of the MACs is gone.
_LATENCY_EVERY = 0.05


@dataclass(frozen=True)
class PruneRequest:
    """How to prune: TAO's rule, or by dependency to shares of MACs and time or to milliseconds on this CPU.

    With ``images`` the dependency graph's channels are ranked by what they do on them for what they cost
    (time where ``time`` is asked for, else MACs), without images by their weights.
    ``time`` is a share of what ``layer_time`` says of the network in INT8.
    """

    method: Literal["tao", "dependency"] = "dependency"
    macs: float | None = None
    time: float | None = None
    latency_ms: float | None = None
    scope: Scope = "global"
    images: tuple[Path, ...] = ()
    rule: TaoRule = field(default_factory=TaoRule)


def prune_weights(source: Path, out: Path, request: PruneRequest) -> dict[str, Any]:
    """Prune the weights in ``source``, write them to ``out`` and return what changed.

    Raises WeightsError for a file that cannot be used, PruningError for a request that cannot be met.
    """
    weights = load_weights(source)
    if is_quantized(weights.state):
        raise PruningError(f"{source}: expected weights without quantization; prune first, then quantize")
    network = rebuild_network(weights.config, weights.state, f"{source}: ")
    size = (weights.config.input.width, weights.config.input.height)
    before, layers_before = network_cost(network, *size), _channels(network)
    if request.method == "tao":
        prune_by_tao_rule(network, request.rule)
    elif request.images:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        images = _read(request.images, weights).to(device)
        cost = MacCost() if request.time is None else TimeCost()
        prune_by_activation(network.eval().to(device), images, _target(network, weights, request), cost)
        network.cpu()
    else:
        prune_by_dependency(network, _target(network, weights, request), scope=request.scope)
    after = network_cost(network, *size)
    pruning = [*weights.provenance.get("pruning", []), _asked(request, before, after)]
    provenance = next_stage(weights, "prune", {"pruning": pruning})
    save_weights(Weights(weights.config, network.state_dict(), provenance), out)
    channels = _channels(network)
    return {
        "source": str(source),
        "out": str(out),
        "method": request.method,
        "before": {**asdict(before), "file_bytes": source.stat().st_size},
        "after": {**asdict(after), "file_bytes": out.stat().st_size},
        "channels": {name: [layers_before[name], channels[name]] for name in channels},
    }


def _read(paths: tuple[Path, ...], weights: Weights) -> torch.Tensor:
    """Images (B, 3, H, W) in 0..1, fitted as the robot fits them."""
    prepare = Preprocessor(input_spec(weights.config))
    return torch.cat([torch.from_numpy(prepare(read_image(path))[0].copy()) for path in paths])


def _asked(request: PruneRequest, before: NetworkCost, after: NetworkCost) -> dict[str, Any]:
    how: dict[str, Any] = {"method": request.method}
    if request.method == "tao":
        how |= asdict(request.rule)
    else:
        rank = {"frames": len(request.images)} if request.images else {"scope": request.scope}
        how |= rank | {"macs": request.macs, "time": request.time, "latency_ms": request.latency_ms}
    kept = {
        "parameters_kept": round(after.parameters / before.parameters, 4),
        "macs_kept": round(after.macs / before.macs, 4),
    }
    return {key: value for key, value in (how | kept).items() if value is not None}


def _channels(network: nn.Module) -> dict[str, int]:
    return {n: layer.out_channels for n, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}


class _Target:
    """Whether a network is small enough already."""

    def __init__(self, network: DetectNet, weights: Weights, request: PruneRequest) -> None:
        self._full = relative_macs(network)
        self._full_time = relative_time(network)
        self._request = request
        self._weights = weights
        self._tried = 1.0 + _LATENCY_EVERY

    def __call__(self, network: DetectNet) -> bool:
        # Each count runs the network once, hundreds of times in all: only what was asked for.
        asked = self._request
        if asked.time is not None and relative_time(network) > asked.time * self._full_time:
            return False
        if asked.macs is None and asked.latency_ms is None:
            return True
        share = relative_macs(network) / self._full
        if asked.macs is not None and share > asked.macs:
            return False
        if asked.latency_ms is None:
            return True
        if share > self._tried - _LATENCY_EVERY:
            return False
        self._tried = share
        return self._milliseconds(network) <= asked.latency_ms

    def _milliseconds(self, network: DetectNet) -> float:
        from palletjack_training.export import write_onnx

        config = self._weights.config
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            write_onnx(network, config, path)
            return measure_latency(path, config.input.width, config.input.height)


def _target(network: DetectNet, weights: Weights, request: PruneRequest) -> _Target:
    if request.macs is None and request.time is None and request.latency_ms is None:
        raise PruningError(
            "--method dependency: expected --macs, --time, --latency-ms or several of them, found none"
        )
    return _Target(network, weights, request)


def channel_table(result: dict[str, Any]) -> str:
    """Channels of each convolution before and after, as lines of text."""
    channels: dict[str, list[int]] = result["channels"]
    width = max(len(name) for name in channels)
    return "\n".join(
        f"{name:<{width}} {before:5d} -> {after:<5d} {'#' * round(20 * after / before)}"
        for name, (before, after) in channels.items()
    )


def summary_line(result: dict[str, Any]) -> str:
    """Parameters, MACs and file size before and after."""
    before, after = result["before"], result["after"]
    return (
        f"parameters {before['parameters']:,} -> {after['parameters']:,}, "
        f"MACs {before['macs'] / 1e9:.2f} G -> {after['macs'] / 1e9:.2f} G "
        f"({after['macs'] / before['macs']:.0%}), "
        f"file {before['file_bytes'] / 1e6:.2f} MB -> {after['file_bytes'] / 1e6:.2f} MB"
    )


def write_report(result: dict[str, Any], path: Path) -> None:
    """Write ``result`` as JSON, replacing ``path`` only when complete."""
    write_whole(path, (json.dumps(result, indent=2) + "\n").encode())
