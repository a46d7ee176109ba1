"""Annotations beside KITTI: what a label file cannot say of an object, as one JSON document a frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from palletjack_sdg.frame_plan import FramePlan, ObjectPlan
from palletjack_sdg.kitti import DONT_CARE
from palletjack_sdg.labels import JudgedInstance, box_3d, wrap_angle
from palletjack_sdg.scene import Camera, Scene
from palletjack_sdg.visibility import Box

ANNOTATIONS_FORMAT = "palletjack-annotations/1"


def describe_frame(plan: FramePlan, camera: Camera, judged: Iterable[JudgedInstance]) -> dict[str, Any]:
    """Return the document of one frame: the camera, and every instance of a labelled class that shows.

    Boxes are edges in pixels (xmin, ymin, xmax, ymax) of the distorted image. ``visible_box`` holds every
    visible pixel, ``label_box`` leaves out small pieces apart, ``frame_box`` is that of the object inside
    the frame with nothing before it, ``full_box`` that of the whole projection, up to one frame size
    around the frame. ``box_3d`` lies in the camera's frame (x right, y down, z ahead): ``size`` is length,
    width, height and ``center`` its middle, both in metres; ``yaw`` is KITTI's rotation_y, ``alpha`` the
    observation angle, both in radians. ``reasons`` says which limits an object misses that is not labelled.
    """
    planned = {entry.id: entry for entry in plan.objects}
    return {
        "format": ANNOTATIONS_FORMAT,
        "recipe": plan.recipe,
        "seed": plan.seed,
        "index": plan.index,
        "zone": plan.zone,
        "camera": {
            "width": camera.width,
            "height": camera.height,
            "focal_px": round(camera.focal_px, 4),
            "center_px": [camera.width / 2.0, camera.height / 2.0],
            "distortion": list(camera.distortion),
            "pose": [[round(float(value), 6) for value in row] for row in camera.pose],
        },
        "instances": [_instance(item, camera, planned) for item in judged],
    }


def instance_table(scene: Scene, plan: FramePlan) -> dict[str, Any]:
    """Return the meaning of the values of an instance mask: id to family, role, state and class."""
    planned = {entry.id: entry for entry in plan.objects}
    return {
        str(instance.instance_id): {
            "class": instance.label,
            **_identity(planned.get(instance.instance_id), instance.prop.category),
        }
        for instance in scene.instances
    }


def _instance(item: JudgedInstance, camera: Camera, planned: Mapping[int, ObjectPlan]) -> dict[str, Any]:
    seen, extent = item.seen, item.seen.extent
    (height, width, length), (x, _, z), yaw = box_3d(item.instance, camera)
    _, center, _ = box_3d(item.instance, camera, up=0.5)
    if item.label is None:
        decision = "left out"
    else:
        decision = DONT_CARE if item.label.class_name == DONT_CARE else "labelled"
    return {
        "id": item.instance.instance_id,
        "class": item.instance.label,
        **_identity(planned.get(item.instance.instance_id), item.instance.prop.category),
        "visible_pixels": seen.visible_pixels,
        "visible_box": _rounded(seen.tight_box),
        "label_box": _rounded(seen.box),
        "frame_box": _rounded(extent.frame_box) if extent.frame_box else None,
        "full_box": _rounded(extent.full_box),
        "occlusion": round(1.0 - seen.visible_share, 4),
        "truncation": round(seen.truncated, 4),
        "box_3d": {
            "size": [round(value, 4) for value in (length, width, height)],
            "center": [round(value, 4) for value in center],
            "yaw": round(yaw, 5),
        },
        "alpha": round(wrap_angle(yaw - math.atan2(x, z)), 5),
        "decision": decision,
        "reasons": list(item.reasons),
    }


def _identity(entry: ObjectPlan | None, category: str) -> dict[str, Any]:
    if entry is None:
        return {"family": category, "kind": None, "role": None, "state": None}
    kind = entry.params.get("variant")
    return {"family": entry.family, "kind": kind, "role": entry.role, "state": entry.state}


def _rounded(box: Box) -> list[float]:
    return [round(value, 2) for value in box]
