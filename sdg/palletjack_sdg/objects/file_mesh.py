"""What a reader of mesh files returns, and how a picture becomes a part's texture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.geometry import ByteArray, FloatArray, Material

MAX_TEXTURE_PX = 1024
# Of painted or plastic things, for a mesh that says nothing about itself.
DEFAULT_ROUGHNESS = 0.6


@dataclass(frozen=True)
class FileMesh:
    """Triangles of one material in the file's own frame and unit: ``vertices`` (V, 3), ``faces`` (F, 3),
    ``uvs`` (V, 2) with v pointing down, or None."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    material: Material
    uvs: FloatArray | None = None


@dataclass(frozen=True)
class MeshFile:
    """The meshes of one file. ``unit``: metres a unit, and ``up``: the axis that points up, where the file
    says so itself."""

    meshes: tuple[FileMesh, ...]
    unit: float = 1.0
    up: str | None = None


def textured(
    plain: Material, texture: ByteArray, uvs: NDArray[np.floating]
) -> tuple[Material, FloatArray | None]:
    """Return ``plain`` with the picture (H, W, 3) times its colour, and ``uvs`` (V, 2) turned to point down.

    A texture that repeats has no place in the renderer's atlas: its mean colour stands for it.
    """
    tinted: ByteArray = np.clip(texture * np.array(plain.color), 0, 255).astype(np.uint8)
    down = np.stack([uvs[:, 0], 1.0 - uvs[:, 1]], axis=1).astype(np.float32)
    if down.min() < -1e-3 or down.max() > 1.0 + 1e-3:
        mean = tinted.reshape(-1, 3).mean(axis=0) / 255.0
        return replace(plain, color=(float(mean[0]), float(mean[1]), float(mean[2]))), None
    factor = MAX_TEXTURE_PX / max(tinted.shape[:2])
    if factor < 1.0:
        smaller = cv2.resize(tinted, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        tinted = np.asarray(smaller, np.uint8)
    return replace(plain, color=(1.0, 1.0, 1.0), texture=tinted), np.clip(down, 0.0, 1.0)
