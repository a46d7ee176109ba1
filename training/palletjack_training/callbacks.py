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
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from palletjack_training.config import TrainingConfig
from palletjack_training.frames import evaluation_batches
from palletjack_training.kitti_cache import FrameCache
from palletjack_training.module import DetectNetModule
from palletjack_training.overlays import MOST_PICTURES, draw_outcome, save_overlays, save_sheet
from palletjack_training.schedule import learning_rate
from palletjack_training.targets import BoxBatch, compact
from palletjack_training.validation import Scorer
from palletjack_training.weights_file import save_weights

_OVERLAY_BATCHES = 2


def _say(module: DetectNetModule, text: str) -> None:
    if module.order.ranks.is_first:
        print(text, file=sys.stderr, flush=True)


def _own(module: LightningModule) -> DetectNetModule:
    assert isinstance(module, DetectNetModule)
    return module


class RunLog(Callback):
    """Scalars to the loggers and a line to the console every ``log_every`` steps."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._mark = (0, 0.0)
        self._begin = (0.0, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start counting images per second and the time that is left."""
        self._mark = (trainer.global_step, time.monotonic())
        self._begin = (_own(pl_module).progress.at(trainer.global_step), time.monotonic())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log this step if it is its turn."""
        step = trainer.global_step
        if step % self._config.trainer.log_every and step > 1:
            return
        module = _own(pl_module)
        module.check_loss()
        if not module.order.ranks.is_first:
            return
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
            f"{values['images_per_second']:.0f} images/s{self._time_left(at, now)}",
            file=sys.stderr,
            flush=True,
        )

    def _time_left(self, at: float, now: float) -> str:
        done = at - self._begin[0]
        if done <= 0:
            return ""
        minutes, seconds = divmod(round((now - self._begin[1]) * (1 - at) / done), 60)
        hours, minutes = divmod(minutes, 60)
        return f"; {hours}:{minutes:02}:{seconds:02} left"


class Validation(Callback):
    """Scores the averaged weights on held-out frames every ``validate_every`` steps and at the end.

    The best ones so far are kept as ``weights_best.pt``. The run ends early after ``patience`` validations
    without better ones. The first rank validates; the others wait for what it says.
    """

    def __init__(self, config: TrainingConfig, cache: FrameCache, frames: np.ndarray, out: Path) -> None:
        self._config = config
        self._cache = cache
        self._frames = frames
        self._out = out
        self._last = -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Validate if it is this step's turn, and stop if there was nothing better for too long."""
        settings = self._config.trainer
        if trainer.global_step % settings.validate_every or not len(self._frames):
            return
        module = _own(pl_module)
        module.check_loss()
        if module.order.ranks.is_first:
            self.run(trainer, module)
        if settings.patience and module.order.ranks.agree(module.best.since) >= settings.patience:
            _say(
                module, f"step {trainer.global_step}: no better AP50 in {settings.patience} validations; done"
            )
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate the result, while it is still on the device."""
        _own(pl_module).check_loss()
        if _own(pl_module).order.ranks.is_first and len(self._frames) and self._last != trainer.global_step:
            self.run(trainer, _own(pl_module))

    def run(self, trainer: Trainer, module: DetectNetModule) -> None:
        """Validate now, log the metrics and a picture, and keep the weights if they are the best."""
        step = trainer.global_step
        scorer = self.score(module)
        self._last = step
        module.last_metrics = scorer.result()
        named = {f"validation/{name}": value for name, value in module.last_metrics.items()}
        for logger in trainer.loggers:
            logger.log_metrics(named, step)
        text = ", ".join(f"{name} {value:.4f}" for name, value in module.last_metrics.items())
        _say(module, f"step {step}: validation {text}")
        self._draw(trainer, scorer)
        if module.best.update(module.last_metrics["ap50"], step):
            save_weights(module.weights(), self._out / "weights_best.pt")

    def _draw(self, trainer: Trainer, scorer: Scorer) -> None:
        """The first frames with what was found in them, as a file and for TensorBoard."""
        indices = self._frames[:MOST_PICTURES]
        pictures = list(self._cache.gather(indices))
        drawn = [draw_outcome(*scorer.outcome(int(index))) for index in indices]
        path = self._out / "overlays" / f"validation_{trainer.global_step:06d}.png"
        sheet = save_sheet(pictures, drawn, path)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("validation", sheet, trainer.global_step, dataformats="HWC")

    def score(self, module: DetectNetModule) -> Scorer:
        """Run the averaged weights over the held-out frames."""
        scorer = Scorer(self._config, self._cache)
        module.eval()
        autocast = torch.autocast(module.device.type, torch.bfloat16, enabled=module.half_precision)
        batches = evaluation_batches(self._cache, self._frames, self._config.trainer.batch_size)
        with module.average.applied(), torch.no_grad(), autocast:
            for indices, frames in batches:
                boxes = torch.from_numpy(self._cache.boxes[indices])
                labels = torch.from_numpy(self._cache.labels[indices])
                logits, distances = module.run_network(module.to_images(frames))
                terms = module.loss(logits, distances, module.targets(compact(BoxBatch(boxes, labels))))
                scorer.add(indices, logits.sigmoid(), distances, terms)
        module.train()
        return scorer


class Checkpoints(Callback):
    """``last.ckpt`` every ``checkpoint_every`` steps, at the end, and when the run is told to stop.

    It is replaced only by a complete one.

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
        if trainer.is_global_zero:
            save_weights(_own(pl_module).weights(), self._result)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save what a run that was told to stop has come to. Lightning raises this between two steps."""
        if isinstance(exception, SIGTERMException):
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Save everything that is needed to go on. All ranks call this, the first one writes."""
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        trainer.save_checkpoint(temporary, weights_only=False)
        if trainer.is_global_zero:
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
        if self._taken < due < self._count and trainer.is_global_zero:
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
        module = _own(pl_module)
        if module.progress.seconds is not None and module.progress_now() >= 1:
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
        if self._left and module.last_images is not None and trainer.is_global_zero:
            self._left -= 1
            images, boxes = module.last_images
            save_overlays(images, boxes, self._folder / f"training_{trainer.global_step:06d}.png")
        module.last_images = None
