"""Exponential moving average of a network's weights (Polyak averaging), the weights that ship."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keeps a running average beside a network and lends it out for validation.

    Early on the average follows faster, with decay (1 + n) / (10 + n) after n updates, so that it is
    not held back by the first weights. Normalization statistics are averaged like weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._names = [name for name, tensor in network.state_dict().items() if tensor.is_floating_point()]
        self._network = network
        self._owners = self._find_owners()
        self._average = [tensor.detach().clone() for tensor in self._live()]

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the network's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        live = self._live()
        if self._average[0].device != live[0].device:
            self._average = [item.to(live[0].device) for item in self._average]
        torch._foreach_lerp_(self._average, live, 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights by name, as the network's ``load_state_dict`` takes them."""
        full = {name: tensor.detach().clone() for name, tensor in self._network.state_dict().items()}
        full.update(dict(zip(self._names, (item.clone() for item in self._average), strict=True)))
        return full

    def load(self, state: dict[str, Tensor], updates: int) -> None:
        """Go on from a saved average."""
        self.updates = updates
        self._average = [
            state[name].to(item.device).clone() for name, item in zip(self._names, self._average, strict=True)
        ]

    @contextlib.contextmanager
    @torch.no_grad()
    def applied(self) -> Iterator[None]:
        """Within the context the network has the averaged weights."""
        kept = [tensor.clone() for tensor in self._live()]
        self._write(self._average)
        try:
            yield
        finally:
            self._write(kept)

    def _find_owners(self) -> list[tuple[nn.Module, str]]:
        """The layer and attribute of each name: looking them up anew takes a state dict some milliseconds."""
        split = (name.rpartition(".") for name in self._names)
        return [(self._network.get_submodule(path), attribute) for path, _, attribute in split]

    def _live(self) -> list[Tensor]:
        return [getattr(layer, attribute).detach() for layer, attribute in self._owners]

    @torch.no_grad()
    def _write(self, values: list[Tensor]) -> None:
        for target, value in zip(self._live(), values, strict=True):
            target.copy_(value)
