"""Puts something between the camera and a truck on purpose, so that it hides a part of it."""

from __future__ import annotations

import math

import numpy as np

from palletjack_sdg.layouts.fittings import ON_WALLS, UNDER_CEILING
from palletjack_sdg.layouts.stage import Stage, TruckView, standing
from palletjack_sdg.seeding import draw_uniform, draw_weighted


def occlude_truck(stage: Stage, rng: np.random.Generator) -> None:
    """With the recipe's chance, cover 15 to 75 % of one truck's width from one side."""
    if not stage.trucks or rng.random() >= stage.recipe.trucks.occluded:
        return
    choices = [truck for truck in stage.trucks if truck.distance > 2.0 and truck.hidden < 0.3]
    if not choices:
        return
    truck = choices[int(rng.integers(len(choices)))]
    section = stage.recipe.distractors
    posts = {
        name: weight for name, weight in section.fixtures.items() if name not in (*ON_WALLS, *UNDER_CEILING)
    }
    pools = [section.goods, section.goods, section.trolleys, section.vehicles, section.people]
    if sum(posts.values()) > 0:
        pools.append(posts)
    for _ in range(8):
        family = draw_weighted(rng, pools[int(rng.integers(len(pools)))])
        if _try_before(stage, truck, family, rng):
            stage.notes["occluder"] = family
            return


def _try_before(stage: Stage, truck: TruckView, family: str, rng: np.random.Generator) -> bool:
    """Place one object of ``family`` so that its edge falls within the truck's interval of bearings."""
    params = stage.draw_params(family, rng, variants=3)
    eye_x, eye_y, _ = stage.eye()
    reach = truck.distance * draw_uniform(rng, (0.4, 0.9))
    if reach < 1.0:
        return False
    low, high = truck.bearing
    covered = draw_uniform(rng, (0.15, 0.75)) * (high - low)
    from_left = rng.random() < 0.5
    edge = high - covered if from_left else low + covered
    yaw = draw_uniform(rng, (0.0, 2 * math.pi)) if rng.random() < 0.5 else math.pi / 2 * int(rng.integers(4))
    role = "person" if family in stage.recipe.distractors.people else "goods"
    bearing = edge
    for _ in range(3):
        piece = standing(
            family,
            params,
            role,  # type: ignore[arg-type]
            eye_x + reach * math.cos(bearing),
            eye_y + reach * math.sin(bearing),
            yaw,
        )
        start, end = stage.bearing_of(piece.boxes)
        bearing += edge - (start if from_left else end)
    return stage.place(f"occluder {family}", [piece])
