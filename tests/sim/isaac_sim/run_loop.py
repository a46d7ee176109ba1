"""Runs the closed-loop script in a process of its own against the stand-in, with a guard called directly.

python -m tests.sim.isaac_sim.run_loop '{"log": "calls.json", "assets": "assets"}' <script's arguments>

The stand-in's robot does what the guard lets through; it moves on the stage, and the camera sees that stage.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Only for the pictures of a track, so the script itself has them later.
import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import numpy as np

from palletjack_detection.detections import Detections
from palletjack_detection.guard import Decision, RobotPose, Velocity
from palletjack_sim.autonomy import DirectAutonomy
from palletjack_sim.cameras import Frame
from palletjack_sim.isaac_sim import run
from palletjack_sim.scenario import Scenario
from tests.isaac_sim.fake_isaac_sim import FakeIsaacSim
from tests.isaac_sim.forked_runs import SERVE, serve
from tests.isaac_sim.stage_picture import StagePicture
from tests.sim.isaac_sim.differential_controller import DifferentialController

GRAPH = "/World/PalletjackBridge"
COMING_BACK_S = 0.5


class FakeBridge(DirectAutonomy):
    """Implements run.Link: a robot whose wheels follow the graph's controller from update to update.

    ``places``: time, place and speed of the robot, places of the kinematic bodies and whether the camera is
    on, after each update.
    """

    def begin(
        self,
        fake: FakeIsaacSim,
        scenario: Scenario,
        switch_camera: Callable[[bool], None],
        setting: dict[str, Any],
    ) -> None:
        """Put the robot at its start; each update takes ``slow`` times a control period."""
        slow = float(setting.get("slow", 1.0))
        self._warm_up = int(setting.get("warm_up", 1))
        self._switch_camera = switch_camera
        self._drive: DifferentialController | None = None
        self.places: list[dict[str, Any]] = []
        start = scenario.robot.start
        self._fake = fake
        self._period = slow / scenario.control_rate_hz
        self._where = RobotPose(0.0, start.x, start.y, math.radians(start.yaw_deg), 0.0)
        self._allowed = self._driven = Velocity()
        fake.on_update = self._update

    def wait_for_graph(self) -> None:
        """It is there."""
        assert not self._fake.playing

    def warm_up(self, update: Callable[[], None]) -> None:
        """Nothing is lost on the way here; as many updates as a slow machine would need."""
        for _ in range(self._warm_up):
            update()

    def close(self) -> None:
        """Nothing to take apart."""

    def next_pose(self, after: float) -> tuple[RobotPose, float]:
        """The pose after the last update."""
        assert self._where.stamp > after
        return self._where, self._driven.angular

    def image(self, stamp: float, frame: Frame, truth: Detections) -> Detections:
        """Truth as detections, of a camera that is on."""
        assert self._is_on(), f"a picture of {stamp} s was waited for, and the camera is off"
        return super().image(stamp, frame, truth)

    def fault(self, kind: str) -> None:
        """Switch the bridge's camera off."""
        self._switch_camera(False)

    def fault_over(self) -> float:
        """Switch it on; its pictures come with the updates."""
        self._switch_camera(True)
        return COMING_BACK_S

    def _is_on(self) -> bool:
        """The nodes' default, which the graph leaves as it is, is True."""
        nodes = ("image", "camera_info")
        return all(self._fake.attributes[f"{GRAPH}/{node}.inputs:enabled"] is not False for node in nodes)

    def drive(self, stamp: float, raw: Velocity) -> Decision:
        """Ask the guard and remember its command."""
        decision = super().drive(stamp, raw)
        self._allowed = decision.command
        return decision

    def _update(self) -> None:
        if not self._fake.playing:
            return
        if self._drive is None:
            self._drive = DifferentialController(self._fake.attributes, f"{GRAPH}/drive")
        self._driven = self._drive.step(self._allowed)
        old, speed, turn = self._where, self._driven.linear, self._driven.angular
        yaw = old.yaw + turn * self._period
        x = old.x + speed * math.cos(yaw) * self._period
        y = old.y + speed * math.sin(yaw) * self._period
        self._where = RobotPose(old.stamp + self._period, x, y, yaw, speed)
        self._move()
        self._note()

    def _note(self) -> None:
        from pxr import UsdPhysics

        objects = self._fake.stage.GetPrimAtPath("/World/Objects")
        bodies = {
            str(prim.GetPath()): list(prim.GetAttribute("xformOp:translate").Get())
            for prim in (objects.GetChildren() if objects else ())
            if prim.HasAPI(UsdPhysics.RigidBodyAPI)
        }
        where = self._where
        robot = {"stamp": where.stamp, "x": where.x, "speed": where.speed}
        self.places.append({**robot, "bodies": bodies, "is_on": self._is_on()})

    def _move(self) -> None:
        from pxr import Gf

        where = self._where
        matrix = Gf.Matrix4d().SetRotate(Gf.Rotation(Gf.Vec3d(0, 0, 1), math.degrees(where.yaw)))
        matrix.SetTranslateOnly(Gf.Vec3d(where.x, where.y, 0.0))
        self._fake.stage.GetPrimAtPath("/World/Robot").GetAttribute("xformOp:transform").Set(matrix)


def main(words: list[str]) -> int:
    """Install, run, write the calls and the graph down."""
    setting: dict[str, Any] = json.loads(words[0])
    fake = FakeIsaacSim(setting.get("release", "6"), StagePicture(samples=1)).install()
    fake.assets = setting["assets"]
    bridges: list[FakeBridge] = []

    def make_link(scenario: Scenario, *more: Any) -> FakeBridge:
        nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ())
        blind = (lambda rgb, stamp: nothing) if setting.get("blind") else None
        bridge = FakeBridge.for_scenario(scenario, blind)
        bridge.begin(fake, scenario, more[-1], setting)
        bridges.append(bridge)
        return bridge

    run.make_link = make_link  # type: ignore[assignment]
    code = run.main(words[1:])
    places = bridges[0].places if bridges else []
    prims = [str(prim.GetPath()) for prim in fake.stage.TraverseAll()] if fake.stage else []
    written = {"calls": fake.calls, "graphs": fake.graphs, "places": places, "prims": prims}
    Path(setting["log"]).write_text(json.dumps(written, default=str))
    return code


if __name__ == "__main__":
    raise SystemExit(serve(main) if sys.argv[1:] == [SERVE] else main(sys.argv[1:]))
