"""Fills the stage around the trucks: rows of goods, parked vehicles, people and small things."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from palletjack_sdg.frame_plan import Role
from palletjack_sdg.layouts.stage import Piece, Row, Stage, TruckView, standing
from palletjack_sdg.objects import catalog
from palletjack_sdg.objects.family import ObjectParams
from palletjack_sdg.seeding import draw_uniform, draw_weighted

STACKABLE = {"collar_pallet": 5, "loaded_pallet": 2, "wooden_crate": 4}
"""Families that stand on their own kind, and how high people stack them."""
CEILING_GAP_M = 0.3


def fill_rows(stage: Stage, rng: np.random.Generator) -> None:
    """Fill every row from one end to the other with goods and gaps, as far as the budget goes.

    Rows in view of the camera, nearest first, so that the budget is spent where it is seen.
    """
    goods = stage.recipe.distractors.goods
    for row in sorted(stage.rows, key=lambda row: _remoteness(stage, row)):
        if stage.full():
            return
        _fill_row(stage, row, _row_taste(goods, rng), rng)


def _remoteness(stage: Stage, row: Row) -> float:
    """Distance from the camera to the row's nearest visible point; large where none is in view."""
    eye_x, eye_y, _ = stage.eye()
    best = 1e6
    for share in np.linspace(0, 1, 9):
        x, y = row.point(share * row.length, row.depth / 2)
        if stage.in_view(x, y):
            best = min(best, math.hypot(x - eye_x, y - eye_y))
    return best


def _row_taste(goods: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Return weights in which one or two families dominate, as in a real row."""
    names = list(goods)
    sharpened = {name: goods[name] * float(rng.gamma(0.7)) for name in names}
    return sharpened if sum(sharpened.values()) > 0 else dict(goods)


def _fill_row(stage: Stage, row: Row, taste: Mapping[str, float], rng: np.random.Generator) -> None:
    fill = draw_uniform(rng, stage.recipe.distractors.row_fill) * row.fill
    along = draw_uniform(rng, (0.0, 0.4))
    family = draw_weighted(rng, taste)
    while along < row.length and not stage.full():
        if rng.random() < 0.35:
            family = draw_weighted(rng, taste)
        params = stage.draw_params(family, rng, variants=3)
        pieces = _slot(stage, row, along, family, params, rng)
        width = _width_along(row, pieces)
        if along + width > row.length:
            return
        if rng.random() > fill:
            along += draw_uniform(rng, (0.3, 1.6))
        elif stage.place(family, pieces):
            _fill_behind(stage, row, pieces[0], params, rng)
            along += width + draw_uniform(rng, (0.03, 0.2))
        else:
            along += 0.3


def _fill_behind(
    stage: Stage, row: Row, front: Piece, params: ObjectParams, rng: np.random.Generator
) -> None:
    """Stand more of the same kind behind ``front``, as storage lanes are filled."""
    depth = 2 * max(front.boxes[0].half_length, front.boxes[0].half_width)
    for lane in range(1, row.lanes):
        if rng.random() < 0.4 or stage.full():
            return
        inward = lane * (depth + draw_uniform(rng, (0.03, 0.12)))
        x = front.x - inward * math.cos(row.normal)
        y = front.y - inward * math.sin(row.normal)
        if not stage.place(front.family, [standing(front.family, params, "goods", x, y, front.yaw)]):
            return


def _width_along(row: Row, pieces: list[Piece]) -> float:
    corners = np.concatenate([box.corners() for piece in pieces for box in piece.boxes])
    direction = np.array([-math.sin(row.normal), math.cos(row.normal)])
    spread = corners @ direction
    return float(spread.max() - spread.min())


def _slot(
    stage: Stage, row: Row, along: float, family: str, params: ObjectParams, rng: np.random.Generator
) -> list[Piece]:
    """Return the goods at ``along``: their front face at the row's front line, perhaps a stack of them."""
    low, high = catalog.build(family, params).bounds()
    # Goods show their fork side to the free floor; now and then their long side.
    turned = rng.random() < 0.15
    depth = float(high[1] - low[1] if turned else high[0] - low[0])
    width = float(high[0] - low[0] if turned else high[1] - low[1])
    inward = depth / 2 + draw_uniform(rng, (-0.05, 0.15))
    if row.wall:
        inward = max(inward, row.depth - depth / 2 - draw_uniform(rng, (0.0, 0.25)))
    x, y = row.point(along + width / 2, inward)
    yaw = row.normal + (math.pi / 2 if turned else 0.0) + math.radians(float(rng.normal(0.0, 2.5)))
    if rng.random() < 0.5:
        yaw += math.pi
    offset_x, offset_y = -(float(low[0]) + float(high[0])) / 2, -(float(low[1]) + float(high[1])) / 2
    x, y = (
        x + math.cos(yaw) * offset_x - math.sin(yaw) * offset_y,
        y + math.sin(yaw) * offset_x + math.cos(yaw) * offset_y,
    )
    pieces = [standing(family, params, "goods", x, y, yaw)]
    level = _top_of(family, params)
    most = STACKABLE.get(family, 1)
    if most > 1 and rng.random() < 0.55:
        for _ in range(int(rng.integers(1, most))):
            # A real stack repeats its kind; stack no higher than a forklift would.
            above = stage.draw_params(family, rng) if rng.random() < 0.4 else params
            upper = standing(family, above, "goods", x, y, yaw + float(rng.normal(0.0, 0.008)), z=level)
            if upper.boxes[0].z1 > min(stage.room.height - CEILING_GAP_M, 5.0) or not _carries(
                pieces[-1], upper
            ):
                break
            pieces.append(upper)
            level += _top_of(family, above)
    return pieces


def _top_of(family: str, params: ObjectParams) -> float:
    prop = catalog.build(family, params)
    return float(prop.anchors["top"][2]) if "top" in prop.anchors else float(prop.bounds()[1][2])


def _carries(lower: Piece, upper: Piece) -> bool:
    """Tell whether ``upper``'s footprint rests on ``lower``'s, within 6 cm."""
    below, above = lower.boxes[0], upper.boxes[0]
    return (
        above.half_length <= below.half_length + 0.06
        and above.half_width <= below.half_width + 0.06
        and "stack" not in lower.family
    )


def park_vehicles(stage: Stage, rng: np.random.Generator) -> None:
    """Park forklifts and the like, and trolleys, in view on the free floor."""
    section = stage.recipe.distractors
    kinds: tuple[tuple[dict[str, float], tuple[int, int], Role], ...] = (
        (section.vehicles, section.vehicle_count, "vehicle"),
        (section.trolleys, section.trolley_count, "trolley"),
    )
    for weights, bounds, role in kinds:
        for _ in range(_draw_count(bounds, rng)):
            family = draw_weighted(rng, weights)
            params = stage.draw_params(family, rng, variants=2)
            near = (1.8, 16.0) if role == "trolley" else (1.9, 18.0)
            beside_truck = _beside_truck(stage, rng)
            for _ in range(6):
                x, y, yaw = _parking(stage, near, rng)
                if beside_truck:
                    x, y = _truck_spot(stage, rng)
                if stage.place(family, [standing(family, params, role, x, y, yaw)]):
                    break


def _draw_count(bounds: tuple[int, int], rng: np.random.Generator) -> int:
    """Draw a number from ``bounds``, small ones more often."""
    return bounds[0] + int((bounds[1] - bounds[0] + 1) * float(rng.random()) ** 1.6)


def _parking(
    stage: Stage, distance: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Return a spot in a row, square to it, or one on the open floor in view, at any angle."""
    if stage.rows and rng.random() < 0.5:
        row = stage.rows[int(rng.integers(len(stage.rows)))]
        x, y = row.point(draw_uniform(rng, (0.3, max(0.4, row.length - 0.3))), draw_uniform(rng, (0.2, 0.8)))
        quarter = int(rng.integers(4)) * math.pi / 2
        return x, y, row.normal + quarter + math.radians(float(rng.normal(0.0, 4.0)))
    x, y = open_spot(stage, distance, rng)
    return x, y, draw_uniform(rng, (0.0, 2 * math.pi))


def _beside_truck(stage: Stage, rng: np.random.Generator) -> bool:
    """Whether the next object stands close to a pallet truck."""
    return bool(rng.random() < stage.recipe.distractors.near_truck) and bool(stage.trucks)


def _truck_spot(stage: Stage, rng: np.random.Generator) -> tuple[float, float]:
    """Return a floor point 0.7 to 2.2 m from one of the frame's trucks, more often behind than before it."""
    truck = stage.trucks[int(rng.integers(len(stage.trucks)))]
    eye_x, eye_y, _ = stage.eye()
    bearing = sum(truck.bearing) / 2
    side = float(rng.normal(0.0, 1.1))
    reach = draw_uniform(rng, (0.7, 2.2))
    x = eye_x + truck.distance * math.cos(bearing) + reach * math.cos(bearing + side)
    y = eye_y + truck.distance * math.sin(bearing) + reach * math.sin(bearing + side)
    return x, y


def open_spot(stage: Stage, distance: tuple[float, float], rng: np.random.Generator) -> tuple[float, float]:
    """Return a floor point in view, its distance drawn on a logarithmic scale."""
    half = math.radians(stage.optics.hfov_deg / 2)
    bearing = math.radians(stage.optics.yaw_deg) + draw_uniform(rng, (-half, half))
    reach = math.exp(draw_uniform(rng, (math.log(distance[0]), math.log(distance[1]))))
    eye_x, eye_y, _ = stage.eye()
    return eye_x + reach * math.cos(bearing), eye_y + reach * math.sin(bearing)


def place_people(stage: Stage, rng: np.random.Generator) -> None:
    """Place people on the free floor; now and then somebody's legs close to the camera."""
    section = stage.recipe.distractors
    spans = [(2.4, 15.0)] * _draw_count(section.people_count, rng)
    if rng.random() < section.near_person:
        spans.append((0.9, 1.8))
    for span in spans:
        family = draw_weighted(rng, section.people)
        params = stage.draw_params(family, rng, variants=3)
        beside_truck = _beside_truck(stage, rng)
        for _ in range(6):
            x, y = open_spot(stage, span, rng)
            if beside_truck:
                x, y = _truck_spot(stage, rng)
            piece = standing(family, params, "person", x, y, draw_uniform(rng, (0.0, 2 * math.pi)))
            if stage.place(family, [piece]):
                break
    for truck in stage.trucks:
        if rng.random() < section.behind_truck:
            _stand_behind(stage, truck, rng)


def _stand_behind(stage: Stage, truck: TruckView, rng: np.random.Generator) -> None:
    """Stand somebody right behind ``truck`` as the camera sees it: legs where its tiller might be."""
    family = draw_weighted(rng, stage.recipe.distractors.people)
    params = stage.draw_params(family, rng, variants=3)
    eye_x, eye_y, _ = stage.eye()
    for _ in range(5):
        bearing = draw_uniform(rng, truck.bearing)
        reach = truck.distance + draw_uniform(rng, (0.45, 1.6))
        x, y = eye_x + reach * math.cos(bearing), eye_y + reach * math.sin(bearing)
        piece = standing(family, params, "person", x, y, draw_uniform(rng, (0.0, 2 * math.pi)))
        if stage.place(family, [piece]):
            return


def top_up(stage: Stage, rng: np.random.Generator) -> None:
    """Stand single goods on the open floor until the frame holds as much as the recipe asks at least."""
    section = stage.recipe.distractors
    for _ in range(40):
        if stage.placed_count() >= min(section.instances[0], stage.budget):
            return
        family = draw_weighted(rng, section.goods)
        params = stage.draw_params(family, rng, variants=3)
        x, y = open_spot(stage, (2.5, 14.0), rng)
        yaw = math.pi / 2 * int(rng.integers(4)) + math.radians(float(rng.normal(0.0, 4.0)))
        stage.place(family, [standing(family, params, "goods", x, y, yaw)])


def scatter_clutter(stage: Stage, rng: np.random.Generator) -> None:
    """Scatter small things: along the rows' front lines and over the open floor."""
    section = stage.recipe.distractors
    for _ in range(int(rng.integers(section.clutter_count[0], section.clutter_count[1] + 1))):
        if stage.full():
            return
        family = draw_weighted(rng, section.clutter)
        params = stage.draw_params(family, rng, variants=2)
        for _ in range(4):
            if stage.rows and rng.random() < 0.6:
                row = stage.rows[int(rng.integers(len(stage.rows)))]
                x, y = row.point(draw_uniform(rng, (0.0, row.length)), draw_uniform(rng, (-0.5, 0.3)))
            else:
                x, y = open_spot(stage, (1.6, 12.0), rng)
            piece = standing(family, params, "clutter", x, y, draw_uniform(rng, (0.0, 2 * math.pi)))
            if stage.in_view(x, y) and stage.place(family, [piece]):
                break
