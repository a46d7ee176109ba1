"""The robot's camera by the renderer that made the network's training frames."""

from __future__ import annotations

import zlib

import numpy as np

from palletjack_detection.guard import RobotPose
from palletjack_sdg.render import RenderResult, RenderSettings, create_renderer
from palletjack_sdg.scene import Camera, Scene
from palletjack_sdg.sensor import apply_sensor
from palletjack_sim.cameras import Frame, robot_matrix
from palletjack_sim.scenario import Scenario
from palletjack_sim.world import World, camera_mount_matrix

# Moving the camera by less than this (m, rad) moves nothing in the image by a tenth of a pixel.
SAME_PLACE = 1e-4


class PathTracedCamera:
    """Renders and develops frames. Noise follows from the run's seed and the frame's number only.

    While the world and the camera stand still, only the sensor's noise is drawn anew.
    """

    def __init__(self, world: World, scenario: Scenario, seed: int, *, samples_per_pixel: int = 4) -> None:
        self._world = world
        self._spec = scenario.camera
        self._sensor = scenario.sensor
        self._mount = camera_mount_matrix(scenario.camera)
        self._seed = seed
        self._stream = zlib.crc32(scenario.name.encode())
        self._frames = 0
        self._last: tuple[RobotPose, RenderResult] | None = None
        self._renderer = create_renderer(RenderSettings(spp=samples_per_pixel, max_depth=5, denoise=True))

    def render(self, pose: RobotPose) -> Frame:
        """Return the frame for the robot at ``pose``."""
        camera = Camera(
            width=self._spec.width,
            height=self._spec.height_px,
            hfov_deg=self._spec.hfov_deg,
            pose=robot_matrix(pose) @ self._mount,
        )
        noise = np.random.default_rng((self._seed, self._stream, self._frames))
        self._frames += 1
        if self._last is None or self._world.motions or not _same_place(pose, self._last[0]):
            self._last = (pose, self._trace(camera, pose.stamp, seed=int(noise.integers(2**20))))
        rendered = self._last[1]
        return Frame(apply_sensor(rendered.linear, self._sensor, noise), rendered.instance_ids)

    def _trace(self, camera: Camera, stamp: float, seed: int) -> RenderResult:
        world = self._world
        scene = Scene(world.instances_at(stamp), world.surfaces, world.lights, camera, world.ambient)
        return self._renderer.render(scene, seed=seed)

    def close(self) -> None:
        """Nothing to free: the renderer's memory goes with the process."""


def _same_place(first: RobotPose, second: RobotPose) -> bool:
    moved = max(abs(first.x - second.x), abs(first.y - second.y), abs(first.yaw - second.yaw))
    return moved < SAME_PLACE
