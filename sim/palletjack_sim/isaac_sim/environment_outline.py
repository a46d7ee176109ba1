"""The environment as the robot could run into it: the outline of its meshes at the robot's height."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.isaac_sim.assets import mesh_triangles
from palletjack_sdg.isaac_sim.usd_environment import ENVIRONMENT_PATH
from palletjack_sim.isaac_sim.clearance import sample_edges
from palletjack_sim.isaac_sim.robot import world_matrix
from palletjack_sim.scenario import Room

# Shares of the robot's height at which the meshes are cut. The floor itself is no obstacle.
CUTS = (0.3, 0.6, 0.9)


def environment_outline(stage: Any, room: Room, height: float) -> NDArray[np.float64]:
    """Points (N, 2) where the environment's visible meshes stand in the scenario's room, up to ``height``."""
    from pxr import Usd, UsdGeom

    boxes = UsdGeom.BBoxCache(Usd.TimeCode.Default(), [UsdGeom.Tokens.default_, UsdGeom.Tokens.render])
    found = [np.zeros((0, 2))]
    for prim in Usd.PrimRange(stage.GetPrimAtPath(ENVIRONMENT_PATH), Usd.TraverseInstanceProxies()):
        if not prim.IsA(UsdGeom.Mesh) or UsdGeom.Imageable(prim).ComputeVisibility() == "invisible":
            continue
        box = boxes.ComputeWorldBound(prim).ComputeAlignedRange()
        low, high = np.array(box.GetMin()), np.array(box.GetMax())
        if (low > [*room.high, height]).any() or (high < [*room.low, 0.0]).any():
            continue
        matrix = world_matrix(stage, str(prim.GetPath()))
        triangles = mesh_triangles(UsdGeom.Mesh(prim)) @ matrix[:3, :3].T + matrix[:3, 3]
        for share in CUTS:
            found.append(sample_edges(*cut(triangles, share * height)))
    points = np.concatenate(found)
    inside = ((points >= room.low) & (points <= room.high)).all(axis=1)
    return np.unique(points[inside], axis=0)


def cut(triangles: NDArray[np.float64], height: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Starts and ends (N, 2) of the segments in which triangles (T, 3, 3) cross the plane at ``height``."""
    above = triangles[:, :, 2] >= height
    crossing = triangles[above.any(axis=1) & ~above.all(axis=1)]
    firsts, seconds = crossing, crossing[:, [1, 2, 0]]
    # Of the three edges of each, two cross.
    ends = (firsts[:, :, 2] >= height) != (seconds[:, :, 2] >= height)
    first, second = firsts[ends], seconds[ends]
    share = (height - first[:, 2]) / (second[:, 2] - first[:, 2])
    points = first[:, :2] + share[:, None] * (second[:, :2] - first[:, :2])
    return points[0::2], points[1::2]
