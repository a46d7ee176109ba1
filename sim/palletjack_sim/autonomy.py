"""What drives the robot during a run: the ROS graph, or the same guard called directly."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.detections import Detections
from palletjack_detection.ground_range import CameraModel, CameraMount, locate_on_floor
from palletjack_detection.guard import Decision, Guard, GuardConfig, RobotPose, Velocity
from palletjack_sim.cameras import Frame, camera_model
from palletjack_sim.scenario import Scenario

# Of an image (H, W, 3) and its stamp (s).
Detect = Callable[[NDArray[np.uint8], float], Detections]


class Autonomy(Protocol):
    """One tick is: ``odometry``, then ``image`` when the camera is due, then ``drive``."""

    def odometry(self, pose: RobotPose, yaw_rate: float) -> None:
        """Tell where the robot is; ``pose.stamp`` is the new simulated time."""
        ...

    def image(self, stamp: float, frame: Frame, truth: Detections) -> Detections:
        """Show a frame and return what was detected in it, after the guard has taken it in."""
        ...

    def fault(self, kind: str) -> None:
        """A fault of scenario.Fault's ``kind`` sets in; images do not come while it lasts."""
        ...

    def fault_over(self) -> float:
        """No fault is left. Returns after how many seconds a frame can be answered again."""
        ...

    def drive(self, stamp: float, raw: Velocity) -> Decision:
        """Ask for ``raw`` and return what the guard makes of it."""
        ...


def camera_mount(scenario: Scenario) -> CameraMount:
    """The scenario's camera on base_link."""
    spec = scenario.camera
    return CameraMount.from_height_and_pitch(spec.height, np.radians(spec.pitch_down_deg), spec.forward)


def guard_config(scenario: Scenario) -> GuardConfig:
    """The guard's numbers for this robot: what it can brake, and how long a command takes.

    The guard reckons with less braking than the drive has, and with one control period on top of the
    drive's latency; three frames may be late before it stops.
    """
    robot, dynamics = scenario.robot, scenario.robot.dynamics
    return GuardConfig(
        deceleration=0.8 * dynamics.max_deceleration,
        latency=dynamics.latency + 1.0 / scenario.control_rate_hz,
        robot_half_width=0.5 * robot.width,
        robot_front=0.5 * robot.length,
        source_timeout=max(0.5, 3.0 / scenario.camera.rate_hz),
    )


@dataclass
class DirectAutonomy:
    """The guard without a graph. ``detect`` is None for ground truth as the detector."""

    camera: CameraModel
    mount: CameraMount
    guard: Guard
    detect: Detect | None = None
    latencies_ms: list[float] = field(default_factory=list)
    commands_ms: list[float] = field(default_factory=list)
    _shown: float | None = None
    _pose: RobotPose | None = None

    @classmethod
    def for_scenario(cls, scenario: Scenario, detect: Detect | None = None) -> DirectAutonomy:
        """Set up as closed_loop.launch.py sets up the graph."""
        guard = Guard(guard_config(scenario))
        return cls(camera_model(scenario.camera), camera_mount(scenario), guard, detect)

    def odometry(self, pose: RobotPose, yaw_rate: float) -> None:
        """Keep the newest pose."""
        self._pose = pose

    def image(self, stamp: float, frame: Frame, truth: Detections) -> Detections:
        """Detect, locate and remember."""
        if self._pose is None or self._pose.stamp != stamp:
            raise RuntimeError(f"image at {stamp} s without odometry of that time")
        rgb = None if self.detect is None else frame.rgb
        self._shown = began = time.perf_counter()
        found = truth if self.detect is None or rgb is None else self.detect(rgb, stamp)
        self.latencies_ms.append((time.perf_counter() - began) * 1e3)
        places = [
            locate_on_floor(box, float(score), self.camera, self.mount)
            for box, score in zip(found.boxes, found.scores, strict=True)
        ]
        self.guard.observe(self._pose, [place for place in places if place], self.camera, self.mount)
        return found

    def fault(self, kind: str) -> None:
        """Nothing to do: here is no process that could be killed."""

    def fault_over(self) -> float:
        """The next frame is answered."""
        return 0.0

    def drive(self, stamp: float, raw: Velocity) -> Decision:
        """Ask the guard."""
        decision = self.guard.limit(stamp, self._pose, raw)
        if self._shown is not None:
            self.commands_ms.append((time.perf_counter() - self._shown) * 1e3)
            self._shown = None
        return decision
