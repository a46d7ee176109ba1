"""Isaac Sim as the physics and the camera of an episode: one update is one control step."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from palletjack_detection.guard import RobotPose, Velocity
from palletjack_sdg.isaac_sim.app import IsaacSim
from palletjack_sdg.isaac_sim.capture import IDS, instance_ids
from palletjack_sdg.scene import Camera
from palletjack_sim.cameras import Frame
from palletjack_sim.isaac_sim.clearance import ENVIRONMENT_ID, Clearance
from palletjack_sim.isaac_sim.movers import Movers
from palletjack_sim.scenario import CameraSpec

COLOR = "rgb"
SAME_COLLISION_S = 1.0
# Simulated time of one update may differ from the control period by this share.
PERIOD_TOLERANCE = 0.01
# Updates in which a camera's first picture arrives.
FIRST_FRAME_UPDATES = 60


class LoopError(RuntimeError):
    """Isaac Sim does not step or look as the loop needs it; the message says what was found."""


class Odometry(Protocol):
    """Where the bridge's odometry comes from."""

    def next_pose(self, after: float) -> tuple[RobotPose, float]:
        """Wait for odometry that is newer than ``after`` seconds; pose in the world and yaw rate."""
        ...


class BridgePhysics:
    """Implements ``episode.Physics``. The robot hears /cmd_vel by the graph, not from here.

    Raises LoopError where the robot starts inside of something of the environment.
    """

    def __init__(
        self,
        sim: IsaacSim,
        odometry: Odometry,
        clearance: Clearance,
        movers: Movers,
        control_rate_hz: float,
    ) -> None:
        self._sim = sim
        self._odometry = odometry
        self._movers = movers
        self._clearance = clearance
        self._period = 1.0 / control_rate_hz
        self._last_touch: dict[int, float] = {}
        self.collisions: list[tuple[float, int]] = []
        self.pose, self.yaw_rate = odometry.next_pose(-1.0)
        if ENVIRONMENT_ID in clearance.touched(self.pose):
            raise LoopError(
                f"the robot starts inside of something of the environment, at ({self.pose.x:.2f}, "
                f"{self.pose.y:.2f}): give the scenario's origin another place by --environment-origin"
            )

    def command(self, velocity: Velocity) -> None:
        """Nothing: the guard's /cmd_vel has reached the robot's controller."""

    def advance(self, duration: float) -> None:
        """Simulate ``duration`` seconds, a whole number of control periods.

        Raises:
            LoopError: an update took another simulated time than a control period.
        """
        for _ in range(round(duration / self._period)):
            before = self.pose.stamp
            # What the update shows is of its end.
            self._movers.place(before + self._period)
            self._sim.app.update()
            self.pose, self.yaw_rate = self._odometry.next_pose(before)
            passed = self.pose.stamp - before
            if abs(passed - self._period) > PERIOD_TOLERANCE * self._period:
                raise LoopError(
                    f"one update of Isaac Sim took {passed:.4f} s of simulated time, expected "
                    f"{self._period:.4f} s: its time codes per second are not the control rate"
                )
            self._note_collisions()

    def clearance(self, instance_ids: set[int]) -> float:
        """Least distance in metres from the robot's outline to the given objects."""
        return self._clearance.to(instance_ids, self.pose)

    def _note_collisions(self) -> None:
        for owner in sorted(self._clearance.touched(self.pose)):
            if self.pose.stamp - self._last_touch.get(owner, -np.inf) > SAME_COLLISION_S:
                self.collisions.append((self.pose.stamp, owner))
            self._last_touch[owner] = self.pose.stamp


class BridgeCamera:
    """Implements ``cameras.RobotCamera``: the pictures that the bridge publishes, and what is in them."""

    def __init__(self, sim: IsaacSim, product: Any, spec: CameraSpec) -> None:
        import omni.replicator.core as rep

        self._sim = sim
        self._size = Camera(spec.width, spec.height_px, spec.hfov_deg, np.eye(4))
        self._colour = rep.AnnotatorRegistry.get_annotator(COLOR, init_params=None)
        self._ids = rep.AnnotatorRegistry.get_annotator(IDS, init_params={"colorize": False})
        self._annotators = (self._colour, self._ids)
        for annotator in self._annotators:
            annotator.attach([product])

    def wait_for_first_frame(self) -> None:
        """Update until there is a picture.

        Raises:
            LoopError: none came.
        """
        for _ in range(FIRST_FRAME_UPDATES):
            self._sim.app.update()
            if np.asarray(self._colour.get_data()).size:
                return
        raise LoopError(f"the camera gave no picture in {FIRST_FRAME_UPDATES} updates")

    def render(self, pose: RobotPose) -> Frame:
        """Return the newest picture.

        Raises:
            LoopError: it has another size than the scenario's camera.
            RenderError: the ids are not as described.
        """
        rgba = np.asarray(self._colour.get_data())
        if rgba.shape != (self._size.height, self._size.width, 4) or rgba.dtype != np.uint8:
            expected = (self._size.height, self._size.width, 4)
            raise LoopError(f"{COLOR}: expected uint8 {expected}, found {rgba.dtype} {rgba.shape}")
        ids = instance_ids(self._ids.get_data(), self._size)
        return Frame(np.ascontiguousarray(rgba[..., :3]), ids)

    def close(self) -> None:
        """Take the annotators off."""
        for annotator in self._annotators:
            annotator.detach()
