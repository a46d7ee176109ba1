"""How a frame's scene comes onto Isaac Sim's stage, and leaves it.

With Replicator's functional API one stage stays open: each frame's shapes are referred to from it, and the
plan's positions, rotations, lights, materials and camera are set by rep.functional.modify. An environment is
so loaded once, not with every frame. A release without that API opens a stage of its own for each frame.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.isaac_sim.app import IsaacSim, IsaacSimError
from palletjack_sdg.isaac_sim.releases import Release
from palletjack_sdg.isaac_sim.surroundings import LIGHTS_PATH, Surroundings, settle
from palletjack_sdg.isaac_sim.usd_environment import ENVIRONMENT_PATH
from palletjack_sdg.scene import Scene

StagingName = Literal["functional", "stages"]
# Then the stage is opened afresh, so that nothing that frames leave behind grows without end.
FRAMES_ON_A_STAGE = 100
FRAME_FILE = "frame.usdc"


class Staging(Protocol):
    """Shows one scene at a time."""

    name: StagingName

    def show(self, scene: Scene) -> str:
        """Put ``scene`` on the stage, loaded, and return the path of its camera."""
        ...

    def clear(self) -> None:
        """Take the scene away again, whether it came to be shown or not."""
        ...


def choose_staging(name: StagingName | None, release: Release) -> StagingName:
    """Return ``name``, or what the release can where there is none.

    Raises:
        IsaacSimError: the release has no functional API.
    """
    if name == "functional" and not release.functional:
        raise IsaacSimError(f"--staging functional: expected Isaac Sim 6 or newer, found {release.name}")
    return name or ("functional" if release.functional else "stages")


def create_staging(
    name: StagingName, sim: IsaacSim, rep: Any, folder: Path, surroundings: Surroundings | None
) -> Staging:
    """Return the staging ``name``, which keeps its files in ``folder``."""
    if name == "functional":
        return FunctionalStage(sim, rep, folder, surroundings)
    return FrameStages(sim, folder, surroundings)


class FrameStages:
    """Each frame is a stage of its own, so nothing of the frame before can be left in it."""

    name: StagingName = "stages"

    def __init__(self, sim: IsaacSim, folder: Path, surroundings: Surroundings | None) -> None:
        self._sim = sim
        self._files = _FrameFolders(folder)
        self._surroundings = surroundings

    def show(self, scene: Scene) -> str:
        """Write the whole stage and open it."""
        from palletjack_sdg.isaac_sim.stage import CAMERA_PATH, write_stage

        path = self._files.new() / FRAME_FILE
        write_stage(scene, path, self._sim.release.semantics, surroundings=self._surroundings)
        stage = self._sim.open_stage(path)
        if self._surroundings is not None:
            settle(stage, self._surroundings)
        return CAMERA_PATH

    def clear(self) -> None:
        """Remove the files; the stage stays until the next is opened."""
        self._files.remove()


class FunctionalStage:
    """One stage, on which Replicator's functional API puts the numbers of each plan."""

    name: StagingName = "functional"

    def __init__(self, sim: IsaacSim, rep: Any, folder: Path, surroundings: Surroundings | None) -> None:
        self._sim = sim
        self._rep = rep
        self._files = _FrameFolders(folder)
        self._surroundings = surroundings
        self._base = folder
        self._stage: Any = None
        self._shown = 0
        self._root = ""

    def show(self, scene: Scene) -> str:
        """Refer to the frame's shapes and set what the plan says.

        Raises:
            IsaacSimError: the reference brought no camera.
        """
        from palletjack_sdg.isaac_sim.stage import CAMERA_PATH, ROOT_PATH, write_stage

        if self._stage is None or self._shown % FRAMES_ON_A_STAGE == 0:
            self._open()
        self._shown += 1
        path = self._files.new() / FRAME_FILE
        settings = write_stage(scene, path, self._sim.release.semantics, placed=False)
        name = f"Frame_{self._shown:06d}"
        reference = self._rep.functional.create.reference
        self._root = str(reference(usd_path=str(path), parent=ROOT_PATH, name=name).GetPath())
        self._sim.wait_until_loaded()

        def here(there: str) -> str:
            return self._root + there.removeprefix(ROOT_PATH)

        camera = here(CAMERA_PATH)
        if not self._stage.GetPrimAtPath(camera):
            raise IsaacSimError(f"{path}: expected a camera at {camera}, found none")
        modify = self._rep.functional.modify
        for there, pose in settings.poses.items():
            self._place(here(there), pose)
        for (there, attribute), value in settings.attributes.items():
            modify.attribute(self._prim(here(there)), attribute, value)
        for there, material in settings.bindings.items():
            modify.material(self._prim(here(there)), self._prim(here(material)))
        if self._surroundings is not None:
            self._place(ENVIRONMENT_PATH, self._surroundings.pose(scene))
            # Last: lights that it leaves out could not be set any more.
            settle(self._stage, self._surroundings, here(LIGHTS_PATH))
        return camera

    def clear(self) -> None:
        """Take the frame off the stage; where it stays, the next frame gets a new stage."""
        if self._root and self._stage is not None:
            self._stage.RemovePrim(self._root)
            if self._stage.GetPrimAtPath(self._root):
                self._stage = None
        self._root = ""
        self._files.remove()

    def _open(self) -> None:
        from palletjack_sdg.isaac_sim.stage import write_empty_stage

        self._stage = None
        path = self._base / f"stage_{self._shown:06d}.usdc"
        path.unlink(missing_ok=True)
        write_empty_stage(path, self._surroundings)
        self._stage = self._sim.open_stage(path)

    def _place(self, path: str, pose: NDArray[np.float64]) -> None:
        prim = self._prim(path)
        x, y, z = (float(value) for value in pose[:3, 3])
        modify = self._rep.functional.modify
        # Into USD, as NVIDIA's own randomizers on an open stage do; else only Fabric may hear of it.
        modify.rotation(prim, euler_degrees(pose), value_rotation_order="XYZ", write_to_usd=True)
        modify.position(prim, (x, y, z), write_to_usd=True)

    def _prim(self, path: str) -> Any:
        return self._stage.GetPrimAtPath(path)


class _FrameFolders:
    """A folder for the frame in hand. A new name for each: Isaac Sim keeps layers by their path."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._count = 0

    def new(self) -> Path:
        self._count += 1
        folder = self._parent / f"{self._count:06d}"
        folder.mkdir(parents=True)
        return folder

    def remove(self) -> None:
        shutil.rmtree(self._parent / f"{self._count:06d}", ignore_errors=True)


def euler_degrees(pose: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the turns about x, then y, then z, in degrees, that make the rotation of ``pose`` (4, 4)."""
    turn = pose[:3, :3]
    flat = math.hypot(turn[0, 0], turn[1, 0])
    y = math.atan2(-turn[2, 0], flat)
    if flat > 1e-9:
        x, z = math.atan2(turn[2, 1], turn[2, 2]), math.atan2(turn[1, 0], turn[0, 0])
    else:
        # Straight up or down, only the sum or difference of the other two matters.
        x, z = math.atan2(-turn[1, 2], turn[1, 1]), 0.0
    return math.degrees(x), math.degrees(y), math.degrees(z)
