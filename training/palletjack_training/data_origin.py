"""Where the frames of a data set come from, as a training and an evaluation record it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from palletjack_sdg.dataset import MANIFEST_NAME, DatasetError, read_manifest

# What decides over the frames' pixels and labels, and nothing of what lies beside them.
_IDENTITY = ("recipe", "recipe_sha256", "seed", "image_format", "render", "labels")
# What is copied from a manifest, where it is there and of this type.
_COPIED: dict[str, type] = {"recipe": str, "seed": int, "source": str}


def describe_data(folder: Path, frames: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The folder's name and its number of ``frames``; of ours also recipe, seed and ``identity_sha256``.

    The digest is of the recipe's content, the seed, the settings of the renderer and the rules for labels:
    frames of the same number in two folders with one digest were asked for alike. A folder without a
    manifest has a name and a number; of a manifest that cannot be read ``say`` is told, for frames can be
    used all the same.
    """
    described: dict[str, Any] = {"name": data_name(folder), "frames": frames}
    if not (folder / MANIFEST_NAME).is_file():
        return described
    try:
        manifest = read_manifest(folder)
    except (DatasetError, OSError) as error:
        say(f"{error}; what made these frames is not recorded")
        return described
    described |= {key: manifest[key] for key, kind in _COPIED.items() if isinstance(manifest.get(key), kind)}
    if "recipe" in described:
        content = json.dumps([manifest.get(key) for key in _IDENTITY], sort_keys=True)
        described["identity_sha256"] = hashlib.sha256(content.encode()).hexdigest()
    return described


def data_name(folder: Path) -> str:
    """The name of a data set's folder, also where the path to it ends in a dot."""
    return os.path.basename(os.path.abspath(folder))


def data_entries(recorded: object) -> list[dict[str, Any]]:
    """Data sets as described above, from what a training recorded: once these were names alone."""
    if not isinstance(recorded, Sequence) or isinstance(recorded, str):
        return []
    entries = [{"name": item} if isinstance(item, str) else item for item in recorded]
    return [dict(entry) for entry in entries if isinstance(entry, Mapping)]


def data_title(entry: Mapping[str, Any]) -> str:
    """Name, recipe and seed of one data set in words, as far as they are known."""
    known = [f"recipe {entry['recipe']}"] if "recipe" in entry else []
    known += [f"seed {entry['seed']}"] if "seed" in entry else []
    name = str(entry.get("name", "unnamed"))
    return f"{name} ({', '.join(known)})" if known else name
