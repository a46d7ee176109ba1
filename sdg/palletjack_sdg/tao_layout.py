"""A KITTI folder that NVIDIA TAO's converter takes as it is, and back.

TAO's "random" split validates on the first names in sorted order, so frames get shuffled names. Class names
are lower-cased, as its converter does without saying so. Boxes that have no area once their corners are cut
to whole pixels are left out: they make the converter leave a file among its shards that training trips over.
``tao_names.json`` holds the names and classes from before.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from palletjack_sdg.kitti import KittiObject

NAMES_FILE = "tao_names.json"
IMAGE_SUFFIXES = (".jpg", ".png")

Frame = TypeVar("Frame")


class TaoLayoutError(ValueError):
    """A data set that TAO cannot take; the message says what was expected and found."""


def shuffled_names(paths: Sequence[Path]) -> list[str]:
    """A new file name for each image: a hash of its old name, so that the same set gives the same names.

    Raises:
        TaoLayoutError: the images are not all .jpg or all .png, or two hashes meet.
    """
    suffixes = sorted({path.suffix for path in paths})
    if len(suffixes) != 1 or suffixes[0] not in IMAGE_SUFFIXES:
        raise TaoLayoutError(
            f"images: TAO takes one extension, {' or '.join(IMAGE_SUFFIXES)}, found {', '.join(suffixes)}"
        )
    names = [hashlib.sha256(path.name.encode()).hexdigest()[:12] + path.suffix for path in paths]
    if len(set(names)) != len(names):
        raise TaoLayoutError("images: two names have the same hash; rename one of the files")
    return names


def tao_objects(objects: Sequence[KittiObject]) -> tuple[KittiObject, ...]:
    """The objects with lower-case classes, without those that TAO's whole pixels reduce to nothing."""
    kept = []
    for item in objects:
        xmin, ymin, xmax, ymax = (int(value) for value in item.box)
        if xmin < xmax and ymin < ymax:
            kept.append(dataclasses.replace(item, class_name=item.class_name.lower()))
    return tuple(kept)


def names_document(names: dict[str, str], classes: Sequence[str]) -> str:
    """The text of tao_names.json: old file names by new ones, old class names by new ones.

    Raises:
        TaoLayoutError: two classes differ in case only.
    """
    lowered = {name.lower(): name for name in classes}
    if len(lowered) != len(set(classes)):
        raise TaoLayoutError(f"classes: TAO lower-cases them, found {sorted(classes)} to be the same then")
    return json.dumps({"names": names, "classes": lowered}, indent=1, sort_keys=True) + "\n"


def read_names(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Old file names by new ones, and old class names by new ones.

    Raises:
        TaoLayoutError: the file is missing or not of this form.
    """
    path = folder / NAMES_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return dict(document["names"]), dict(document["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TaoLayoutError(f"{path}: expected names and classes, found {error}") from None
