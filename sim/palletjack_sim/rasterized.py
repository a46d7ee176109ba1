"""The robot's camera by MuJoCo's rasterizer: fast and flat, to test the loop rather than a network."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from palletjack_detection.guard import RobotPose
from palletjack_sim.cameras import Frame
from palletjack_sim.mujoco_model import CAMERA, COLLISION_GROUP, JOINTS, VISUAL_GROUP, WorldModel
from palletjack_sim.opengl import no_opengl
from palletjack_sim.scenario import CameraSpec

ANTIALIASING_SAMPLES = 4


class RasterizedCamera:
    """Two off-screen contexts: pictures are antialiased, instance ids must not be."""

    def __init__(self, world_model: WorldModel, spec: CameraSpec) -> None:
        self._model = world_model.model
        self._world_model = world_model
        self._data = mujoco.MjData(self._model)
        self._positions = [self._model.joint(name).qposadr[0] for name in JOINTS]
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = 0
        self._options.geomgroup[VISUAL_GROUP] = 1
        # The room's geoms share the visual group but belong to no instance.
        self._owner_of_geom = np.zeros(self._model.ngeom + 1, dtype=np.int32)
        for geom, owner in world_model.visual_ids.items():
            self._owner_of_geom[geom] = owner
        assert COLLISION_GROUP != VISUAL_GROUP
        self._color = self._renderer(spec, ANTIALIASING_SAMPLES)
        self._ids = self._renderer(spec, 0)
        self._ids.enable_segmentation_rendering()

    def render(self, pose: RobotPose) -> Frame:
        """Return the frame for the robot at ``pose``; its picture is made when it is asked for."""
        self._place(pose)
        self._ids.update_scene(self._data, CAMERA, self._options)
        segments = self._ids.render()
        is_geom = segments[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM)
        ids = np.where(is_geom, self._owner_of_geom[np.where(is_geom, segments[..., 0], -1)], 0)
        return Frame(lambda: self._picture(pose), ids.astype(np.int32))

    def _picture(self, pose: RobotPose) -> NDArray[np.uint8]:
        self._place(pose)
        self._color.update_scene(self._data, CAMERA, self._options)
        return np.ascontiguousarray(self._color.render())

    def _place(self, pose: RobotPose) -> None:
        for address, value in zip(self._positions, (pose.x, pose.y, pose.yaw), strict=True):
            self._data.qpos[address] = value
        self._world_model.place_movers(self._data, pose.stamp)
        mujoco.mj_forward(self._model, self._data)

    def close(self) -> None:
        """Free both contexts."""
        self._color.close()
        self._ids.close()

    def _renderer(self, spec: CameraSpec, samples: int) -> mujoco.Renderer:
        self._model.vis.quality.offsamples = samples
        try:
            renderer = mujoco.Renderer(
                self._model, spec.height_px, spec.width, max_geom=self._model.ngeom + 100
            )
        except Exception as error:
            raise no_opengl(error) from error
        # Shadow maps cost more than the rest of the frame.
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        return renderer
