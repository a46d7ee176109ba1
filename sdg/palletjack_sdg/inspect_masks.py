"""Checks of what a data set may hold beside images and labels: annotations and instance masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from palletjack_sdg.kitti import DONT_CARE, KittiObject

# Rounding of the label's two decimals.
TOLERANCE_PX = 0.011


def read_annotations(root: Path, stem: str, problems: list[str]) -> list[dict[str, Any]] | None:
    """Return the instances of a frame's annotations, None where there are none or they cannot be read."""
    path = root / "annotations" / f"{stem}.json"
    if not path.is_file():
        return None
    try:
        instances = json.loads(path.read_text(encoding="utf-8"))["instances"]
        return [dict(item) for item in instances]
    except (ValueError, KeyError, TypeError) as error:
        problems.append(f"{path}: expected annotations with a list 'instances', found {error!r}")
        return None


def check_annotations(
    path: Path, instances: Sequence[dict[str, Any]], objects: Sequence[KittiObject]
) -> list[str]:
    """Compare label boxes with those of the annotations, both ways; return what is wrong."""
    problems = []
    for decision, found in (
        ("labelled", [item for item in objects if item.class_name != DONT_CARE]),
        (DONT_CARE, [item for item in objects if item.class_name == DONT_CARE]),
    ):
        expected = [item["label_box"] for item in instances if item.get("decision") == decision]
        boxes = [list(item.box) for item in found]
        lost = [box for box in expected if not any(_close(box, other) for other in boxes)]
        extra = [box for box in boxes if not any(_close(box, other) for other in expected)]
        problems += [
            f"{path}: expected a {decision} box {box} as in annotations/, found none" for box in lost
        ]
        problems += [f"{path}: expected no {decision} box {box}: annotations/ has none" for box in extra]
    return problems


def check_masks(
    root: Path, stem: str, size: tuple[int, int], instances: Sequence[dict[str, Any]]
) -> list[str]:
    """Compare the boxes and areas of the annotations with the mask of ``size`` (height, width)."""
    path = root / "masks" / f"{stem}.png"
    if not path.is_file():
        return []
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.shape != size:
        found = "a file that does not decode" if mask is None else f"shape {mask.shape}"
        return [f"{path}: expected a mask of shape {size}, found {found}"]
    problems = []
    for item in instances:
        rows, columns = np.nonzero(mask == item["id"])
        if len(rows) != item["visible_pixels"]:
            problems.append(
                f"{path}: instance {item['id']}: expected {item['visible_pixels']} pixels, found {len(rows)}"
            )
        elif len(rows):
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            if not _close(box, item["visible_box"]):
                problems.append(
                    f"{path}: instance {item['id']}: expected the box {item['visible_box']}, "
                    f"found {[int(value) for value in box]}"
                )
    return problems


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    return max(abs(float(a) - float(b)) for a, b in zip(one, other, strict=True)) <= TOLERANCE_PX
