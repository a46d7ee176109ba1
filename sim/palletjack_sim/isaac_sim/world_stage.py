"""A scenario's world as a USD stage with physics: the data backend's stage, made solid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from palletjack_sdg.scene import Camera, Scene
from palletjack_sim.isaac_sim.movers import make_movable
from palletjack_sim.scenario import Scenario
from palletjack_sim.world import World

PHYSICS_SCENE = "/World/PhysicsScene"
GROUND = "/World/Ground"
GROUND_DEPTH_M = 0.5
PHYSICS_HZ = 120


def write_world(world: World, scenario: Scenario, path: Path) -> None:
    """Write the world to ``path``: labelled objects, room, lights, colliders and a physics scene.

    Time codes are control periods, so that one update of Isaac Sim is one control step.
    """
    from pxr import Gf, Sdf, Usd, UsdPhysics

    from palletjack_sdg.isaac_sim.stage import instance_path, write_stage

    scene = Scene(
        world.instances, world.surfaces, world.lights, Camera(64, 64, 60.0, np.eye(4)), world.ambient
    )
    # Only classes: a box annotator would give a box for every other label too.
    write_stage(scene, path, instance_labels=False)
    stage = Usd.Stage.Open(str(path))
    stage.SetTimeCodesPerSecond(scenario.control_rate_hz)
    stage.RemovePrim("/World/Camera")
    physics = UsdPhysics.Scene.Define(stage, PHYSICS_SCENE)
    physics.CreateGravityDirectionAttr(Gf.Vec3f(0.0, 0.0, -1.0))
    physics.CreateGravityMagnitudeAttr(9.81)
    # PhysX reads its rate from an attribute of a schema that usd-core does not have.
    physics.GetPrim().AddAppliedSchema("PhysxSceneAPI")
    rate = physics.GetPrim().CreateAttribute("physxScene:timeStepsPerSecond", Sdf.ValueTypeNames.UInt)
    rate.Set(PHYSICS_HZ)
    # An empty hall has none.
    if objects := stage.GetPrimAtPath("/World/Objects"):
        for prim in objects.GetChildren():
            _make_solid(prim)
    for instance_id in world.motions:
        make_movable(stage.GetPrimAtPath(instance_path(instance_id)))
    _add_ground(stage, scenario)
    stage.GetRootLayer().Save()


def _make_solid(root: Any) -> None:
    """Colliders: each part by its convex hull."""
    from pxr import Usd, UsdGeom, UsdPhysics

    for prim in Usd.PrimRange(root):
        if prim.IsA(UsdGeom.Mesh):
            UsdPhysics.CollisionAPI.Apply(prim)
            UsdPhysics.MeshCollisionAPI.Apply(prim).CreateApproximationAttr("convexHull")


def _add_ground(stage: Any, scenario: Scenario) -> None:
    """A block under the floor: a sheet of two triangles would let wheels sink in."""
    from pxr import Gf, UsdGeom, UsdPhysics

    (x0, y0), (x1, y1) = scenario.room.low, scenario.room.high
    block = UsdGeom.Cube.Define(stage, GROUND)
    block.CreateSizeAttr(1.0)
    block.AddTranslateOp().Set(Gf.Vec3d((x0 + x1) / 2.0, (y0 + y1) / 2.0, -GROUND_DEPTH_M / 2.0))
    block.AddScaleOp().Set(Gf.Vec3f(x1 - x0, y1 - y0, GROUND_DEPTH_M))
    UsdGeom.Imageable(block.GetPrim()).MakeInvisible()
    UsdPhysics.CollisionAPI.Apply(block.GetPrim())
