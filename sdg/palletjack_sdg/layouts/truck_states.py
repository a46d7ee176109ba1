"""How trucks are left standing: one function a state, each proposing groups of pieces near an aim."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from palletjack_sdg.layouts.fleet import Fleet, carton_on_forks, loaded_truck, truck_piece
from palletjack_sdg.layouts.pulling import person_pulling
from palletjack_sdg.layouts.stage import Bay, Piece, Row, Stage
from palletjack_sdg.recipe import TruckState
from palletjack_sdg.seeding import draw_uniform

UPRIGHT_CLEARANCE_M = 1.33
"""A beam higher than this lets an upright tiller pass."""


@dataclass(frozen=True)
class Aim:
    """Where a truck is wanted: a floor point, its distance, the box height (px), whether the image's border
    is to cut it, and whether it stands right before the camera, where the border may."""

    x: float
    y: float
    distance: float
    height_px: float
    cut: bool
    close: bool = False


Proposal = Iterable[list[Piece]]
"""Groups of pieces; the first piece of each group is its truck. Later groups may be built only on demand."""


def _facing_yaw(stage: Stage, aim: Aim, rng: np.random.Generator) -> float:
    """Draw a truck's yaw: the operator side turned to the camera as often as the recipe says."""
    eye_x, eye_y, _ = stage.eye()
    away = float(math.atan2(aim.y - eye_y, aim.x - eye_x))
    if rng.random() < stage.recipe.trucks.operator_side:
        return away + math.radians(draw_uniform(rng, (-75.0, 75.0)))
    return away + math.radians(draw_uniform(rng, (75.0, 285.0)))


def _row_spot(stage: Stage, rows: list[Row], aim: Aim, rng: np.random.Generator) -> tuple[Row, float] | None:
    """Return the row and the place along it that best meet the aim, with some chance."""
    eye_x, eye_y, _ = stage.eye()
    look = math.radians(stage.optics.yaw_deg)
    half = math.radians(stage.optics.hfov_deg) / 2
    spots, weights = [], []
    for row in rows:
        for offset in np.linspace(0.35, max(0.35, row.length - 0.35), max(2, int(row.length / 0.4))):
            x, y = row.point(float(offset))
            distance = math.hypot(x - eye_x, y - eye_y)
            bearing = (math.atan2(y - eye_y, x - eye_x) - look + math.pi) % (2 * math.pi) - math.pi
            if abs(bearing) > half + 0.1 or distance < 0.9:
                continue
            spots.append((row, float(offset)))
            weights.append(math.exp(-((math.log(distance / aim.distance) / 0.22) ** 2)))
    if not spots or sum(weights) < 1e-3:
        return None
    share = np.array(weights) / sum(weights)
    row, along = spots[int(rng.choice(len(spots), p=share))]
    return row, along + draw_uniform(rng, (-0.2, 0.2))


def _free_standing(stage: Stage, aim: Aim, fleet: Fleet, rng: np.random.Generator, _: int) -> Proposal:
    """A truck somewhere on the floor."""
    family, params = fleet.truck()
    yaw = _facing_yaw(stage, aim, rng)
    truck = truck_piece(family, params, aim.x, aim.y, yaw, "free_standing")
    if rng.random() < stage.recipe.trucks.carton_on_forks and fleet.has_forks():
        return [[truck, carton_on_forks(truck, rng)]]
    return [[truck]]


def _inserted(stage: Stage, aim: Aim, fleet: Fleet, rng: np.random.Generator, _: int) -> Proposal:
    """Forks in a pallet with its load: in a row of goods with the operator side out, or on the open floor."""
    if not fleet.has_forks():
        return []
    raised = bool(rng.random() < stage.recipe.trucks.raised)
    rows = [row for row in stage.rows if row.depth >= 1.0]
    if rows and rng.random() < 0.7:
        spot = _row_spot(stage, rows, aim, rng)
        if spot is not None:
            row, along = spot
            x, y = row.point(along, draw_uniform(rng, (-0.1, 0.2)))
            yaw = row.normal + math.pi + math.radians(float(rng.normal(0.0, 4.0)))
            return [loaded_truck(fleet, "inserted", x, y, yaw, rng, raised=raised)]
    return [loaded_truck(fleet, "inserted", aim.x, aim.y, _facing_yaw(stage, aim, rng), rng, raised=raised)]


def _under_rack(stage: Stage, aim: Aim, fleet: Fleet, rng: np.random.Generator, _: int) -> Proposal:
    """In a free ground bay: forks in, operator side out; now and then lengthwise in the bay."""
    bay = _nearest_bay(stage, aim, rng)
    if bay is None:
        return []
    low = bay.clear_height < UPRIGHT_CLEARANCE_M
    sideways = not low and rng.random() < 0.2
    across = draw_uniform(rng, (-0.5, 0.5)) * max(0.0, bay.width - (1.8 if sideways else 0.8))
    inward = draw_uniform(rng, (0.35, 0.7)) if sideways else draw_uniform(rng, (-0.35, 0.3))
    if low:
        # The tiller would hit the beam: only the forks go in.
        inward = draw_uniform(rng, (-0.4, -0.18))
    c, s = math.cos(bay.normal), math.sin(bay.normal)
    x = bay.x - c * inward - s * across
    y = bay.y - s * inward + c * across
    turn = float(rng.choice([-math.pi / 2, math.pi / 2])) if sideways else math.pi
    yaw = bay.normal + turn + math.radians(float(rng.normal(0.0, 5.0)))
    if not sideways and rng.random() < 0.3 and fleet.has_forks():
        return [loaded_truck(fleet, "under_rack", x, y, yaw, rng, raised=False)]
    family, params = fleet.truck()
    return [[truck_piece(family, params, x, y, yaw, "under_rack")]]


def _nearest_bay(stage: Stage, aim: Aim, rng: np.random.Generator) -> Bay | None:
    eye_x, eye_y, _ = stage.eye()
    bays = [bay for bay in stage.bays if stage.in_view(bay.x, bay.y, 0.0)]
    weights = [
        math.exp(-((math.log(max(0.3, math.hypot(bay.x - eye_x, bay.y - eye_y)) / aim.distance) / 0.35) ** 2))
        for bay in bays
    ]
    if sum(weights) < 1e-3:
        return None
    return bays[int(rng.choice(len(weights), p=np.array(weights) / sum(weights)))]


def _beside(stage: Stage, aim: Aim, fleet: Fleet, rng: np.random.Generator, _: int) -> Proposal:
    """Parked at a row, a rack or a wall: along it, or square to it with the forks to it or away."""
    spot = _row_spot(stage, stage.rows, aim, rng)
    if spot is None:
        return []
    row, along = spot
    family, params = fleet.truck()
    kind = rng.random()
    jitter = math.radians(float(rng.normal(0.0, 5.0)))
    if kind < 0.28:
        side = float(rng.choice([-1.0, 1.0]))
        inward = row.depth - draw_uniform(rng, (0.33, 0.5)) if row.wall else draw_uniform(rng, (-0.42, 0.4))
        x, y = row.point(along, inward)
        yaw = row.normal + side * math.pi / 2 + jitter
    else:
        inward = draw_uniform(rng, (-0.2, 0.35))
        x, y = row.point(along, inward)
        yaw = row.normal + (math.pi if kind < 0.9 else 0.0) + jitter
    return [[truck_piece(family, params, x, y, yaw, "beside")]]


def _in_row(stage: Stage, aim: Aim, fleet: Fleet, rng: np.random.Generator, left: int) -> Proposal:
    """Two to four trucks side by side, forks to the row."""
    spot = _row_spot(stage, [row for row in stage.rows if row.depth >= 0.9] or stage.rows, aim, rng)
    if spot is None:
        return
    row, along = spot
    number = int(rng.integers(2, 5))
    if left == 1:
        number = min(number, 2)
    pitch = draw_uniform(rng, (0.72, 1.05))
    inward = draw_uniform(rng, (-0.2, 0.3))
    for k in range(number):
        place = along + (k - (number - 1) / 2) * pitch
        x, y = row.point(place, inward + float(rng.normal(0.0, 0.08)))
        yaw = row.normal + math.pi + math.radians(float(rng.normal(0.0, 3.5)))
        family, params = fleet.truck("row", k, {"tiller_yaw_deg": round(float(rng.normal(0.0, 18.0)), 2)})
        yield [truck_piece(family, params, x, y, yaw, "row")]


def _pair(stage: Stage, aim: Aim, fleet: Fleet, rng: np.random.Generator, _left: int) -> Proposal:
    """Two trucks of which the camera sees one before the other: side by side from the side, or in line."""
    eye_x, eye_y, _ = stage.eye()
    away = math.atan2(aim.y - eye_y, aim.x - eye_x)
    if rng.random() < 0.6:
        heading = away + float(rng.choice([-1.0, 1.0])) * math.radians(draw_uniform(rng, (60.0, 120.0)))
        behind, aside = draw_uniform(rng, (0.62, 1.1)), draw_uniform(rng, (-0.5, 0.5))
    else:
        heading = away + math.radians(draw_uniform(rng, (-25.0, 25.0)))
        behind, aside = draw_uniform(rng, (1.5, 2.4)), draw_uniform(rng, (-0.6, 0.6))
    for number in range(2):
        x = aim.x + number * (behind * math.cos(away) - aside * math.sin(away))
        y = aim.y + number * (behind * math.sin(away) + aside * math.cos(away))
        turn = math.pi if number and rng.random() < 0.3 else 0.0
        family, params = fleet.truck(
            "pair", number, {"tiller_yaw_deg": round(float(rng.normal(0.0, 20.0)), 2)}
        )
        yield [truck_piece(family, params, x, y, heading + turn + float(rng.normal(0.0, 0.08)), "pair")]


def _pulled(stage: Stage, aim: Aim, fleet: Fleet, rng: np.random.Generator, _: int) -> Proposal:
    """Pulled by a person who holds the handle; more often than not with a load."""
    if not fleet.has_forks():
        return []
    yaw = _facing_yaw(stage, aim, rng)
    pose = {
        "tiller_lean_deg": round(draw_uniform(rng, (32.0, 56.0)), 2),
        "tiller_yaw_deg": round(float(np.clip(rng.normal(0.0, 16.0), -50, 50)), 2),
    }
    if rng.random() < 0.6:
        group = loaded_truck(fleet, "pulled", aim.x, aim.y, yaw, rng, raised=True, pose=pose)
    else:
        family, params = fleet.truck("pulled", pose=pose)
        group = [truck_piece(family, params, aim.x, aim.y, yaw, "pulled")]
    person = person_pulling(group[0], stage, rng)
    return [[*group, person]]


PROPOSERS: Mapping[TruckState, Callable[[Stage, Aim, Fleet, np.random.Generator, int], Proposal]] = {
    "free_standing": _free_standing,
    "inserted": _inserted,
    "under_rack": _under_rack,
    "beside": _beside,
    "row": _in_row,
    "pair": _pair,
    "pulled": _pulled,
}
