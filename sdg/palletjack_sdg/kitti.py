"""KITTI object labels: one text line of 15 columns for each object of a frame.

Boxes are edges in pixels, xmin and ymin inclusive, xmax and ymax exclusive: a box that covers the
whole image is (0, 0, width, height), and a single pixel (x, y) is (x, y, x + 1, y + 1). The centre
of that pixel lies at (x + 0.5, y + 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from palletjack_sdg.whole_file import write_whole

DONT_CARE = "DontCare"
COLUMNS = (
    "class",
    "truncated",
    "occluded",
    "alpha",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
    "height",
    "width",
    "length",
    "x",
    "y",
    "z",
    "rotation_y",
)


class KittiFormatError(ValueError):
    """A label that is not KITTI: the message names file, line, field, what was expected and found."""


@dataclass(frozen=True)
class KittiObject:
    """One labelled object, field for field a line of the file.

    ``truncated``: share of the box outside the image, 0..1. ``occluded``: 0 visible, 1 partly,
    2 largely hidden, 3 unknown. ``alpha``: observation angle, radians. ``box``: xmin, ymin, xmax,
    ymax in pixels. ``dimensions``: height, width, length in metres. ``location``: bottom centre in
    the camera frame (x right, y down, z forward), metres. ``rotation_y``: heading about the
    camera's y axis, radians. The unknown values of KITTI are -1, -1, -10, -1, -1000 and -10.
    """

    class_name: str
    box: tuple[float, float, float, float]
    truncated: float = -1.0
    occluded: int = -1
    alpha: float = -10.0
    dimensions: tuple[float, float, float] = (-1.0, -1.0, -1.0)
    location: tuple[float, float, float] = (-1000.0, -1000.0, -1000.0)
    rotation_y: float = -10.0

    @property
    def width_px(self) -> float:
        """Width of the box in pixels."""
        return self.box[2] - self.box[0]

    @property
    def height_px(self) -> float:
        """Height of the box in pixels."""
        return self.box[3] - self.box[1]


def format_object(item: KittiObject) -> str:
    """Return the line of ``item``, without a line end.

    Raises:
        KittiFormatError: a class name that is empty or holds white space, a number that is not
            finite, a box without area, or a level outside its range.
    """
    name = item.class_name
    if not name or any(character.isspace() for character in name):
        raise KittiFormatError(f"class: expected a name without white space, found {name!r}")
    _check(item)
    xmin, ymin, xmax, ymax = item.box
    numbers = [
        f"{item.truncated:.2f}",
        f"{item.occluded:d}",
        f"{item.alpha:.4f}",
        *(f"{value:.2f}" for value in (xmin, ymin, xmax, ymax)),
        *(f"{value:.3f}" for value in (*item.dimensions, *item.location)),
        f"{item.rotation_y:.4f}",
    ]
    return " ".join([name, *numbers])


def label_text(path: Path, objects: Iterable[KittiObject]) -> str:
    """Return the content of the label file ``path``; no object gives an empty one.

    Raises:
        KittiFormatError: naming the file, the object's line and its field.
    """
    lines = []
    for number, item in enumerate(objects, start=1):
        try:
            lines.append(format_object(item) + "\n")
        except KittiFormatError as error:
            raise KittiFormatError(f"{path}:{number}: {error}") from None
    return "".join(lines)


def write_labels(path: Path, objects: Iterable[KittiObject]) -> None:
    """Write the label file whole or not at all; no object gives an empty file.

    Raises:
        KittiFormatError: naming the file, the object's line and its field.
    """
    write_whole(path, label_text(path, objects).encode())


def read_labels(path: Path) -> list[KittiObject]:
    """Read a label file; blank lines are skipped.

    Raises:
        KittiFormatError: naming the file, the line and the field that is wrong.
        OSError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise KittiFormatError(f"{path}: expected UTF-8 text, found {error.reason}") from None
    objects = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            objects.append(parse_object(line))
        except KittiFormatError as error:
            raise KittiFormatError(f"{path}:{number}: {error}") from None
    return objects


def parse_object(line: str) -> KittiObject:
    """Return the object of one line.

    Raises:
        KittiFormatError: naming the field that is wrong.
    """
    words = line.split()
    if len(words) != len(COLUMNS):
        hint = " (a class name must not contain a space)" if len(words) > len(COLUMNS) else ""
        raise KittiFormatError(f"columns: expected {len(COLUMNS)}, found {len(words)}{hint}")
    values: dict[str, float] = {}
    for column, word in zip(COLUMNS[1:], words[1:], strict=True):
        try:
            values[column] = float(word)
        except ValueError:
            raise KittiFormatError(f"{column}: expected a number, found {word!r}") from None
    if not values["occluded"].is_integer():
        raise KittiFormatError(f"occluded: expected a whole number, found {words[2]!r}")
    item = KittiObject(
        class_name=words[0],
        truncated=values["truncated"],
        occluded=int(values["occluded"]),
        alpha=values["alpha"],
        box=(values["xmin"], values["ymin"], values["xmax"], values["ymax"]),
        dimensions=(values["height"], values["width"], values["length"]),
        location=(values["x"], values["y"], values["z"]),
        rotation_y=values["rotation_y"],
    )
    _check(item)
    return item


def _check(item: KittiObject) -> None:
    numbers = (
        item.truncated,
        item.occluded,
        item.alpha,
        *item.box,
        *item.dimensions,
        *item.location,
        item.rotation_y,
    )
    for column, value in zip(COLUMNS[1:], numbers, strict=True):
        if not math.isfinite(value):
            raise KittiFormatError(f"{column}: expected a finite number, found {value}")
    if item.truncated != -1.0 and not 0.0 <= item.truncated <= 1.0:
        raise KittiFormatError(f"truncated: expected 0..1 or -1, found {item.truncated}")
    if item.occluded not in (-1, 0, 1, 2, 3):
        raise KittiFormatError(f"occluded: expected -1, 0, 1, 2 or 3, found {item.occluded}")
    xmin, ymin, xmax, ymax = item.box
    if xmax <= xmin:
        raise KittiFormatError(f"xmax: expected more than xmin {xmin}, found {xmax}")
    if ymax <= ymin:
        raise KittiFormatError(f"ymax: expected more than ymin {ymin}, found {ymax}")
