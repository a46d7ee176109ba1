"""The frames of a run: those to train on, and those to validate on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_training.config import TrainingConfig
from palletjack_training.data_origin import data_entries, data_title
from palletjack_training.frames import draw_frames
from palletjack_training.kitti_cache import DatasetError, FrameCache, open_cache


@dataclass(frozen=True)
class TrainingData:
    """Frames to train on (``taken`` of ``cache``) and to validate on (``held`` of ``held_cache``)."""

    cache: FrameCache
    taken: NDArray[np.int64]
    held_cache: FrameCache
    held: NDArray[np.int64]


def open_training_data(
    config: TrainingConfig,
    folders: Sequence[Path],
    validation: Sequence[Path],
    cache_dir: Path,
    *,
    without_objects: bool = False,
) -> TrainingData:
    """Decode what is not decoded yet; without ``validation`` a share of ``folders`` is held back.

    ``without_objects``: something else than labels says what is in the frames, as a teacher does.

    Raises DatasetError for labels or images that cannot be used, and for frames without a single object.
    """
    settings = config.trainer
    workers = settings.decode_workers
    cache = open_cache(folders, config, cache_dir, workers=workers, on_progress=_report)
    everything = np.arange(len(cache))
    if validation:
        held_cache = open_cache(validation, config, cache_dir, workers=workers)
        held = draw_frames(len(held_cache), settings.validation_frames, settings.seed)
        data = TrainingData(cache, everything, held_cache, held)
    else:
        share = min(round(len(cache) * settings.validation_share), settings.validation_frames)
        held = draw_frames(len(cache), min(share, len(cache) - 1), settings.seed)
        data = TrainingData(cache, np.setdiff1d(everything, held), cache, held)
    # Labels of classes count from 0; what is ignored, and padding, is below.
    if not without_objects and not (cache.labels[data.taken] >= 0).any():
        where = ", ".join(map(str, folders))
        raise DatasetError(
            f"{where}: labels: expected at least one {' or '.join(config.classes)} to learn from, found none "
            f"in {len(data.taken)} frames"
        )
    return data


def other_frames(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """What to say of a run that goes on with other frames than it began with; None where they are the same.

    ``before`` and ``now`` are provenances: where the frames come from, and how many of them were taken. One
    of a run that was begun when only the folders' names were recorded is compared by these.
    """
    if None in (before.get("data"), before.get("frames")):
        return None
    first, second = (data_entries(item["data"]) for item in (before, now))
    if any(set(entry) == {"name"} for entry in first):
        first, second = ([{"name": entry.get("name")} for entry in entries] for entries in (first, second))
    if (first, before["frames"]) == (second, now["frames"]):
        return None
    begun, found = (", ".join(map(data_title, entries)) for entries in (first, second))
    return f"goes on with {now['frames']} frames of {found}; it was begun with {before['frames']} of {begun}"


def _report(done: int, total: int) -> None:
    if done == total or done % 512 < 32:
        print(f"decoded {done} of {total} frames", file=sys.stderr, flush=True)
