"""Weights on disk: a small file with the averaged weights and the configuration they belong to.

Kernels are stored in half precision, which keeps a snapshot of the flagship near 6 MB and moves its
outputs by less than training noise; everything else stays in single precision. So do kernels that were
trained through rounding to INT8: half precision could move a weight to the next level.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from palletjack_training.config import ConfigError, TrainingConfig, parse_config

WEIGHTS_FORMAT = "palletjack-weights/1"
CHECKPOINT_KEY = "palletjack_weights"


class WeightsError(ValueError):
    """A weights file or checkpoint that cannot be used; the message names the file."""


@dataclass(frozen=True)
class Weights:
    """Averaged weights of a run: ``state`` by name, the configuration, and where they come from.

    ``folded`` says that the normalizations change nothing, for they are in the kernels.
    """

    config: TrainingConfig
    state: dict[str, Tensor]
    provenance: dict[str, Any] = field(default_factory=dict)
    folded: bool = False


def is_quantized(state: Mapping[str, Tensor]) -> bool:
    """Whether ``state`` holds ranges of quantizers."""
    return any(name.endswith("._amax") for name in state)


def pack_weights(weights: Weights) -> dict[str, Any]:
    """The content of a weights file; a checkpoint holds the same under CHECKPOINT_KEY."""
    return {
        "format": WEIGHTS_FORMAT,
        "config": weights.config.model_dump(mode="json"),
        "state": {name: tensor.detach().cpu() for name, tensor in weights.state.items()},
        "provenance": weights.provenance,
    }


def save_weights(weights: Weights, path: Path) -> None:
    """Write a weights file; ``path`` is replaced only by a complete one."""
    content = pack_weights(weights)
    if not is_quantized(weights.state):
        content["state"] = {
            name: tensor.half() if tensor.ndim == 4 else tensor for name, tensor in content["state"].items()
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        torch.save(content, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_weights(path: Path) -> Weights:
    """Read a weights file, the averaged weights of a training checkpoint, or those of a model folder.

    Raises WeightsError, naming the file, for anything else.
    """
    if path.is_dir():
        # Imported here: most runs start from no folder, and that module needs this one.
        from palletjack_training.model_weights import load_model_weights

        return load_model_weights(path)
    if not path.is_file():
        raise WeightsError(f"{path}: expected a checkpoint, a weights file or a model folder, found none")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's text is about trusting the file, which would not help: it holds no weights.
        raise WeightsError(f"{path}: cannot be read as a checkpoint: no weights of PyTorch") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        # A file that was cut short comes as any of these, and may say no more than "Invalid argument".
        said = str(error).split(". ")[0] or type(error).__name__
        raise WeightsError(f"{path}: cannot be read as a checkpoint, it may be cut short: {said}") from error
    if isinstance(content, Mapping):
        content = content.get(CHECKPOINT_KEY, content)
    found = content.get("format") if isinstance(content, Mapping) else None
    if found != WEIGHTS_FORMAT:
        raise WeightsError(f"{path}: format: expected {WEIGHTS_FORMAT!r}, found {found!r}")
    for name in ("config", "state", "provenance"):
        if name not in content:
            raise WeightsError(f"{path}: {name}: expected in a weights file, found none")
    try:
        config = parse_config(content["config"], f"{path}: config")
    except ConfigError as error:
        raise WeightsError(str(error)) from error
    state = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in content["state"].items()
    }
    return Weights(config, state, dict(content["provenance"]))
