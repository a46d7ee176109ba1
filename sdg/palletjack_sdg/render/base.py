"""What every renderer offers, and how one is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.scene import Scene

Variant = Literal["auto", "cpu", "cuda"]


class RenderError(RuntimeError):
    """The renderer cannot start or cannot render the scene; the message says what to do."""


@dataclass(frozen=True)
class RenderSettings:
    """``spp``: paths per pixel. ``max_depth``: longest path, in segments. ``rr_depth``: depth from
    which Russian roulette ends paths. ``denoise``: filter the result with Open Image Denoise.
    ``variant``: cpu (LLVM), cuda, or auto: cuda where a device answers. ``threads``: of the CPU,
    0 for all. ``atlas_px``: side of the square that holds all textures of objects. ``normals``: return the
    surfaces' normals as well.
    """

    spp: int = 6
    max_depth: int = 6
    rr_depth: int = 2
    denoise: bool = True
    variant: Variant = "auto"
    threads: int = 0
    atlas_px: int = 2048
    normals: bool = False

    def __post_init__(self) -> None:
        for name, low in (("spp", 1), ("max_depth", 1), ("rr_depth", 1), ("threads", 0), ("atlas_px", 64)):
            value = getattr(self, name)
            if value < low:
                raise ValueError(f"RenderSettings.{name}: expected at least {low}, found {value}")

    def identity(self) -> dict[str, object]:
        """What must be equal for two runs to write into the same folder."""
        return {name: getattr(self, name) for name in ("spp", "max_depth", "rr_depth", "denoise")}


@dataclass(frozen=True)
class RenderResult:
    """One frame. ``linear`` (H, W, 3): radiance. ``instance_ids`` (H, W): of the surface that the ray
    through the pixel's centre meets, 0 for the room; sheets of less than half opacity are looked
    through. ``depth`` (H, W): metres along the optical axis, inf where nothing is met.
    ``seconds``: time by stage. ``normals`` (H, W, 3): of the surface met, unit length, turned to the camera,
    in the camera's frame; 0 where nothing is met, None if they were not asked for.
    """

    linear: NDArray[np.float32]
    instance_ids: NDArray[np.int32]
    depth: NDArray[np.float32]
    seconds: Mapping[str, float] = field(default_factory=dict)
    normals: NDArray[np.float32] | None = None


class Renderer(Protocol):
    """Renders scenes one after the other, keeping what can be kept from one to the next."""

    @property
    def description(self) -> dict[str, object]:
        """Engine, version, device and settings, for the data set's manifest."""
        ...

    def render(self, scene: Scene, seed: int = 0) -> RenderResult:
        """Render ``scene``; equal seeds give equal frames on the same machine."""
        ...


def create_renderer(settings: RenderSettings | None = None) -> Renderer:
    """Return the embedded path tracer.

    Raises:
        RenderError: the engine or the library that it needs is not installed.
    """
    from palletjack_sdg.render.mitsuba_backend import MitsubaRenderer

    return MitsubaRenderer(settings or RenderSettings())
