"""A larger network's outputs as targets for a network that was pruned or rounded (Hinton et al. 2015).

Labels say what is there; the network that the smaller one came from also says how sure it was, and where it
was nearly wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from palletjack_training.compression.rebuild import rebuild_network
from palletjack_training.config import TrainingConfig
from palletjack_training.lineage import joined_stages
from palletjack_training.memory_layout import use_layout
from palletjack_training.network import DetectNet
from palletjack_training.targets import GridTargets
from palletjack_training.weights_file import WeightsError, load_weights

# What a teacher must have in common with the network that learns from it.
_SHARED = ("classes", "input")
_SHARED_TARGETS = ("assignment", "stride", "box_scale", "box_offset")


class Teacher:
    """A trained network that is only asked. No module of another one, so that it is not saved with it."""

    def __init__(self, network: DetectNet, origin: dict[str, Any] | None = None) -> None:
        """``origin`` is what made the network, as ``lineage.joined_stages`` has it."""
        self._network = network.eval().requires_grad_(False)
        self.origin = origin or {}

    def to(self, device: torch.device, layout: torch.memory_format) -> Teacher:
        """Move the network to ``device`` and lay its kernels out as images will be."""
        self._network.to(device)
        use_layout(self._network, layout)
        return self

    @torch.no_grad()
    def targets(self, images: Tensor) -> GridTargets:
        """What the teacher says of ``images`` (B, 3, H, W) in 0..1, as targets; all cells count."""
        logits, distances = self._network(images)
        coverage = logits.float().sigmoid()
        return GridTargets(
            coverage=coverage,
            boxes=distances.float().unflatten(1, (coverage.shape[1], 4)),
            box_weight=coverage,
            owner=torch.full_like(coverage, -1, dtype=torch.int64),
            counted=torch.ones_like(coverage, dtype=torch.bool),
        )


def load_teacher(path: Path, config: TrainingConfig) -> Teacher:
    """The network in the weights file ``path``, to teach a network of ``config``.

    Raises WeightsError, naming the file, if its outputs would mean something else.
    """
    weights = load_weights(path)
    wanted, found = _meaning(config), _meaning(weights.config)
    for field, ours in wanted.items():
        if ours != found[field]:
            raise WeightsError(f"{path}: teacher: {field}: expected {ours!r}, found {found[field]!r}")
    return Teacher(rebuild_network(weights.config, weights.state, f"{path}: "), joined_stages(weights))


def _meaning(config: TrainingConfig) -> dict[str, Any]:
    """What a network's outputs mean, by field."""
    return {name: getattr(config, name) for name in _SHARED} | {
        f"targets.{name}": getattr(config.targets, name) for name in _SHARED_TARGETS
    }
