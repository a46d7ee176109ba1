"""Learning rate over the progress of a run, and the clock that measures that progress.

Progress runs from 0 to 1, by steps or, under a time limit, by wall clock, so that a run always
anneals fully however fast the machine is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from palletjack_training.config import ScheduleConfig


def soft_start_annealing(
    progress: float, lowest: float, highest: float, soft_start: float, annealing: float
) -> float:
    """TAO's rate (core/hooks/utils.py:29): geometric rise, plateau, geometric fall."""
    if progress < soft_start:
        share = progress / soft_start
    elif progress > annealing:
        share = (1 - progress) / (1 - annealing)
    else:
        share = 1.0
    return math.exp(math.log(lowest) + share * (math.log(highest) - math.log(lowest)))


def warmup_cosine(progress: float, highest: float, final_share: float, warmup: float) -> float:
    """Linear rise over ``warmup``, then half a cosine down to ``final_share`` of the highest rate."""
    if progress < warmup:
        return highest * max(progress / warmup, 1e-3)
    along = min((progress - warmup) / (1 - warmup), 1.0)
    return highest * (final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * along)))


def learning_rate(config: ScheduleConfig, progress: float) -> float:
    """The rate of the newly made layers at ``progress`` in 0..1."""
    progress = min(max(progress, 0.0), 1.0)
    if config.kind == "tao":
        lowest = config.learning_rate * config.final_share
        return soft_start_annealing(
            progress, lowest, config.learning_rate, config.soft_start, config.annealing
        )
    return warmup_cosine(progress, config.learning_rate, config.final_share, config.warmup)


@dataclass
class Progress:
    """How far a run is: ``step / steps``, or seconds trained over ``seconds`` when that is given.

    ``spent_before`` carries the seconds of the runs that this one resumes.
    """

    steps: int
    seconds: float | None = None
    spent_before: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _started: float | None = field(default=None, init=False)

    def start(self) -> None:
        """Start the clock of this run."""
        self._started = self.clock()

    @property
    def spent(self) -> float:
        """Seconds trained, earlier runs included."""
        return self.spent_before + (0.0 if self._started is None else self.clock() - self._started)

    def at(self, step: int) -> float:
        """Progress in 0..1 before ``step`` is taken."""
        return min(step / self.steps if self.seconds is None else self.spent / self.seconds, 1.0)
