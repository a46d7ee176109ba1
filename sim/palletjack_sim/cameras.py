"""What a simulated camera gives, whichever renderer makes its pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.ground_range import CameraModel
from palletjack_detection.guard import RobotPose
from palletjack_sim.scenario import CameraSpec

QUALITIES = ("rasterized", "path_traced")


@dataclass(frozen=True, eq=False)
class Frame:
    """``instance_ids`` (H, W) int32, 0 where no object of the world is, and the picture or what makes it.

    With ground truth as the detector hardly any picture is looked at: one that is made when it is asked for
    can be asked for until the camera is closed.
    """

    picture: NDArray[np.uint8] | Callable[[], NDArray[np.uint8]]
    instance_ids: NDArray[np.int32]

    @cached_property
    def rgb(self) -> NDArray[np.uint8]:
        """The picture (H, W, 3) uint8."""
        return self.picture() if callable(self.picture) else self.picture


class RobotCamera(Protocol):
    """Renders what the robot's camera sees."""

    def render(self, pose: RobotPose) -> Frame:
        """Return the frame for the robot at ``pose``."""
        ...

    def close(self) -> None:
        """Free the renderer's resources."""
        ...


def camera_model(spec: CameraSpec) -> CameraModel:
    """Intrinsics of the simulated camera: square pixels, no distortion, principal point in the middle."""
    focal = 0.5 * spec.width / np.tan(np.radians(spec.hfov_deg) / 2.0)
    # Pixel centres are whole numbers in CameraInfo, so the middle of W pixels is (W - 1) / 2.
    k = [focal, 0.0, 0.5 * (spec.width - 1), 0.0, focal, 0.5 * (spec.height_px - 1), 0.0, 0.0, 1.0]
    return CameraModel.from_values(spec.width, spec.height_px, k, [0.0] * 5)


def robot_matrix(pose: RobotPose) -> NDArray[np.float64]:
    """base_link to world (4, 4)."""
    sin, cos = np.sin(pose.yaw), np.cos(pose.yaw)
    return np.array([[cos, -sin, 0, pose.x], [sin, cos, 0, pose.y], [0, 0, 1, 0], [0, 0, 0, 1.0]])
