"""The faster memory layout of a network on this device, found by trying both.

Which one wins depends on the library's depthwise kernels and on the GPU, by a factor of two or more
either way, so it is measured at the start of a run; that takes a few seconds.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

_WARM_UP = 3
_TIMED = 5


def use_fastest_layout(network: nn.Module, images: Tensor, *, half: bool) -> dict[torch.memory_format, float]:
    """Put ``network`` into the layout in which a forward and backward pass of ``images`` is faster.

    ``images`` are (B, 3, H, W) on the network's device; ``half`` runs it in bfloat16. Returns the
    seconds per pass of both. Gradients are cleared; normalization statistics are left as they were.
    """
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    seconds: dict[torch.memory_format, float] = {}
    for layout in (torch.channels_last, torch.contiguous_format):
        use_layout(network, layout)
        seconds[layout] = _seconds_per_pass(network, images.contiguous(memory_format=layout), half)
    network.zero_grad(set_to_none=True)
    network.load_state_dict(kept)
    use_layout(network, min(seconds, key=lambda layout: seconds[layout]))
    return seconds


def use_layout(network: nn.Module, layout: torch.memory_format) -> None:
    """Store the kernels of ``network`` in ``layout``."""
    network.to(memory_format=layout)  # type: ignore[call-overload]


def layout_of(network: nn.Module) -> torch.memory_format:
    """The layout that the kernels of ``network`` are stored in, and its input should have."""
    for parameter in network.parameters():
        # A kernel with one input channel or one pixel is in both layouts at once.
        if parameter.ndim == 4 and parameter.shape[1] > 1 and parameter.shape[2] > 1:
            contiguous = parameter.is_contiguous()
            return torch.contiguous_format if contiguous else torch.channels_last
    return torch.contiguous_format


def _seconds_per_pass(network: nn.Module, images: Tensor, half: bool) -> float:
    start = 0.0
    for step in range(_WARM_UP + _TIMED):
        if step == _WARM_UP:
            _wait(images)
            start = time.perf_counter()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            coverage, boxes = network(images)
        (coverage.sum() + boxes.sum()).backward()
    _wait(images)
    return (time.perf_counter() - start) / _TIMED


def _wait(images: Tensor) -> None:
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
