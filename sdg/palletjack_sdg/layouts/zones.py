"""The kinds of place that a frame shows: each sets up the room, its structure, and where goods stand.

Every zone lies along world x: the camera starts near the low end and looks towards larger x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from palletjack_sdg.layouts.fittings import add_beams, add_pillars, add_wall_things
from palletjack_sdg.layouts.loading_bay import lay_out_docks
from palletjack_sdg.layouts.shell import WallName, draw_gate, draw_windows
from palletjack_sdg.layouts.stage import Room, Row, Stage, Viewpoint
from palletjack_sdg.layouts.structure import FloorPoint, add_rack_line
from palletjack_sdg.placement import FloorBox
from palletjack_sdg.recipe import PlaceSection, ZoneName
from palletjack_sdg.seeding import draw_uniform

QUARTER = math.pi / 2


def draw_room(zone: ZoneName, place: PlaceSection, rng: np.random.Generator) -> Room:
    """Draw the room's size for ``zone``; y = 0 is its middle, x = 0 the wall behind the camera."""
    low = zone == "pillar_hall" or (zone in ("rack_front", "staging") and rng.random() < 0.3)
    height = draw_uniform(rng, place.low_ceiling_m if low else place.ceiling_m)
    length, width = draw_uniform(rng, place.room_size_m), draw_uniform(rng, place.room_size_m)
    if zone == "rack_aisle":
        length, width = max(length, 12.0), min(max(width, 9.0), 16.0)
    elif zone in ("rack_front", "staging", "loading_bay"):
        length, width = min(length, 16.0), max(width, 10.0)
    elif zone == "open_floor":
        length, width = max(length, 13.0), max(width, 12.0)
    return Room(0.0, round(length, 3), round(-width / 2, 3), round(width / 2, 3), round(height, 3))


def rack_aisle(stage: Stage, rng: np.random.Generator) -> None:
    """Racks on both sides of an aisle; the camera looks along it or across."""
    room, place = stage.room, stage.recipe.place
    _daylight(stage, rng, walls=("x1", "y0", "y1"))
    aisle = draw_uniform(rng, place.aisle_width_m)
    middle = draw_uniform(rng, (-0.8, 0.8))
    end = room.x1 - draw_uniform(rng, (1.3, 5.0))
    for side in (-1.0, 1.0):
        front = middle + side * aisle / 2
        start = draw_uniform(rng, (0.4, 2.5))
        stop = end - draw_uniform(rng, (0.0, 3.0))
        # Racks are seen from inside the aisle: left of it they face -y, right of it +y.
        add_rack_line(stage, (start, front), (stop, front), -side * QUARTER, rng, most=2)
        strip = 0.7
        stage.rows.append(
            _row(
                (start, front - side * strip), (stop, front - side * strip), -side * QUARTER, strip, fill=0.12
            )
        )
    stage.rows.append(_end_row(room, rng))
    add_wall_things(stage, rng)
    along = draw_uniform(rng, (0.0, 0.45)) * end
    half = max(0.2, aisle / 2 - 0.6)
    looks = ((0.0, 24.0),) * 3 + ((58.0, 22.0), (-58.0, 22.0))
    for yaw, spread in looks:
        stage.viewpoints.append(
            Viewpoint((max(0.6, along - 2), along + 2), (middle - half, middle + half), yaw, spread)
        )


def rack_front(stage: Stage, rng: np.random.Generator) -> None:
    """One rack across the view, a few metres away, often with free ground bays."""
    room = stage.room
    _daylight(stage, rng, walls=("y0", "y1", "x1"))
    front = room.x1 - draw_uniform(rng, (1.3, 3.5))
    shift = draw_uniform(rng, (-3.0, 3.0))
    low, high = max(room.y0 + 0.3, shift - 6.5), min(room.y1 - 0.3, shift + 6.5)
    # Seen along -x, y runs to the right: the line starts at its high end so that its front faces -x.
    ends = add_rack_line(stage, (front, high), (front, low), math.pi, rng, most=3, free=0.8)
    stage.rows.append(_row((front - 0.55, high), (front - 0.55, low), math.pi, 0.55, fill=0.18))
    if ends is not None:
        _flank(stage, front, ends, rng)
    _side_racks(stage, rng, x0=max(0.5, front - 8.0), x1=front - 1.5, chance=0.35)
    _side_rows(stage, rng, x0=max(0.5, front - 7.0), x1=front - 1.2)
    near, far = draw_uniform(rng, (1.6, 3.0)), draw_uniform(rng, (3.5, 7.5))
    stage.viewpoints.append(
        Viewpoint((max(0.5, front - far), front - near), (shift - 2.5, shift + 2.5), 0.0, 42.0)
    )


def open_floor(stage: Stage, rng: np.random.Generator) -> None:
    """A wide floor with rows of goods at several distances, racks or walls behind."""
    room = stage.room
    _daylight(stage, rng, walls=("x1", "y0", "y1"))
    start = draw_uniform(rng, (0.8, 2.5))
    x = start + draw_uniform(rng, (2.8, 6.0))
    while x < room.x1 - 2.5 and len(stage.rows) < 4:
        low = draw_uniform(rng, (room.y0 + 0.5, -1.5))
        high = draw_uniform(rng, (1.5, room.y1 - 0.5))
        stage.rows.append(_row((x, high), (x, low), math.pi, 1.25, fill=0.9, lanes=2))
        x += 1.3 + draw_uniform(rng, (2.0, 5.0))
    if rng.random() < 0.75:
        front = room.x1 - draw_uniform(rng, (1.3, 2.0))
        add_rack_line(stage, (front, room.y1 - 0.6), (front, room.y0 + 0.6), math.pi, rng, most=2, free=0.35)
    else:
        stage.rows.append(_end_row(room, rng))
        add_wall_things(stage, rng)
    _side_racks(stage, rng, x0=start, x1=room.x1 - 3.0, chance=0.5)
    _side_rows(stage, rng, x0=start + 1.5, x1=room.x1 - 3.0)
    stage.viewpoints.append(Viewpoint((0.6, start + 1.0), (-2.5, 2.5), 0.0, 30.0))


def staging(stage: Stage, rng: np.random.Generator) -> None:
    """Goods and trucks parked at a wall with a gate, a strip curtain, switch boxes and signs."""
    room = stage.room
    _daylight(stage, rng, walls=("x1", "x1", "y0"))
    stage.rows.append(_end_row(room, rng, fill=0.85))
    if rng.random() < 0.45:
        x = room.x1 - draw_uniform(rng, (3.0, 4.5))
        low, high = draw_uniform(rng, (room.y0 + 0.5, 0.0)), draw_uniform(rng, (0.5, room.y1 - 0.5))
        stage.rows.append(_row((x, high), (x, low), math.pi, 1.25, fill=0.4))
    add_wall_things(stage, rng, gates=True)
    _side_racks(stage, rng, x0=1.5, x1=room.x1 - 2.0, chance=0.45)
    _side_rows(stage, rng, x0=2.0, x1=room.x1 - 2.0)
    far = min(9.0, room.x1 - 1.0)
    stage.viewpoints.append(Viewpoint((room.x1 - far, room.x1 - 3.2), (-3.0, 3.0), 0.0, 38.0))


def pillar_hall(stage: Stage, rng: np.random.Generator) -> None:
    """A low hall on pillars, beams under its ceiling, goods between the pillars."""
    room = stage.room
    _daylight(stage, rng, walls=("x1", "y0", "y1"))
    pitch_x, pitch_y = draw_uniform(rng, (4.5, 7.5)), draw_uniform(rng, (4.5, 7.0))
    first_x, first_y = draw_uniform(rng, (3.0, 5.0)), draw_uniform(rng, (-pitch_y / 2, pitch_y / 2))
    lines = [first_x + k * pitch_x for k in range(6) if first_x + k * pitch_x < room.x1 - 0.8]
    columns = [
        first_y + k * pitch_y for k in range(-4, 5) if room.y0 + 0.6 < first_y + k * pitch_y < room.y1 - 0.6
    ]
    add_pillars(stage, [(x, y) for x in lines for y in columns], rng)
    add_beams(stage, lines, rng)
    for x in lines[:3]:
        if rng.random() < 0.8:
            low, high = draw_uniform(rng, (room.y0 + 0.4, -1.0)), draw_uniform(rng, (1.0, room.y1 - 0.4))
            stage.rows.append(_row((x + 0.4, high), (x + 0.4, low), math.pi, 1.25, fill=0.85, lanes=2))
    stage.rows.append(_end_row(room, rng))
    if rng.random() < 0.65:
        front = room.x1 - 1.3
        add_rack_line(stage, (front, room.y1 - 0.6), (front, room.y0 + 0.6), math.pi, rng, most=2, free=0.3)
    add_wall_things(stage, rng, gates=rng.random() < 0.5)
    _side_racks(stage, rng, x0=2.0, x1=room.x1 - 2.5, chance=0.35)
    _side_rows(stage, rng, x0=2.5, x1=room.x1 - 2.5)
    stage.viewpoints.append(Viewpoint((0.6, first_x), (-2.5, 2.5), 0.0, 34.0))


def loading_bay(stage: Stage, rng: np.random.Generator) -> None:
    """A wall of docks with gates, plates and posts, goods waiting before them."""
    lay_out_docks(stage, rng)
    add_wall_things(stage, rng)
    _side_racks(stage, rng, x0=1.0, x1=stage.room.x1 - 3.5, chance=0.4)


ZONES: Mapping[ZoneName, Callable[[Stage, np.random.Generator], None]] = {
    "rack_aisle": rack_aisle,
    "rack_front": rack_front,
    "open_floor": open_floor,
    "staging": staging,
    "pillar_hall": pillar_hall,
    "loading_bay": loading_bay,
}


def _row(
    start: tuple[float, float],
    end: tuple[float, float],
    normal: float,
    depth: float,
    *,
    fill: float = 1.0,
    wall: bool = False,
    lanes: int = 1,
) -> Row:
    """Return a row whose start lies to the left as seen by somebody who looks along its normal's opposite."""
    along = (end[0] - start[0], end[1] - start[1])
    # Width is laid out towards (-sin, cos) of the normal in Row.point; turn the line that way.
    if along[0] * -math.sin(normal) + along[1] * math.cos(normal) < 0:
        start, end = end, start
    return Row(start, end, normal, depth, fill, wall, lanes)


def _end_row(room: Room, rng: np.random.Generator, *, fill: float = 0.8) -> Row:
    """Return a row along the far wall."""
    depth = draw_uniform(rng, (1.25, 1.6))
    x = room.x1 - depth - 0.05
    return _row((x, room.y0 + 0.2), (x, room.y1 - 0.2), math.pi, depth, fill=fill, wall=True)


def _side_rows(stage: Stage, rng: np.random.Generator, *, x0: float, x1: float) -> None:
    """Add rows along the side walls, or nearer to the middle in a wide room."""
    room = stage.room
    if x1 - x0 < 1.5:
        return
    for side in (-1.0, 1.0):
        if rng.random() < 0.75:
            gap = min(room.y1 - 1.4, draw_uniform(rng, (3.0, 7.0)))
            wall = gap > room.y1 - 1.8
            y = side * gap
            stage.rows.append(
                _row((x0, y), (x1, y), -side * QUARTER, 1.25, fill=0.8, wall=wall, lanes=1 if wall else 3)
            )


def _side_racks(stage: Stage, rng: np.random.Generator, *, x0: float, x1: float, chance: float) -> None:
    """Stand racks along the side walls, each with ``chance``."""
    room = stage.room
    for side in (-1.0, 1.0):
        if rng.random() < chance and x1 - x0 > 3.0:
            front = side * (room.y1 - draw_uniform(rng, (1.25, 1.6)))
            add_rack_line(stage, (x0, front), (x1, front), -side * QUARTER, rng, most=2, free=0.3)


def _flank(stage: Stage, front: float, ends: tuple[FloorPoint, FloorPoint], rng: np.random.Generator) -> None:
    """Put goods beside a rack that is shorter than the room is wide."""
    low, high = sorted(point[1] for point in ends)
    for start, end in ((stage.room.y0 + 0.2, low - 0.3), (high + 0.3, stage.room.y1 - 0.2)):
        if end - start > 1.2:
            x = front + draw_uniform(rng, (-0.2, 0.5))
            stage.rows.append(_row((x, start), (x, end), math.pi, 1.25, fill=0.6))


def _daylight(stage: Stage, rng: np.random.Generator, *, walls: tuple[WallName, ...]) -> None:
    """Add windows or an open gate to one of ``walls`` with the recipe's chance."""
    light = stage.recipe.light
    if rng.random() >= light.daylight:
        return
    wall = walls[int(rng.integers(len(walls)))]
    room = stage.room
    run = room.y1 - room.y0 if wall == "x1" else room.x1 - room.x0
    if rng.random() < 0.35:
        width = draw_uniform(rng, (2.2, 4.0))
        along = draw_uniform(rng, (width, run - width))
        panes = draw_gate(room, wall, along, width, light, rng)
    else:
        panes = draw_windows(room, wall, light, rng)
    stage.lights += panes
    # Gates and signs keep clear of the panes; low goods may stand before them.
    for pane in panes:
        half_x, half_y = abs(pane.u[0]) + 0.1, abs(pane.u[1]) + 0.1
        low, high = pane.center[2] - pane.v[2], pane.center[2] + pane.v[2]
        box = FloorBox(pane.center[0], pane.center[1], half_x, half_y, 0.0, low, high)
        stage.occupancy.add([box], opaque=False)
