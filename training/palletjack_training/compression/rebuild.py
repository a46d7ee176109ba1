"""The network that weights belong to: narrow where they were pruned, quantizing where they have ranges.

A weights file says which dense network it comes from, and its tensors say how much of it is left.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from palletjack_training.config import TrainingConfig
from palletjack_training.network import DetectNet, build_network
from palletjack_training.weights_file import WeightsError, is_quantized

_HEADS = ("coverage", "boxes")


def rebuild_network(config: TrainingConfig, state: Mapping[str, Tensor], origin: str = "") -> DetectNet:
    """The network of ``state``, in training mode, with these weights.

    Raises WeightsError, starting with ``origin``, if ``state`` is of another network.
    """
    network = build_network(config, load_weights=False)
    if is_quantized(state):
        _add_quantizers(network, config, state, origin)
    shrink_to(network, state)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"{origin}weights of another network: {reason}") from error
    return network


def _add_quantizers(
    network: DetectNet, config: TrainingConfig, state: Mapping[str, Tensor], origin: str
) -> None:
    # Imported here, for it needs a library that networks without quantizers do not.
    from palletjack_training.compression.rounding import QuantizationError

    try:
        from palletjack_training.compression.quantize import add_quantizers

        add_quantizers(network, config.quantization.keep_float, state)
    except QuantizationError as error:
        raise WeightsError(f"{origin}{error}") from error


def shrink_to(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Narrow the convolutions and normalizations of ``network`` to the tensors of ``state``.

    Layers that ``state`` lacks, or in which it is not merely narrower, stay as they are; so do the
    outputs of the heads, which are the classes.
    """
    for name, layer in network.named_modules():
        wanted = state.get(f"{name}.weight")
        if wanted is None or (name in _HEADS and len(wanted) != len(layer.weight)):
            continue
        if isinstance(layer, nn.Conv2d) and _narrower(layer.weight, wanted):
            _shrink_convolution(layer, wanted)
        elif isinstance(layer, nn.BatchNorm2d) and _narrower(layer.weight, wanted):
            _shrink_normalization(layer, len(wanted))


def _narrower(have: Tensor, wanted: Tensor) -> bool:
    """Fewer channels and nothing else different."""
    return (
        have.shape != wanted.shape
        and have.shape[2:] == wanted.shape[2:]
        and all(small <= large for small, large in zip(wanted.shape, have.shape, strict=True))
    )


def _shrink_convolution(layer: nn.Conv2d, wanted: Tensor) -> None:
    depthwise = layer.groups == layer.in_channels
    layer.out_channels = wanted.shape[0]
    if depthwise:
        layer.groups = layer.in_channels = wanted.shape[0]
    else:
        layer.in_channels = wanted.shape[1] * layer.groups
    layer.weight = nn.Parameter(layer.weight.new_empty(wanted.shape))
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.new_empty(wanted.shape[0]))


def _shrink_normalization(layer: nn.BatchNorm2d, channels: int) -> None:
    layer.num_features = channels
    trainable = layer.weight.requires_grad
    layer.weight = nn.Parameter(layer.weight.new_empty(channels), requires_grad=trainable)
    layer.bias = nn.Parameter(layer.bias.new_empty(channels), requires_grad=trainable)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    layer.running_mean = layer.running_mean.new_empty(channels)
    layer.running_var = layer.running_var.new_empty(channels)
