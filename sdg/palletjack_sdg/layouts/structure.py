"""Lines of racks, with the boxes that they fill and the ground bays that they leave free."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from palletjack_sdg.layouts.stage import Bay, Piece, Stage, to_world
from palletjack_sdg.objects import catalog
from palletjack_sdg.objects.racks import UPRIGHT_WIDTH, RackParams
from palletjack_sdg.placement import FloorBox
from palletjack_sdg.seeding import draw_seed, draw_uniform

FloorPoint = tuple[float, float]
RACK = "rack"
MAX_BAYS = 4
LEAST_RACK_M = 1.5
GOODS_ABOVE_M = 0.8
"""How far the goods on the highest level may rise above a rack's uprights."""


def add_rack_line(
    stage: Stage,
    start: FloorPoint,
    end: FloorPoint,
    normal: float,
    rng: np.random.Generator,
    *,
    most: int,
    free: float = 0.5,
) -> tuple[FloorPoint, FloorPoint] | None:
    """Stand up to ``most`` racks side by side along the front line from ``start`` to ``end``.

    ``normal`` (radians) points out of their fronts. ``free`` is the chance that a rack leaves
    ground bays free; these go to ``stage.bays``. Returns the ends of what was built, or None where not
    even one bay fits.
    """
    style = _rack_style(stage, rng)
    length = math.dist(start, end)
    total = min(int((length - 0.2) / style.bay_width), most * MAX_BAYS)
    if total < 1:
        return None
    # The built part may be shorter than the line; it then begins anywhere along it.
    total = max(1, total - int(rng.integers(0, 2)))
    along = draw_uniform(rng, (0.1, max(0.11, min(2.5, length - total * style.bay_width - 0.1))))
    first = along
    direction = ((end[0] - start[0]) / length, (end[1] - start[1]) / length)
    while total > 0:
        bays = min(total, MAX_BAYS)
        params = _one_rack(style, bays, free, rng)
        middle = along + bays * style.bay_width / 2
        x, y = start[0] + direction[0] * middle, start[1] + direction[1] * middle
        piece = rack_piece(params, x, y, normal)
        if stage.place(RACK, [piece], guard=False):
            stage.bays += rack_bays(params, x, y, normal)
        along += bays * style.bay_width + UPRIGHT_WIDTH + 0.05
        total -= bays
    last = min(along, length)
    return (
        (start[0] + direction[0] * first, start[1] + direction[1] * first),
        (start[0] + direction[0] * last, start[1] + direction[1] * last),
    )


def _rack_style(stage: Stage, rng: np.random.Generator) -> RackParams:
    """Draw what the racks of one line have in common, no higher than the room."""
    style = catalog.sample(RACK, rng)
    assert isinstance(style, RackParams)
    # Goods on the highest level may rise above the uprights; they too stay under the ceiling.
    limit = stage.room.height - GOODS_ABOVE_M - 0.05
    levels = tuple(level for level in style.level_heights if level < limit - 0.1) or style.level_heights[:1]
    height = max(min(style.height, limit), levels[-1] + 0.1, LEAST_RACK_M)
    return catalog.changed(style, level_heights=levels, height=round(height, 3))


def _one_rack(style: RackParams, bays: int, free: float, rng: np.random.Generator) -> RackParams:
    ground: Literal["goods", "free", "mixed"] = "goods"
    if rng.random() < free:
        ground = "free" if rng.random() < 0.3 else "mixed"
    return catalog.changed(style, bays=bays, ground_level=ground, seed=draw_seed(rng))


def rack_piece(params: RackParams, x: float, y: float, yaw: float) -> Piece:
    """Return a rack whose boxes leave its free ground bays open up to the first beam."""
    prop = catalog.build(RACK, params)
    low, high = (corner.tolist() for corner in prop.bounds())
    depth, middle = (high[0] - low[0]) / 2, (high[0] + low[0]) / 2
    boxes = []
    for bay in range(params.bays):
        bay_y = (bay + 0.5 - params.bays / 2) * params.bay_width
        clear = float(prop.anchors[f"clear_{bay}"][2]) if f"clear_{bay}" in prop.anchors else 0.0
        boxes.append(FloorBox(middle, bay_y, depth, params.bay_width / 2, 0.0, clear, high[2]))
    for frame in range(params.bays + 1):
        frame_y = (frame - params.bays / 2) * params.bay_width
        boxes.append(
            FloorBox(-params.depth / 2 + 0.03, frame_y, params.depth / 2 + 0.04, 0.075, 0.0, 0.0, high[2])
        )
    return Piece(RACK, params, "structure", x, y, yaw, 0.0, tuple(box.moved(x, y, yaw) for box in boxes))


def rack_bays(params: RackParams, x: float, y: float, yaw: float) -> list[Bay]:
    """Return the rack's free ground bays in the world."""
    prop = catalog.build(RACK, params)
    bays = []
    for name, (_, bay_y, _z) in prop.anchors.items():
        if not name.startswith("bay_"):
            continue
        front_x, front_y, _ = to_world(x, y, yaw, (0.0, bay_y, 0.0))
        clear = float(prop.anchors[name.replace("bay_", "clear_")][2])
        width = params.bay_width - UPRIGHT_WIDTH
        bays.append(Bay(front_x, front_y, yaw, width, params.depth, clear))
    return bays
