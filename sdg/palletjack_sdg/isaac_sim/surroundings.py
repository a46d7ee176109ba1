"""A USD environment, such as NVIDIA's warehouse, in place of the room that a frame's plan has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.isaac_sim.usd_environment import (
    Environment,
    ShippedEnvironment,
    choose_environment,
    has_lights,
    loaded_prims,
    open_environment,
    read_environments,
)
from palletjack_sdg.layouts.fittings import ON_WALLS, UNDER_CEILING
from palletjack_sdg.scene import Instance, Scene

LIGHTS_PATH = "/World/Lights"
BUILDING = frozenset(
    (*ON_WALLS, *UNDER_CEILING, "ceiling_beam", "dock_leveller", "floor_marking", "light_fixture", "pillar")
)
"""Families that hang on the room or hold it up: without it they would float, or stand in the other's way."""


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
    return read_environments(
        (resources.files(__package__) / "contract" / "environments.yaml").read_text(encoding="utf-8")
    )


def choose_surroundings(choice: str, origin: str) -> Environment | None:
    """Return what ``choice`` means: a short name, an address or a file; None for the plan's own room.

    ``origin``: X,Y,YAW in metres and degrees; empty: the short name's, else 0,0,0. Raises ValueError.
    """
    return choose_environment(choice, origin, load_environments())


def open_surroundings(environment: Environment, assets_root: Callable[[], str]) -> Surroundings:
    """Look into the environment's file; only after Isaac Sim has started.

    Raises:
        IsaacSimError: there is no asset root, or the file does not open or has no default prim.
    """
    return Surroundings(*open_environment(environment, assets_root))


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
    prims = loaded_prims(stage, surroundings.url)
    lights = stage.GetPrimAtPath(lights_path)
    if lights and has_lights(prims):
        lights.SetActive(False)


def _is_of_building(item: Instance) -> bool:
    return item.label is None and item.prop.category in BUILDING
