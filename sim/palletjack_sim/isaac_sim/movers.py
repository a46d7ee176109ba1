"""The scenario's objects on paths: kinematic bodies that are put where simulated time has them.

Their transform is translate, orient and scale in this order, the only one that Isaac Sim's own XformPrim
writes; PhysX takes what is written before an update as the target of a kinematic body.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_sim.world import World

TRANSLATE, ORIENT, SCALE = "xformOp:translate", "xformOp:orient", "xformOp:scale"


def make_movable(prim: Any) -> None:
    """Make a placed object a kinematic body, where it stands."""
    from pxr import Gf, UsdGeom, UsdPhysics

    node = UsdGeom.Xformable(prim)
    matrix = node.GetLocalTransformation()
    for operation in node.GetOrderedXformOps():
        prim.RemoveProperty(operation.GetName())
    node.ClearXformOpOrder()
    double = UsdGeom.XformOp.PrecisionDouble
    node.AddTranslateOp(double)
    node.AddOrientOp(double)
    node.AddScaleOp(double).Set(Gf.Vec3d(1.0, 1.0, 1.0))
    _write(prim, matrix)
    UsdPhysics.RigidBodyAPI.Apply(prim).CreateKinematicEnabledAttr(True)


class Movers:
    """The objects of ``world`` that move, on the open stage."""

    def __init__(self, stage: Any, world: World) -> None:
        from palletjack_sdg.isaac_sim.stage import instance_path

        self._motions = [
            (stage.GetPrimAtPath(instance_path(key)), motion) for key, motion in world.motions.items()
        ]

    def place(self, stamp: float) -> None:
        """Put them where they are at ``stamp`` (s); takes effect with the next update."""
        for prim, motion in self._motions:
            _write(prim, _gf_matrix(motion.pose_at(stamp)))


def _gf_matrix(pose: NDArray[np.float64]) -> Any:
    from pxr import Gf

    return Gf.Matrix4d(pose.T.tolist())


def _write(prim: Any, matrix: Any) -> None:
    from pxr import Gf

    prim.GetAttribute(TRANSLATE).Set(matrix.ExtractTranslation())
    orient = prim.GetAttribute(ORIENT)
    # A release may have turned it into one of single precision.
    kind = Gf.Quatf if orient.GetTypeName() == "quatf" else Gf.Quatd
    orient.Set(kind(matrix.ExtractRotationQuat()))
