"""Places the pallet trucks: draws where one is wanted in the image, and takes a proposal that is seen so."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from palletjack_sdg.camera_plan import bearing_of_column
from palletjack_sdg.layouts.fleet import Fleet, bag_on_tiller, truck_piece
from palletjack_sdg.layouts.stage import Piece, Stage, TruckView
from palletjack_sdg.layouts.truck_states import PROPOSERS, Aim, Proposal
from palletjack_sdg.objects.pallet_truck import CATEGORY
from palletjack_sdg.placement import TOLERANCE_M, FloorBox, overlap_m
from palletjack_sdg.recipe import TruckState
from palletjack_sdg.seeding import draw_log_uniform, draw_uniform, draw_weighted

TRUCK_HEIGHT_M = 1.2
REFERENCE_ROWS = 544
FARTHEST_M = 30.0
NEAREST_M, NEAREST_CLOSE_M = 1.0, 0.8
AIM_TRIES = 8
MOST_TRIES = 28
NEIGHBOUR_M = (0.6, 0.9)
"""From one truck's middle to that of another beside it; a truck is some 0.55 m wide."""
# After so many in vain the frame does without a truck right before the camera.
CLOSE_TRIES = 70


def place_trucks(stage: Stage, rng: np.random.Generator) -> None:
    """Place the frame's trucks with what belongs to them; notes what was wanted in ``stage.notes``."""
    section = stage.recipe.trucks
    wanted = 0
    if rng.random() >= section.empty_frames:
        wanted = draw_weighted(rng, section.count)
    stage.notes["trucks_wanted"] = wanted
    close = section.close > 0 and rng.random() < section.close
    tries, fleet = 0, Fleet(stage, rng)
    most = MOST_TRIES * wanted + (CLOSE_TRIES if close else 0)
    while len(stage.trucks) < wanted and tries < most:
        state = _draw_state(stage, rng)
        for _ in range(7):
            tries += 1
            aim = draw_aim(stage, rng, close=close and not stage.trucks and tries <= CLOSE_TRIES)
            groups = PROPOSERS[state](stage, aim, fleet, rng, wanted - len(stage.trucks))
            groups = _with_bags(stage, _with_neighbour(stage, groups, fleet, rng), rng)
            if _place_if_seen(stage, groups, aim):
                fleet = Fleet(stage, rng)
                break


def _with_neighbour(stage: Stage, groups: Proposal, fleet: Fleet, rng: np.random.Generator) -> Proposal:
    """Stand a second truck close beside one without a load, as often as the recipe says.

    Two that stand so hide each other in part from most sides, and look like one wide truck.
    """
    share = stage.recipe.trucks.neighbour
    if share == 0.0:
        return groups  # before anything is drawn: a recipe without it keeps its frames
    groups = list(groups)
    if len(groups) != 1 or len(groups[0]) != 1 or rng.random() >= share:
        return groups
    first = groups[0][0]
    if first.state not in ("free_standing", "under_rack", "beside"):
        return groups
    aside = float(rng.choice([-1.0, 1.0])) * draw_uniform(rng, NEIGHBOUR_M)
    along = float(rng.normal(0.0, 0.15))
    cos, sin = math.cos(first.yaw), math.sin(first.yaw)
    family, params = fleet.truck("neighbour", 1, {"tiller_yaw_deg": round(float(rng.normal(0.0, 18.0)), 2)})
    second = truck_piece(
        family,
        params,
        first.x + along * cos - aside * sin,
        first.y + along * sin + aside * cos,
        first.yaw + math.radians(float(rng.normal(0.0, 4.0))),
        first.state,
    )
    return [*groups, [second]]


def _with_bags(stage: Stage, groups: Proposal, rng: np.random.Generator) -> Iterator[list[Piece]]:
    """Hang a bag on the handle of a parked truck as often as the recipe says."""
    for group in groups:
        hung = rng.random() < stage.recipe.trucks.bag_on_tiller
        if hung and group[0].state != "pulled" and group[0].family == CATEGORY:
            group = [*group, bag_on_tiller(group[0], rng)]
        yield group


def _draw_state(stage: Stage, rng: np.random.Generator) -> TruckState:
    weights = dict(stage.recipe.trucks.states)
    if not stage.bays:
        weights["under_rack"] = 0.0
    if not stage.rows:
        weights["beside"] = weights["row"] = 0.0
    if sum(weights.values()) <= 0:
        return "free_standing"
    return draw_weighted(rng, weights)


def draw_aim(stage: Stage, rng: np.random.Generator, *, close: bool = False) -> Aim:
    """Draw an image height on a logarithmic scale and a column, and find the floor point they mean.

    ``close``: right before the camera, higher than the image as a rule.
    """
    camera = stage.camera
    if camera is None:
        raise RuntimeError("the camera is placed before the trucks")
    trucks = stage.recipe.trucks
    height_px = draw_log_uniform(rng, trucks.close_height_px if close else trucks.box_height_px)
    focal = camera.focal_px * REFERENCE_ROWS / camera.height
    nearest = NEAREST_CLOSE_M if close else NEAREST_M
    depth = float(np.clip(focal * TRUCK_HEIGHT_M / height_px, nearest, FARTHEST_M))
    cut = rng.random() < 0.12
    eye_x, eye_y, _ = stage.eye()
    for _ in range(AIM_TRIES):
        if close:
            share = draw_uniform(rng, (0.1, 0.9))
        else:
            share = float(rng.choice([-0.02, 1.02])) if cut else draw_uniform(rng, (0.05, 0.95))
        bearing = bearing_of_column(camera, share * camera.width)
        angle = math.radians(stage.optics.yaw_deg) - bearing
        distance = depth / max(0.3, math.cos(bearing))
        x, y = eye_x + distance * math.cos(angle), eye_y + distance * math.sin(angle)
        # Far trucks would be rare if only those aims counted that happen to lie in the room.
        if stage.occupancy.area.contains(FloorBox(x, y, 0.7, 0.7)):
            break
    return Aim(x, y, distance, height_px, cut, close)


def _place_if_seen(stage: Stage, proposal: Proposal, aim: Aim) -> bool:
    """Place all groups if they fit; the first must meet the aim, and every truck must be in view."""
    groups: list[list[Piece]] = []
    views: list[TruckView] = []
    for number, group in enumerate(proposal):
        view = _view_of(stage, group, aim if number == 0 else None)
        if view is None:
            stage.occupancy.refused["truck: not in view as wanted"] += 1
            return False
        groups.append(group)
        views.append(view)
    if not groups:
        return False
    boxes = [box for group in groups for piece in group for box in piece.boxes]
    if not all(stage.occupancy.area.contains(box) for box in boxes):
        stage.occupancy.refused["truck: outside the room"] += 1
        return False
    if stage.occupancy.collides(boxes):
        stage.occupancy.refused["truck: occupied"] += 1
        return False
    if len(groups) > 1 and _groups_collide(groups):
        stage.occupancy.refused["truck: row too tight"] += 1
        return False
    for group, view in zip(groups, views, strict=True):
        object_id = len(stage.objects) + 1
        if not stage.place("truck", group, check=False, close_up=True):
            return False
        stage.trucks.append(replace(view, object_id=object_id, group=stage.groups))
    return True


def _groups_collide(groups: list[list[Piece]]) -> bool:
    for first in range(len(groups)):
        for second in range(first):
            for a in (box for piece in groups[first] for box in piece.boxes):
                for b in (box for piece in groups[second] for box in piece.boxes):
                    if overlap_m(a, b) > TOLERANCE_M:
                        return True
    return False


def _view_of(stage: Stage, group: list[Piece], aim: Aim | None) -> TruckView | None:
    """Return how the camera sees a group's truck, or None if not as ``aim`` asks (or hardly at all)."""
    camera, truck = stage.camera, group[0]
    if camera is None or truck.state is None:
        return None
    box = stage.image_box_of(truck)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    inside = max(0.0, min(x1, camera.width) - max(x0, 0.0)) * max(0.0, min(y1, camera.height) - max(y0, 0.0))
    share = inside / max(1e-6, (x1 - x0) * (y1 - y0))
    if not _cut_as_wanted(share, aim):
        return None
    height = (y1 - y0) * REFERENCE_ROWS / camera.height
    section = stage.recipe.trucks
    lowest, highest = section.close_height_px if aim is not None and aim.close else section.box_height_px
    if not lowest * 0.75 <= height <= highest * 1.15:
        return None
    if aim is not None and not 0.45 <= height / aim.height_px <= 1.9:
        return None
    eye_x, eye_y, _ = stage.eye()
    distance = math.hypot(truck.x - eye_x, truck.y - eye_y)
    view = TruckView(
        object_id=0,
        state=truck.state,
        distance=distance,
        bearing=_bearing_in_image(stage, truck),
        top_z=max(box.z1 for box in truck.boxes),
        box=box,
        group=0,
    )
    own = [box for piece in group[1:] for box in piece.boxes]
    view.hidden = min(1.0, stage.hidden_share(view, own) + stage.hidden_share(view, stage.occupancy.opaque))
    if view.hidden > 1 - stage.recipe.trucks.least_in_sight:
        return None
    return view


def _cut_as_wanted(inside: float, aim: Aim | None) -> bool:
    """Whether the image holds as much of a truck's box (``inside``, a share) as ``aim`` wants."""
    if aim is not None and aim.close:
        return inside >= 0.35
    if aim is not None and aim.cut:
        return 0.25 <= inside <= 0.9
    return inside >= 0.8


def _bearing_in_image(stage: Stage, truck: Piece) -> tuple[float, float]:
    """Return the bearings of the truck's head and tiller as far as the image shows them."""
    low, high = stage.bearing_of(truck.boxes[:2])
    middle, half = math.radians(stage.optics.yaw_deg), math.radians(stage.optics.hfov_deg) / 2
    middle = (low + high) / 2 + (middle - (low + high) / 2 + math.pi) % (2 * math.pi) - math.pi
    shown = max(low, middle - half * 1.08), min(high, middle + half * 1.08)
    return shown if shown[1] - shown[0] > 1e-3 else (low, high)


def clearance(eye: tuple[float, float, float], heading: tuple[float, float]) -> tuple[FloorBox, ...]:
    """Return the floor that the robot itself needs: its body and a short way ahead."""
    x, y, _ = eye
    yaw = math.atan2(heading[1], heading[0])
    return (FloorBox(x + 0.15 * heading[0], y + 0.15 * heading[1], 0.6, 0.4, yaw, 0.0, 2.0),)
