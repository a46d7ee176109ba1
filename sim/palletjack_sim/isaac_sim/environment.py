"""A USD environment in place of the scenario's own hall: placed, and held to what the loop needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from palletjack_sdg.isaac_sim.usd_environment import (
    ENVIRONMENT_PATH,
    Environment,
    ShippedEnvironment,
    choose_environment,
    has_lights,
    loaded_prims,
    open_environment,
    read_environments,
)
from palletjack_sim.isaac_sim import data_folder
from palletjack_sim.scenario import Scenario
from palletjack_sim.world import World

LIGHTS = "/World/Lights"
# Families of the scenario's hall; its other objects are put into the environment.
FURNITURE = ("rack",)


def load_environments() -> dict[str, ShippedEnvironment]:
    """Return the environments of environments.yaml by name."""
    return read_environments((data_folder() / "environments.yaml").read_text(encoding="utf-8"))


def choose_hall(choice: str, origin: str) -> Environment | None:
    """Return what ``choice`` means: a short name, an address or a file; None for the scenario's own hall.

    ``origin``: X,Y,YAW in metres and degrees; empty: the short name's, else 0,0,0. Raises ValueError.
    """
    return choose_environment(choice, origin, load_environments())


def without_hall(world: World, scenario: Scenario) -> World:
    """The world without the scenario's walls, floor, ceiling and racks. Its lights stay."""
    furniture = {item.name for item in scenario.objects if item.family in FURNITURE}
    kept = tuple(item for item in world.instances if world.names[item.instance_id] not in furniture)
    ids = {item.instance_id for item in kept}
    return replace(
        world,
        instances=kept,
        names={key: name for key, name in world.names.items() if key in ids},
        motions={key: motion for key, motion in world.motions.items() if key in ids},
        surfaces=(),
    )


def add_environment(stage: Any, environment: Environment, assets_root: Callable[[], str]) -> None:
    """Refer to the environment on the open ``stage``, so that the scenario's origin lies where it should.

    Call ``settle_environment`` when it has loaded. Raises IsaacSimError where the file does not open or has
    no default prim.
    """
    from pxr import Gf, UsdGeom

    url, matrix = open_environment(environment, assets_root)
    root = UsdGeom.Xform.Define(stage, ENVIRONMENT_PATH)
    root.AddTransformOp().Set(Gf.Matrix4d(matrix.T.tolist()))
    # A prim below: the file's own root may carry transforms, which this one's would replace.
    stage.DefinePrim(f"{ENVIRONMENT_PATH}/model", "Xform").GetReferences().AddReference(url)


def settle_environment(stage: Any, environment: Environment) -> None:
    """Leave out what the environment and the scenario would both bring.

    The scenario's physics scene stays, which has the loop's rate; of the lights the environment's, where it
    has any. Raises IsaacSimError where nothing to be seen was loaded.
    """
    from pxr import UsdPhysics

    prims = loaded_prims(stage, environment.url)
    if has_lights(prims):
        stage.RemovePrim(LIGHTS)
    scenes = [prim for prim in prims if prim.IsA(UsdPhysics.Scene) and not prim.IsInstanceProxy()]
    for prim in scenes:
        prim.SetActive(False)
