"""The data sets of an ablation: the base's frames, and those of rows that need others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from ablation_rows import verbs
from palletjack_sdg.dataset import Dataset


def render(recipe: dict[str, Any], out: Path, frames: int, seed: int, workers: int) -> Path:
    """Render a data set of ``recipe``; what is there already is kept. Returns ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    file = out.with_name(f"{out.name}.recipe.yaml")
    file.write_text(yaml.safe_dump(recipe, sort_keys=False))
    verbs.palletjack(
        *("generate", "--recipe", str(file), "--out", str(out), "--frames", str(frames)),
        *("--seed", str(seed), "--workers", str(workers)),
        log=out.with_name(f"{out.name}.log"),
    )
    return out


def take_first(source: Path, out: Path, frames: int) -> int:
    """Link the first ``frames`` frames of a data set into another folder; return how many were there.

    A frame depends on the recipe, the seed and its number only, so the first half of a data set is the
    data set of half the size, and one of twice the size begins with it.
    """
    old, new = Dataset(source), Dataset(out)
    new.create_folders(plans=False)
    taken = 0
    for index in range(frames):
        if not old.is_complete(index) or new.is_complete(index):
            continue
        # The image last: a frame is complete when it is there.
        _link(old.label(index), new.label(index))
        _link(old.image(index), new.image(index))
        taken += 1
    if not new.manifest.exists():
        shutil.copyfile(old.manifest, new.manifest)
    return taken


def _link(path: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
