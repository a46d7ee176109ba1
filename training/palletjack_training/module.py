"""The training and validation step, as Lightning drives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from palletjack_training.assignment import assign_aligned
from palletjack_training.augment import draw_maps, mosaic, warp_boxes, warp_frames
from palletjack_training.augment_colour import change_colours, cut_out
from palletjack_training.config import TrainingConfig
from palletjack_training.distillation import Teacher
from palletjack_training.frames import FrameOrder
from palletjack_training.kitti_cache import FrameCache
from palletjack_training.losses import (
    LossTerms,
    ObjectiveWeights,
    focal_giou_loss,
    l1_of_convolutions,
    tao_loss,
)
from palletjack_training.memory_layout import layout_of
from palletjack_training.network import DetectNet
from palletjack_training.prepare_ahead import PrepareAhead
from palletjack_training.ranks import Ranks
from palletjack_training.recorded_network import record_network
from palletjack_training.schedule import Progress, learning_rate
from palletjack_training.targets import BoxBatch, GridTargets, compact, rasterize
from palletjack_training.weight_average import WeightAverage
from palletjack_training.weights_file import CHECKPOINT_KEY, Weights, pack_weights

_SAME = 1e-9


class TrainingError(RuntimeError):
    """Training cannot go on."""


class TrainingStopped(TrainingError):
    """Somebody ended the run; it can be resumed."""


def runs_in_half(config: TrainingConfig, device: torch.device) -> bool:
    """Whether the configured precision is bfloat16 on ``device``."""
    wanted = config.trainer.precision
    return wanted == "bf16-mixed" or (wanted == "auto" and device.type == "cuda")


@dataclass(frozen=True)
class PreparedBatch:
    """A step's images (B, 3, H, W) in 0..1 and targets on the device, and its boxes on the host.

    Targets are boxes still where it takes the network's outputs to assign them to cells.
    """

    images: Tensor
    boxes: BoxBatch
    targets: GridTargets | BoxBatch

    def tensors(self) -> Iterator[Tensor]:
        """Those on the device."""
        yield self.images
        for field in fields(self.targets):
            yield getattr(self.targets, field.name)


@dataclass
class Best:
    """The best validation so far: its AP50 and step, and how many validations came after it."""

    ap50: float = -1.0
    step: int = 0
    since: int = 0

    def update(self, ap50: float, step: int) -> bool:
        """Count a validation; whether it is the best."""
        if ap50 <= self.ap50:
            self.since += 1
            return False
        self.ap50, self.step, self.since = ap50, step, 0
        return True


class DetectNetModule(lightning.LightningModule):
    """A network with its losses, augmentation, schedule and averaged weights.

    ``cache`` holds the frames' boxes; ``resident`` is all frames on the device, or None if they come
    with the batch. Every random number of a step comes from (seed, step), and from the rank where there
    are several.
    """

    def __init__(
        self,
        config: TrainingConfig,
        network: DetectNet,
        cache: FrameCache,
        order: FrameOrder,
        progress: Progress,
        resident: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.objective = ObjectiveWeights(config.loss)
        self.average = WeightAverage(network, config.trainer.ema_decay)
        self.progress = progress
        self.order = order
        self.provenance: dict[str, Any] = {}
        self.last_metrics: dict[str, float] = {}
        self.best = Best()
        self.last_images: tuple[Tensor, BoxBatch] | None = None
        self.last_terms: LossTerms | None = None
        self.teacher: Teacher | None = None
        # Every assigned cell learns its box, as much as it has to aim at.
        # Where large objects have more cells than others, each cell counts by its object's share.
        balance = 1.0 if config.targets.aligned_share else 0.0
        self._aligned_loss = config.loss.model_copy(
            update={"positive_coverage": 0.0, "object_balance": balance}
        )
        # What a teacher says is of its boxes' quality already, and balanced as it learned it.
        self._teacher_loss = config.loss.model_copy(update={"quality": 0.0, "object_balance": 0.0})
        self.layout = layout_of(network)
        self._cache = cache
        self._resident = resident
        self._lost = torch.zeros(())
        self._ahead: PrepareAhead[PreparedBatch] | None = None
        if config.trainer.compile:
            network.compile()

    @property
    def half_precision(self) -> bool:
        """Whether the network runs in bfloat16."""
        return runs_in_half(self.config, self.device)

    @property
    def has_resident_frames(self) -> bool:
        """Whether all frames are on the device."""
        return self._resident is not None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; the backbone learns slower, and only kernels decay."""
        config = self.config.trainer
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if not parameter.requires_grad:
                continue
            factor = config.backbone_lr_factor if name.startswith("backbone.") else 1.0
            decay = config.weight_decay if parameter.ndim == 4 else 0.0
            groups.setdefault((factor, decay), []).append(parameter)
        return torch.optim.AdamW(
            [{"params": p, "weight_decay": decay, "factor": factor} for (factor, decay), p in groups.items()],
            lr=self.config.schedule.learning_rate,
            fused=True,
        )

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm here: Lightning refuses to do it for a fused optimizer in half precision."""
        if self.config.trainer.gradient_clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.trainer.gradient_clip)

    def on_train_start(self) -> None:
        """Start the clock of a run under a time limit."""
        self._lost = torch.zeros((), device=self.device)
        if self.device.type == "cuda":
            self._prepare_for_cuda()
        if self.teacher is not None:
            self.teacher.to(self.device, self.layout)
        self.progress.start()

    def _prepare_for_cuda(self) -> None:
        settings = self.config.trainer
        if settings.prepare_ahead and self._resident is not None:
            self._ahead = PrepareAhead(self.batch_of_step, PreparedBatch.tensors, self.device)
        if settings.cuda_graph and self.order.ranks.count == 1:
            shape = (settings.batch_size, 3, self.config.input.height, self.config.input.width)
            images = torch.rand(shape, device=self.device).contiguous(memory_format=self.layout)
            record_network(self.network, images, half=self.half_precision)

    def on_train_batch_start(self, batch: tuple[int, Tensor | None], batch_idx: int) -> None:
        """Set the learning rate of this step."""
        rate = learning_rate(self.config.schedule, self.progress_now())
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]

    def progress_now(self) -> float:
        """Progress in 0..1, the same on every rank. All must call this at the same steps."""
        at = self.progress.at(self.global_step)
        return at if self.progress.seconds is None else self.order.ranks.agree(at)

    def training_step(self, batch: tuple[int, Tensor | None], batch_idx: int) -> Tensor:
        """Augment, rasterize, run the network and return the loss."""
        step, frames = batch
        ready = None if self._ahead is None else self._ahead.take(step)
        if ready is None:
            ready = self.batch_of_step(step, frames)
        self.last_images = (ready.images, ready.boxes)
        logits, distances = self.run_network(ready.images)
        terms = self.loss(logits, distances, ready.targets)
        if self.teacher is not None:
            terms = self._with_teacher(terms, self.teacher, ready.images, logits, distances)
        self._lost += (~torch.isfinite(terms.total.detach())).float()
        self.last_terms = terms
        if self._ahead is not None:
            # Now, for the host is ahead of the device here and the backward pass is still to come.
            self._ahead.start(step + 1)
        return terms.total

    def batch_of_step(self, step: int, frames: Tensor | None = None) -> PreparedBatch:
        """Augmented images of a step and their targets; ``frames`` as in ``prepare``."""
        ranks = self.order.ranks
        seeds = [self.config.trainer.seed, step] + ([ranks.rank] if ranks.count > 1 else [])
        # Half precision is for the network alone: pictures would lose their last grey levels.
        with torch.autocast(self.device.type, enabled=False):
            indices = self.order.share_of_step(step)
            images, boxes = self.prepare(indices, frames, np.random.default_rng(seeds))
            return PreparedBatch(images, boxes, self.targets(boxes))

    def on_train_batch_end(self, outputs: Any, batch: tuple[int, Tensor | None], batch_idx: int) -> None:
        """Average the weights; at the end of a pass over the data, balance TAO's objectives."""
        self.average.update()
        if self.config.loss.kind == "tao" and (batch[0] + 1) % self.order.steps_per_epoch == 0:
            self.objective.end_epoch()

    def prepare(
        self, indices: np.ndarray, frames: Tensor | None, rng: np.random.Generator
    ) -> tuple[Tensor, BoxBatch]:
        """Augmented images (B, 3, H, W) float in 0..1 on the device, and their boxes on the host."""
        if frames is None:
            assert self._resident is not None
            frames = self._resident[torch.from_numpy(indices).to(self.device, non_blocking=True)]
        images = self.to_images(frames)
        boxes = BoxBatch(
            torch.from_numpy(self._cache.boxes[indices]), torch.from_numpy(self._cache.labels[indices])
        )
        if self.config.augment.enabled:
            images, boxes = self._augment(images, boxes, rng)
        return images, compact(boxes)

    def to_images(self, frames: Tensor) -> Tensor:
        """Frames uint8 (B, H, W, 3) as the network's input (B, 3, H, W) in 0..1 on the device."""
        return frames.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)

    def run_network(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Coverage logits (B, C, R, K) and distances (B, C, 4, R, K)."""
        logits, distances = self.network(images.contiguous(memory_format=self.layout))
        return logits, distances.unflatten(1, (len(self.config.classes), 4))

    def targets(self, boxes: BoxBatch) -> GridTargets | BoxBatch:
        """Boxes on the host as what the loss needs on the device: aligned targets need the outputs first."""
        boxes = boxes.to(self.device)
        if self.config.targets.assignment == "aligned":
            return boxes
        return rasterize(boxes, len(self.config.classes), self.config.grid, self.config.targets)

    def loss(self, logits: Tensor, distances: Tensor, targets: GridTargets | BoxBatch) -> LossTerms:
        """The configured loss; ``targets`` as from ``targets``."""
        config = self.config.loss
        if isinstance(targets, BoxBatch):
            targets = assign_aligned(logits, distances, targets, self.config.targets)
            config = self._aligned_loss
        if config.kind == "focal_giou":
            mean = self.order.ranks.mean if self.training else Ranks().mean
            return focal_giou_loss(logits, distances, targets, config, self.config.targets, mean)
        terms = tao_loss(logits, distances, targets, config, self.objective)
        if self.training:
            costs = torch.stack((terms.coverage, terms.boxes)).detach()
            self.objective.add(*self.order.ranks.mean(costs).unbind())
        total = terms.total + config.weight_l1 * l1_of_convolutions(self.network)
        return LossTerms(total, terms.coverage, terms.boxes)

    def _with_teacher(
        self, terms: LossTerms, teacher: Teacher, images: Tensor, logits: Tensor, distances: Tensor
    ) -> LossTerms:
        """``terms`` with what the teacher says of the same images added to the total."""
        config = self.config
        said = teacher.targets(images.contiguous(memory_format=self.layout))
        learned = focal_giou_loss(
            logits, distances, said, self._teacher_loss, config.targets, self.order.ranks.mean
        )
        return LossTerms(
            terms.total + config.loss.teacher_weight * learned.total, terms.coverage, terms.boxes
        )

    def _augment(self, images: Tensor, boxes: BoxBatch, rng: np.random.Generator) -> tuple[Tensor, BoxBatch]:
        geometry, colour = self.config.augment.geometry, self.config.augment.colour
        height, width = images.shape[-2:]
        images, boxes = mosaic(images, boxes, geometry, rng)
        maps = draw_maps(geometry, len(images), width, height, rng)
        # Black is what letterboxing leaves beside an image; the other colours keep the network from
        # relying on it.
        plain = rng.uniform(0, 1, (len(images), 1)) * (rng.random((len(images), 1)) < 0.5)
        fill = torch.from_numpy(np.repeat(plain, 3, 1).astype(np.float32)).to(
            images.device, non_blocking=True
        )
        images = warp_frames(images, maps, fill)
        boxes = warp_boxes(boxes, maps, width, height, geometry)
        images, boxes = cut_out(images, boxes, colour, rng)
        return change_colours(images, colour, rng), boxes

    def check_loss(self) -> None:
        """Raise TrainingError if a loss since the start was not finite, on any rank. Waits for the device."""
        if float(self.order.ranks.mean(self._lost)) > 0:
            raise TrainingError(
                f"step {self.global_step}: the loss is not finite (a lower schedule.learning_rate or "
                "trainer.gradient_clip may help)"
            )

    def check_weights(self) -> None:
        """Raise TrainingError if a parameter is not finite: a finite loss can have a gradient that is not."""
        finite = [torch.isfinite(parameter.detach()).all() for parameter in self.network.parameters()]
        if not bool(torch.stack(finite).all()):
            raise TrainingError(f"step {self.global_step}: the weights are not finite, though the loss is")

    def check_ranks(self) -> None:
        """Raise TrainingError if the ranks no longer have the same parameters."""
        ranks = self.order.ranks
        if ranks.count == 1:
            return
        own = float(sum(parameter.detach().double().abs().sum() for parameter in self.network.parameters()))
        first = ranks.agree(own)
        if abs(own - first) > _SAME * abs(first):
            raise TrainingError(
                f"step {self.global_step}: device {ranks.rank} has other parameters than device 0: absolute "
                f"sums of {own!r} and {first!r}"
            )

    def weights(self) -> Weights:
        """The averaged weights with what is known of their making."""
        provenance = {
            **self.provenance,
            "steps": int(self.global_step),
            "seconds": round(self.progress.spent, 1),
            "validation": {name: round(value, 4) for name, value in self.last_metrics.items()},
        }
        return Weights(self.config, self.average.state_dict(), provenance)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the averaged weights and the clock; refuse to save weights that are spoiled."""
        self.check_loss()
        self.check_weights()
        self.check_ranks()
        checkpoint[CHECKPOINT_KEY] = pack_weights(self.weights())
        checkpoint["palletjack_run"] = {
            "seconds": self.progress.spent,
            "averaged": self.average.updates,
            "best": asdict(self.best),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the saved average and clock."""
        run = checkpoint["palletjack_run"]
        self.average.load(checkpoint[CHECKPOINT_KEY]["state"], run["averaged"])
        self.progress.spent_before = float(run["seconds"])
        self.best = Best(**run.get("best", {}))
