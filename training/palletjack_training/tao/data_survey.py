"""What TAO's converter and data loader will meet in a KITTI folder: names, sizes, classes, label lines."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from palletjack_sdg.dataset import is_image

LABEL_COLUMNS = 15


class SurveyError(ValueError):
    """A folder that holds no data set; the message says what was expected."""


@dataclass(frozen=True)
class DataSurvey:
    """Counts over a KITTI folder. Places are ``file:line``.

    ``sizes`` counts images by (width, height), ``classes`` objects by name as written. ``wrong_lines`` have
    not 15 columns or no numbers for a box. ``degenerate`` are boxes that vanish once TAO cuts their corners
    to whole pixels. ``ordered`` tells whether sorting the names gives the order in which frames were made.
    """

    folder: Path
    images: int
    extensions: Counter[str]
    sizes: Counter[tuple[int, int]]
    classes: Counter[str]
    wrong_lines: list[str] = field(default_factory=list)
    degenerate: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    ordered: bool = False


def survey(folder: Path, image_dir: str = "images", label_dir: str = "labels") -> DataSurvey:
    """Look at every image's header and every label line of ``folder``.

    Raises:
        SurveyError: there is no folder of images.
    """
    images_folder = folder / image_dir
    if not images_folder.is_dir():
        raise SurveyError(f"{images_folder}: expected a folder of images, found none")
    paths = sorted(path for path in images_folder.iterdir() if is_image(path))
    if not paths:
        raise SurveyError(f"{images_folder}: expected images, found none")
    result = DataSurvey(
        folder=folder,
        images=len(paths),
        extensions=Counter(path.suffix for path in paths),
        sizes=Counter(),
        classes=Counter(),
        ordered=names_are_ordered([path.stem for path in paths]),
    )
    for path in paths:
        try:
            with Image.open(path) as image:
                result.sizes[image.size] += 1
        except OSError:
            result.unreadable.append(str(path))
        label = folder / label_dir / f"{path.stem}.txt"
        if label.is_file():
            _survey_label(label, result)
        else:
            result.unlabelled.append(str(label))
    return result


def names_are_ordered(stems: list[str]) -> bool:
    """Whether the names are one counter (frame_000, frame_001, ...), perhaps behind a common prefix."""
    if len(stems) < 2:
        return False
    matches = [re.fullmatch(r"(.*?)(\d+)", stem) for stem in stems]
    if not all(matches) or len({match[1] for match in matches if match}) > 1:
        return False
    numbers = sorted(int(match[2]) for match in matches if match)
    # Names drawn at random lie far apart; a counter with gaps (frames left out) stays dense.
    return numbers[-1] - numbers[0] < 10 * len(numbers)


def fold_sizes(images: int, val_split: float) -> tuple[int, int]:
    """Images in TAO's training and validation fold of the mode "random", ``val_split`` in percent."""
    validation = math.floor(images * val_split / 100)
    return images - validation, validation


def _survey_label(label: Path, result: DataSurvey) -> None:
    for number, line in enumerate(label.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        place = f"{label}:{number}"
        try:
            corners = [float(word) for word in words[4:8]]
        except ValueError:
            corners = []
        if len(words) != LABEL_COLUMNS or len(corners) != 4 or not all(map(math.isfinite, corners)):
            result.wrong_lines.append(f"{place} ({len(words)} columns)")
            continue
        result.classes[words[0]] += 1
        xmin, ymin, xmax, ymax = map(int, corners)
        if xmin >= xmax or ymin >= ymax:
            result.degenerate.append(place)
