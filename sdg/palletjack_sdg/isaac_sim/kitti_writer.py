"""Replicator's KittiWriter v0.0.2 output made into our data set layout.

The writer's truncation is always 0 and its last seven columns are zeros that mean nothing: they become
KITTI's unknown values. Its occlusion level is set to unknown too, because it comes from tight and loose
boxes that are matched by order and may belong to different objects.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from palletjack_sdg.dataset import Dataset, DatasetError, write_manifest
from palletjack_sdg.kitti import COLUMNS, KittiFormatError, KittiObject

LABEL_FOLDER = "object_detection"
IMAGE_FOLDER = "rgb"


@dataclass(frozen=True)
class NormalizeSummary:
    """Frames written, objects kept by class, and boxes left out because no class was mapped to them."""

    frames: int
    objects: dict[str, int]
    unmapped: dict[str, int]


def find_cameras(root: Path) -> list[Path]:
    """Return the folders under ``root`` that hold rgb/ and object_detection/, at any nesting."""
    return sorted(
        folder.parent for folder in root.rglob(LABEL_FOLDER) if (folder.parent / IMAGE_FOLDER).is_dir()
    )


def normalize(source: Path, out: Path, classes: Mapping[str, str]) -> NormalizeSummary:
    """Write every frame of every camera under ``source`` to ``out``, cameras in order of their paths.

    ``classes`` maps the writer's label to ours; other labels are counted and left out.

    Raises:
        DatasetError: there is no camera, ``out`` already holds images, an image has no label or does not
            decode, or none of the labels is mapped.
        KittiFormatError: a label line is malformed; the message names file, line and field.
    """
    cameras = find_cameras(source)
    if not cameras:
        raise DatasetError(f"{source}: expected folders with {IMAGE_FOLDER}/ and {LABEL_FOLDER}/, found none")
    dataset = Dataset(out, "png")
    if (out / "images").is_dir() and any((out / "images").iterdir()):
        raise DatasetError(f"{out / 'images'}: expected an empty folder, found images")
    frames = [(camera, path) for camera in cameras for path in _numbered(camera / IMAGE_FOLDER)]
    read = []
    for camera, image in frames:
        label = camera / LABEL_FOLDER / f"{image.stem}.txt"
        if not label.is_file():
            raise DatasetError(f"{label}: expected the label of {image.name}, found no such file")
        read.append((image, read_writer_labels(label)))
    unmapped: dict[str, int] = {}
    kept: dict[str, int] = {}
    for _, objects in read:
        for name, _box in objects:
            counts, key = (kept, classes[name]) if name in classes else (unmapped, name)
            counts[key] = counts.get(key, 0) + 1
    if unmapped and not kept:
        raise DatasetError(
            f"{source}: classes: expected one of {sorted(classes)}, found only {sorted(unmapped)}; "
            "KittiWriter needs mapping_dict, and this command the same labels"
        )
    dataset.create_folders(plans=False)
    for index, (image, objects) in enumerate(read):
        pixels = cv2.imread(str(image), cv2.IMREAD_COLOR)
        if pixels is None:
            raise DatasetError(f"{image}: expected an image, found a file that does not decode")
        labels = [KittiObject(classes[name], box) for name, box in objects if name in classes]
        rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)
        dataset.write_frame(index, rgb, labels, None)
    sources = [str(camera.relative_to(source)) for camera in cameras]
    write_manifest(dataset, {"source": "KittiWriter", "cameras": sources, "unmapped": unmapped})
    return NormalizeSummary(len(read), kept, unmapped)


def read_writer_labels(path: Path) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Return (label, box) of each line: CRLF or LF, labels with spaces in double quotes.

    Raises:
        KittiFormatError: naming the file, the line and the field.
    """
    found = []
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.reader(file, delimiter=" ", quotechar='"'), start=1):
            if not row:
                continue
            if len(row) != len(COLUMNS):
                raise KittiFormatError(f"{path}:{number}: columns: expected {len(COLUMNS)}, found {len(row)}")
            try:
                xmin, ymin, xmax, ymax = (float(word) for word in row[4:8])
            except ValueError:
                raise KittiFormatError(f"{path}:{number}: box: expected numbers, found {row[4:8]}") from None
            if xmax <= xmin or ymax <= ymin:
                raise KittiFormatError(f"{path}:{number}: box: expected an area, found {row[4:8]}")
            found.append((row[0], (xmin, ymin, xmax, ymax)))
    return found


def _numbered(folder: Path) -> list[Path]:
    """Images in order of their numbers: the writer pads none, so 10.png sorts before 2.png by name."""
    images = list(folder.glob("*.png"))
    for image in images:
        if not image.stem.isdecimal():
            raise DatasetError(f"{image}: expected a number as the file's name, found {image.stem!r}")
    return sorted(images, key=lambda image: int(image.stem))
