"""Layout of a data set on disk: images/, labels/, the manifest dataset.json, and what else was asked for.

A frame is complete when its image is there: the image is put in place last, under its final name in
one step, so an image always has its label. Nothing half-written ever bears a final name.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.kitti import DONT_CARE, KittiObject, label_text, read_labels
from palletjack_sdg.whole_file import write_whole

MANIFEST_FORMAT = "palletjack-dataset/1"
MANIFEST_NAME = "dataset.json"
JPEG_QUALITY = 95
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

ImageFormat = Literal["jpg", "png"]
DepthFormat = Literal["png", "npz"]
MAX_DEPTH_MM = 65535
# Content by name below the data set's folder.
FrameFiles = dict[str, bytes]


class DatasetError(ValueError):
    """A data set that cannot be used or continued; the message names the file and what differs."""


@dataclass(frozen=True)
class FrameExtras:
    """What a frame holds beside image and labels; None is not written.

    ``instance_ids`` (H, W) of 0..65535 with ``id_table``; ``depth`` (H, W) metres along the optical axis,
    inf where nothing is met; ``normals`` (H, W, 3) in the camera's frame, 0 where nothing is met.
    """

    plan_json: str | None = None
    annotations: dict[str, Any] | None = None
    instance_ids: NDArray[np.int32] | None = None
    id_table: dict[str, Any] | None = None
    depth: NDArray[np.float32] | None = None
    depth_format: DepthFormat = "png"
    normals: NDArray[np.float32] | None = None


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

    def annotation(self, index: int) -> Path:
        """Annotations of a frame, as JSON."""
        return self.root / "annotations" / f"{index:06d}.json"

    def mask(self, index: int) -> Path:
        """Instance mask of a frame; the meaning of its values is beside it, as JSON."""
        return self.root / "masks" / f"{index:06d}.png"

    def depth(self, index: int, depth_format: DepthFormat = "png") -> Path:
        """Depth of a frame."""
        return self.root / "depth" / f"{index:06d}.{depth_format}"

    def normals(self, index: int) -> Path:
        """Surface normals of a frame."""
        return self.root / "normals" / f"{index:06d}.png"

    def create_folders(self, plans: bool, extras: Iterable[str] = ()) -> None:
        """Make the folders and remove what an interrupted run left under temporary names.

        Raises:
            OSError: a folder cannot be made.
        """
        for name in ("images", "labels", *(("plans",) if plans else ()), *extras):
            folder = self.root / name
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)

    def frame_files(
        self,
        index: int,
        image: NDArray[np.uint8],
        labels: Iterable[KittiObject],
        extras: FrameExtras | None = None,
    ) -> FrameFiles:
        """Return the files of one frame, in the order in which they are written: the image comes last.

        ``image`` is RGB (H, W, 3).
        """
        label = self.label(index)
        files = {label: label_text(label, labels).encode()}
        if extras is not None:
            files.update(self._extra_files(index, extras))
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if self.image_format == "jpg" else []
        path = self.image(index)
        files[path] = _encoded(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
        return {path.relative_to(self.root).as_posix(): data for path, data in files.items()}

    def write_files(self, files: FrameFiles) -> None:
        """Write what ``frame_files`` returned.

        Raises:
            OSError: the disk is full or not writable.
        """
        for name, data in files.items():
            write_whole(self.root / name, data)

    def write_frame(
        self,
        index: int,
        image: NDArray[np.uint8],
        labels: Iterable[KittiObject],
        extras: FrameExtras | None = None,
    ) -> None:
        """Write one frame: labels and extras first, the RGB ``image`` (H, W, 3) last.

        Raises:
            OSError: the disk is full or not writable.
        """
        self.write_files(self.frame_files(index, image, labels, extras))

    def _extra_files(self, index: int, extras: FrameExtras) -> dict[Path, bytes]:
        files: dict[Path, bytes] = {}
        if extras.plan_json is not None:
            files[self.plan(index)] = extras.plan_json.encode()
        if extras.annotations is not None:
            files[self.annotation(index)] = _json(extras.annotations)
        if extras.instance_ids is not None:
            path = self.mask(index)
            files[path] = _encoded(path, extras.instance_ids.astype(np.uint16))
            files[path.with_suffix(".json")] = _json(extras.id_table or {})
        if extras.depth is not None:
            path = self.depth(index, extras.depth_format)
            if extras.depth_format == "npz":
                content = io.BytesIO()
                np.savez_compressed(content, depth=extras.depth)
                files[path] = content.getvalue()
            else:
                files[path] = _encoded(path, depth_to_millimetres(extras.depth))
        if extras.normals is not None:
            encoded = np.rint((extras.normals + 1.0) * (0.5 * 65535.0)).astype(np.uint16)
            files[self.normals(index)] = _encoded(self.normals(index), encoded[..., ::-1])
        return files


def depth_to_millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return metres as millimetres of 16 bits: 0 where nothing is met, 65535 from 65.535 m on."""
    found = np.isfinite(depth)
    return np.where(found, np.clip(np.rint(np.where(found, depth, 0.0) * 1000.0), 1, MAX_DEPTH_MM), 0).astype(
        np.uint16
    )


def _encoded(path: Path, pixels: NDArray[Any], options: Sequence[int] = ()) -> bytes:
    encoded, data = cv2.imencode(path.suffix, np.ascontiguousarray(pixels), list(options))
    if not encoded:
        raise OSError(f"{path}: OpenCV could not encode an image of shape {pixels.shape}")
    return data.tobytes()


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()


def is_image(path: Path) -> bool:
    """Whether ``path`` bears the name of an image of a data set, not of one that is still being written."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


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
