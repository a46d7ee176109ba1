"""Which frames each step takes, and how they get to the device.

The frames of a step are a function of (seed, step) alone, so that a resumed run takes the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from palletjack_training.kitti_cache import FrameCache
from palletjack_training.ranks import Ranks

_RESIDENT_SHARE = 0.5


@dataclass(frozen=True)
class FrameOrder:
    """Shuffled passes over ``frames`` (indices into a cache), cut into batches.

    A batch is shared out among ``ranks``, so that the same frames make a step on any number of devices.
    """

    frames: NDArray[np.int64]
    batch_size: int
    seed: int
    ranks: Ranks = field(default_factory=Ranks)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that take each frame once."""
        return -(-len(self.frames) // self.batch_size)

    def share_of_step(self, step: int) -> NDArray[np.int64]:
        """This process's frames of a step."""
        return self.ranks.share(self.of_step(step))

    def of_step(self, step: int) -> NDArray[np.int64]:
        """The frames (batch_size,) of a step, over all processes."""
        start = step * self.batch_size
        positions = np.arange(start, start + self.batch_size)
        passes = positions // len(self.frames)
        out = np.empty(self.batch_size, np.int64)
        for number in np.unique(passes):
            order = np.random.default_rng([self.seed, int(number)]).permutation(self.frames)
            chosen = passes == number
            out[chosen] = order[positions[chosen] % len(self.frames)]
        return out


class StepBatches(IterableDataset):
    """Yields (step, frames) from ``start`` on without end, or to ``stop``.

    ``frames`` are uint8 (B, H, W, 3), or None where the frames are on the device already. Worker w of
    n yields every nth step, which a DataLoader puts back in order.
    """

    def __init__(
        self, cache: FrameCache | None, order: FrameOrder, start: int = 0, stop: int | None = None
    ) -> None:
        self._cache = cache
        self._order = order
        self._start = start
        self._stop = stop

    def __iter__(self) -> Iterator[tuple[int, Tensor | None]]:
        worker = get_worker_info()
        step, stride = (self._start, 1) if worker is None else (self._start + worker.id, worker.num_workers)
        while self._stop is None or step < self._stop:
            yield step, self._read(step)
            step += stride

    def _read(self, step: int) -> Tensor | None:
        if self._cache is None:
            return None
        return torch.from_numpy(self._cache.gather(self._order.share_of_step(step)))


def evaluation_batches(
    cache: FrameCache, frames: NDArray[np.int64], batch_size: int
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yield frame indices (B,) and their uint8 frames (B, H, W, 3), in order."""
    for start in range(0, len(frames), batch_size):
        chosen = frames[start : start + batch_size]
        yield chosen, torch.from_numpy(cache.gather(chosen))


def fits_on(device: torch.device, cache: FrameCache) -> bool:
    """Whether all frames take at most half of the device's free memory."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return cache.nbytes < _RESIDENT_SHARE * free


def put_on_device(cache: FrameCache, device: torch.device) -> Tensor:
    """All frames as one uint8 tensor (N, H, W, 3) on ``device``, copied piece by piece."""
    height, width = cache.frames[0].shape[1:3]
    out = torch.empty((len(cache), height, width, 3), dtype=torch.uint8, device=device)
    at, piece = 0, 256
    for part in cache.frames:
        for start in range(0, len(part), piece):
            chunk = torch.from_numpy(np.array(part[start : start + piece]))
            out[at : at + len(chunk)] = chunk
            at += len(chunk)
    return out


def draw_frames(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """At most ``most`` of ``count`` frame indices, sorted, by a seeded draw."""
    return np.sort(np.random.default_rng([seed, 0x5EED]).permutation(count)[:most])
