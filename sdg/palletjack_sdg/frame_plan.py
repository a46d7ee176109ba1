"""The plan of one frame: every number from which its scene is built, as JSON.

A plan depends on nothing but (recipe, seed, index); a scene depends on nothing but its plan.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from palletjack_sdg.camera_plan import CameraPlan
from palletjack_sdg.recipe import TruckState, ZoneName
from palletjack_sdg.sensor import SensorParams

PLAN_FORMAT = "palletjack-plan/1"
Point = tuple[float, float, float]
Role = Literal["truck", "load", "goods", "structure", "vehicle", "trolley", "person", "fixture", "clutter"]


class PlanPart(BaseModel):
    """A part of a plan: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ObjectPlan(PlanPart):
    """One placed object. ``position`` in metres, yaw about z, then pitch and roll in the object's own frame.

    ``group`` is shared by what moves together: a truck, the pallet on its forks and the person pulling it;
    within a group things touch on purpose. ``label`` is the class that the label file carries, or None.
    """

    id: int
    family: str
    params: dict[str, Any]
    position: Point
    yaw_deg: float
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    role: Role
    group: int
    label: str | None = None
    state: TruckState | None = None


class SurfacePlan(PlanPart):
    """One flat piece of the room. ``kind`` says in which registry ``texture`` is found.

    Corners run counter-clockwise seen from inside the room; ``brightness`` multiplies the texture,
    ``roughness_factor`` its roughness (a wet floor is smoother).
    """

    name: str
    kind: Literal["floor", "wall", "ceiling"]
    texture: str
    seed: int
    corners: tuple[Point, Point, Point, Point]
    brightness: float = 1.0
    roughness_factor: float = 1.0
    # Of the picture, where a pack's is the texture.
    sha256: str | None = None

    @model_serializer(mode="wrap")
    def _short(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without(write(self), "sha256")


class LightPlan(PlanPart):
    """One rectangular light, as in scene.RectLight."""

    kind: Literal["fixture", "daylight", "lamp"]
    center: Point
    u: Point
    v: Point
    radiance: Point


class EnvironmentPlan(PlanPart):
    """What lies outside: ``name`` is "sky", made from ``seed``, or a pack's map, whose file is ``sha256``.

    ``radiance`` is its mean without the sun, in W/m2/sr; it sets the light of every "daylight".
    """

    name: str
    seed: int
    sha256: str | None
    rotation_deg: float
    radiance: float


class SunPlan(PlanPart):
    """Direct sun through the openings: where it stands, in degrees from the world's x axis and above the
    horizon, and the ``irradiance`` RGB, in W/m2, of what faces it. Where there is a map, its brightest pixel
    gives the elevation.
    """

    azimuth_deg: float
    elevation_deg: float
    irradiance: Point


class FramePlan(PlanPart):
    """Everything of one frame. ``metadata`` holds counts of refused placements and what was aimed at."""

    format: Literal["palletjack-plan/1"] = "palletjack-plan/1"
    recipe: str
    seed: int
    index: int
    zone: ZoneName
    camera: CameraPlan
    sensor: SensorParams
    objects: tuple[ObjectPlan, ...]
    surfaces: tuple[SurfacePlan, ...]
    lights: tuple[LightPlan, ...]
    ambient: Point
    environment: EnvironmentPlan | None = None
    sun: SunPlan | None = None
    metadata: dict[str, Any]

    @model_serializer(mode="wrap")
    def _short(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without(_without(write(self), "environment"), "sun")


def _without(tree: dict[str, Any], key: str) -> dict[str, Any]:
    """Leave out ``key`` where it says nothing: plans of recipes without packs keep their bytes."""
    return {name: value for name, value in tree.items() if name != key or value is not None}
