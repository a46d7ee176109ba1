"""An untrained network that behaves as a trained one does, for tests of what becomes of it."""

from __future__ import annotations

import torch
from torch import nn

from palletjack_training.config import TrainingConfig
from palletjack_training.network import DetectNet, build_network

_FRAMES = 4


def settled_network(
    config: TrainingConfig, *, spread_coverage: bool = False, seed: int = 0
) -> tuple[DetectNet, torch.Tensor]:
    """A random network whose normalizations fit some frames, and these frames (4, 3, H, W) in 0..1.

    ``spread_coverage`` sets its coverage head so that about half of all cells are hot: an untrained one says
    nearly the same of each.
    """
    torch.manual_seed(seed)
    network = build_network(config, load_weights=False)
    images = torch.rand(_FRAMES, 3, config.input.height, config.input.width)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0  # The statistics are those of the next batch alone.
    with torch.no_grad():
        network.train()(images)
        network.eval()
        if spread_coverage:
            network.coverage.weight.normal_()
            network.coverage.weight *= 2 / network(images)[0].std()
            assert network.coverage.bias is not None
            network.coverage.bias -= network(images)[0].mean()
    return network, images
