"""The average of several trainings' weights: a model soup (Wortsman et al. 2022).

Trainings that began with the same weights and saw other frames, orders or augmentations end in one valley of
the loss. Their average lies nearer to its middle than any of them, which costs nothing when it runs and
tends to hold better on images of another kind than those of the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from palletjack_training.lineage import carried_on, stages_of
from palletjack_training.weights_file import Weights, WeightsError, is_quantized, load_weights, save_weights

# What decides whether a weight of one training means the same in another.
_SHARED = ("classes", "input", "network", "targets")


def average_weights(sources: Sequence[Path], out: Path) -> Weights:
    """Write the mean of the weights files ``sources``, each counting alike, to ``out`` and return it.

    Configuration and what came before are those of the first; the provenance lists all under ``averaged``.
    Raises WeightsError, naming the file, for fewer than two, for weights through INT8 rounding, and for
    networks that differ.
    """
    if len(sources) < 2:
        raise WeightsError(f"--weights: expected two files or more, found {len(sources)}")
    loaded = [(source, load_weights(source)) for source in sources]
    first = loaded[0][1]
    for source, weights in loaded:
        _check_alike(source, weights, first)
    state = {name: _mean([weights.state[name] for _, weights in loaded]) for name in first.state}
    averaged = [{"weights": source.name, **stages_of(weights)[-1]} for source, weights in loaded]
    own = {"stage": "average", "config": first.config.name, "averaged": averaged}
    provenance = {**own, **carried_on(first, with_own=False)}
    result = Weights(first.config, state, provenance)
    save_weights(result, out)
    return result


def _check_alike(source: Path, weights: Weights, first: Weights) -> None:
    if is_quantized(weights.state):
        raise WeightsError(f"{source}: expected weights without quantization; average first, then quantize")
    if weights.folded != first.folded:
        raise WeightsError(f"{source}: expected a weights file like the first, found a model folder")
    for name in _SHARED:
        wanted, found = getattr(first.config, name), getattr(weights.config, name)
        if wanted != found:
            raise WeightsError(f"{source}: {name}: expected that of the first, {wanted}, found {found}")
    if differing := sorted(set(first.state) ^ set(weights.state)):
        raise WeightsError(f"{source}: expected the tensors of the first, they differ in {differing[0]}")
    for name, tensor in first.state.items():
        found_shape = tuple(weights.state[name].shape)
        if found_shape != tuple(tensor.shape):
            raise WeightsError(
                f"{source}: {name}: expected shape {tuple(tensor.shape)}, found {found_shape}; "
                "both have to come from the same pruned network"
            )


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    if not tensors[0].is_floating_point():
        return tensors[0]
    return torch.stack([tensor.double() for tensor in tensors]).mean(0).to(tensors[0].dtype)
