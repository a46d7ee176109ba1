"""Pallet trucks as pieces of a layout: their parameters, the boxes they fill, and what is on their forks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.geometry import Part
from palletjack_sdg.layouts.stage import Piece, Stage, standing, to_world
from palletjack_sdg.objects import catalog
from palletjack_sdg.objects.family import ObjectParams
from palletjack_sdg.objects.pallet_truck import CATEGORY, sample_pallet_truck
from palletjack_sdg.placement import FloorBox, box_from_bounds
from palletjack_sdg.recipe import TruckState
from palletjack_sdg.seeding import draw_uniform, draw_weighted

LABEL = "palletjack"
HEEL_M = 0.03
"""Where the forks begin, ahead of the load side of a truck's back plate."""
TILLER_FOOT_M = 0.55
"""Above this height only the tiller is left."""
PALLET_CLEARANCE_M = 0.1
"""Height of the opening under a EUR pallet's cross boards (EN 13698-1)."""


@dataclass
class Fleet:
    """The trucks and loads of one series of attempts: drawn once, so that they are also built only once."""

    stage: Stage
    rng: np.random.Generator
    _trucks: list[tuple[str, ObjectParams]] = field(default_factory=list)
    _posed: dict[tuple[str, int], ObjectParams] = field(default_factory=dict)
    _load: tuple[str, ObjectParams] | None = None

    def truck(
        self, pose_name: str = "", number: int = 0, pose: Mapping[str, float] | None = None
    ) -> tuple[str, ObjectParams]:
        """Return the ``number``-th truck's family and parameters.

        ``pose`` replaces some of them; it holds from the first mention of ``pose_name`` on.
        """
        while len(self._trucks) <= number:
            self._trucks.append(_draw_truck(self.stage, self.rng))
        family, params = self._trucks[number]
        key = (pose_name, number)
        if key not in self._posed:
            self._posed[key] = posed(params, pose or {})
        return family, self._posed[key]

    def has_forks(self) -> bool:
        """Whether the first truck can carry and be pulled: a mesh of a pack stands as it is."""
        if set(self.stage.recipe.trucks.families) == {CATEGORY}:
            return True
        family, params = self.truck()
        return "fork_tip" in catalog.build(family, params).anchors

    def load(self) -> tuple[str, ObjectParams]:
        """Return what the forks carry."""
        if self._load is None:
            family = draw_weighted(self.rng, self.stage.recipe.trucks.loads)
            self._load = family, self.stage.draw_params(family, self.rng, variants=3)
        return self._load


def _draw_truck(stage: Stage, rng: np.random.Generator) -> tuple[str, ObjectParams]:
    """Draw a truck; a parked one's tiller stands upright as often as the recipe says."""
    section = stage.recipe.trucks
    family = draw_weighted(rng, section.families)
    params = sample_pallet_truck(rng, section) if family == CATEGORY else catalog.sample(family, rng)
    if rng.random() < section.upright:
        lean = draw_uniform(rng, (0.0, 11.0))
    else:
        lean = draw_uniform(rng, section.tiller_lean_deg)
    return family, posed(params, {"tiller_lean_deg": round(lean, 2)})


def posed(params: ObjectParams, pose: Mapping[str, float]) -> ObjectParams:
    """Return ``params`` with those of ``pose`` that they have: a mesh of a pack moves nothing."""
    known = {name: value for name, value in pose.items() if name in type(params).model_fields}
    return catalog.changed(params, **known) if known else params


def truck_piece(
    family: str, params: ObjectParams, x: float, y: float, yaw: float, state: TruckState
) -> Piece:
    """Return a truck with its boxes: chassis, tiller, and forks."""
    boxes = tuple(box.moved(x, y, yaw) for box in _own_boxes(family, params.model_dump_json()))
    label = getattr(params, "class_name", None) or LABEL
    return Piece(family, params, "truck", x, y, yaw, 0.0, boxes, label, state)


@lru_cache(maxsize=64)
def _own_boxes(family: str, params_json: str) -> tuple[FloorBox, ...]:
    """A truck's boxes in its own frame; kept, since many spots are tried with each truck."""
    params_type = catalog.find_family(family).params_type
    prop = catalog.build(family, params_type.model_validate_json(params_json))
    # A blade or a tiller has corners at both ends only: where it crosses a border it belongs to both sides.
    points = np.concatenate([_points_with_crossings(part) for part in prop.parts])
    x, z = points[:, 0], points[:, 2]
    head = x <= HEEL_M
    masks = (head & (z <= TILLER_FOOT_M), head & (z >= TILLER_FOOT_M), x >= HEEL_M)
    return tuple(
        box_from_bounds(points[mask].min(axis=0).tolist(), points[mask].max(axis=0).tolist())
        for mask in masks
        if mask.any()
    )


def _points_with_crossings(part: Part) -> NDArray[np.float64]:
    """The vertices (N, 3) of a part, and where its edges cross the borders between a truck's boxes."""
    vertices = part.vertices.astype(np.float64)
    ends = vertices[part.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)]
    found = [vertices]
    for axis, border in ((0, HEEL_M), (2, TILLER_FOOT_M)):
        first, second = ends[:, 0, axis] - border, ends[:, 1, axis] - border
        crossing = first * second < 0.0
        share = first[crossing] / (first[crossing] - second[crossing])
        points = ends[crossing, 0] + share[:, None] * (ends[crossing, 1] - ends[crossing, 0])
        points[:, axis] = border
        found.append(points)
    return np.concatenate(found)


def loaded_truck(
    fleet: Fleet,
    state: TruckState,
    x: float,
    y: float,
    yaw: float,
    rng: np.random.Generator,
    *,
    raised: bool,
    pose: Mapping[str, float] | None = None,
) -> list[Piece]:
    """Return a truck with its forks in a pallet: the pallet stands on the floor or hangs on the forks."""
    lift = draw_uniform(rng, (0.03, 0.1)) if raised else 0.0
    family, params = fleet.truck(
        "pulled loaded" if state == "pulled" else "loaded", pose={"lift": round(lift, 4), **(pose or {})}
    )
    load_family, load = fleet.load()
    width = float(getattr(params, "fork_outer_width", 0.54))
    if width > 0.58 and float(getattr(load, "width", 1.0)) < 0.95:
        load = catalog.changed(load, width=1.0)
    low = catalog.build(load_family, load).bounds()[0]
    fork_top = float(catalog.build(family, params).anchors["fork_tip"][2])
    level = max(0.0, fork_top - PALLET_CLEARANCE_M)
    gap = draw_uniform(rng, (0.02, 0.16))
    center = gap - float(low[0])
    load_x, load_y = x + math.cos(yaw) * center, y + math.sin(yaw) * center
    return [
        truck_piece(family, params, x, y, yaw, state),
        standing(load_family, load, "load", load_x, load_y, yaw, z=round(level, 4)),
    ]


def carton_on_forks(truck: Piece, rng: np.random.Generator) -> Piece:
    """Return a carton that lies across both forks of ``truck``, near the back plate or further out."""
    tip_x, _, fork_top = truck.prop().anchors["fork_tip"]
    width = float(getattr(truck.params, "fork_outer_width", 0.54)) * draw_uniform(rng, (0.95, 1.2))
    size = (draw_uniform(rng, (0.3, 0.6)), width, draw_uniform(rng, (0.2, 0.55)))
    params = catalog.changed(
        catalog.sample("cartons", rng), count=1, size=[round(min(edge, 0.8), 3) for edge in size]
    )
    low, high = catalog.build("cartons", params).bounds()
    reach = float(high[0] - low[0])
    start = draw_uniform(rng, (0.03, max(0.04, tip_x - reach - 0.1)))
    ahead = start - float(low[0])
    x = truck.x + math.cos(truck.yaw) * ahead
    y = truck.y + math.sin(truck.yaw) * ahead
    return standing("cartons", params, "load", x, y, truck.yaw, z=round(fork_top, 4))


def bag_on_tiller(truck: Piece, rng: np.random.Generator) -> Piece:
    """Return a bag or jacket that hangs on one side of ``truck``'s handle."""
    side = "hand_left" if rng.random() < 0.5 else "hand_right"
    x, y, z = to_world(truck.x, truck.y, truck.yaw, truck.prop().anchors[side])
    turn = math.radians(float(getattr(truck.params, "tiller_yaw_deg", 0.0)) + float(rng.normal(0.0, 12.0)))
    params = catalog.sample("bag", rng)
    return standing("bag", params, "load", x, y, truck.yaw + turn, z=round(z + truck.z, 4))
