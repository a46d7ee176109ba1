"""The stage on which a frame is laid out: the room, what stands in it, and how much a camera sees of a truck.

World frame: metres, z up; every zone chooses its own x and y. Yaw is in radians here and in degrees in plans.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.camera_plan import CameraPlan, image_box
from palletjack_sdg.frame_plan import LightPlan, ObjectPlan, Role, SurfacePlan
from palletjack_sdg.geometry import Prop, Vec3
from palletjack_sdg.objects import catalog
from palletjack_sdg.objects.family import ObjectParams
from palletjack_sdg.placement import FloorArea, FloorBox, Occupancy, box_from_bounds
from palletjack_sdg.recipe import Recipe, TruckState, ZoneName
from palletjack_sdg.scene import Camera

MAX_TRIANGLES = 250_000
CLOSE_UP_SHARE = 0.27
"""Things that take more of the image's width than this, close to the camera, are rare."""


@dataclass(frozen=True)
class Row:
    """A strip of floor along which goods stand side by side, ``depth`` deep behind its front line.

    ``start`` and ``end`` (x, y) are the front line's ends, ``normal`` (radians) points from the strip out to
    the free floor. ``fill`` scales how densely goods stand here; ``wall`` says that a wall is behind;
    ``lanes`` is how many goods may stand one behind the other.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    normal: float
    depth: float = 1.25
    fill: float = 1.0
    wall: bool = False
    lanes: int = 1

    @property
    def length(self) -> float:
        """Length of the front line, metres."""
        return math.dist(self.start, self.end)

    def point(self, along: float, inward: float = 0.0) -> tuple[float, float]:
        """Return the floor point ``along`` metres from the start and ``inward`` metres behind the front."""
        share = along / max(self.length, 1e-9)
        x = self.start[0] + share * (self.end[0] - self.start[0]) - inward * math.cos(self.normal)
        y = self.start[1] + share * (self.end[1] - self.start[1]) - inward * math.sin(self.normal)
        return x, y


@dataclass(frozen=True)
class Bay:
    """A free ground bay of a rack: the middle of its front line, the way out of it, and its clear space."""

    x: float
    y: float
    normal: float
    width: float
    depth: float
    clear_height: float


@dataclass(frozen=True)
class Room:
    """The room's inside: x0..x1, y0..y1, and its height."""

    x0: float
    x1: float
    y0: float
    y1: float
    height: float


@dataclass(frozen=True)
class Viewpoint:
    """Where a zone lets the camera stand, and which way it looks: degrees, ``spread`` to either side."""

    x: tuple[float, float]
    y: tuple[float, float]
    yaw_deg: float
    spread_deg: float


@dataclass(frozen=True)
class Piece:
    """An object about to be placed: parameters, pose in the world, and the boxes it fills there."""

    family: str
    params: ObjectParams
    role: Role
    x: float
    y: float
    yaw: float
    z: float = 0.0
    boxes: tuple[FloorBox, ...] = ()
    label: str | None = None
    state: TruckState | None = None
    pitch_deg: float = 0.0
    roll_deg: float = 0.0

    def prop(self) -> Prop:
        """Return the built prop."""
        return catalog.build(self.family, self.params)


@dataclass
class TruckView:
    """A placed truck as the camera sees it: bearing interval (radians), distance and image box (px)."""

    object_id: int
    state: TruckState
    distance: float
    bearing: tuple[float, float]
    top_z: float
    box: tuple[float, float, float, float]
    group: int
    hidden: float = 0.0


@dataclass
class Stage:
    """Everything laid out so far."""

    recipe: Recipe
    zone: ZoneName
    room: Room
    occupancy: Occupancy
    optics: CameraPlan
    budget: int
    rows: list[Row] = field(default_factory=list)
    bays: list[Bay] = field(default_factory=list)
    viewpoints: list[Viewpoint] = field(default_factory=list)
    objects: list[ObjectPlan] = field(default_factory=list)
    surfaces: list[SurfacePlan] = field(default_factory=list)
    lights: list[LightPlan] = field(default_factory=list)
    trucks: list[TruckView] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    triangles: int = 0
    groups: int = 0
    close_ups: int = 0
    camera: Camera | None = None
    _stock: dict[str, list[ObjectParams]] = field(default_factory=dict)

    def full(self) -> bool:
        """Tell whether the frame has as many objects (the building aside) or triangles as it should."""
        return self.placed_count() >= self.budget or self.triangles > MAX_TRIANGLES

    def placed_count(self) -> int:
        """Return the number of placed objects, the building aside."""
        return sum(1 for entry in self.objects if entry.role not in ("structure", "fixture"))

    def draw_params(self, family: str, rng: np.random.Generator, variants: int = 2) -> ObjectParams:
        """Return parameters of ``family`` from this frame's stock of at most ``variants`` different ones.

        A real hall holds many equal things; equal parameters are also built only once.
        """
        stock = self._stock.setdefault(family, [])
        if len(stock) < variants and (not stock or rng.random() < 0.5):
            stock.append(catalog.sample(family, rng))
            return stock[-1]
        return stock[int(rng.integers(len(stock)))]

    def place(
        self,
        what: str,
        pieces: Sequence[Piece],
        *,
        check: bool = True,
        guard: bool = True,
        close_up: bool = False,
    ) -> bool:
        """Place ``pieces`` as one group; with ``check`` only where they fit.

        With ``guard`` they may not hide a truck beyond the recipe's ``least_in_sight``, nor fill the view
        unless ``close_up`` allows it. Returns whether they were placed.
        """
        boxes = [box for piece in pieces for box in piece.boxes]
        if check and any(box.z1 > self.room.height for box in boxes):
            self.occupancy.refused[f"{what}: higher than the room"] += 1
            return False
        if guard and self._would_hide(boxes):
            self.occupancy.refused[f"{what}: hides a truck"] += 1
            return False
        close = guard and not close_up and self._fills_view(boxes)
        if close and self.close_ups == 0:
            self.occupancy.refused[f"{what}: fills the view"] += 1
            return False
        if check:
            if not self.occupancy.try_add(what, boxes):
                return False
        else:
            self.occupancy.add(boxes)
        if close:
            self.close_ups -= 1
        if guard:
            self._note_hiding(boxes)
        self.groups += 1
        for piece in pieces:
            self._append(piece)
        return True

    def _append(self, piece: Piece) -> None:
        self.triangles += catalog.triangle_count(piece.prop())
        self.objects.append(
            ObjectPlan(
                id=len(self.objects) + 1,
                family=piece.family,
                params=piece.params.model_dump(mode="json"),
                position=(round(piece.x, 4), round(piece.y, 4), round(piece.z, 4)),
                yaw_deg=round(math.degrees(piece.yaw) % 360.0, 3),
                pitch_deg=round(piece.pitch_deg, 3),
                roll_deg=round(piece.roll_deg, 3),
                role=piece.role,
                group=self.groups,
                # An object of a user's own pack carries the class that the pack gives it.
                label=piece.label or getattr(piece.params, "class_name", None),
                state=piece.state,
            )
        )

    def eye(self) -> tuple[float, float, float]:
        """Return the camera's position."""
        x, y, z = self.optics.position
        return x, y, z

    def in_view(self, x: float, y: float, margin_deg: float = 6.0) -> bool:
        """Tell whether the floor point lies in the camera's horizontal field of view, with a margin."""
        eye_x, eye_y, _ = self.eye()
        bearing = math.degrees(math.atan2(y - eye_y, x - eye_x)) - self.optics.yaw_deg
        bearing = (bearing + 180.0) % 360.0 - 180.0
        return abs(bearing) < self.optics.hfov_deg / 2 + margin_deg

    def hidden_share(self, truck: TruckView, boxes: Sequence[FloorBox]) -> float:
        """Return about which share of ``truck``'s silhouette ``boxes`` hide, 0..1.

        Boxes count by the bearing interval and the height that they cover, as if they did not overlap.
        """
        eye_x, eye_y, eye_z = self.eye()
        low, high = truck.bearing
        hidden = 0.0
        for box in boxes:
            corners = box.corners() - [eye_x, eye_y]
            distances = np.hypot(corners[:, 0], corners[:, 1])
            near = float(distances.mean())
            if near > truck.distance or near < 1e-6:
                continue
            bearings = _unwrapped(np.arctan2(corners[:, 1], corners[:, 0]), (low + high) / 2)
            across = min(high, float(bearings.max())) - max(low, float(bearings.min()))
            if across <= 0:
                continue
            reach = truck.distance / near
            top = min(truck.top_z, eye_z + (box.z1 - eye_z) * reach)
            bottom = max(0.0, eye_z + (box.z0 - eye_z) * reach)
            if top > bottom:
                hidden += across / (high - low) * (top - bottom) / truck.top_z
        return min(hidden, 1.0)

    def _would_hide(self, boxes: Sequence[FloorBox]) -> bool:
        most = 1 - self.recipe.trucks.least_in_sight
        return any(
            truck.hidden + self.hidden_share(truck, boxes) > max(most, truck.hidden + 0.01)
            for truck in self.trucks
        )

    def _note_hiding(self, boxes: Sequence[FloorBox]) -> None:
        for truck in self.trucks:
            truck.hidden = min(1.0, truck.hidden + self.hidden_share(truck, boxes))

    def _fills_view(self, boxes: Sequence[FloorBox]) -> bool:
        """Tell whether ``boxes``, close and high enough, take too much of the image's width."""
        if self.camera is None or not boxes:
            return False
        eye_x, eye_y, eye_z = self.eye()
        distance = min(math.hypot(box.x - eye_x, box.y - eye_y) for box in boxes)
        if distance > 5.0 or max(box.z1 for box in boxes) < eye_z - 0.25 * distance:
            return False
        half = math.radians(self.optics.hfov_deg) / 2
        low, high = self.bearing_of(boxes)
        middle = math.radians(self.optics.yaw_deg)
        turn = (middle - (low + high) / 2 + math.pi) % (2 * math.pi) - math.pi
        middle = (low + high) / 2 + turn
        return min(high, middle + half) - max(low, middle - half) > CLOSE_UP_SHARE * 2 * half

    def bearing_of(self, boxes: Sequence[FloorBox]) -> tuple[float, float]:
        """Return the interval of bearings (radians) that ``boxes`` fill, seen from the camera."""
        eye_x, eye_y, _ = self.eye()
        corners = np.concatenate([box.corners() for box in boxes]) - [eye_x, eye_y]
        middle = float(np.arctan2(corners[:, 1].mean(), corners[:, 0].mean()))
        bearings = _unwrapped(np.arctan2(corners[:, 1], corners[:, 0]), middle)
        return float(bearings.min()), float(bearings.max())

    def image_box_of(self, piece: Piece) -> tuple[float, float, float, float] | None:
        """Return the image box (px, not clipped) of ``piece``'s mesh, or None where it is not in view."""
        if self.camera is None:
            raise RuntimeError("the camera is placed before anything is judged by its image")
        return image_box(self.camera, world_points(piece))


def world_points(piece: Piece) -> NDArray[np.float64]:
    """Return some thousand of ``piece``'s vertices (N, 3) in the world, enough for its outline."""
    points = np.concatenate([part.vertices for part in piece.prop().parts]).astype(np.float64)
    points = points[:: max(1, len(points) // 1500)]
    c, s = math.cos(piece.yaw), math.sin(piece.yaw)
    turned = points @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    return turned + np.array([piece.x, piece.y, piece.z])


def standing(
    family: str,
    params: ObjectParams,
    role: Role,
    x: float,
    y: float,
    yaw: float,
    *,
    z: float = 0.0,
    label: str | None = None,
    state: TruckState | None = None,
) -> Piece:
    """Return a piece that fills the box around its mesh."""
    low, high = catalog.build(family, params).bounds()
    local = box_from_bounds((low[0], low[1], low[2] + z), (high[0], high[1], high[2] + z))
    boxes = (local.moved(x, y, yaw),)
    return Piece(family, params, role, x, y, yaw, z, boxes, label, state)


def to_world(x: float, y: float, yaw: float, local: Vec3) -> Vec3:
    """Return the world point of ``local`` in a frame at (x, y) turned by ``yaw`` radians."""
    c, s = math.cos(yaw), math.sin(yaw)
    return x + c * local[0] - s * local[1], y + s * local[0] + c * local[1], local[2]


def area_of(room: Room) -> FloorArea:
    """Return the room's floor."""
    return FloorArea(room.x0, room.x1, room.y0, room.y1)


def _unwrapped(angles: NDArray[np.float64], middle: float) -> NDArray[np.float64]:
    """Return ``angles`` moved by whole turns to within half a turn of ``middle``."""
    return middle + (angles - middle + math.pi) % (2 * math.pi) - math.pi
