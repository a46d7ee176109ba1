"""The weights of a model folder, to train on from a model that ships: its FP32 graph has them, folded.

What a network learned lies in the graph's kernels and biases; its normalizations are gone into them. They
come back as ones that change nothing (``load_model_weights``), and, once there are frames, as ones that
normalize (``restore_normalization``): else training would start by changing what the network does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from palletjack_detection.model_folder import ModelFolderError, ModelSpec, load_model_spec
from palletjack_training.backbones.conv_norm import ConvNorm
from palletjack_training.config import ConfigError, TrainingConfig, parse_config
from palletjack_training.network import DetectNet
from palletjack_training.weights_file import Weights, WeightsError

# Names of the graph's tensors: those of the network, below the module that adds the sigmoid.
_ROOT = "network."
# A channel that hardly varies on the frames is not blown up to unit variance.
_LEAST_DEVIATION = 1e-2


def load_model_weights(folder: Path) -> Weights:
    """The weights of the FP32 graph of a model folder that ``palletjack export`` wrote.

    Raises WeightsError, naming the file, for a folder of another origin or with tensors of another network.
    """
    try:
        spec = load_model_spec(folder)
        graph_file = folder / spec.network_file("fp32")
    except (ModelFolderError, OSError) as error:
        raise WeightsError(f"{folder}: {error}") from error
    described = spec.training.get("config")
    if not isinstance(described, dict):
        raise WeightsError(f"{folder / 'model.json'}: training.config: expected a configuration, found none")
    try:
        config = parse_config(described, f"{folder / 'model.json'}: training.config")
    except ConfigError as error:
        raise WeightsError(str(error)) from error
    config = config.model_copy(
        update={"quantization": config.quantization.model_copy(update={"enabled": False})}
    )
    tensors = {
        item.name.removeprefix(_ROOT): torch.from_numpy(numpy_helper.to_array(item).copy())
        for item in onnx.load(str(graph_file)).graph.initializer
        if item.name.startswith(_ROOT)
    }
    state = _unfolded(config, tensors, graph_file)
    return Weights(config, state, _provenance(spec, config), folded=True)


def _provenance(spec: ModelSpec, config: TrainingConfig) -> dict[str, Any]:
    """What made the model, with the name of its configuration and what its training's validation found."""
    measured = spec.metrics.get("synthetic_validation")
    return {
        **{key: value for key, value in spec.training.items() if key != "exported_with"},
        "config": config.name,
        "model": spec.name,
        **({"validation": measured} if measured else {}),
    }


def _unfolded(config: TrainingConfig, tensors: dict[str, Tensor], graph_file: Path) -> dict[str, Tensor]:
    """The state of a network of ``config``, with normalizations that change nothing."""
    network = DetectNet(config)
    state: dict[str, Tensor] = {}
    for name, layer in network.named_modules():
        if isinstance(layer, ConvNorm):
            state |= _layer_state(name, layer, _taken(name, tensors, graph_file))
        elif name in ("coverage", "boxes"):
            kernel, bias = _taken(name, tensors, graph_file)
            state |= {f"{name}.weight": kernel, f"{name}.bias": bias}
    missing = sorted(set(network.state_dict()) - set(state))
    if missing or tensors:
        what = f"no {missing[0]}" if missing else f"a {min(tensors)} that it does not have"
        raise WeightsError(f"{graph_file}: expected the tensors of a {config.name}, found {what}")
    return state


def _taken(name: str, tensors: dict[str, Tensor], graph_file: Path) -> tuple[Tensor, Tensor]:
    """Kernel and bias of layer ``name``, taken out of ``tensors``."""
    # A network without quantizers was exported with each convolution and its activation in a sequence.
    for prefix in (name, f"{name}.0"):
        if f"{prefix}.weight" in tensors and f"{prefix}.bias" in tensors:
            return tensors.pop(f"{prefix}.weight"), tensors.pop(f"{prefix}.bias")
    raise WeightsError(f"{graph_file}: expected a tensor {_ROOT}{name}.weight and its bias, found none")


def _layer_state(name: str, layer: ConvNorm, kernel_and_bias: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    kernel, bias = kernel_and_bias
    ones = torch.ones_like(bias)
    state = {
        f"{name}.conv.weight": kernel,
        f"{name}.norm.weight": ones * (1 + layer.norm.eps) ** 0.5,
        f"{name}.norm.bias": bias,
        f"{name}.norm.running_mean": torch.zeros_like(bias),
        f"{name}.norm.running_var": ones,
        f"{name}.norm.num_batches_tracked": torch.zeros((), dtype=torch.int64),
    }
    if layer.conv.bias is not None:
        state[f"{name}.conv.bias"] = torch.zeros_like(bias)
    return state


@torch.no_grad()
def restore_normalization(network: DetectNet, images: Tensor) -> None:
    """Let each normalization of ``network`` normalize what it is given on ``images`` (B, 3, H, W) in 0..1.

    Kernels are scaled so that their outputs vary by one, and scale and shift of the normalizations make up
    for it: in evaluation the network does what it did. Each layer is set when the images reach it.
    """
    # Imported here: it needs the library for pruning, which nothing else here does.
    from palletjack_training.compression.dependency_pruning import plain_norms

    layers = [layer for layer in network.modules() if isinstance(layer, ConvNorm)]
    with plain_norms(network):
        handles = [layer.norm.register_forward_pre_hook(_normalize(layer)) for layer in layers]
        try:
            network(images)
        finally:
            for handle in handles:
                handle.remove()


def _normalize(layer: ConvNorm) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
    def before(norm: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean = inputs[0].mean(dim=(0, 2, 3))
        variance = inputs[0].var(dim=(0, 2, 3), unbiased=False)
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        unit = variance.sqrt().clamp_min(_LEAST_DEVIATION)
        layer.conv.weight /= unit[:, None, None, None]
        if layer.conv.bias is not None:
            layer.conv.bias /= unit
        norm.running_mean.copy_(mean / unit)
        norm.running_var.copy_(variance / unit.square())
        norm.weight.copy_(scale * unit * torch.sqrt(norm.running_var + norm.eps))
        norm.bias.copy_(shift + mean * scale)
        return (inputs[0] / unit[:, None, None],)

    return before
