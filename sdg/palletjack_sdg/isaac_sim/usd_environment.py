"""A USD file that Isaac Sim loads as surroundings, such as NVIDIA's warehouse: chosen and opened."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from palletjack_sdg.isaac_sim.app import IsaacSimError

HALL = "hall"
ENVIRONMENT_PATH = "/World/Environment"
# What Isaac Sim's asset root holds, as isaacsim.storage.native of 6.2 lists it.
ASSET_FOLDERS = ("/Isaac/", "/NVIDIA/")
FILES = (".usd", ".usda", ".usdc", ".usdz")
# Of a layer that says nothing, as USD has it.
UNSAID_METRES, UNSAID_AXIS = 0.01, "Y"


class Origin(BaseModel):
    """A place on an environment's floor: metres, and degrees about z."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: float = 0.0
    y: float = 0.0
    yaw_deg: float = 0.0

    def matrix(self) -> NDArray[np.float64]:
        """From this place to the environment's metres (4, 4)."""
        yaw = math.radians(self.yaw_deg)
        matrix = np.eye(4)
        matrix[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
        matrix[:2, 3] = self.x, self.y
        return matrix


class ShippedEnvironment(BaseModel):
    """One entry of an environments.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    read: str
    origin: Origin


@dataclass(frozen=True)
class Environment:
    """A USD file and where what is put into it has its origin.

    ``name``: as it was chosen. ``is_of_assets``: ``url`` is relative to Isaac Sim's asset root.
    """

    name: str
    url: str
    is_of_assets: bool
    origin: Origin


def read_environments(text: str) -> dict[str, ShippedEnvironment]:
    """Return the environments of an environments.yaml by name."""
    return {name: ShippedEnvironment.model_validate(entry) for name, entry in yaml.safe_load(text).items()}


def choose_environment(
    choice: str, origin: str, shipped: Mapping[str, ShippedEnvironment]
) -> Environment | None:
    """Return what ``choice`` means: a name of ``shipped``, an address or a file; None for the own room.

    ``origin``: X,Y,YAW in metres and degrees; empty: the short name's, else 0,0,0. Raises ValueError.
    """
    place = _origin(origin)
    if choice == HALL:
        if place is not None:
            raise ValueError(
                f"--environment-origin: expected --environment with it, found {origin!r} for {HALL}"
            )
        return None
    if choice in shipped:
        return Environment(choice, shipped[choice].url, True, place or shipped[choice].origin)
    place = place or Origin()
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


def open_environment(
    environment: Environment, assets_root: Callable[[], str]
) -> tuple[str, NDArray[np.float64]]:
    """Return the file's address and the matrix (4, 4) from its coordinates, in its own units and up axis, to
    metres with z up around ``environment.origin``; only after Isaac Sim has started.

    Raises:
        IsaacSimError: there is no asset root, or the file does not open or has no default prim.
    """
    url = assets_root() + environment.url if environment.is_of_assets else environment.url
    return url, np.linalg.inv(environment.origin.matrix()) @ _to_metres(url)


def loaded_prims(stage: Any, url: str) -> list[Any]:
    """Return the prims of the environment on ``stage``, instances' included.

    Raises:
        IsaacSimError: nothing to be seen was loaded.
    """
    from pxr import Usd, UsdGeom

    prims = list(Usd.PrimRange(stage.GetPrimAtPath(ENVIRONMENT_PATH), Usd.TraverseInstanceProxies()))
    if not any(prim.IsA(UsdGeom.Gprim) for prim in prims):
        raise IsaacSimError(f"{url}: expected an environment with shapes in it, found none")
    return prims


def has_lights(prims: list[Any]) -> bool:
    """Whether one of ``prims`` is a light."""
    from pxr import UsdLux

    return any(prim.HasAPI(UsdLux.LightAPI) for prim in prims)


def _to_metres(url: str) -> NDArray[np.float64]:
    """The file's coordinates to metres with z up (4, 4)."""
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
    matrix = np.eye(4)
    if axis == "Y":
        matrix[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    matrix[:3, :3] *= float(metres)
    return matrix


def _origin(text: str) -> Origin | None:
    if not text:
        return None
    try:
        x, y, yaw = (float(word) for word in text.split(","))
    except ValueError:
        x = math.nan
        y = yaw = 0.0
    if not all(math.isfinite(value) for value in (x, y, yaw)):
        raise ValueError(f"--environment-origin: expected X,Y,YAW in metres and degrees, found {text!r}")
    return Origin(x=x, y=y, yaw_deg=yaw)
