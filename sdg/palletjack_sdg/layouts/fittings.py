"""What belongs to the building: pillars, beams, gates, things on walls, lamps, lines on the floor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from palletjack_sdg.layouts.shell import LampSpot, WallName
from palletjack_sdg.layouts.stage import Piece, Stage, standing
from palletjack_sdg.objects import catalog
from palletjack_sdg.objects.building import CeilingBeamParams, PillarParams
from palletjack_sdg.seeding import draw_seed, draw_uniform, draw_weighted

ON_WALLS = (
    "door",
    "strip_curtain",
    "extinguisher",
    "switch_cabinet",
    "sign_board",
    "wall_post",
    "hose_reel",
    "leaning_boards",
    "broom",
)
"""Families whose origin lies on a wall, with x pointing out of it."""
UNDER_CEILING = ("cable_tray",)
"""Families that hang, as long as the room."""
LEAST_HEADROOM_M = 2.3


def add_pillars(stage: Stage, spots: Sequence[tuple[float, float]], rng: np.random.Generator) -> None:
    """Stand equal pillars from floor to ceiling on ``spots``."""
    style = catalog.sample("pillar", rng)
    assert isinstance(style, PillarParams)
    params = catalog.changed(style, height=stage.room.height, width=max(style.width, 0.2))
    for x, y in spots:
        stage.place("pillar", [standing("pillar", params, "structure", x, y, 0.0)], guard=False)


def add_beams(stage: Stage, lines: Sequence[float], rng: np.random.Generator) -> None:
    """Hang a beam across the room under the ceiling at each x of ``lines``."""
    style = catalog.sample("ceiling_beam", rng)
    assert isinstance(style, CeilingBeamParams)
    depth = min(style.depth, stage.room.height - LEAST_HEADROOM_M)
    length = min(45.0, stage.room.y1 - stage.room.y0)
    if depth < 0.12:
        return
    params = catalog.changed(style, depth=round(depth, 3), length=round(length, 3))
    for x in lines:
        hanging = standing(
            "ceiling_beam", params, "structure", x, 0.0, math.pi / 2, z=round(stage.room.height - depth, 4)
        )
        # Pillars carry the beams, so they touch.
        stage.place("ceiling_beam", [hanging], check=False, guard=False)


def add_wall_things(stage: Stage, rng: np.random.Generator, *, gates: bool = False) -> None:
    """Put gates, cabinets, signs and the like on the far wall, some on the side walls; posts on the floor."""
    section = stage.recipe.distractors
    if gates:
        for _ in range(int(rng.integers(1, 3))):
            family = "strip_curtain" if rng.random() < 0.4 else "door"
            _on_wall(stage, family, "x1", rng)
    if stage.zone != "pillar_hall" and rng.random() < 0.35:
        _pilasters(stage, rng)
    for _ in range(int(rng.integers(section.fixture_count[0], section.fixture_count[1] + 1))):
        family = draw_weighted(rng, section.fixtures)
        if family in ON_WALLS:
            wall: WallName = ("x1", "x1", "y0", "y1")[int(rng.integers(4))]  # type: ignore[assignment]
            _on_wall(stage, family, wall, rng)
        elif family in UNDER_CEILING:
            _under_ceiling(stage, family, rng)
        else:
            _on_floor(stage, family, rng)


def _on_wall(stage: Stage, family: str, wall: WallName, rng: np.random.Generator) -> None:
    params = stage.draw_params(family, rng)
    if catalog.build(family, params).bounds()[1][2] > stage.room.height - 0.05:
        stage.occupancy.refused[f"{family}: higher than the room"] += 1
        return
    behind = min(0.0, float(catalog.build(family, params).bounds()[0][0]))
    for _ in range(4):
        x, y, yaw = _wall_spot(stage, wall, rng)
        x, y = x - behind * math.cos(yaw), y - behind * math.sin(yaw)
        if stage.place(family, [standing(family, params, "fixture", x, y, yaw)], guard=False):
            return


def _under_ceiling(stage: Stage, family: str, rng: np.random.Generator) -> None:
    """Hang a run of cables or pipes from wall to wall, where goods and beams leave room for it."""
    room, along_x = stage.room, bool(rng.random() < 0.6)
    run, across = (
        (room.x1 - room.x0, (room.y0, room.y1)) if along_x else (room.y1 - room.y0, (room.x0, room.x1))
    )
    params = catalog.sample(family, rng)
    drop = min(float(getattr(params, "drop", 0.1)), max(0.1, room.height - LEAST_HEADROOM_M - 0.3))
    params = catalog.changed(params, length=round(min(40.0, run - 0.1), 2), drop=round(drop, 3))
    top = float(catalog.build(family, params).bounds()[1][2])
    middle = (room.x0 + room.x1) / 2 if along_x else 0.0
    for _ in range(4):
        aside = draw_uniform(rng, (across[0] + 0.5, across[1] - 0.5))
        x, y = (middle, aside) if along_x else (aside, (room.y0 + room.y1) / 2)
        yaw = 0.0 if along_x else math.pi / 2
        hanging = standing(family, params, "fixture", x, y, yaw, z=round(room.height - top - 0.002, 4))
        if stage.place(family, [hanging], guard=False):
            return


def _wall_spot(stage: Stage, wall: WallName, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return a point on ``wall`` and the yaw out of it."""
    room = stage.room
    if wall in ("x0", "x1"):
        x = room.x1 if wall == "x1" else room.x0
        return x, draw_uniform(rng, (room.y0 + 0.3, room.y1 - 0.3)), math.pi if wall == "x1" else 0.0
    y = room.y1 if wall == "y1" else room.y0
    return draw_uniform(rng, (room.x0 + 0.3, room.x1 - 0.3)), y, -math.pi / 2 if wall == "y1" else math.pi / 2


def _pilasters(stage: Stage, rng: np.random.Generator) -> None:
    """Stand pilasters along the far wall at equal distances."""
    params = catalog.changed(catalog.sample("wall_post", rng), height=round(stage.room.height, 3))
    pitch = draw_uniform(rng, (3.0, 6.0))
    y = stage.room.y0 + draw_uniform(rng, (0.5, pitch))
    while y < stage.room.y1 - 0.4:
        piece = standing("wall_post", params, "fixture", stage.room.x1, y, math.pi)
        stage.place("wall_post", [piece], guard=False)
        y += pitch


def _on_floor(stage: Stage, family: str, rng: np.random.Generator) -> None:
    """Stand a post or rail near the front line of a row, or before a pillar or a rack's end."""
    if not stage.rows:
        return
    params = stage.draw_params(family, rng)
    for _ in range(4):
        row = stage.rows[int(rng.integers(len(stage.rows)))]
        x, y = row.point(draw_uniform(rng, (0.0, row.length)), draw_uniform(rng, (-0.4, 0.2)))
        piece = standing(family, params, "fixture", x, y, row.normal + math.pi / 2 * int(rng.integers(4)))
        if stage.place(family, [piece], guard=False):
            return


def hang_lamps(stage: Stage, spots: Sequence[LampSpot], rng: np.random.Generator) -> None:
    """Put a housing around every lamp, burning or not."""
    if not spots:
        return
    first = spots[0]
    params = catalog.changed(
        catalog.sample("light_fixture", rng),
        length=round(first.length + 0.06, 3),
        width=round(first.width + 0.03, 3),
        drop=round(min(3.0, max(0.0, stage.room.height - first.z - 0.09)), 3),
    )
    for spot in spots:
        yaw = 0.0 if spot.along_x else math.pi / 2
        # The light itself lies just below the housing's underside.
        stage.place(
            "light_fixture",
            [Piece("light_fixture", params, "fixture", spot.x, spot.y, yaw, round(spot.z + 0.004, 4))],
            check=False,
            guard=False,
        )


def mark_floor(stage: Stage, rng: np.random.Generator) -> None:
    """Paint lines along some rows' front lines and, now and then, across the floor."""
    if rng.random() < 0.5:
        return
    style = catalog.sample("floor_marking", rng)
    for row in stage.rows[:4]:
        if rng.random() < 0.55 and row.length > 1.0:
            params = catalog.changed(style, length=round(min(40.0, row.length), 2), seed=draw_seed(rng))
            x, y = row.point(row.length / 2, -draw_uniform(rng, (0.05, 0.35)))
            piece = Piece("floor_marking", params, "fixture", x, y, row.normal + math.pi / 2)
            stage.place("floor_marking", [piece], check=False, guard=False)
