"""Quantization without training: fold, measure ranges, done. The comparison for training through rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from palletjack_detection.image_files import read_image
from palletjack_detection.preprocess import Preprocessor
from palletjack_training.compression.rebuild import rebuild_network
from palletjack_training.compression.rounding import QuantizationError
from palletjack_training.config import QuantizationConfig
from palletjack_training.lineage import next_stage
from palletjack_training.model_spec import input_spec
from palletjack_training.weights_file import Weights, is_quantized, load_weights, save_weights


def quantize_weights(
    source: Path,
    images: list[Path],
    out: Path,
    settings: QuantizationConfig,
    report: Callable[[str], None] = print,
) -> Weights:
    """Quantize the weights in ``source`` with ranges measured on ``images`` and write them to ``out``.

    Raises WeightsError for a file that cannot be used, QuantizationError for what cannot be quantized,
    ImageFileError for an image that cannot be read.
    """
    weights = load_weights(source)
    if is_quantized(weights.state):
        raise QuantizationError(f"{source}: expected weights without quantization, found them quantized")
    quantized = quantize_state(weights, images, settings, report)
    save_weights(quantized, out)
    return quantized


def quantize_state(
    weights: Weights,
    images: list[Path],
    settings: QuantizationConfig,
    report: Callable[[str], None] = lambda text: None,
) -> Weights:
    """``weights`` with quantizers, and the configuration that says so."""
    from palletjack_training.compression.quantize import quantize_network

    if not images:
        raise QuantizationError("calibration: expected images, found none")
    settings = settings.model_copy(update={"enabled": True})
    config = weights.config.model_copy(update={"quantization": settings})
    network = rebuild_network(config, weights.state)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    quantize_network(network, settings, _tensors(weights, images), device, report)
    facts = {"quantization": "calibrated", "frames": len(images)}
    provenance = next_stage(weights, "quantize", facts)
    return Weights(config, network.cpu().state_dict(), provenance)


def evenly(images: list[Path], count: int) -> list[Path]:
    """At most ``count`` of ``images``, spread over all."""
    if len(images) <= count:
        return images
    return [images[index * len(images) // count] for index in range(count)]


def _tensors(weights: Weights, images: list[Path]) -> Iterator[Tensor]:
    preprocess = Preprocessor(input_spec(weights.config))
    for path in images:
        tensor, _ = preprocess(read_image(path))
        yield torch.from_numpy(tensor.copy())
