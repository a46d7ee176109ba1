"""Layout of a data set on disk: images/, labels/, plans/ and the manifest dataset.json.

A frame is complete when its image is there: the image is put in place last, under its final name in
one step, so an image always has its label. Nothing half-written ever bears a final name.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.kitti import DONT_CARE, KittiObject, read_labels, write_labels

MANIFEST_FORMAT = "palletjack-dataset/1"
MANIFEST_NAME = "dataset.json"
JPEG_QUALITY = 95
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

ImageFormat = Literal["jpg", "png"]


class DatasetError(ValueError):
    """A data set that cannot be used or continued; the message names the file and what differs."""


@dataclass(frozen=True)
class Dataset:
    """Paths of the data set in the folder ``root``."""

    root: Path
    image_format: ImageFormat = "jpg"

    def image(self, index: int) -> Path:
        """Image of a frame."""
        return self.root / "images" / f"{index:06d}.{self.image_format}"

    def label(self, index: int) -> Path:
        """Label file of a frame."""
        return self.root / "labels" / f"{index:06d}.txt"

    def plan(self, index: int) -> Path:
        """Plan of a frame, as JSON."""
        return self.root / "plans" / f"{index:06d}.json"

    @property
    def manifest(self) -> Path:
        """The data set's description."""
        return self.root / MANIFEST_NAME

    def is_complete(self, index: int) -> bool:
        """Whether the frame was written to its end."""
        return self.image(index).is_file() and self.label(index).is_file()

    def create_folders(self, plans: bool) -> None:
        """Make the folders and remove what an interrupted run left under temporary names.

        Raises:
            OSError: a folder cannot be made.
        """
        for name in ("images", "labels", *(("plans",) if plans else ())):
            folder = self.root / name
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)

    def write_frame(
        self, index: int, image: NDArray[np.uint8], labels: Iterable[KittiObject], plan_json: str | None
    ) -> None:
        """Write one frame: label and plan first, the RGB ``image`` (H, W, 3) last.

        Raises:
            OSError: the disk is full or not writable.
        """
        write_labels(self.label(index), labels)
        if plan_json is not None:
            write_whole(self.plan(index), plan_json.encode())
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if self.image_format == "jpg" else []
        encoded, data = cv2.imencode(f".{self.image_format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
        if not encoded:
            raise OSError(f"{self.image(index)}: OpenCV could not encode an image of shape {image.shape}")
        write_whole(self.image(index), data.tobytes())


def is_image(path: Path) -> bool:
    """Whether ``path`` bears the name of an image of a data set, not of one that is still being written."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name in the same folder, then move it into place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_manifest(dataset: Dataset, content: dict[str, Any]) -> None:
    """Write dataset.json: ``content`` and the counts of what is on disk now."""
    document = {"format": MANIFEST_FORMAT, **content, "counts": count_labels(dataset)}
    write_whole(dataset.manifest, (json.dumps(document, indent=2) + "\n").encode())


def read_manifest(root: Path) -> dict[str, Any]:
    """Return dataset.json of the folder.

    Raises:
        DatasetError: it is missing, not JSON, or of another format.
    """
    path = root / MANIFEST_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(f"{path}: expected a data set's manifest, found no such file") from None
    except ValueError as error:
        raise DatasetError(f"{path}: expected JSON, found {error}") from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != MANIFEST_FORMAT:
        raise DatasetError(f"{path}: format: expected {MANIFEST_FORMAT!r}, found {found!r}")
    return dict(document)


def count_labels(dataset: Dataset) -> dict[str, Any]:
    """Count frames, objects by class, ignored regions and frames without an object."""
    objects: Counter[str] = Counter()
    frames = empty = 0
    for image in sorted((dataset.root / "images").glob(f"*.{dataset.image_format}")):
        if image.name.startswith("."):
            continue
        frames += 1
        labels = read_labels(dataset.root / "labels" / f"{image.stem}.txt")
        objects.update(item.class_name for item in labels)
        empty += all(item.class_name == DONT_CARE for item in labels)
    ignored = objects.pop(DONT_CARE, 0)
    return {"frames": frames, "objects": dict(sorted(objects.items())), "ignored": ignored, "empty": empty}
