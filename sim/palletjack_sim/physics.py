"""The robot's motion and its contacts, in MuJoCo."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import mujoco
import numpy as np

from palletjack_detection.guard import RobotPose, Velocity
from palletjack_sim.mujoco_model import CHASSIS, JOINTS, WorldModel
from palletjack_sim.scenario import Robot

# Distances beyond this many metres are not told apart.
FARTHEST = 50.0
# A wheel cannot push its reference speed further than this (m/s) from what the robot really does.
STALL_SPEED = 0.3
# Touching the same object again within this many seconds counts as the same collision.
SAME_COLLISION = 1.0


@dataclass(frozen=True)
class _Pending:
    due: float
    command: Velocity


class RobotPhysics:
    """A differential drive with acceleration limits and latency, among objects that stand or move.

    The frame of ``pose`` is the world: odometry is exact, as Isaac Sim's is.
    """

    def __init__(self, world_model: WorldModel, robot: Robot) -> None:
        self.model = world_model.model
        self.data = mujoco.MjData(self.model)
        self._robot = robot
        self._owners = world_model.collision_ids
        self._chassis_geom = self.model.geom(CHASSIS).id
        self._dofs = [self.model.joint(name).dofadr[0] for name in JOINTS]
        self._positions = [self.model.joint(name).qposadr[0] for name in JOINTS]
        self._actuators = [self.model.actuator(name).id for name in JOINTS]
        start = (robot.start.x, robot.start.y, np.radians(robot.start.yaw_deg))
        for address, value in zip(self._positions, start, strict=True):
            self.data.qpos[address] = value
        self._world_model = world_model
        world_model.place_movers(self.data, 0.0)
        self._steps = 0
        self._pending: deque[_Pending] = deque()
        self._command = Velocity()
        self._command_time = -np.inf
        self._reference = Velocity()
        self._last_touch: dict[int, float] = {}
        self.collisions: list[tuple[float, int]] = []
        mujoco.mj_forward(self.model, self.data)

    @property
    def time(self) -> float:
        """Simulated seconds; a product, so that rounding does not pile up over a run."""
        return self._steps * float(self.model.opt.timestep)

    @property
    def pose(self) -> RobotPose:
        """Pose of base_link in the world and forward speed."""
        x, y, yaw = (float(self.data.qpos[address]) for address in self._positions)
        vx, vy, _ = (float(self.data.qvel[address]) for address in self._dofs)
        return RobotPose(self.time, x, y, yaw, float(vx * np.cos(yaw) + vy * np.sin(yaw)))

    @property
    def yaw_rate(self) -> float:
        """Turning speed in rad/s."""
        return float(self.data.qvel[self._dofs[2]])

    def command(self, velocity: Velocity) -> None:
        """Ask for ``velocity``; it takes effect after the drive's latency."""
        self._pending.append(_Pending(self.time + self._robot.dynamics.latency, velocity))

    def advance(self, duration: float) -> None:
        """Simulate ``duration`` seconds (a whole number of time steps) and note new contacts."""
        step = float(self.model.opt.timestep)
        for _ in range(round(duration / step)):
            self._drive(step)
            self._world_model.place_movers(self.data, self.time)
            mujoco.mj_step(self.model, self.data)
            self._steps += 1
            self._note_contacts()

    def clearance(self, instance_ids: set[int]) -> float:
        """Least distance in metres from the chassis to the given objects; below 0 inside, 50 at most."""
        distances = [
            mujoco.mj_geomDistance(self.model, self.data, self._chassis_geom, geom, FARTHEST, None)
            for geom, owner in self._owners.items()
            if owner in instance_ids
        ]
        return float(min(distances, default=FARTHEST))

    def _drive(self, step: float) -> None:
        while self._pending and self._pending[0].due <= self.time + 1e-9:
            self._command = self._pending.popleft().command
            self._command_time = self.time
        limits = self._robot.dynamics
        wanted = self._command
        if self.time - self._command_time > limits.command_timeout:
            # As the base of a real robot does when its computer falls silent.
            wanted = Velocity()
        speed = self.pose.speed
        linear = _within(self._reference.linear, speed - STALL_SPEED, speed + STALL_SPEED)
        speeding_up = abs(wanted.linear) > abs(linear) and wanted.linear * linear >= 0.0
        rate = limits.grip * (limits.max_acceleration if speeding_up else limits.max_deceleration)
        linear += _within(wanted.linear - linear, -rate * step, rate * step)
        turn = limits.max_angular_acceleration * step
        angular = self._reference.angular
        angular += _within(wanted.angular - angular, -turn, turn)
        self._reference = Velocity(linear, angular)
        yaw = float(self.data.qpos[self._positions[2]])
        targets = (linear * np.cos(yaw), linear * np.sin(yaw), angular)
        for actuator, target in zip(self._actuators, targets, strict=True):
            self.data.ctrl[actuator] = target

    def _note_contacts(self) -> None:
        if not self.data.ncon:
            return  # as in most steps; asking for the list costs more than the step itself
        for contact in self.data.contact[: self.data.ncon]:
            pair = (int(contact.geom1), int(contact.geom2))
            if self._chassis_geom not in pair:
                continue
            owner = self._owners.get(pair[0] if pair[1] == self._chassis_geom else pair[1])
            if owner is None:
                continue
            # A robot that leans on a thing loses contact for single steps: that is one collision.
            if self.time - self._last_touch.get(owner, -np.inf) > SAME_COLLISION:
                self.collisions.append((self.time, owner))
            self._last_touch[owner] = self.time


def _within(value: float, low: float, high: float) -> float:
    """As np.clip, which takes longer for a number than everything else in a step."""
    return min(max(value, low), high)
