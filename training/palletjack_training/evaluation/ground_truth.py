"""What a data set says is in its images: LOCO-style annotations, or a KITTI folder."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from palletjack_detection.image_files import SUFFIXES
from palletjack_sdg.kitti import DONT_CARE, read_labels

Box = tuple[float, float, float, float]


class GroundTruthError(ValueError):
    """Labels that cannot be used: the message names file, field, expected and found."""


@dataclass(frozen=True)
class TruthBox:
    """One object. ``extents`` are its defensible boxes xyxy in pixels, the main one first.

    A ``difficult`` object is neither hit nor miss.
    """

    extents: tuple[Box, ...]
    difficult: bool = False


@dataclass(frozen=True)
class ImageTruth:
    """Objects of one image, and regions xyxy in which unmatched predictions do not count."""

    boxes: tuple[TruthBox, ...]
    ignored_regions: tuple[Box, ...] = ()


@dataclass(frozen=True)
class GroundTruth:
    """The labelled images by file name, and the folder that holds them."""

    images: dict[str, ImageTruth]
    image_dir: Path


def load_ground_truth(path: Path, *, class_name: str = "palletjack") -> GroundTruth:
    """Load a LOCO-style annotations file, a folder that holds one, or a KITTI folder.

    Raises:
        GroundTruthError: ``path`` is none of these, or its labels are not right.
        KittiFormatError: a KITTI label is malformed.
    """
    path = Path(path)
    if path.is_file():
        return load_annotations(path)
    if (path / "annotations.json").is_file():
        return load_annotations(path / "annotations.json")
    if (path / "images").is_dir() and (path / "labels").is_dir():
        return load_kitti(path, class_name=class_name)
    found = "a folder without them" if path.is_dir() else "nothing there"
    raise GroundTruthError(
        f"{path}: expected annotations.json, a folder with it, or a KITTI folder with images/ and "
        f"labels/, found {found}"
    )


def load_annotations(path: Path) -> GroundTruth:
    """Load ``{"images": {file: {"boxes": [{"extents": [[x0, y0, x1, y1], ...], "difficult"}]}}}``.

    The images lie in images/ beside the file.

    Raises:
        GroundTruthError: naming the file, the image and the field.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise GroundTruthError(f"{path}: expected JSON, found {error}") from None
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, dict) or not images:
        raise GroundTruthError(f"{path}: images: expected an object of file names, found {images!r:.60}")
    truths = {name: _parse_image(entry, f"{path}: images: {name}") for name, entry in images.items()}
    return GroundTruth(truths, path.parent / "images")


def load_kitti(folder: Path, *, class_name: str = "palletjack") -> GroundTruth:
    """Load images/ and labels/ of a KITTI data set.

    Objects of ``class_name`` (letter case aside: TAO lowers it) count, DontCare regions count neither
    way, other classes are left out.

    Raises:
        GroundTruthError: an image has no label file, an object is outside of its image, or there is no image.
        KittiFormatError: a label is malformed.
    """
    paths = sorted(p for p in (folder / "images").iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise GroundTruthError(f"{folder / 'images'}: expected images, found none")
    truths = {}
    for path in paths:
        labels = folder / "labels" / f"{path.stem}.txt"
        if not labels.is_file():
            raise GroundTruthError(f"{labels}: expected the labels of {path.name}, found nothing there")
        objects = read_labels(labels)
        _refuse_outside([o.box for o in objects], _size(path), f"{labels}: object")
        truths[path.name] = ImageTruth(
            boxes=tuple(TruthBox((o.box,)) for o in objects if o.class_name.lower() == class_name.lower()),
            ignored_regions=tuple(o.box for o in objects if o.class_name.lower() == DONT_CARE.lower()),
        )
    return GroundTruth(truths, folder / "images")


def _size(path: Path) -> tuple[float, float]:
    """Width and height from an image's header; unbounded for one that cannot be read: that is said later."""
    try:
        with Image.open(path) as image:
            return image.size
    except OSError:
        return math.inf, math.inf


def _refuse_outside(boxes: list[Box], size: tuple[float, float], where: str) -> None:
    """An object outside of its image could never be found, and would count as a miss."""
    for number, box in enumerate(boxes, start=1):
        if min(box[2:]) <= 0 or box[0] >= size[0] or box[1] >= size[1]:
            raise GroundTruthError(
                f"{where} {number}: box: expected one inside the {size[0]} x {size[1]} image, found {box}"
            )


def _parse_image(entry: Any, where: str) -> ImageTruth:
    boxes = entry.get("boxes") if isinstance(entry, dict) else None
    if not isinstance(boxes, list):
        raise GroundTruthError(f"{where}: boxes: expected a list, found {boxes!r:.60}")
    return ImageTruth(tuple(_parse_box(box, f"{where}: boxes[{k}]") for k, box in enumerate(boxes)))


def _parse_box(entry: Any, where: str) -> TruthBox:
    extents = entry.get("extents") if isinstance(entry, dict) else None
    if not isinstance(extents, list) or not extents:
        raise GroundTruthError(f"{where}: extents: expected a list of boxes, found {extents!r:.60}")
    difficult = entry.get("difficult", False)
    if not isinstance(difficult, bool):
        raise GroundTruthError(f"{where}: difficult: expected true or false, found {difficult!r:.60}")
    return TruthBox(
        tuple(parse_box(box, f"{where}: extents[{k}]") for k, box in enumerate(extents)), difficult
    )


def parse_box(value: Any, where: str) -> Box:
    """Check four finite numbers xmin < xmax, ymin < ymax; ``where`` names them in the error.

    Raises:
        GroundTruthError: naming what was found.
    """
    numbers = (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in value)
    )
    if not numbers or value[2] <= value[0] or value[3] <= value[1]:
        raise GroundTruthError(
            f"{where}: expected [xmin, ymin, xmax, ymax] with positive width and height, found {value!r:.80}"
        )
    return (value[0], value[1], value[2], value[3])
