"""KITTI data sets to COCO, YOLO and TAO's KITTI, and back.

Layouts, each with ``images/`` beside it: KITTI ``labels/*.txt``; COCO ``annotations.json``; YOLO
``labels/*.txt`` (class, centre x, centre y, width, height, as shares of the image) and ``data.yaml``; TAO's
as in :mod:`palletjack_sdg.tao_layout`.

A region to ignore (DontCare) becomes a COCO ``iscrowd`` annotation in every category, because readers of COCO
match by category; back in KITTI it is one region again. YOLO cannot say it: such regions are left out and
counted. KITTI's further columns travel in COCO's ``attributes``, and are lost in YOLO.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import yaml

from palletjack_sdg import tao_layout
from palletjack_sdg.dataset import IMAGE_SUFFIXES, is_image
from palletjack_sdg.kitti import DONT_CARE, KittiFormatError, KittiObject, read_labels, write_labels
from palletjack_sdg.tao_layout import NAMES_FILE, TaoLayoutError

FORMATS = ("kitti", "coco", "yolo", "tao")
COCO_FILE, YOLO_FILE = "annotations.json", "data.yaml"


class ConvertError(ValueError):
    """A data set that cannot be converted; the message names the file, what was expected and found."""


@dataclass(frozen=True)
class LabelledImage:
    """An image file, its size in pixels and its objects in KITTI's terms.

    ``name`` is what the image is to be called elsewhere, where that is not the name of the file.
    """

    path: Path
    width: int
    height: int
    objects: tuple[KittiObject, ...]
    name: str = ""

    @property
    def file_name(self) -> str:
        """Name of the image in a data set that is written."""
        return self.name or self.path.name


@dataclass(frozen=True)
class ConvertSummary:
    """What was written, and how many regions to ignore and how many tiny boxes the format could not hold."""

    images: int
    objects: int
    ignored: int
    lost_ignored: int
    lost_tiny: int = 0


def convert(
    source: Path,
    out: Path,
    to: str,
    source_format: str | None = None,
    link: bool = False,
    on_image: Callable[[int, int], None] | None = None,
) -> ConvertSummary:
    """Write ``source`` in another format to the new folder ``out``, whole or not at all.

    ``source_format`` is found from the files if left out. ``link`` makes hard links of the images instead of
    copies. ``on_image`` hears how many of how many are done.

    Raises:
        ConvertError: an unknown format, a file that is missing or malformed, or ``out`` is not empty.
        OSError: ``out`` cannot be written.
    """
    if to not in FORMATS:
        raise ConvertError(f"--to: expected one of {', '.join(FORMATS)}, found {to!r}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConvertError(f"{out}: expected a new or empty folder, found something in it")
    try:
        frames = _READERS[source_format or detect_format(source)](source)
        _check_names(frames)
        written = _arranged_for_tao(frames) if to == "tao" else frames
    except TaoLayoutError as error:
        raise ConvertError(str(error)) from None
    boxes = sum(len(frame.objects) for frame in frames)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        (temporary / "images").mkdir(parents=True)
        for done, frame in enumerate(written, start=1):
            target = temporary / "images" / frame.file_name
            if link:
                os.link(frame.path, target)
            else:
                shutil.copy2(frame.path, target)
            if on_image is not None:
                on_image(done, len(written))
        if to == "tao":
            _write_names(temporary, frames, written)
        _WRITERS[to](temporary, written)
        if out.exists():
            out.rmdir()
        os.replace(temporary, out)
    except TaoLayoutError as error:
        raise ConvertError(str(error)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    kept = [item for frame in written for item in frame.objects]
    ignored = sum(item.class_name.lower() == DONT_CARE.lower() for item in kept)
    lost = (ignored if to == "yolo" else 0, boxes - len(kept))
    return ConvertSummary(len(written), len(kept) - ignored, ignored, *lost)


def _check_names(frames: Sequence[LabelledImage]) -> None:
    """Refuse images that would overwrite each other or each other's labels: the new folder is flat."""
    seen: dict[str, Path] = {}
    for frame in frames:
        earlier = seen.setdefault(frame.path.stem, frame.path)
        if earlier != frame.path:
            raise ConvertError(
                f"{frame.path}: expected a name that no other image has, found {earlier} as well: "
                "rename one of them"
            )


def detect_format(source: Path) -> str:
    """Return the format of a data set by the files that only it has.

    Raises:
        ConvertError: the folder is none of them.
    """
    if (source / COCO_FILE).is_file():
        return "coco"
    if (source / YOLO_FILE).is_file():
        return "yolo"
    if (source / NAMES_FILE).is_file():
        return "tao"
    if (source / "labels").is_dir():
        return "kitti"
    raise ConvertError(f"{source}: expected labels/, {COCO_FILE} or {YOLO_FILE} in the folder, found none")


def read_kitti(source: Path) -> list[LabelledImage]:
    """Read images/ and labels/; each image needs a label file, which may be empty."""
    frames = []
    for image in _image_files(source):
        label = source / "labels" / f"{image.stem}.txt"
        if not label.is_file():
            raise ConvertError(f"{label}: expected the labels of {image.name}, found no such file")
        try:
            objects = tuple(read_labels(label))
        except KittiFormatError as error:
            raise ConvertError(str(error)) from None
        frames.append(LabelledImage(image, *_size(image), objects))
    return frames


def write_kitti(out: Path, frames: Sequence[LabelledImage]) -> None:
    """Write one label file an image."""
    (out / "labels").mkdir()
    for frame in frames:
        write_labels(out / "labels" / f"{Path(frame.file_name).stem}.txt", frame.objects)


def read_tao(source: Path) -> list[LabelledImage]:
    """Read a folder that was written for TAO, with the names and classes from before."""
    names, classes = tao_layout.read_names(source)
    frames = []
    for frame in read_kitti(source):
        renamed = (
            replace(item, class_name=classes.get(item.class_name) or item.class_name)
            for item in frame.objects
        )
        frames.append(replace(frame, objects=tuple(renamed), name=names.get(frame.path.name, "")))
    return sorted(frames, key=lambda frame: frame.file_name)


def _arranged_for_tao(frames: Sequence[LabelledImage]) -> list[LabelledImage]:
    names = tao_layout.shuffled_names([Path(frame.file_name) for frame in frames])
    return [
        replace(frame, objects=tao_layout.tao_objects(frame.objects), name=name)
        for frame, name in zip(frames, names, strict=True)
    ]


def _write_names(out: Path, frames: Sequence[LabelledImage], written: Sequence[LabelledImage]) -> None:
    names = {new.file_name: old.file_name for old, new in zip(frames, written, strict=True)}
    classes = sorted({item.class_name for frame in frames for item in frame.objects})
    (out / NAMES_FILE).write_text(tao_layout.names_document(names, classes), encoding="utf-8")


def write_coco(out: Path, frames: Sequence[LabelledImage]) -> None:
    """Write annotations.json; categories are numbered from 1 in the order of their names."""
    categories = {name: number for number, name in enumerate(_classes(frames), start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, frame in enumerate(frames, start=1):
        for number, item in enumerate(frame.objects):
            ignored = item.class_name == DONT_CARE
            for category in categories.values() if ignored else [categories[item.class_name]]:
                xmin, ymin, xmax, ymax = item.box
                width, height = xmax - xmin, ymax - ymin
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": category,
                        "bbox": [_short(value) for value in (xmin, ymin, width, height)],
                        "area": _short(width * height),
                        "iscrowd": int(ignored),
                        # Which object of the image it was: the copies of an ignored region share it.
                        "attributes": {"object": number, **({} if ignored else _further(item))},
                    }
                )
    document = {
        "images": [
            {"id": number, "file_name": frame.file_name, "width": frame.width, "height": frame.height}
            for number, frame in enumerate(frames, start=1)
        ],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": annotations,
    }
    (out / COCO_FILE).write_text(json.dumps(document) + "\n", encoding="utf-8")


def read_coco(source: Path) -> list[LabelledImage]:
    """Read annotations.json; crowds become regions to ignore, equal ones in one image once."""
    path = source / COCO_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        names = {entry["id"]: str(entry["name"]) for entry in document["categories"]}
        found: dict[Any, dict[KittiObject, None]] = {entry["id"]: {} for entry in document["images"]}
        for entry in document["annotations"]:
            x, y, width, height = (float(value) for value in entry["bbox"])
            box = tuple(_short(value) for value in (x, y, x + width, y + height))
            if entry.get("iscrowd"):
                item = KittiObject(DONT_CARE, box)  # type: ignore[arg-type]
            else:
                item = _object(names[entry["category_id"]], box, entry.get("attributes", {}))
            found[entry["image_id"]][item] = None
        return [
            LabelledImage(
                _existing(source / "images" / str(entry["file_name"])),
                int(entry["width"]),
                int(entry["height"]),
                tuple(found[entry["id"]]),
            )
            for entry in document["images"]
        ]
    except FileNotFoundError:
        raise ConvertError(f"{path}: expected COCO annotations, found no such file") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ConvertError(
            f"{path}: expected COCO's keys and types, found none or another at: {error}"
        ) from None
    except ConvertError:
        raise
    except ValueError as error:
        raise ConvertError(f"{path}: expected COCO annotations, found: {error}") from None


def write_yolo(out: Path, frames: Sequence[LabelledImage]) -> None:
    """Write labels/*.txt and data.yaml; classes are numbered from 0 in the order of their names."""
    classes = _classes(frames)
    (out / "labels").mkdir()
    for frame in frames:
        lines = []
        for item in frame.objects:
            if item.class_name == DONT_CARE:
                continue
            xmin, ymin, xmax, ymax = item.box
            shares = (
                (xmin + xmax) / 2 / frame.width,
                (ymin + ymax) / 2 / frame.height,
                (xmax - xmin) / frame.width,
                (ymax - ymin) / frame.height,
            )
            lines.append(
                " ".join([str(classes.index(item.class_name)), *(f"{value:.8f}" for value in shares)])
            )
        (out / "labels" / f"{Path(frame.file_name).stem}.txt").write_text(
            "".join(line + "\n" for line in lines)
        )
    content = {"path": ".", "train": "images", "val": "images", "names": dict(enumerate(classes))}
    (out / YOLO_FILE).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def read_yolo(source: Path) -> list[LabelledImage]:
    """Read data.yaml, images/ and labels/; an image without a label file has no object."""
    path = source / YOLO_FILE
    try:
        names = yaml.safe_load(path.read_text(encoding="utf-8"))["names"]
        classes = {
            int(key): str(name)
            for key, name in (names if isinstance(names, dict) else dict(enumerate(names))).items()
        }
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ConvertError(f"{path}: names: expected the classes by number, found: {error}") from None
    frames = []
    for image in _image_files(source):
        width, height = _size(image)
        label = source / "labels" / f"{image.stem}.txt"
        lines = label.read_text(encoding="utf-8").splitlines() if label.is_file() else []
        objects = [
            _yolo_object(f"{label}:{number}", line, classes, width, height)
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]
        frames.append(LabelledImage(image, width, height, tuple(objects)))
    return frames


def _yolo_object(where: str, line: str, classes: dict[int, str], width: int, height: int) -> KittiObject:
    try:
        number, x, y, w, h = line.split()
        cx, cy, half_w, half_h = (
            float(x) * width,
            float(y) * height,
            float(w) * width / 2,
            float(h) * height / 2,
        )
        name = classes[int(number)]
    except (ValueError, KeyError):
        raise ConvertError(
            f"{where}: expected 'class x y width height' with a class of 0..{len(classes) - 1}, "
            f"found {line!r:.60}"
        ) from None
    box = (_short(cx - half_w), _short(cy - half_h), _short(cx + half_w), _short(cy + half_h))
    return KittiObject(name, box)


def _further(item: KittiObject) -> dict[str, Any]:
    return {
        "truncated": item.truncated,
        "occluded": item.occluded,
        "alpha": item.alpha,
        "dimensions": list(item.dimensions),
        "location": list(item.location),
        "rotation_y": item.rotation_y,
    }


def _object(name: str, box: tuple[float, ...], attributes: dict[str, Any]) -> KittiObject:
    known = {
        key: attributes[key] for key in ("truncated", "occluded", "alpha", "rotation_y") if key in attributes
    }
    threes = {key: tuple(attributes[key]) for key in ("dimensions", "location") if key in attributes}
    return KittiObject(name, box, **known, **threes)  # type: ignore[arg-type]


def _classes(frames: Iterable[LabelledImage]) -> list[str]:
    return sorted({item.class_name for frame in frames for item in frame.objects} - {DONT_CARE})


def _image_files(source: Path) -> list[Path]:
    folder = source / "images"
    if not folder.is_dir():
        raise ConvertError(f"{folder}: expected a folder of images, found none")
    files = sorted(path for path in folder.iterdir() if is_image(path))
    stems = [path.stem for path in files]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []
    if twice:
        raise ConvertError(
            f"{folder}: expected one image for each label file, found several named {twice[0]!r}"
        )
    if not files:
        raise ConvertError(f"{folder}: expected images ({', '.join(IMAGE_SUFFIXES)}), found none")
    return files


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ConvertError(f"{path}: expected an image that {COCO_FILE} names, found no such file")
    return path


def _size(image: Path) -> tuple[int, int]:
    pixels = cv2.imread(str(image), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ConvertError(f"{image}: expected an image, found a file that does not decode")
    return pixels.shape[1], pixels.shape[0]


def _short(value: float) -> float:
    """Round to a thousandth of a pixel, which undoes the rounding of sums and differences."""
    return round(value, 3)


_READERS: dict[str, Callable[[Path], list[LabelledImage]]] = {
    "kitti": read_kitti,
    "coco": read_coco,
    "yolo": read_yolo,
    "tao": read_tao,
}
_WRITERS: dict[str, Callable[[Path, Sequence[LabelledImage]], None]] = {
    "kitti": write_kitti,
    "coco": write_coco,
    "yolo": write_yolo,
    "tao": write_kitti,
}
