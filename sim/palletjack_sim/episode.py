"""One closed-loop run: the robot drives, sees and is held back, in lock-step with simulated time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from palletjack_detection.detections import Detections
from palletjack_detection.guard import STOP, Decision, RobotPose, Velocity
from palletjack_sim.approach_driver import ApproachDriver
from palletjack_sim.autonomy import Autonomy
from palletjack_sim.cameras import Frame, RobotCamera
from palletjack_sim.ground_truth import GroundTruth, Match, match
from palletjack_sim.opengl import no_opengl
from palletjack_sim.route import LegRoute
from palletjack_sim.scenario import Fault, Scenario
from palletjack_sim.world import World

RESTING_SPEED = 0.02
# After a collision the run goes on for this long, so that the record shows it.
AFTER_COLLISION = 1.0


@dataclass(frozen=True)
class Sight:
    """A camera frame, the trucks in it, and what was detected. ``owners`` are the truth's instance ids.

    ``blind``: a fault kept the frame from being answered; nothing can be detected in it.
    """

    stamp: float
    pose: RobotPose
    frame: Frame
    truth: Detections
    owners: list[int]
    found: Detections
    matches: list[Match]
    blind: bool = False


@dataclass(frozen=True)
class Tick:
    """State at one control step, before its command takes effect. Metres, seconds, radians."""

    pose: RobotPose
    yaw_rate: float
    raw: Velocity
    decision: Decision
    clearance: float
    collisions: int
    sight: Sight | None


class Physics(Protocol):
    """What moves the robot and notes what it touches; the frame of ``pose`` is the world."""

    collisions: list[tuple[float, int]]

    @property
    def pose(self) -> RobotPose:
        """Pose of base_link and forward speed; its stamp is the simulated time."""
        ...

    @property
    def yaw_rate(self) -> float:
        """Turning speed in rad/s."""
        ...

    def command(self, velocity: Velocity) -> None:
        """Ask for ``velocity``."""
        ...

    def advance(self, duration: float) -> None:
        """Simulate ``duration`` seconds."""
        ...

    def clearance(self, instance_ids: set[int]) -> float:
        """Least distance in metres from the robot to the given objects."""
        ...


class Episode:
    """Owns the physics, the camera's schedule and the route. ``autonomy`` is asked for everything else."""

    def __init__(self, scenario: Scenario, world: World, camera: RobotCamera, physics: Physics) -> None:
        self.scenario = scenario
        self.world = world
        self.truth = GroundTruth(world)
        self.physics = physics
        self.route: LegRoute | ApproachDriver
        if scenario.route.approach is None:
            self.route = LegRoute(scenario.robot.start, scenario.route)
        else:
            self.route = ApproachDriver(scenario, scenario.route.approach)
        self._camera = camera
        self._told: list[Fault] = []
        self._is_faulty = False
        self._blind_until = -math.inf

    def run(self, autonomy: Autonomy, on_tick: Callable[[Tick], None]) -> None:
        """Run to the scenario's duration, the goal, or shortly after a collision.

        ``on_tick`` is called once for each control step. Errors of ``autonomy`` and the camera pass through.
        """
        period = 1.0 / self.scenario.control_rate_hz
        steps = math.floor(self.scenario.duration * self.scenario.control_rate_hz + 1e-6)
        for step in range(steps + 1):
            tick = self._step(autonomy, with_image=step % self.scenario.control_steps_per_frame == 0)
            on_tick(tick)
            if self._finished(tick):
                return
            self.physics.command(tick.decision.command)
            self.physics.advance(period)

    def _step(self, autonomy: Autonomy, with_image: bool) -> Tick:
        pose, yaw_rate = self.physics.pose, self.physics.yaw_rate
        autonomy.odometry(pose, yaw_rate)
        sight = self._look(autonomy, pose) if with_image else None
        raw = self.route.command(pose)
        decision = autonomy.drive(pose.stamp, raw)
        return Tick(
            pose=pose,
            yaw_rate=yaw_rate,
            raw=raw,
            decision=decision,
            clearance=self.physics.clearance(self.truth.truck_ids),
            collisions=len(self.physics.collisions),
            sight=sight,
        )

    def _look(self, autonomy: Autonomy, pose: RobotPose) -> Sight:
        frame = self._camera.render(pose)
        truth, owners = self.truth.boxes(frame.instance_ids)
        if self._failing(autonomy, pose.stamp):
            nothing = truth.above(math.inf)
            return Sight(pose.stamp, pose, frame, truth, owners, nothing, [], blind=True)
        found = autonomy.image(pose.stamp, frame, truth)
        self.route.see(pose, found)
        return Sight(pose.stamp, pose, frame, truth, owners, found, match(found, truth, owners))

    def _failing(self, autonomy: Autonomy, stamp: float) -> bool:
        """Whether a fault keeps this frame from being answered; one that sets in is passed on once.

        When the last one has ended, the autonomy says how long the camera takes to come back.
        """
        active = [fault for fault in self.scenario.faults if fault.active(stamp)]
        for fault in active:
            if fault not in self._told:
                self._told.append(fault)
                autonomy.fault(fault.kind)
        if self._is_faulty and not active:
            self._blind_until = stamp + autonomy.fault_over()
        self._is_faulty = bool(active)
        return self._is_faulty or stamp < self._blind_until

    def _finished(self, tick: Tick) -> bool:
        if self.physics.collisions:
            return tick.pose.stamp - self.physics.collisions[0][0] >= AFTER_COLLISION
        at_rest = abs(tick.pose.speed) < RESTING_SPEED
        return self.route.reached(tick.pose) and at_rest and tick.decision.action != STOP


def make_episode(
    scenario: Scenario, world: World, quality: str, seed: int, *, samples_per_pixel: int = 4
) -> Episode:
    """Build physics and camera of one run; ``quality`` is one of cameras.QUALITIES.

    Raises RuntimeError where there is no OpenGL of the kind that MUJOCO_GL names.
    """
    try:
        # MuJoCo loads it when it is imported; a library that is not there shows as an AttributeError.
        import mujoco  # noqa: F401
    except (AttributeError, OSError) as error:
        raise no_opengl(error) from error
    from palletjack_sim.mujoco_model import build_model
    from palletjack_sim.physics import RobotPhysics

    world_model = build_model(scenario, world)
    camera: RobotCamera
    if quality == "rasterized":
        from palletjack_sim.rasterized import RasterizedCamera

        camera = RasterizedCamera(world_model, scenario.camera)
    elif quality == "path_traced":
        from palletjack_sim.path_traced import PathTracedCamera

        camera = PathTracedCamera(world, scenario, seed, samples_per_pixel=samples_per_pixel)
    else:
        raise ValueError(f"camera quality: expected rasterized or path_traced, found {quality!r}")
    return Episode(scenario, world, camera, RobotPhysics(world_model, scenario.robot))
