"""The driver of an approach scenario: its route until a truck is seen, then up to that truck."""

from __future__ import annotations

from palletjack_detection.approach import ARRIVED, SEARCHING, Approach, ApproachConfig
from palletjack_detection.detections import Detections
from palletjack_detection.ground_range import locate_on_floor
from palletjack_detection.guard import RobotPose, Velocity
from palletjack_sim.autonomy import camera_mount
from palletjack_sim.cameras import camera_model
from palletjack_sim.route import LegRoute
from palletjack_sim.scenario import Scenario


class ApproachDriver:
    """Follows the route while it has no target. It uses detections, as the robot does, not the truth."""

    def __init__(self, scenario: Scenario, distance: float) -> None:
        config = ApproachConfig(
            distance=distance,
            speed=min(scenario.route.speed, ApproachConfig.speed),
            robot_front=0.5 * scenario.robot.length,
        )
        self._approach = Approach(config)
        self._route = LegRoute(scenario.robot.start, scenario.route)
        self._camera, self._mount = camera_model(scenario.camera), camera_mount(scenario)

    def see(self, pose: RobotPose, found: Detections) -> None:
        """Take in the detections of the image exposed at ``pose``."""
        places = [
            locate_on_floor(box, float(score), self._camera, self._mount)
            for box, score in zip(found.boxes, found.scores, strict=True)
        ]
        # A box cut by the border says only that the truck is nearer than this.
        self._approach.observe(pose, [place.point for place in places if place and not place.nearer_than])

    def command(self, pose: RobotPose) -> Velocity:
        """Velocity that the robot should drive if nothing were in its way."""
        wish = self._approach.command(pose.stamp, pose)
        return self._route.command(pose) if self._approach.state == SEARCHING else wish

    def reached(self, pose: RobotPose) -> bool:
        """Whether it stands before a truck; the route's end without a truck is no goal."""
        return self._approach.state == ARRIVED
