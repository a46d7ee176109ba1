"""KITTI folders decoded once into a memory-mapped array of network-sized frames.

A data set is a folder with ``images/`` (jpg or png) and ``labels/`` (txt of the same stem). Its cache
is keyed by the content of every file and by the input settings, so that changed data is never mixed
up with old. A cache that was cut short goes on from the frames it has; trainings that start side by
side decode each frame once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from palletjack_detection.image_files import ImageFileError, read_image
from palletjack_detection.preprocess import Preprocessor, fit_image
from palletjack_sdg.kitti import DONT_CARE, KittiObject, read_labels
from palletjack_training.box_labels import IGNORED, PADDING
from palletjack_training.config import TrainingConfig
from palletjack_training.model_spec import input_spec

_CACHE_FORMAT = "palletjack-frames/1"
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_CHUNK = 32


class DatasetError(ValueError):
    """A data set that cannot be trained on; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class FrameCache:
    """Decoded frames of one or more data sets.

    ``frames`` are memory-mapped uint8 arrays (n, H, W, 3) RGB, one for each data set. ``boxes``
    (N, M, 4) float32 in network pixels and ``labels`` (N, M) int64 (class, IGNORED or PADDING) cover
    all of them in order; ``names`` are the image paths.
    """

    frames: tuple[NDArray[np.uint8], ...]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def nbytes(self) -> int:
        """Size of all decoded frames."""
        return sum(int(part.nbytes) for part in self.frames)

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Copy the frames ``indices`` (B,) into one array (B, H, W, 3)."""
        starts = np.cumsum([0] + [len(part) for part in self.frames])
        which = np.searchsorted(starts, indices, side="right") - 1
        return np.stack(
            [self.frames[part][index - starts[part]] for part, index in zip(which, indices, strict=True)]
        )


def open_cache(
    folders: Sequence[Path],
    config: TrainingConfig,
    cache_dir: Path,
    *,
    workers: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> FrameCache:
    """Return the decoded frames of ``folders``, decoding what ``cache_dir`` does not have yet.

    ``workers`` processes decode (0: one for each core). ``on_progress`` gets frames done and total.
    Raises DatasetError for a folder, an image or a label that cannot be used.
    """
    workers = workers or len(os.sched_getaffinity(0))
    pairs = [(folder, _pairs(folder)) for folder in folders]
    total = sum(len(items) for _, items in pairs)
    frames: list[NDArray[np.uint8]] = []
    boxes: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.int64]] = []
    names: list[str] = []
    done = 0
    for folder, items in pairs:
        report = None if on_progress is None else partial(_shifted, on_progress, done, total)
        part, objects = _open_folder(folder, items, config, cache_dir, workers, report)
        frames.append(part)
        boxes.extend(item[0] for item in objects)
        labels.extend(item[1] for item in objects)
        names.extend(str(image) for image, _ in items)
        done += len(items)
    most = max((len(item) for item in labels), default=0) or 1
    all_boxes = np.zeros((total, most, 4), np.float32)
    all_labels = np.full((total, most), PADDING, np.int64)
    for row, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        all_boxes[row, : len(box)] = box
        all_labels[row, : len(label)] = label
    return FrameCache(tuple(frames), all_boxes, all_labels, tuple(names))


def _shifted(report: Callable[[int, int], None], offset: int, total: int, done: int) -> None:
    report(offset + done, total)


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    images_dir, labels_dir = folder / "images", folder / "labels"
    for path in (images_dir, labels_dir):
        if not path.is_dir():
            raise DatasetError(f"{path}: expected a folder (a data set has images/ and labels/), found none")
    images = sorted(path for path in images_dir.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES)
    pairs = [(image, labels_dir / f"{image.stem}.txt") for image in images]
    missing = [label for _, label in pairs if not label.is_file()]
    if missing:
        raise DatasetError(
            f"{missing[0]}: expected a label file for its image, found none ({len(missing)} such)"
        )
    if not pairs:
        raise DatasetError(f"{images_dir}: expected jpg or png images, found none")
    return pairs


_Boxes = tuple[NDArray[np.float32], NDArray[np.int64]]


def _open_folder(
    folder: Path,
    pairs: list[tuple[Path, Path]],
    config: TrainingConfig,
    cache_dir: Path,
    workers: int,
    on_progress: Callable[[int], None] | None,
) -> tuple[NDArray[np.uint8], list[_Boxes]]:
    """Open one data set's frames, decoding those that are not marked as done."""
    with _pool(workers, len(pairs)) as run:
        digests = list(run(_digest, pairs))
        sources = [
            (str(image.relative_to(folder)), digest)
            for (image, _), digest in zip(pairs, digests, strict=True)
        ]
        key = _key(sources, config)
        target = cache_dir / key
        with _alone(target):
            frames, done = _prepare(target, len(pairs), config)
            todo = [index for index in range(len(pairs)) if not done[index]]
            decode = partial(
                _decode_chunk, target, (len(pairs), config.input.height, config.input.width, 3), config
            )
            at_once = [todo[at : at + _CHUNK] for at in range(0, len(todo), _CHUNK)]
            finished = len(pairs) - len(todo)
            for chunk in run(decode, [[(i, pairs[i][0]) for i in part] for part in at_once]):
                done[chunk] = 1
                finished += len(chunk)
                if on_progress is not None:
                    on_progress(finished)
            done.flush()
        sizes = list(run(_image_size, [image for image, _ in pairs]))
    objects = [_objects(label, size, config) for (_, label), size in zip(pairs, sizes, strict=True)]
    return frames, objects


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep other trainings from decoding into ``target`` meanwhile; when they get it, all is there."""
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _pool(workers: int, items: int) -> Iterator[Callable[..., Iterator]]:
    """A ``map`` over processes, or the built-in one when there is too little to share."""
    if workers <= 1 or items < 2 * _CHUNK:
        yield map
        return
    # Not fork: the parent may have started CUDA or the threads of PyTorch.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield lambda function, values: pool.map(
            function, values, chunksize=max(1, min(64, len(values) // (4 * workers)))
        )


def _digest(pair: tuple[Path, Path]) -> str:
    return hashlib.sha256(pair[0].read_bytes() + b"\0" + pair[1].read_bytes()).hexdigest()


def _key(sources: list[tuple[str, str]], config: TrainingConfig) -> str:
    content = json.dumps([_CACHE_FORMAT, config.input.model_dump(mode="json"), sources])
    return hashlib.sha256(content.encode()).hexdigest()[:24]


def _prepare(target: Path, count: int, config: TrainingConfig) -> tuple[NDArray[np.uint8], np.memmap]:
    """Open the arrays of a cache, making them if they are new or of the wrong size."""
    shape = (count, config.input.height, config.input.width, 3)
    frames_path, done_path = target / "frames.u8", target / "done.u8"
    whole = int(np.prod(shape, dtype=np.int64))
    if not frames_path.is_file() or frames_path.stat().st_size != whole:
        done_path.unlink(missing_ok=True)
        with frames_path.open("wb") as file:
            file.truncate(whole)
    if not done_path.is_file() or done_path.stat().st_size != count:
        done_path.write_bytes(bytes(count))
    frames = np.memmap(frames_path, np.uint8, "r", shape=shape)
    return frames, np.memmap(done_path, np.uint8, "r+", shape=(count,))


def _decode_chunk(
    target: Path, shape: tuple[int, ...], config: TrainingConfig, chunk: list[tuple[int, Path]]
) -> list[int]:
    """Decode frames into the array, through the robot's own preprocessing; return their indices."""
    cv2.setNumThreads(1)
    frames = np.memmap(target / "frames.u8", np.uint8, "r+", shape=shape)
    # A scale of 1 keeps the pixels' own unit: what comes out is exactly what the robot sees, times 255.
    preprocess = Preprocessor(replace(input_spec(config), scale=1.0))
    for index, path in chunk:
        tensor, _ = preprocess(_read(path))
        frames[index] = tensor[0].transpose(1, 2, 0)
    frames.flush()
    return [index for index, _ in chunk]


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        return read_image(path)
    except ImageFileError as error:
        raise DatasetError(str(error)) from error


def _image_size(path: Path) -> tuple[int, int]:
    """Width and height from the header, without decoding."""
    with Image.open(path) as image:
        return image.size


def _objects(path: Path, size: tuple[int, int], config: TrainingConfig) -> _Boxes:
    """Boxes of one label file in network pixels, with their labels."""
    geometry, _ = fit_image(*size, input_spec(config))
    boxes, labels = [], []
    for number, item in enumerate(read_labels(path), start=1):
        label = _label_of(item, config)
        if label is None and item.class_name not in config.background_classes:
            known = ", ".join([*config.classes, *config.background_classes, DONT_CARE])
            raise DatasetError(
                f"{path}: object {number}: class: expected one of {known}, found {item.class_name!r} "
                "(add it to classes or to background_classes)"
            )
        if label is None:
            continue
        box = (
            max(item.box[0], 0.0),
            max(item.box[1], 0.0),
            min(item.box[2], size[0]),
            min(item.box[3], size[1]),
        )
        if box[2] <= box[0] or box[3] <= box[1]:
            raise DatasetError(
                f"{path}: object {number}: box: expected one inside the {size[0]} x {size[1]} image, "
                f"found {item.box}"
            )
        boxes.append(box)
        labels.append(label)
    network_boxes = geometry.to_network(np.array(boxes, np.float64).reshape(-1, 4)).astype(np.float32)
    network_labels = np.array(labels, np.int64)
    least = config.augment.geometry.min_box_side
    small = (network_boxes[:, 2:] - network_boxes[:, :2]).min(axis=1, initial=np.inf) < least
    network_labels[small] = IGNORED
    return network_boxes, network_labels


def _label_of(item: KittiObject, config: TrainingConfig) -> int | None:
    if item.class_name == DONT_CARE:
        return IGNORED
    return config.classes.index(item.class_name) if item.class_name in config.classes else None
