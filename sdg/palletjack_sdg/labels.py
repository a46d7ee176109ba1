"""Labels of a rendered frame: which objects count, as KITTI objects.

A person draws a box around what is plainly there, and does not stretch it for a sliver of a fork
that shows between the boards of a pallet. So the box leaves out pieces of the mask that lie apart
and are small beside the largest one. How visibility is measured: ``visibility``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from palletjack_sdg.kitti import DONT_CARE, KittiObject
from palletjack_sdg.label_rules import LabelRules
from palletjack_sdg.projection import to_camera
from palletjack_sdg.render.base import RenderResult
from palletjack_sdg.scene import Camera, Instance, Scene
from palletjack_sdg.visibility import Visibility, measure_visibility


@dataclass(frozen=True)
class JudgedInstance:
    """An instance of a labelled class of which at least one pixel shows.

    ``label`` is its line of the label file, None if it is left out. ``reasons`` says which limits of the
    rules it misses; without one it counts.
    """

    instance: Instance
    seen: Visibility
    reasons: tuple[str, ...]
    label: KittiObject | None

    @property
    def counts(self) -> bool:
        """Whether a detector should find it."""
        return not self.reasons


def judge_frame(scene: Scene, result: RenderResult, rules: LabelRules | None = None) -> list[JudgedInstance]:
    """Measure and judge every instance of a labelled class that shows, in the order of the scene.

    Raises:
        ValueError: the masks have another size than the camera's image.
    """
    rules = rules or LabelRules()
    camera = scene.camera
    if result.instance_ids.shape != (camera.height, camera.width):
        raise ValueError(
            f"instance_ids: expected shape {(camera.height, camera.width)}, found {result.instance_ids.shape}"
        )
    judged = []
    for instance in scene.instances:
        if instance.label is None:
            continue
        seen = measure_visibility(instance, camera, result.instance_ids, rules.min_piece_share)
        if seen is None:
            continue
        if seen.visible_pixels < rules.ignored_pixels:
            reasons: tuple[str, ...] = (
                f"{seen.visible_pixels} visible pixels, under ignored_pixels {rules.ignored_pixels}",
            )
            label = None
        else:
            reasons = missed_limits(seen, rules)
            label = KittiObject(DONT_CARE, seen.box) if reasons else to_kitti(instance, camera, seen, rules)
        judged.append(JudgedInstance(instance, seen, reasons, label))
    return judged


def label_lines(judged: Iterable[JudgedInstance]) -> list[KittiObject]:
    """Return the labels, nearest object first, regions to ignore last."""
    labels = [item.label for item in judged if item.label is not None]
    objects = [item for item in labels if item.class_name != DONT_CARE]
    objects.sort(key=lambda item: item.location[2])
    return objects + [item for item in labels if item.class_name == DONT_CARE]


def label_frame(scene: Scene, result: RenderResult, rules: LabelRules | None = None) -> list[KittiObject]:
    """Return the labels of a frame, nearest object first, regions to ignore last.

    Raises:
        ValueError: the masks have another size than the camera's image.
    """
    return label_lines(judge_frame(scene, result, rules))


def missed_limits(seen: Visibility, rules: LabelRules) -> tuple[str, ...]:
    """Return, in words, the limits that keep an object from counting; none if it counts."""
    xmin, ymin, xmax, ymax = seen.box
    width, height = xmax - xmin, ymax - ymin
    fill = seen.visible_pixels / (width * height)
    limits = (
        (width < rules.min_width_px, f"width {width:.0f} px, under min_width_px {rules.min_width_px:g}"),
        (
            height < rules.min_height_px,
            f"height {height:.0f} px, under min_height_px {rules.min_height_px:g}",
        ),
        (
            seen.visible_pixels < rules.min_visible_pixels,
            f"{seen.visible_pixels} visible pixels, under min_visible_pixels {rules.min_visible_pixels}",
        ),
        (
            seen.visible_share < rules.min_visible_share,
            f"{seen.visible_share:.3f} visible, under min_visible_share {rules.min_visible_share:g}",
        ),
        (
            fill < rules.min_box_fill,
            f"{fill:.3f} of the box shows, under min_box_fill {rules.min_box_fill:g}",
        ),
        (
            seen.truncated > rules.max_truncated,
            f"{seen.truncated:.3f} outside the image, over max_truncated {rules.max_truncated:g}",
        ),
    )
    return tuple(words for missed, words in limits if missed)


def to_kitti(instance: Instance, camera: Camera, seen: Visibility, rules: LabelRules) -> KittiObject:
    """Return the KITTI object of a labelled ``instance``; see docs/dataset.md for the columns."""
    dimensions, location, rotation_y = box_3d(instance, camera)
    levels = (rules.fully_visible, rules.partly_visible)
    assert instance.label is not None
    return KittiObject(
        class_name=instance.label,
        box=seen.box,
        truncated=round(seen.truncated, 4),
        occluded=sum(seen.visible_share < level for level in levels),
        alpha=wrap_angle(rotation_y - float(np.arctan2(location[0], location[2]))),
        dimensions=dimensions,
        location=location,
        rotation_y=rotation_y,
    )


def box_3d(
    instance: Instance, camera: Camera, up: float = 0.0
) -> tuple[tuple[float, float, float], tuple[float, float, float], float]:
    """Return (height, width, length), bottom centre and heading as KITTI defines them.

    The centre is taken at the share ``up`` of the height: 0.5 gives the middle of the box.

    Length runs along the object's x axis, width along y and height along z, in metres; the bottom
    centre is that of its box in the camera frame. The heading is the angle from the camera's x axis
    to the object's, about the camera's y axis: 0 looks right, -pi/2 away. A pitched or rolled
    camera makes it an approximation, as in KITTI.
    """
    low, high = instance.prop.bounds()
    size = high - low
    center = np.array(
        [(low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0, low[2] + up * size[2]], dtype=float
    )
    world = instance.pose[:3, :3] @ center + instance.pose[:3, 3]
    x, y, z = to_camera(camera, world[None])[0]
    forward = camera.pose[:3, :3].T @ instance.pose[:3, 0]
    heading = float(np.arctan2(-forward[2], forward[0]))
    return (float(size[2]), float(size[1]), float(size[0])), (float(x), float(y), float(z)), heading


def wrap_angle(angle: float) -> float:
    """Return ``angle`` in -pi..pi."""
    return float((angle + np.pi) % (2.0 * np.pi) - np.pi)
