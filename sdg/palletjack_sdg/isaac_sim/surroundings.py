"""A USD environment, such as NVIDIA's warehouse, in place of the room that a frame's plan has."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from palletjack_sdg.isaac_sim.app import IsaacSimError
from palletjack_sdg.layouts.fittings import ON_WALLS, UNDER_CEILING
from palletjack_sdg.scene import Instance, Scene

HALL = "hall"
ENVIRONMENT_PATH, LIGHTS_PATH = "/World/Environment", "/World/Lights"
BUILDING = frozenset(
    (*ON_WALLS, *UNDER_CEILING, "ceiling_beam", "dock_leveller", "floor_marking", "light_fixture", "pillar")
)
"""Families that hang on the room or hold it up: without it they would float, or stand in the other's way."""
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
    """One entry of contract/environments.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    read: str
    origin: Origin


@dataclass(frozen=True)
class Environment:
    """A USD file and where the middle of a frame lies in it.

    ``is_of_assets``: ``url`` is relative to Isaac Sim's asset root.
    """

    url: str
    is_of_assets: bool
    origin: Origin


@dataclass(frozen=True)
class Surroundings:
    """An environment's file that opens. ``to_frame`` (4, 4) takes its coordinates, in its own units and up
    axis, to metres around the middle of a frame."""

    url: str
    to_frame: NDArray[np.float64]

    def pose(self, scene: Scene) -> NDArray[np.float64]:
        """Return the matrix (4, 4) from metres around the frame's middle to the world of ``scene``."""
        shift = np.eye(4)
        shift[:2, 3] = frame_middle(scene)
        return shift


def load_environments() -> dict[str, ShippedEnvironment]:
    """Return the environments of contract/environments.yaml by name."""
    text = (resources.files(__package__) / "contract" / "environments.yaml").read_text(encoding="utf-8")
    return {name: ShippedEnvironment.model_validate(entry) for name, entry in yaml.safe_load(text).items()}


def choose_environment(choice: str, origin: str) -> Environment | None:
    """Return what ``choice`` means: a short name, an address or a file; None for the plan's own room.

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
        return Environment(shipped[choice].url, True, place or shipped[choice].origin)
    place = place or Origin()
    if choice.startswith(ASSET_FOLDERS):
        return Environment(choice, True, place)
    if "://" in choice:
        return Environment(choice, False, place)
    if choice.lower().endswith(FILES):
        return Environment(str(Path(choice).expanduser().absolute()), False, place)
    names = ", ".join((HALL, *sorted(shipped)))
    raise ValueError(
        f"--environment: expected one of {names}, a USD file, an address with ://, or a path below "
        f"{' or '.join(ASSET_FOLDERS)} of Isaac Sim's asset root, found {choice!r}"
    )


def open_surroundings(environment: Environment, assets_root: Callable[[], str]) -> Surroundings:
    """Look into the environment's file; only after Isaac Sim has started.

    Raises:
        IsaacSimError: there is no asset root, or the file does not open or has no default prim.
    """
    url = assets_root() + environment.url if environment.is_of_assets else environment.url
    return Surroundings(url, np.linalg.inv(environment.origin.matrix()) @ _to_metres(url))


def without_room(scene: Scene) -> Scene:
    """Return ``scene`` without its floor, walls and ceiling and what hangs on them; its lights stay."""
    kept = tuple(item for item in scene.instances if not _is_of_building(item))
    return replace(scene, instances=kept, surfaces=())


def frame_middle(scene: Scene) -> NDArray[np.float64]:
    """Return the middle (x, y) between the camera and what is labelled, or all objects where nothing is."""
    labelled = [item for item in scene.instances if item.label is not None] or scene.instances
    places = np.array([scene.camera.pose[:2, 3], *(item.pose[:2, 3] for item in labelled)])
    return np.asarray((places.min(axis=0) + places.max(axis=0)) / 2.0)


def settle(stage: Any, surroundings: Surroundings, lights_path: str = LIGHTS_PATH) -> None:
    """Leave out the plan's lights, at ``lights_path`` of the loaded ``stage``, if the environment has some.

    Raises:
        IsaacSimError: nothing to be seen was loaded.
    """
    from pxr import Usd, UsdGeom, UsdLux

    prims = list(Usd.PrimRange(stage.GetPrimAtPath(ENVIRONMENT_PATH), Usd.TraverseInstanceProxies()))
    if not any(prim.IsA(UsdGeom.Gprim) for prim in prims):
        raise IsaacSimError(f"{surroundings.url}: expected an environment with shapes in it, found none")
    lights = stage.GetPrimAtPath(lights_path)
    if lights and any(prim.HasAPI(UsdLux.LightAPI) for prim in prims):
        lights.SetActive(False)


def _is_of_building(item: Instance) -> bool:
    return item.label is None and item.prop.category in BUILDING


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
