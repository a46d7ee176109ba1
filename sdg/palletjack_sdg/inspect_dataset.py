"""Checks and pictures of a KITTI data set: what is wrong, what is in it, how it looks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.dataset import IMAGE_SUFFIXES, is_image
from palletjack_sdg.inspect_masks import check_annotations, check_masks, read_annotations
from palletjack_sdg.kitti import DONT_CARE, KittiFormatError, KittiObject, read_labels
from palletjack_sdg.near_duplicates import difference_hash, near_duplicates
from palletjack_sdg.whole_file import write_whole

CELL_PX = 480
COLUMNS = 4
BOX_COLOR = (60, 220, 60)
IGNORED_COLOR = (60, 60, 230)
# Rounding of the label's two decimals.
BORDER_TOLERANCE_PX = 0.01
ALIKE_IOU = 0.95
# More frames without anything in them are hardly meant.
MAX_EMPTY = 0.5


@dataclass(frozen=True)
class FrameCheck:
    """One readable frame: its files, size in pixels, mean grey level 0..255 and labels. ``look`` is its
    difference hash, ``instances`` what its annotations hold, if there are any."""

    image: Path
    width: int
    height: int
    brightness: float
    objects: tuple[KittiObject, ...]
    look: bytes = b""
    instances: tuple[dict[str, Any], ...] = ()

    @property
    def labelled(self) -> tuple[KittiObject, ...]:
        """Objects that are not regions to ignore."""
        return tuple(item for item in self.objects if item.class_name != DONT_CARE)


@dataclass
class DatasetReport:
    """Readable frames in order of their names, and everything that is wrong."""

    root: Path
    frames: list[FrameCheck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    near_duplicates: list[tuple[str, str, int]] = field(default_factory=list)

    def instances(self) -> list[dict[str, Any]]:
        """Return the annotated instances of all frames that count as objects."""
        found = [item for frame in self.frames for item in frame.instances]
        return [item for item in found if item.get("decision") == "labelled"]

    def shares(self, key: str) -> Counter[str]:
        """Count the annotated objects by one of their properties, such as ``kind`` or ``state``."""
        return Counter(str(item.get(key)) for item in self.instances())

    def summary_lines(self) -> list[str]:
        """Return the statistics as lines of text."""
        objects = [item for frame in self.frames for item in frame.labelled]
        ignored = sum(len(frame.objects) - len(frame.labelled) for frame in self.frames)
        classes = Counter(item.class_name for item in objects)
        sizes = Counter(f"{frame.width}x{frame.height}" for frame in self.frames)
        occlusion = Counter(item.occluded for item in objects)
        empty = sum(not frame.labelled for frame in self.frames)
        lines = [
            f"frames: {len(self.frames)} ({empty} without an object)",
            f"image sizes: {_listed(sizes)}",
            f"objects: {_listed(classes)}; ignored regions: {ignored}",
            f"occlusion levels: {_listed(occlusion)}",
            f"truncated: {sum(item.truncated > 0.01 for item in objects)}",
        ]
        for name, values in (
            ("box height", [item.height_px for item in objects]),
            ("box width", [item.width_px for item in objects]),
            ("distance m", [item.location[2] for item in objects if item.location[2] > -999.0]),
            ("brightness", [frame.brightness for frame in self.frames]),
        ):
            if values:
                low, quarter, middle, three, high = np.percentile(values, (0, 25, 50, 75, 100))
                lines.append(f"{name}: {low:.1f} | {quarter:.1f} {middle:.1f} {three:.1f} | {high:.1f}")
        if self.instances():
            lines += [f"{key}: {_listed(self.shares(key))}" for key in ("family", "kind", "state")]
            hidden = np.array([float(item["occlusion"]) for item in self.instances()])
            lines.append(
                f"occlusion: median {np.median(hidden):.2f}, over a half {np.mean(hidden > 0.5):.0%}"
            )
        lines.append(f"near-duplicate frames: {len(self.near_duplicates)}")
        lines += [
            f"  {one} and {other} differ in {bits} of 256 bits"
            for one, other, bits in self.near_duplicates[:5]
        ]
        lines.append(f"problems: {len(self.problems)}")
        return lines


def inspect_dataset(root: Path, max_empty: float = MAX_EMPTY) -> DatasetReport:
    """Read every frame under ``root`` (images/ and labels/) and check it; nothing is changed.

    ``max_empty``: the share of empty label files that may be meant.
    """
    report = DatasetReport(root)
    images, labels = root / "images", root / "labels"
    for folder in (images, labels):
        if not folder.is_dir():
            report.problems.append(f"{folder}: expected a folder, found none")
    if report.problems:
        return report
    image_files = sorted(path for path in images.iterdir() if is_image(path))
    label_files = {path.stem: path for path in labels.glob("*.txt") if not path.name.startswith(".")}
    if not image_files:
        report.problems.append(f"{images}: expected images ({', '.join(IMAGE_SUFFIXES)}), found none")
    report.problems += [
        f"{path}: expected an image of the same name, found none"
        for stem, path in sorted(label_files.items())
        if stem not in {image.stem for image in image_files}
    ]
    digests: dict[str, Path] = {}
    for image in image_files:
        label = label_files.get(image.stem)
        if label is None:
            report.problems.append(f"{image}: expected labels/{image.stem}.txt, found none")
            continue
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
        twin = digests.setdefault(digest, image)
        if twin != image:
            report.problems.append(f"{image}: expected a frame of its own, found a copy of {twin.name}")
        _check_frame(image, label, report)
    pairs = near_duplicates([frame.look for frame in report.frames])
    names = [frame.image.name for frame in report.frames]
    report.near_duplicates = [(names[one], names[other], bits) for one, other, bits in pairs]
    empty = sum(not frame.objects for frame in report.frames)
    if report.frames and empty == len(report.frames):
        report.problems.append(f"{labels}: expected objects in some of the frames, found none in any")
    elif empty > max_empty * len(report.frames):
        report.problems.append(
            f"{labels}: expected at most {max_empty:.0%} of the files without a line (--max-empty), "
            f"found {empty} of {len(report.frames)}"
        )
    return report


def _check_frame(image: Path, label: Path, report: DatasetReport) -> None:
    pixels = cv2.imread(str(image), cv2.IMREAD_COLOR)
    if pixels is None:
        report.problems.append(f"{image}: expected an image, found a file that does not decode")
        return
    try:
        objects = read_labels(label)
    except KittiFormatError as error:
        report.problems.append(str(error))
        return
    height, width = pixels.shape[:2]
    for number, item in enumerate(objects, start=1):
        xmin, ymin, xmax, ymax = item.box
        outside = max(-xmin, -ymin, xmax - width, ymax - height)
        if outside > BORDER_TOLERANCE_PX:
            report.problems.append(
                f"{label}:{number}: box: expected it within {width}x{height}, found {item.box}"
            )
    if len(set(objects)) < len(objects):
        report.problems.append(f"{label}: expected each object once, found the same line twice")
    report.problems += _alike(label, objects)
    instances = read_annotations(report.root, image.stem, report.problems)
    if instances is not None:
        try:
            report.problems += check_annotations(label, instances, objects)
            report.problems += check_masks(report.root, image.stem, (height, width), instances)
        except (KeyError, TypeError, ValueError) as error:
            report.problems.append(
                f"{report.root / 'annotations' / image.stem}.json: a field is wrong: {error!r}"
            )
            instances = None
    report.frames.append(
        FrameCheck(
            image,
            width,
            height,
            float(pixels.mean()),
            tuple(objects),
            difference_hash(np.asarray(pixels, np.uint8)),
            tuple(instances or ()),
        )
    )


def _alike(label: Path, objects: Sequence[KittiObject]) -> list[str]:
    """Two boxes of one class that are almost one: an object that was labelled twice."""
    problems = []
    for number, item in enumerate(objects):
        for earlier, other in enumerate(objects[:number]):
            if item != other and item.class_name == other.class_name and _overlap(item, other) > ALIKE_IOU:
                problems.append(
                    f"{label}:{number + 1}: box: expected an object of its own, found the box of line "
                    f"{earlier + 1} again"
                )
    return problems


def _overlap(one: KittiObject, other: KittiObject) -> float:
    """Intersection over union of two boxes."""
    width = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    height = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    common = max(width, 0.0) * max(height, 0.0)
    both = one.width_px * one.height_px + other.width_px * other.height_px - common
    return common / both if both > 0 else 0.0


def draw_labels(image: NDArray[np.uint8], objects: Sequence[KittiObject]) -> NDArray[np.uint8]:
    """Return a copy of the BGR ``image`` (H, W, 3) with boxes: green objects, red ignored regions."""
    drawn = image.copy()
    for item in objects:
        xmin, ymin, xmax, ymax = (round(value) for value in item.box)
        color = IGNORED_COLOR if item.class_name == DONT_CARE else BOX_COLOR
        cv2.rectangle(drawn, (xmin, ymin), (xmax - 1, ymax - 1), color, 2)
    return drawn


def draw_contact_sheet(report: DatasetReport, path: Path, limit: int = 24) -> None:
    """Write up to ``limit`` frames, evenly chosen, with their boxes as one PNG."""
    chosen = report.frames
    if len(chosen) > limit:
        chosen = [chosen[round(k * (len(chosen) - 1) / max(limit - 1, 1))] for k in range(limit)]
    cells = []
    for frame in chosen:
        image = cv2.imread(str(frame.image), cv2.IMREAD_COLOR)
        drawn = draw_labels(np.asarray(image, np.uint8), frame.objects)
        scale = CELL_PX / frame.width
        drawn = np.asarray(
            cv2.resize(drawn, (CELL_PX, round(frame.height * scale)), interpolation=cv2.INTER_AREA)
        )
        cv2.putText(drawn, frame.image.name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
        cells.append(drawn)
    row_height = max(cell.shape[0] for cell in cells)
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    page = np.zeros((rows * row_height, columns * CELL_PX, 3), dtype=np.uint8)
    for number, cell in enumerate(cells):
        top, left = number // columns * row_height, number % columns * CELL_PX
        page[top : top + cell.shape[0], left : left + CELL_PX] = cell
    _, data = cv2.imencode(".png", page)
    write_whole(path, data.tobytes())


def _listed(counts: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{key} {count}" for key, count in sorted(counts.items())) or "none"
