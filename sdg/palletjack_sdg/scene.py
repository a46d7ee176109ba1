"""The scene that a frame plan becomes: placed objects, room surfaces, lights and one camera.

World frame: metres, right-handed, z up, floor at z = 0. Nothing here depends on a renderer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.environment import Environment, Sun
from palletjack_sdg.geometry import ByteArray, Prop, Vec3

Matrix4 = NDArray[np.float64]


@dataclass(frozen=True)
class Instance:
    """A prop placed in the world by the rigid transform ``pose`` (4, 4), object to world.

    ``label`` is the class name that the label file carries, or None for what is not labelled.
    ``instance_id`` is unique in the scene and at least 1; 0 means the room itself.
    """

    instance_id: int
    prop: Prop
    pose: Matrix4
    label: str | None = None


@dataclass(frozen=True)
class Surface:
    """A flat rectangle of the room with a repeating texture.

    ``corners`` (4, 3) run counter-clockwise seen from the side that is looked at; ``texture`` is an
    sRGB image (H, W, 3) of uint8 that covers ``tile_m`` (width, height) metres and then repeats.
    ``roughness_texture`` (H, W) of uint8, 255 = fully rough, varies shine (wet patches).
    """

    name: str
    corners: NDArray[np.float64]
    texture: ByteArray
    tile_m: tuple[float, float]
    roughness: float = 0.8
    metallic: float = 0.0
    roughness_texture: ByteArray | None = None


@dataclass(frozen=True)
class RectLight:
    """A rectangular emitter: ``center``, half-edge vectors ``u`` and ``v`` (their cross product is
    the side that shines) and linear ``radiance`` RGB in W/m2/sr. Through an ``opening`` the camera sees the
    scene's environment, where there is one."""

    center: Vec3
    u: Vec3
    v: Vec3
    radiance: Vec3
    opening: bool = False


@dataclass(frozen=True)
class Camera:
    """A pinhole with optional Brown-Conrady distortion, in the optical convention of ROS.

    ``pose`` (4, 4) maps the optical frame (x right, y down, z forward) to the world.
    ``hfov_deg`` is the horizontal field of view of the undistorted image. ``distortion`` is
    (k1, k2, p1, p2, k3) as in sensor_msgs/CameraInfo's plumb_bob.
    """

    width: int
    height: int
    hfov_deg: float
    pose: Matrix4
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)

    @property
    def focal_px(self) -> float:
        """Focal length in pixels, the same on both axes."""
        return 0.5 * self.width / float(np.tan(np.radians(self.hfov_deg) / 2.0))


@dataclass(frozen=True)
class Scene:
    """Everything a renderer needs for one frame. ``ambient`` is constant sky radiance (RGB)."""

    instances: tuple[Instance, ...]
    surfaces: tuple[Surface, ...]
    lights: tuple[RectLight, ...]
    camera: Camera
    ambient: Vec3 = (0.0, 0.0, 0.0)
    metadata: dict[str, object] = field(default_factory=dict)
    environment: Environment | None = None
    sun: Sun | None = None
