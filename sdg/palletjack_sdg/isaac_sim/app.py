"""Isaac Sim as a library: started once for a process, before anything of it or of USD is imported."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from palletjack_sdg.isaac_sim.releases import Release, find_release

LOADING_TIMEOUT_S = 300.0
# Updates after a stage has loaded, in which materials and textures arrive.
SETTLING_UPDATES = 4


class IsaacSimError(RuntimeError):
    """Isaac Sim cannot be started or does not do what it was asked; the message says what to do."""


class IsaacSim:
    """A running Isaac Sim.

    Raises:
        IsaacSimError: this Python has no Isaac Sim, or USD was imported before it.
        ReleaseError: the release is not in the table.
    """

    def __init__(self, *, headless: bool = True, renderer: str | None = None) -> None:
        if "pxr" in sys.modules:
            # Isaac Sim brings its own build of USD; two in one process crash.
            raise IsaacSimError("pxr was imported before Isaac Sim was started: start Isaac Sim first")
        try:
            from isaacsim import SimulationApp
        except ImportError as error:
            raise IsaacSimError(
                f"this Python ({sys.executable}) has no Isaac Sim ({error}): run the script with "
                "Isaac Sim's python.sh, or install the isaacsim wheels as docs/isaac_sim.md says"
            ) from error
        # Without fast shutdown, close() returns and the exit code is ours.
        config: dict[str, Any] = {"headless": headless, "fast_shutdown": False}
        if renderer is not None:
            config["renderer"] = renderer
        self.app = SimulationApp(config)
        from isaacsim.core.version import get_version

        self.version = str(get_version()[0])
        self.release: Release = find_release(self.version)

    def open_stage(self, path: Path) -> Any:
        """Open a USD file, wait until it has loaded, and return the stage.

        Raises:
            IsaacSimError: it was not opened, or went on loading for LOADING_TIMEOUT_S.
        """
        opened = self.release.function("open_stage")(str(path))
        # A pair (done, stage) since 6.0, a bool before.
        if not (opened[0] if isinstance(opened, tuple) else opened):
            raise IsaacSimError(f"{path}: Isaac Sim could not open this stage")
        self.wait_until_loaded()
        return self.release.function("get_stage")()

    def wait_until_loaded(self) -> None:
        """Update until nothing is loading any more.

        Raises:
            IsaacSimError: it took longer than LOADING_TIMEOUT_S.
        """
        is_loading = self.release.function("is_loading")
        deadline = time.monotonic() + LOADING_TIMEOUT_S
        self.app.update()
        while is_loading():
            if time.monotonic() > deadline:
                raise IsaacSimError(f"assets were still loading after {LOADING_TIMEOUT_S:.0f} s")
            self.app.update()
        for _ in range(SETTLING_UPDATES):
            self.app.update()

    def assets_root(self) -> str:
        """Address of Isaac Sim's assets.

        Raises:
            IsaacSimError: none is set or none can be reached.
        """
        try:
            root = self.release.function("assets_root")()
        except RuntimeError as error:
            raise IsaacSimError(f"Isaac Sim {self.version}: no asset root: {error}") from error
        # Before 6.0, nothing instead of an error.
        if not root:
            raise IsaacSimError(f"Isaac Sim {self.version}: no asset root: none was found")
        return str(root)

    def add_reference(self, url: str, path: str) -> None:
        """Refer to the USD file at ``url`` with the prim at ``path``.

        Raises:
            IsaacSimError: the file does not open.
        """
        function = self.release.function("add_reference")
        try:
            function(url, path)
        # Releases differ in the kind of error; 6.2 raises an Exception of no kind.
        except Exception as error:
            raise IsaacSimError(f"{url}: expected a USD file, found none that opens: {error}") from error

    def enable_extension(self, name: str) -> None:
        """Enable an extension and let it start.

        Raises:
            IsaacSimError: it is not there.
        """
        if self.release.function("enable_extension")(name) is False:
            raise IsaacSimError(f"Isaac Sim {self.version}: the extension {name} could not be enabled")
        self.app.update()

    def play(self) -> None:
        """Start physics and simulated time."""
        if self.release.names["play"] == "omni.timeline":
            import omni.timeline

            omni.timeline.get_timeline_interface().play()
        else:
            self.release.function("play")()
        self.app.update()

    def close(self) -> None:
        """End Isaac Sim; nothing of it may be used afterwards."""
        self.app.close()
