"""Small hand-made scenes for the tests of renderer and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.geometry import Material, Part, Prop, Vec3
from palletjack_sdg.scene import Camera, Instance, RectLight, Scene, Surface

BARREL = (-0.18, 0.03, 0.0006, -0.0004, 0.0)
# Corners of a unit cube, faces counter-clockwise from outside.
CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ],
    dtype=np.int32,
)  # fmt: skip


def box(low: Vec3, high: Vec3, material: Material | None = None) -> Part:
    """A box between two corners, in the object's own frame."""
    corners = np.array(low) + CORNERS * (np.array(high) - np.array(low))
    return Part(corners.astype(np.float32), FACES, material or Material())


def simple_truck(color: Vec3 = (0.8, 0.1, 0.1)) -> Prop:
    """Two forks, a head and a tiller: 1.5 m long, 0.54 m wide, 1.2 m high."""
    paint = Material(color, 0.4)
    parts = (
        box((0.0, 0.11, 0.05), (1.15, 0.27, 0.11), paint),
        box((0.0, -0.27, 0.05), (1.15, -0.11, 0.11), paint),
        box((-0.3, -0.25, 0.0), (0.0, 0.25, 0.45), paint),
        box((-0.35, -0.03, 0.4), (-0.29, 0.03, 1.2), Material((0.05, 0.05, 0.05))),
    )
    return Prop("palletjack", parts)


def at(x: float, y: float, yaw_deg: float = 0.0, z: float = 0.0) -> NDArray[np.float64]:
    """Pose of an object that stands at (x, y), turned by ``yaw_deg``."""
    pose = np.eye(4)
    cos, sin = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    pose[:2, :2] = [[cos, -sin], [sin, cos]]
    pose[:3, 3] = (x, y, z)
    return pose


def looking_along_x(
    width: int = 320,
    height: int = 184,
    hfov_deg: float = 70.0,
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0),
    eye: Vec3 = (0.0, 0.0, 0.8),
    pitch_deg: float = 0.0,
) -> Camera:
    """A camera at ``eye`` that looks along +x; positive pitch looks up."""
    cos, sin = np.cos(np.radians(pitch_deg)), np.sin(np.radians(pitch_deg))
    pose = np.eye(4)
    pose[:3, 0] = (0.0, -1.0, 0.0)
    pose[:3, 1] = (sin, 0.0, -cos)
    pose[:3, 2] = (cos, 0.0, sin)
    pose[:3, 3] = eye
    return Camera(width, height, hfov_deg, pose, distortion)


def floor(value: int = 128, roughness: float = 1.0) -> Surface:
    """A grey floor of 40 m by 40 m."""
    corners = np.array([[-20, -20, 0], [20, -20, 0], [20, 20, 0], [-20, 20, 0]], dtype=float)
    return Surface("floor", corners, np.full((4, 4, 3), value, np.uint8), (1.0, 1.0), roughness)


def ceiling_lights(count: int = 4, radiance: float = 20.0) -> tuple[RectLight, ...]:
    """Lamps in a row along x, 4 m above the floor, shining down."""
    return tuple(
        RectLight((1.5 * k, 0.0, 4.0), (0.5, 0.0, 0.0), (0.0, -0.1, 0.0), (radiance,) * 3)
        for k in range(count)
    )


def scene(camera: Camera, *instances: Instance) -> Scene:
    """The instances on a floor under lamps and a faint sky."""
    return Scene(instances, (floor(),), ceiling_lights(), camera, (0.1, 0.1, 0.1))


def compiled_kernels(renders: Sequence[Callable[[], object]]) -> list[set[object]]:
    """Hashes of the kernels that each call ran.

    Not cache hits: the cache on disk would hide a compilation that happened in an earlier run.
    """
    import drjit as dr

    kernels: list[set[object]] = []
    dr.set_flag(dr.JitFlag.KernelHistory, True)
    try:
        for render in renders:
            dr.kernel_history_clear()
            render()
            history = dr.kernel_history()
            kernels.append({entry["hash"] for entry in history if entry["type"] == dr.KernelType.JIT})
    finally:
        dr.set_flag(dr.JitFlag.KernelHistory, False)
    return kernels
