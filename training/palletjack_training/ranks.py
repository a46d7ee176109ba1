"""The processes that train one network together, one for each device.

A run on one device is a group of one, for which everything here is the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """Which of ``count`` processes this one is."""

    rank: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """This process's place in the group that it has joined, if it has."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process writes files, validates and speaks for all."""
        return self.rank == 0

    def share(self, items: NDArray[Any]) -> NDArray[Any]:
        """This process's part of a step's items (B, ...); the parts together are all of them."""
        return items[self.rank :: self.count]

    def agree(self, value: float) -> float:
        """The first process's value, on every process. All must call this. Does not wait for a GPU."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, 0)
        return float(shared)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over the processes, without gradient. All must call this."""
        if self.count == 1:
            return values
        values = values.detach().clone()
        dist.all_reduce(values)
        return values / self.count
