"""A person who holds a pallet truck's handle."""

from __future__ import annotations

import math

import numpy as np

from palletjack_sdg.geometry import Vec3
from palletjack_sdg.layouts.stage import Piece, Stage, standing, to_world
from palletjack_sdg.objects import catalog
from palletjack_sdg.seeding import draw_uniform

PERSON = "person"


def person_pulling(truck: Piece, stage: Stage, rng: np.random.Generator) -> Piece:
    """Return somebody at ``truck``'s handle: mostly walking ahead with a hand behind, else facing the truck.

    The hands are given to the person as points on the handle, so that arm and tiller meet.
    """
    prop = truck.prop()
    handle = to_world(truck.x, truck.y, truck.yaw, prop.anchors["handle_top"])
    pump = to_world(truck.x, truck.y, truck.yaw, prop.anchors["pump_top"])
    leaning = math.hypot(handle[0] - pump[0], handle[1] - pump[1]) > 0.05
    ahead = math.atan2(handle[1] - pump[1], handle[0] - pump[0]) if leaning else truck.yaw + math.pi
    pulling = rng.random() < 0.72
    reach = draw_uniform(rng, (0.28, 0.4)) if pulling else draw_uniform(rng, (0.42, 0.52))
    side = draw_uniform(rng, (0.12, 0.24)) if pulling else draw_uniform(rng, (-0.05, 0.05))
    # The right hand holds the handle, so the body is to the left of it in the direction of the walk.
    x = handle[0] + reach * math.cos(ahead) - side * math.sin(ahead)
    y = handle[1] + reach * math.sin(ahead) + side * math.cos(ahead)
    yaw = ahead if pulling else ahead + math.pi
    hands = {"right_hand": _local(prop.anchors["hand_right"], truck, x, y, yaw)}
    if pulling:
        grip = _local(prop.anchors["handle_top"], truck, x, y, yaw)
        hands = {"right_hand": grip}
    else:
        hands["left_hand"] = _local(prop.anchors["hand_left"], truck, x, y, yaw)
        if hands["right_hand"][1] > hands["left_hand"][1]:
            hands = {"right_hand": hands["left_hand"], "left_hand": hands["right_hand"]}
    params = catalog.changed(
        stage.draw_params(PERSON, rng, variants=3),
        stride=round(draw_uniform(rng, (0.35, 1.0)) if pulling else 0.0, 3),
        lean_deg=round(draw_uniform(rng, (2.0, 12.0)), 2),
        **hands,
    )
    return standing(PERSON, params, "person", x, y, yaw)


def _local(point: Vec3, truck: Piece, x: float, y: float, yaw: float) -> Vec3:
    """Return a point of the truck's frame in the frame at (x, y) turned by ``yaw``."""
    world_x, world_y, world_z = to_world(truck.x, truck.y, truck.yaw, point)
    c, s = math.cos(yaw), math.sin(yaw)
    dx, dy = world_x - x, world_y - y
    return round(c * dx + s * dy, 4), round(-s * dx + c * dy, 4), round(world_z + truck.z, 4)
