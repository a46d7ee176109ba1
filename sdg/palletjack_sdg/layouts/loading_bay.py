"""A loading bay: a wall of docks, each with a gate, a plate in the floor, buffers and posts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from palletjack_sdg.frame_plan import LightPlan
from palletjack_sdg.layouts.shell import draw_gate
from palletjack_sdg.layouts.stage import Piece, Room, Row, Stage, Viewpoint, standing
from palletjack_sdg.objects import catalog
from palletjack_sdg.objects.building import DoorParams
from palletjack_sdg.objects.family import ObjectParams
from palletjack_sdg.placement import FloorBox
from palletjack_sdg.seeding import draw_uniform

# Over a gate: its frame, and some wall.
LINTEL_M = 0.35
SIDE_M = 0.9


@dataclass(frozen=True)
class Docks:
    """Equal docks along the far wall: where their middles lie, how wide and high their gates are."""

    middles: tuple[float, ...]
    width: float
    height: float

    @classmethod
    def drawn(cls, room: Room, rng: np.random.Generator) -> Docks:
        """Draw as many as the wall has room for."""
        width, height = draw_uniform(rng, (2.2, 3.0)), draw_uniform(rng, (2.4, 3.2))
        pitch = width + draw_uniform(rng, (1.3, 2.6))
        free = room.y1 - room.y0 - 2 * SIDE_M - width
        count = max(1, min(6, 1 + int(free / pitch)))
        first = -(count - 1) / 2 * pitch + draw_uniform(rng, (-0.3, 0.3))
        return cls(
            tuple(round(first + k * pitch, 4) for k in range(count)),
            round(width, 3),
            round(min(height, room.height - LINTEL_M), 3),
        )

    def piers(self) -> list[float]:
        """Middles of the wall between neighbouring docks."""
        return [(left + right) / 2 for left, right in zip(self.middles, self.middles[1:], strict=False)]


def lay_out_docks(stage: Stage, rng: np.random.Generator) -> None:
    """Put docks into the far wall, goods to be loaded before the piers, and the camera before them."""
    room = stage.room
    docks = Docks.drawn(room, rng)
    closed = catalog.changed(
        catalog.sample("door", rng), width=docks.width, height=docks.height, sections=int(rng.integers(4, 8))
    )
    # As wide as the gate, so that its buffers stand clear of the gate's frame.
    leveller = catalog.changed(catalog.sample("dock_leveller", rng), width=docks.width)
    post = catalog.sample("bollard", rng)
    light: LightPlan | None = None
    for middle in docks.middles:
        if rng.random() < stage.recipe.light.daylight:
            light = _open_dock(stage, docks, middle, light, rng)
        else:
            assert isinstance(closed, DoorParams)
            gate = standing("door", closed, "fixture", room.x1, middle, math.pi)
            stage.place("door", [gate], guard=False)
        _plate(stage, leveller, middle)
        for side in (-1.0, 1.0):
            y = middle + side * (docks.width / 2 + 0.3)
            piece = standing("bollard", post, "fixture", room.x1 - 0.75, y, math.pi)
            stage.place("bollard", [piece], guard=False)
    for pier in docks.piers():
        if rng.random() < 0.5:
            sign = standing(
                "sign_board", stage.draw_params("sign_board", rng), "fixture", room.x1, pier, math.pi
            )
            stage.place("sign_board", [sign], guard=False)
    _lanes(stage, docks, rng)
    far = min(11.0, room.x1 - 1.0)
    stage.viewpoints.append(Viewpoint((room.x1 - far, room.x1 - 4.0), (-3.5, 3.5), 0.0, 38.0))


def _open_dock(
    stage: Stage, docks: Docks, middle: float, like: LightPlan | None, rng: np.random.Generator
) -> LightPlan:
    """Open a gate to the yard, as bright as the one before, and keep things out of it."""
    room = stage.room
    drawn = draw_gate(room, "x1", middle - room.y0, docks.width, stage.recipe.light, rng)[0]
    half = docks.height / 2
    update: dict[str, object] = {
        "center": (drawn.center[0], drawn.center[1], round(half, 4)),
        "v": (0.0, 0.0, round(half - 0.02, 4)),
    }
    if like is not None:
        update["radiance"] = like.radiance
    pane = drawn.model_copy(update=update)
    stage.lights.append(pane)
    box = FloorBox(room.x1 - 0.02, middle, 0.1, docks.width / 2 + 0.1, 0.0, 0.0, docks.height)
    stage.occupancy.add([box], opaque=False)
    return pane


def _plate(stage: Stage, params: ObjectParams, middle: float) -> None:
    """Lay the plate; only its buffers are in the way, trucks cross the rest."""
    low, high = catalog.build("dock_leveller", params).bounds()
    half = (high[1] - low[1]) / 2
    buffers = tuple(
        FloorBox(stage.room.x1 - 0.06, middle + side * (half - 0.1), 0.06, 0.1, 0.0, 0.0, float(high[2]))
        for side in (-1.0, 1.0)
    )
    piece = Piece("dock_leveller", params, "fixture", stage.room.x1, middle, math.pi, boxes=buffers)
    stage.place("dock_leveller", [piece], guard=False)


def _lanes(stage: Stage, docks: Docks, rng: np.random.Generator) -> None:
    """Goods wait in lanes before the piers, and in a row across the hall."""
    room = stage.room
    near, far = room.x1 - draw_uniform(rng, (1.4, 2.4)), max(1.5, room.x1 - draw_uniform(rng, (5.0, 8.0)))
    for pier in docks.piers():
        if rng.random() < 0.65:
            side = float(rng.choice([-1.0, 1.0]))
            front = pier + side * 0.6
            # A row is written from the left of somebody who looks at it.
            ends = ((far, front), (near, front)) if side > 0 else ((near, front), (far, front))
            stage.rows.append(Row(ends[0], ends[1], side * math.pi / 2, 1.2, 0.7))
    if rng.random() < 0.6 or not stage.rows:
        x = max(1.5, room.x1 - draw_uniform(rng, (3.4, 6.0)))
        low, high = draw_uniform(rng, (room.y0 + 0.4, -1.0)), draw_uniform(rng, (1.0, room.y1 - 0.4))
        stage.rows.append(Row((x, low), (x, high), math.pi, 1.25, 0.35))
