"""What a closed-loop scenario says: the place, the robot, its route, the objects, and when it passes."""

from __future__ import annotations

import difflib
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from palletjack_sdg.sensor import SensorParams

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]

STAMP_ROUNDING_S = 1e-6


class ScenarioError(ValueError):
    """A scenario that cannot be read: the message names the file, the field and what was expected."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Pose(_Section):
    """Place on the floor in the world frame: metres, degrees; yaw 0 looks along x."""

    x: float
    y: float
    yaw_deg: float = 0.0
    z: float = 0.0


class Room(_Section):
    """A rectangular hall from ``low`` to ``high`` (x, y) metres with textures named as in palletjack_sdg."""

    low: tuple[float, float] = (-4.0, -5.0)
    high: tuple[float, float] = (20.0, 5.0)
    height: Positive = 5.5
    floor: str = "concrete"
    wall: str = "plaster"
    ceiling: str = "deck"

    @model_validator(mode="after")
    def _spans(self) -> Room:
        if self.low[0] >= self.high[0] or self.low[1] >= self.high[1]:
            raise ValueError(f"low {self.low} must lie below high {self.high} on both axes")
        return self


class Window(_Section):
    """An upright rectangle that lets light in: ``center`` and ``size`` (width, height) in metres.

    It shines towards ``facing_deg`` (0 is along x) with ``radiance``, linear RGB in W/m2/sr.
    """

    center: tuple[float, float, float]
    size: tuple[Positive, Positive] = (2.0, 2.0)
    facing_deg: float = 180.0
    radiance: tuple[NotNegative, NotNegative, NotNegative] = (60.0, 62.0, 66.0)


class Light(_Section):
    """Rows of ceiling fixtures along x, and windows. Radiances and ``ambient``: linear RGB, W/m2/sr."""

    rows: Annotated[int, Field(ge=1, le=4)] = 2
    fixtures_per_row: Annotated[int, Field(ge=1, le=6)] = 5
    length: Positive = 1.5
    width: Positive = 0.3
    radiance: tuple[NotNegative, NotNegative, NotNegative] = (22.0, 22.0, 20.0)
    ambient: tuple[NotNegative, NotNegative, NotNegative] = (0.12, 0.12, 0.13)
    windows: tuple[Window, ...] = ()


class CameraSpec(_Section):
    """The robot's camera: looks along x of base_link, tilted down by ``pitch_down_deg``."""

    forward: float = 0.42
    height: Positive = 0.6
    pitch_down_deg: Annotated[float, Field(gt=-45.0, lt=80.0)] = 3.0
    hfov_deg: Annotated[float, Field(gt=10.0, lt=140.0)] = 80.0
    width: Annotated[int, Field(ge=32, le=4096)] = 640
    height_px: Annotated[int, Field(ge=32, le=4096)] = 360
    rate_hz: Positive = 10.0


class Dynamics(_Section):
    """Limits of the drive. ``latency`` (s) passes between a command and its effect.

    ``grip`` is the share of the accelerations that the floor lets through, 1 when dry. The guard is not told.
    """

    max_acceleration: Positive = 0.8
    max_deceleration: Positive = 1.2
    max_angular_acceleration: Positive = 2.0
    latency: NotNegative = 0.1
    command_timeout: Positive = 0.5
    grip: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0


class Robot(_Section):
    """A box-shaped robot with a differential drive; base_link is on the floor under its middle."""

    start: Pose = Pose(x=0.0, y=0.0)
    length: Positive = 0.9
    width: Positive = 0.65
    height: Positive = 0.35
    mass: Positive = 80.0
    dynamics: Dynamics = Dynamics()


class Route(_Section):
    """Straight legs from the start through ``via`` to ``goal``, points (x, y), at ``speed`` m/s.

    With ``approach``, the first truck that is seen is driven up to instead; the goal is to stand that many
    metres before it.
    """

    goal: tuple[float, float]
    via: tuple[tuple[float, float], ...] = ()
    approach: Positive | None = None
    speed: Positive = 1.0
    goal_tolerance: Positive = 0.3


class Vary(_Section):
    """What a run's seed changes about an object. ``resample`` draws the parameters that are not given."""

    position: NotNegative = 0.0
    yaw_deg: NotNegative = 0.0
    resample: bool = False


class ObjectPath(_Section):
    """How an object moves: from its pose through ``points`` (x, y) at ``speed`` m/s, from ``start`` s on.

    ``points`` are in the world frame for the pose as written; what varies moves the whole path. The object
    turns with the legs and stays at the last point.
    """

    points: Annotated[tuple[tuple[float, float], ...], Field(min_length=1)]
    speed: Positive = 1.0
    start: NotNegative = 0.0


class ObjectSpec(_Section):
    """One object of a family of palletjack_sdg. Parameters that are not given are drawn from ``seed``.

    Objects of one ``group`` vary alike: a person and the truck that is pulled stay together.
    """

    name: str
    family: str
    pose: Pose
    seed: Annotated[int, Field(ge=0)] = 0
    params: dict[str, Any] = {}
    vary: Vary = Vary()
    group: str | None = None
    path: ObjectPath | None = None

    @model_validator(mode="after")
    def _moves(self) -> ObjectSpec:
        corners = [(self.pose.x, self.pose.y), *(self.path.points if self.path else ())]
        for first, second in pairwise(corners):
            if first == second:
                raise ValueError(f"path.points: expected points apart from each other, found {first} twice")
        return self


class Fault(_Section):
    """What fails at ``at`` seconds, until ``until`` or for good. No image reaches the detector meanwhile.

    ``camera_lost``: that is all. ``detector_killed``: its process is killed as well, where it is one.
    """

    kind: Literal["camera_lost", "detector_killed"]
    at: NotNegative
    until: Positive | None = None

    @model_validator(mode="after")
    def _lasts(self) -> Fault:
        if self.until is not None and self.until <= self.at:
            raise ValueError(f"until: expected a time after at ({self.at} s), found {self.until} s")
        return self

    def active(self, stamp: float) -> bool:
        """Whether it has set in and not ended at ``stamp`` (s)."""
        return self.at <= stamp and (self.until is None or stamp < self.until)


class Criteria(_Section):
    """When a run has passed. ``min_clearance`` is to pallet trucks, ``max_collisions`` is with anything.

    ``final_clearance``: least and greatest distance to a pallet truck at the end. ``max_fault_stop_s``: the
    robot stands at most this long after the first fault set in.
    """

    min_clearance: NotNegative = 0.5
    max_collisions: Annotated[int, Field(ge=0)] = 0
    must_stop: bool = False
    must_reach_goal: bool = False
    max_stops: Annotated[int, Field(ge=0)] | None = None
    min_stops: Annotated[int, Field(ge=0)] = 0
    min_distance: NotNegative = 0.0
    final_clearance: tuple[NotNegative, Positive] | None = None
    max_fault_stop_s: Positive | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Criteria:
        if self.must_stop and self.must_reach_goal:
            raise ValueError("must_stop and must_reach_goal exclude each other")
        if self.max_stops is not None and self.min_stops > self.max_stops:
            raise ValueError(f"min_stops {self.min_stops} must not exceed max_stops {self.max_stops}")
        return self


class Scenario(_Section):
    """Everything about one closed-loop run but its seed."""

    format: Literal["palletjack-scenario/1"]
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    description: str
    duration: Positive = 20.0
    control_rate_hz: Positive = 20.0
    room: Room = Room()
    light: Light = Light()
    robot: Robot = Robot()
    route: Route
    camera: CameraSpec = CameraSpec()
    sensor: SensorParams = SensorParams()
    objects: tuple[ObjectSpec, ...] = ()
    faults: tuple[Fault, ...] = ()
    criteria: Criteria = Criteria()

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        steps = self.control_rate_hz / self.camera.rate_hz
        if steps < 1 or abs(steps - round(steps)) > 1e-6:
            raise ValueError(
                f"control_rate_hz {self.control_rate_hz} must be a whole multiple of camera.rate_hz "
                f"{self.camera.rate_hz}"
            )
        names = [item.name for item in self.objects]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"object names must be unique, found {', '.join(repeated)} more than once")
        if self.criteria.max_fault_stop_s is not None and not self.faults:
            raise ValueError("criteria.max_fault_stop_s: expected faults that it counts from, found none")
        late = [fault.kind for fault in self.faults if fault.at >= self.duration]
        if late:
            raise ValueError(f"faults: {late[0]} sets in after the run's {self.duration} s")
        return self

    def lasting(self, seconds: float | None) -> Scenario:
        """The scenario with another duration; None: its own. ScenarioError where a fault would not set in."""
        if seconds is None:
            return self
        for fault in self.faults:
            if fault.at >= seconds:
                raise ScenarioError(
                    f"scenario {self.name}: duration: expected more than the {fault.at:g} s at which "
                    f"{fault.kind} sets in, found {seconds:g} s"
                )
        return self.model_copy(update={"duration": seconds})

    def delayed(self, seconds: float) -> Scenario:
        """The scenario for a clock that shows ``seconds`` when the run begins."""
        # Stamps carry whole nanoseconds: rounding must not put a fault off by a frame.
        later = seconds - STAMP_ROUNDING_S
        faults = tuple(
            fault.model_copy(
                update={"at": fault.at + later, "until": None if fault.until is None else fault.until + later}
            )
            for fault in self.faults
        )
        return self.model_copy(update={"faults": faults})

    @property
    def control_steps_per_frame(self) -> int:
        """Control periods between two camera frames."""
        return round(self.control_rate_hz / self.camera.rate_hz)


def shipped_scenarios() -> list[str]:
    """Names of the scenarios that the package carries."""
    folder = resources.files("palletjack_sim") / "scenarios"
    return sorted(item.name[: -len(".yaml")] for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Read a shipped scenario by its name, or a YAML file by its path.

    Raises:
        ScenarioError: no such scenario, not YAML, or a field that is unknown, missing or wrong; all such
            fields are named with their dotted path.
    """
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise ScenarioError(f"scenario {path}: no such file")
        source, text = str(path), path.read_text(encoding="utf-8")
    else:
        shipped = shipped_scenarios()
        if str(name_or_path) not in shipped:
            near = difflib.get_close_matches(str(name_or_path), shipped, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ScenarioError(
                f"scenario {name_or_path}: expected a .yaml file or one of {', '.join(shipped)}{hint}"
            )
        file = resources.files("palletjack_sim") / "scenarios" / f"{name_or_path}.yaml"
        source, text = f"{name_or_path}.yaml", file.read_text(encoding="utf-8")
    return parse_scenario(text, source)


def parse_scenario(text: str, source: str) -> Scenario:
    """Parse YAML ``text``; ``source`` names it in errors. Raises ScenarioError."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScenarioError(f"scenario {source}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ScenarioError(f"scenario {source}: expected a mapping at the top, found {type(data).__name__}")
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        # A misspelt name comes before the field that is then missing.
        problems = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        lines = [_explain(item) for item in problems]
        raise ScenarioError(f"scenario {source}: " + "; ".join(lines)) from error


def _explain(item: Any) -> str:
    location = item["loc"]
    path = ".".join(str(part) for part in location) or "(top)"
    if item["type"] == "missing":
        return f"{path}: {item['msg']}"
    if item["type"] != "extra_forbidden":
        return f"{path}: {item['msg']}, found {item['input']!r}"[:300]
    known = _fields_at(location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f", did you mean {near[0]}?" if near else f", known are {', '.join(known)}"
    return f"{path}: unknown field{hint}"


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    """Field names of the section at ``location``, following lists to their item type."""
    model: type[BaseModel] = Scenario
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        candidates = (*getattr(annotation, "__args__", ()), annotation)
        inner = next((a for a in candidates if isinstance(a, type) and issubclass(a, BaseModel)), None)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)
