"""The frames that a peer of the detector learns from: the same ones, augmented the same, as ours.

Step, seed and frame order give our training its images; a peer gets exactly those. Peers know no regions
that count neither way, so that such regions are painted over instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from palletjack_training.box_labels import IGNORED
from palletjack_training.config import TrainingConfig, load_config
from palletjack_training.frames import FrameOrder, fits_on, put_on_device
from palletjack_training.kitti_cache import FrameCache, open_cache
from palletjack_training.module import DetectNetModule
from palletjack_training.network import DetectNet
from palletjack_training.schedule import Progress
from palletjack_training.targets import BoxBatch

# A plain grey: neither the black beside a letterboxed image nor the colour of an object.
_COVER = 0.5


def peer_config(width: int, height: int, batch: int, steps: int, seed: int = 0) -> TrainingConfig:
    """The configuration of our detector with another input size in pixels and length of run."""
    changes = {
        "input.width": width,
        "input.height": height,
        "trainer.batch_size": batch,
        "trainer.steps": steps,
        "trainer.seed": seed,
    }
    return load_config("palletjack_lite", [f"{key}={value}" for key, value in changes.items()])


class TrainingFrames:
    """Augmented batches of a data set, made on ``device`` by our own training's code.

    ``network`` is the one that learns; its weights are averaged as ours are (``average``).
    """

    def __init__(
        self, data: Path, cache_dir: Path, config: TrainingConfig, network: nn.Module, device: torch.device
    ) -> None:
        self._cache: FrameCache = open_cache([data], config, cache_dir, on_progress=_report)
        self._seed = config.trainer.seed
        self._order = FrameOrder(np.arange(len(self._cache)), config.trainer.batch_size, self._seed)
        self._resident = fits_on(device, self._cache)
        resident = put_on_device(self._cache, device) if self._resident else None
        # Only its augmentation and its averaging are used; the loss and the loop are the peer's.
        progress = Progress(config.trainer.steps)
        self._module = DetectNetModule(
            config,
            cast(DetectNet, network),
            self._cache,
            self._order,
            progress,
            resident,
        )
        self._module.to(device)
        self.average = self._module.average

    def __len__(self) -> int:
        return len(self._cache)

    def batch(self, step: int) -> tuple[Tensor, BoxBatch]:
        """Images (B, 3, H, W) in 0..1 and boxes in network pixels, both on the device."""
        chosen = self._order.of_step(step)
        frames = None if self._resident else torch.from_numpy(self._cache.gather(chosen))
        images, boxes = self._module.prepare(chosen, frames, np.random.default_rng([self._seed, step]))
        return cover_ignored(images, boxes), boxes.to(images.device)


def cover_ignored(images: Tensor, boxes: BoxBatch) -> Tensor:
    """Paint over the ignored regions of images (B, 3, H, W), but for what objects to be learned show there.

    ``boxes`` are on the host.
    """
    hidden = torch.zeros(images[:, :1].shape, dtype=torch.bool)
    for frame, (corners, labels) in enumerate(zip(boxes.boxes, boxes.labels, strict=True)):
        for wanted, value in ((labels == IGNORED, True), (labels >= 0, False)):
            for left, top, right, bottom in corners[wanted].round().int().tolist():
                hidden[frame, :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = value
    return images.masked_fill(hidden.to(images.device), _COVER)


def normalized_objects(boxes: BoxBatch, width: int, height: int) -> list[Tensor]:
    """For each frame its objects (n, 4) as centre x, centre y, width and height in shares of the canvas."""
    size = boxes.boxes.new_tensor([width, height, width, height])
    shares = (boxes.boxes / size).clamp(0, 1)
    low, high = shares[..., :2], shares[..., 2:]
    centred = torch.cat(((low + high) / 2, high - low), -1)
    return [rows[labels >= 0] for rows, labels in zip(centred, boxes.labels, strict=True)]


def _report(done: int, total: int) -> None:
    if done == total or done % 512 < 32:
        print(f"decoded {done} of {total} frames", flush=True)
