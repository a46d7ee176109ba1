"""From a plan to its environment map: the procedural sky, or a pack's .hdr or .exr file."""

from __future__ import annotations

import importlib
import math
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from palletjack_sdg.asset_index import AssetError, digest, find
from palletjack_sdg.environment import Environment, usual_radiance
from palletjack_sdg.frame_plan import EnvironmentPlan
from palletjack_sdg.geometry import FloatArray
from palletjack_sdg.textures.sky import HEIGHT_PX, procedural_sky

SKY = "sky"
PLAIN = "plain"


def make_environment(plan: EnvironmentPlan) -> Environment:
    """Return the map of ``plan``.

    Raises:
        AssetError: the picture is missing, another than the plan's, or cannot be read.
    """
    image = procedural_sky(plan.seed) if plan.name == SKY else _picture(plan.name, plan.sha256)
    scaled = image * np.float32(plan.radiance / max(usual_radiance(image), 1e-9))
    return Environment(np.asarray(scaled, np.float32), math.radians(plan.rotation_deg))


def environment_digest(name: str) -> str | None:
    """Return the SHA-256 of a pack's map, None for what needs no file.

    Raises:
        AssetError: there is no such pack or map.
    """
    return None if name in (SKY, PLAIN) else digest(find(name, "environment")[1])


@lru_cache(maxsize=4)
def _picture(name: str, sha256: str | None) -> FloatArray:
    path = find(name, "environment")[1]
    if digest(path) != sha256:
        raise AssetError(f"{path}: expected the file with SHA-256 {sha256}, found another")
    return read_environment(path)


def read_environment(path: Path) -> FloatArray:
    """Read an equirectangular .hdr or .exr file as linear radiance (H, 2H, 3).

    Raises:
        AssetError: it does not decode, is not twice as wide as high, or holds no light.
    """
    if path.suffix.lower() == ".exr":
        image = _read_exr(path)
    else:
        pixels = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
        if pixels is None:
            raise AssetError(f"{path}: expected a Radiance picture, found one that does not decode")
        image = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.float32)
    height, width = image.shape[:2]
    if width != 2 * height:
        raise AssetError(f"{path}: expected a picture twice as wide as high, found {width}x{height}")
    image = np.maximum(np.nan_to_num(image, posinf=0.0), 0.0)
    if image.max() <= 0.0:
        raise AssetError(f"{path}: expected light, found a black picture")
    way = cv2.INTER_AREA if height > HEIGHT_PX else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (2 * HEIGHT_PX, HEIGHT_PX), interpolation=way), np.float32)


def _read_exr(path: Path) -> FloatArray:
    """OpenCV's wheels read no OpenEXR; the renderer's package does, whatever its variant."""
    try:
        mitsuba = importlib.import_module("mitsuba")
    except ImportError:
        raise AssetError(f"{path}: reading .exr needs mitsuba: install 'palletjack[render]'") from None
    if mitsuba.variant() is None:
        mitsuba.set_variant("scalar_rgb")
    try:
        bitmap = mitsuba.Bitmap(str(path)).convert(
            mitsuba.Bitmap.PixelFormat.RGB, mitsuba.Struct.Type.Float32, False
        )
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise AssetError(f"{path}: expected an OpenEXR picture, found: {said}") from None
    return np.array(bitmap, dtype=np.float32)
