"""The robot on the stage: what the bridge needs of it, found by traversal, for names differ by release."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from palletjack_sim.isaac_sim import data_folder
from palletjack_sim.scenario import CameraSpec

# From USD's camera axes (y up, looking along -z) to ROS's optical ones (y down, z forward).
USD_TO_OPTICAL = np.diag([1.0, -1.0, -1.0, 1.0])
MOUNTED_CAMERA = "palletjack_camera"
# A camera that is rolled or looks aside by more is not what the guard's geometry is for.
MAX_ASIDE_DEG = 5.0
MAX_SIDEWAYS_M = 0.25


class RobotError(RuntimeError):
    """A robot on which something that the bridge needs is not found; the message says what is there."""


class RobotSpec(BaseModel):
    """One entry of robots.yaml. Lengths in metres; ``chassis``: name of the body that carries the camera."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    wheel_joints: tuple[str, str]
    wheel_radius: float = Field(gt=0.0)
    wheel_distance: float = Field(gt=0.0)
    chassis: str


@dataclass(frozen=True)
class RobotPrims:
    """Paths of the articulation's root, the chassis, and all cameras below the robot's prim."""

    articulation: str
    chassis: str
    cameras: tuple[str, ...]


def load_robots() -> dict[str, RobotSpec]:
    """Return the robots of robots.yaml by name."""
    text = (data_folder() / "robots.yaml").read_text(encoding="utf-8")
    return {name: RobotSpec.model_validate(entry) for name, entry in yaml.safe_load(text).items()}


def find_prims(stage: Any, root: str, spec: RobotSpec) -> RobotPrims:
    """Look for the robot's parts below the prim ``root``.

    Raises:
        RobotError: there is no articulation, no chassis or not both wheel joints.
    """
    from pxr import Usd, UsdGeom, UsdPhysics

    top = stage.GetPrimAtPath(root)
    prims = list(Usd.PrimRange(top, Usd.TraverseInstanceProxies())) if top else []
    roots = [str(prim.GetPath()) for prim in prims if prim.HasAPI(UsdPhysics.ArticulationRootAPI)]
    chassis = [str(prim.GetPath()) for prim in prims if prim.GetName() == spec.chassis]
    joints = {prim.GetName() for prim in prims if prim.IsA(UsdPhysics.Joint)}
    bodies = sorted(prim.GetName() for prim in prims if prim.HasAPI(UsdPhysics.RigidBodyAPI))
    if not roots:
        raise RobotError(f"{root}: expected an articulation root, found none among {len(prims)} prims")
    if not chassis:
        raise RobotError(f"{root}: expected a body named {spec.chassis}, found {', '.join(bodies) or 'none'}")
    if not set(spec.wheel_joints) <= joints:
        found = ", ".join(sorted(joints)) or "none"
        raise RobotError(f"{root}: expected joints {', '.join(spec.wheel_joints)}, found {found}")
    cameras = tuple(str(prim.GetPath()) for prim in prims if prim.IsA(UsdGeom.Camera))
    return RobotPrims(roots[0], chassis[0], cameras)


def mount_camera(stage: Any, chassis: str, base: NDArray[np.float64], mount: NDArray[np.float64]) -> str:
    """Put a camera of our own on the chassis; returns its path.

    ``base`` (4, 4) takes base_link to the world as the robot stands now, ``mount`` (4, 4) the optical frame
    to base_link.
    """
    from pxr import Gf, UsdGeom

    path = f"{chassis}/{MOUNTED_CAMERA}"
    camera = UsdGeom.Camera.Define(stage, path)
    parent = world_matrix(stage, chassis)
    local = np.linalg.inv(parent) @ base @ mount @ USD_TO_OPTICAL
    camera.ClearXformOpOrder()
    camera.AddTransformOp().Set(Gf.Matrix4d(local.T.tolist()))
    return path


def choose_camera(cameras: tuple[str, ...], pattern: str) -> str:
    """Return the one camera whose path contains ``pattern``, or the first of several.

    Raises:
        RobotError: none does; all are named.
    """
    chosen = [path for path in cameras if pattern in path]
    if not chosen:
        raise RobotError(
            f"camera {pattern!r}: expected a part of one of {', '.join(cameras) or 'no cameras'}"
        )
    return chosen[0]


def set_optics(stage: Any, camera: str, spec: CameraSpec) -> None:
    """Give the camera the scenario's field of view, square pixels, and a near clip that a robot needs."""
    from pxr import Gf, UsdGeom

    node = UsdGeom.Camera(stage.GetPrimAtPath(camera))
    aperture = 20.955
    focal = 0.5 * aperture / math.tan(math.radians(spec.hfov_deg) / 2.0)
    node.CreateHorizontalApertureAttr().Set(aperture)
    node.CreateVerticalApertureAttr().Set(aperture * spec.height_px / spec.width)
    node.CreateFocalLengthAttr().Set(focal)
    node.CreateClippingRangeAttr().Set(Gf.Vec2f(0.05, 1000.0))


def spec_of_camera(stage: Any, camera: str, base: NDArray[np.float64], spec: CameraSpec) -> CameraSpec:
    """Return ``spec`` with the place where ``camera`` really is on the robot.

    Raises:
        RobotError: it is rolled, looks aside or sits at the side, which the guard's geometry cannot have.
    """
    optical = np.linalg.inv(base) @ world_matrix(stage, camera) @ np.linalg.inv(USD_TO_OPTICAL)
    optical[:3, :3] /= np.linalg.norm(optical[:3, :3], axis=0)
    right, forward, place = optical[:3, 0], optical[:3, 2], optical[:3, 3]
    aside = max(abs(math.degrees(math.asin(right[2]))), abs(math.degrees(math.atan2(forward[1], forward[0]))))
    if aside > MAX_ASIDE_DEG or abs(place[1]) > MAX_SIDEWAYS_M:
        raise RobotError(
            f"{camera}: expected a camera in the middle that looks ahead, found one {place[1]:.2f} m aside, "
            f"turned by {aside:.0f} degrees"
        )
    pitch = math.degrees(math.asin(-forward[2]))
    return spec.model_copy(
        update={"forward": float(place[0]), "height": float(place[2]), "pitch_down_deg": float(pitch)}
    )


def world_matrix(stage: Any, path: str) -> NDArray[np.float64]:
    """The prim's frame to the world (4, 4), as the stage has it before physics moves anything."""
    from pxr import UsdGeom

    return np.array(UsdGeom.XformCache().GetLocalToWorldTransform(stage.GetPrimAtPath(path))).T
