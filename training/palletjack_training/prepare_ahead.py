"""The next step's batch, made on the GPU while this step's network runs.

Augmentation is many kernels that read memory, the network's are bound by arithmetic and by the host that
starts them; on a stream of its own the one fills the gaps of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class _Started(Generic[Batch]):
    step: int
    batch: Batch
    done: torch.cuda.Event


class PrepareAhead(Generic[Batch]):
    """Makes a batch by ``prepare(step)`` on a side stream and hands it over to the main one.

    ``prepare`` must depend on the step alone and read no tensor that training writes. ``tensors``
    lists the device tensors of a batch.
    """

    def __init__(
        self,
        prepare: Callable[[int], Batch],
        tensors: Callable[[Batch], Iterator[Tensor]],
        device: torch.device,
    ) -> None:
        self._prepare = prepare
        self._tensors = tensors
        self._stream = torch.cuda.Stream(device)
        self._started: _Started[Batch] | None = None
        self._waited = False

    def start(self, step: int) -> None:
        """Queue the making of a step's batch."""
        if not self._waited:
            # The frames, and constants that the first batch left behind, are made by the main stream.
            self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
            self._waited = True
        with torch.cuda.stream(self._stream):
            batch = self._prepare(step)
            done = torch.cuda.Event()
            done.record(self._stream)
        self._started = _Started(step, batch, done)

    def take(self, step: int) -> Batch | None:
        """The batch of ``step`` if it was started; the main stream waits for it, the host does not."""
        started, self._started = self._started, None
        if started is None or started.step != step:
            return None
        stream = torch.cuda.current_stream(self._stream.device)
        stream.wait_event(started.done)
        for tensor in self._tensors(started.batch):
            # Its memory must not be given to the next batch before the main stream is through with it.
            tensor.record_stream(stream)
        return started.batch
