"""The network's forward and backward pass as CUDA graphs: started by two calls instead of thousands."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def record_network(network: nn.Module, images: Tensor, *, half: bool) -> None:
    """Make ``network`` replay recorded passes while training, for inputs shaped and laid out as ``images``.

    Evaluation goes on as before. ``half`` records it in bfloat16. Normalization statistics and
    gradients are left as they were.
    """
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    # A recorded pass must not hold on to the half-precision copies of weights that autocast would reuse.
    with torch.autocast("cuda", torch.bfloat16, enabled=half, cache_enabled=False):
        torch.cuda.make_graphed_callables(network, (images,))
    network.load_state_dict(kept)
    network.zero_grad(set_to_none=True)
