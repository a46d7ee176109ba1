"""What happens beside the training steps: log, validation, checkpoints, snapshots, the time limit."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer

from palletjack_training.config import TrainingConfig
from palletjack_training.frames import evaluation_batches
from palletjack_training.kitti_cache import FrameCache
from palletjack_training.module import DetectNetModule
from palletjack_training.overlays import save_overlays
from palletjack_training.schedule import learning_rate
from palletjack_training.targets import BoxBatch, compact
from palletjack_training.validation import Scorer
from palletjack_training.weights_file import save_weights

_OVERLAY_BATCHES = 2


def _own(module: LightningModule) -> DetectNetModule:
    assert isinstance(module, DetectNetModule)
    return module


class RunLog(Callback):
    """Scalars to the loggers and a line to the console every ``log_every`` steps."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._mark = (0, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start counting images per second."""
        self._mark = (trainer.global_step, time.monotonic())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log this step if it is its turn."""
        step = trainer.global_step
        if step % self._config.trainer.log_every and step > 1:
            return
        module = _own(pl_module)
        module.check_loss()
        assert module.last_terms is not None
        now = time.monotonic()
        steps, seconds = step - self._mark[0], now - self._mark[1]
        self._mark = (step, now)
        terms = module.last_terms
        at = module.progress.at(step)
        values = {
            "train/loss": float(terms.total.detach()),
            "train/coverage": float(terms.coverage.detach()),
            "train/boxes": float(terms.boxes.detach()),
            "learning_rate": learning_rate(self._config.schedule, at),
            "progress": at,
            "seconds": module.progress.spent,
            "images_per_second": steps * module.order.batch_size / max(seconds, 1e-9),
        }
        for logger in trainer.loggers:
            logger.log_metrics(values, step)
        print(
            f"step {step} ({at:.0%}): loss {values['train/loss']:.4f} = coverage "
            f"{values['train/coverage']:.4f}, boxes {values['train/boxes']:.4f}; "
            f"{values['images_per_second']:.0f} images/s",
            file=sys.stderr,
            flush=True,
        )


class Validation(Callback):
    """Scores the averaged weights on held-out frames every ``validate_every`` steps and at the end."""

    def __init__(self, config: TrainingConfig, cache: FrameCache, frames: np.ndarray) -> None:
        self._config = config
        self._cache = cache
        self._frames = frames

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Validate if it is this step's turn."""
        if trainer.global_step % self._config.trainer.validate_every == 0:
            self.run(trainer, _own(pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate the result, while it is still on the device."""
        self.run(trainer, _own(pl_module))

    def run(self, trainer: Trainer, module: DetectNetModule) -> None:
        """Validate now and log the metrics."""
        if not len(self._frames):
            return
        scorer = Scorer(self._config, self._cache)
        module.eval()
        autocast = torch.autocast(module.device.type, torch.bfloat16, enabled=module.half_precision)
        batches = evaluation_batches(self._cache, self._frames, self._config.trainer.batch_size)
        with module.average.applied(), torch.no_grad(), autocast:
            for indices, frames in batches:
                boxes = torch.from_numpy(self._cache.boxes[indices])
                labels = torch.from_numpy(self._cache.labels[indices])
                logits, distances, targets = module.run_network(
                    module.to_images(frames), compact(BoxBatch(boxes, labels))
                )
                terms = module.loss(logits, distances, targets)
                scorer.add(indices, logits.sigmoid(), distances, terms)
        module.train()
        module.last_metrics = scorer.result()
        named = {f"validation/{name}": value for name, value in module.last_metrics.items()}
        for logger in trainer.loggers:
            logger.log_metrics(named, trainer.global_step)
        text = ", ".join(f"{name} {value:.4f}" for name, value in module.last_metrics.items())
        print(f"step {trainer.global_step}: validation {text}", file=sys.stderr, flush=True)


class Checkpoints(Callback):
    """``last.ckpt`` every ``checkpoint_every`` steps and at the end, replaced only by a complete one.

    At the end also ``weights.pt``, the averaged weights, which are the run's result.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self._path = folder / "last.ckpt"
        self._result = folder / "weights.pt"
        self._every = every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is this step's turn."""
        if trainer.global_step % self._every == 0:
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the state to go on from, and the result."""
        self.save(trainer)
        save_weights(_own(pl_module).weights(), self._result)

    def save(self, trainer: Trainer) -> None:
        """Save everything that is needed to go on."""
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        trainer.save_checkpoint(temporary, weights_only=False)
        os.replace(temporary, self._path)


class Snapshots(Callback):
    """The averaged weights at equal shares of the run; those of its end are the run's own result."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._count = count
        self._taken = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count those that a resumed run has behind it."""
        self._taken = self._due(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take a snapshot when the next share of the run is done."""
        due = self._due(trainer, pl_module)
        if self._taken < due < self._count:
            share = round(100 * due / self._count)
            save_weights(_own(pl_module).weights(), self._folder / f"weights_{share:03d}.pt")
        self._taken = max(due, self._taken)

    def _due(self, trainer: Trainer, module: LightningModule) -> int:
        return math.floor(_own(module).progress.at(trainer.global_step) * self._count + 1e-9)


class TimeLimit(Callback):
    """Stops a run whose progress, measured by the clock, is complete."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop after this step if the time is used up."""
        progress = _own(pl_module).progress
        if progress.seconds is not None and progress.at(trainer.global_step) >= 1:
            trainer.should_stop = True


class Overlays(Callback):
    """Pictures of the first augmented training frames with their boxes, to check labels by eye."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left = _OVERLAY_BATCHES

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw the batch just trained on, for the first few steps of the run."""
        module = _own(pl_module)
        if self._left and module.last_images is not None:
            self._left -= 1
            images, boxes = module.last_images
            save_overlays(images, boxes, self._folder / f"training_{trainer.global_step:06d}.png")
        module.last_images = None
