"""A USD environment in place of the scenario's own hall: found, placed and held to what the loop needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from palletjack_sdg.isaac_sim.app import IsaacSimError
from palletjack_sim.isaac_sim import data_folder
from palletjack_sim.motion import pose_matrix
from palletjack_sim.scenario import Pose, Scenario
from palletjack_sim.world import World

HALL = "hall"
ENVIRONMENT = "/World/Environment"
LIGHTS = "/World/Lights"
# Families of the scenario's hall; its other objects are put into the environment.
FURNITURE = ("rack",)
# What Isaac Sim's asset root holds, as isaacsim.storage.native of 6.2 lists it.
ASSET_FOLDERS = ("/Isaac/", "/NVIDIA/")
FILES = (".usd", ".usda", ".usdc", ".usdz")
# Of a layer that says nothing, as USD has it.
UNSAID_METRES, UNSAID_AXIS = 0.01, "Y"


class ShippedEnvironment(BaseModel):
    """One entry of environments.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    read: str
    origin: Pose


@dataclass(frozen=True)
class Environment:
    """A USD file and where the scenario's origin lies in it (metres, z up).

    ``is_of_assets``: ``url`` is relative to Isaac Sim's asset root.
    """

    name: str
    url: str
    is_of_assets: bool
    origin: Pose


def load_environments() -> dict[str, ShippedEnvironment]:
    """Return the environments of environments.yaml by name."""
    text = (data_folder() / "environments.yaml").read_text(encoding="utf-8")
    return {name: ShippedEnvironment.model_validate(entry) for name, entry in yaml.safe_load(text).items()}


def choose_environment(choice: str, origin: str) -> Environment | None:
    """Return what ``choice`` means: a short name, an address or a file; None for the scenario's own hall.

    ``origin``: X,Y,YAW in metres and degrees; empty: the short name's, else 0,0,0. Raises ValueError.
    """
    place = _origin(origin)
    if choice == HALL:
        if place is not None:
            raise ValueError(
                f"--environment-origin: expected --environment with it, found {origin!r} for {HALL}"
            )
        return None
    shipped = load_environments()
    if choice in shipped:
        entry = shipped[choice]
        return Environment(choice, entry.url, True, place or entry.origin)
    place = place or Pose(x=0.0, y=0.0)
    if choice.startswith(ASSET_FOLDERS):
        return Environment(choice, choice, True, place)
    if "://" in choice:
        return Environment(choice, choice, False, place)
    if choice.lower().endswith(FILES):
        return Environment(choice, str(Path(choice).expanduser().absolute()), False, place)
    names = ", ".join((HALL, *sorted(shipped)))
    raise ValueError(
        f"--environment: expected one of {names}, a USD file, an address with ://, or a path below "
        f"{' or '.join(ASSET_FOLDERS)} of Isaac Sim's asset root, found {choice!r}"
    )


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

    url = assets_root() + environment.url if environment.is_of_assets else environment.url
    metres, axis = _checked(url)
    matrix = np.linalg.inv(pose_matrix(environment.origin)) @ _to_metres(metres, axis)
    root = UsdGeom.Xform.Define(stage, ENVIRONMENT)
    root.AddTransformOp().Set(Gf.Matrix4d(matrix.T.tolist()))
    # A prim below: the file's own root may carry transforms, which this one's would replace.
    stage.DefinePrim(f"{ENVIRONMENT}/model", "Xform").GetReferences().AddReference(url)


def settle_environment(stage: Any, environment: Environment) -> None:
    """Leave out what the environment and the scenario would both bring.

    The scenario's physics scene stays, which has the loop's rate; of the lights the environment's, where it
    has any. Raises IsaacSimError where nothing to be seen was loaded.
    """
    from pxr import Usd, UsdGeom, UsdLux, UsdPhysics

    root = stage.GetPrimAtPath(ENVIRONMENT)
    prims = list(Usd.PrimRange(root, Usd.TraverseInstanceProxies()))
    if not any(prim.IsA(UsdGeom.Gprim) for prim in prims):
        raise IsaacSimError(f"{environment.url}: expected an environment with shapes in it, found none")
    if any(prim.HasAPI(UsdLux.LightAPI) for prim in prims):
        stage.RemovePrim(LIGHTS)
    scenes = [prim for prim in prims if prim.IsA(UsdPhysics.Scene) and not prim.IsInstanceProxy()]
    for prim in scenes:
        prim.SetActive(False)


def _checked(url: str) -> tuple[float, str]:
    """Metres per unit and up axis of the file at ``url``."""
    from pxr import Sdf, Tf

    try:
        layer = Sdf.Layer.FindOrOpen(url)
    except Tf.ErrorException:
        layer = None
    if not layer:
        raise IsaacSimError(f"{url}: environment: expected a USD file, found none that opens")
    if not layer.HasDefaultPrim():
        raise IsaacSimError(
            f"{url}: environment: expected a default prim, which a reference takes, found none"
        )
    root = layer.pseudoRoot
    metres = root.GetInfo("metersPerUnit") if root.HasInfo("metersPerUnit") else UNSAID_METRES
    axis = root.GetInfo("upAxis") if root.HasInfo("upAxis") else UNSAID_AXIS
    return float(metres), str(axis)


def _to_metres(metres: float, axis: str) -> NDArray[np.float64]:
    """The file's coordinates to metres with z up (4, 4)."""
    matrix = np.eye(4)
    if axis == "Y":
        matrix[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    matrix[:3, :3] *= metres
    return matrix


def _origin(text: str) -> Pose | None:
    if not text:
        return None
    try:
        x, y, yaw = (float(word) for word in text.split(","))
    except ValueError:
        x = math.nan
        y = yaw = 0.0
    if not all(math.isfinite(value) for value in (x, y, yaw)):
        raise ValueError(f"--environment-origin: expected X,Y,YAW in metres and degrees, found {text!r}")
    return Pose(x=x, y=y, yaw_deg=yaw)
