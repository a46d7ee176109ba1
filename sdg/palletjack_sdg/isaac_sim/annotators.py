"""What Replicator's annotators give for one capture, checked and made into our terms.

Read by name, whether it was asked of each annotator or came to a writer in one payload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.isaac_sim.lens import bend_depth, bend_ids, bend_radiance
from palletjack_sdg.render.base import RenderError, RenderResult
from palletjack_sdg.scene import Camera

COLOR, IDS, DEPTH = "HdrColor", "instance_id_segmentation", "distance_to_image_plane"
ANNOTATORS: Mapping[str, dict[str, Any] | None] = {COLOR: None, IDS: {"colorize": False}, DEPTH: None}
INSTANCE = re.compile(r"/World/(?:Frame_\d+/)?Objects/object_(\d+)(?:/|$)")
BLACK_TILE_PX = 16


def result_of(
    data: Mapping[str, Any], pinhole: Camera, camera: Camera, seconds: dict[str, float]
) -> RenderResult:
    """Return a capture through ``pinhole`` as ``camera`` would have taken it.

    Raises:
        RenderError: an annotator is missing or gave something else than described.
    """
    missing = [name for name in ANNOTATORS if name not in data]
    if missing:
        raise RenderError(f"annotators: expected {', '.join(ANNOTATORS)}, found only {', '.join(data)}")
    return RenderResult(
        linear=bend_radiance(radiance(data[COLOR], pinhole), pinhole, camera),
        instance_ids=bend_ids(instance_ids(data[IDS], pinhole), pinhole, camera),
        depth=bend_depth(depth(data[DEPTH], pinhole), pinhole, camera),
        seconds=seconds,
    )


def black_share(image: NDArray[np.float32]) -> float:
    """Share of the tiles of BLACK_TILE_PX of ``image`` (H, W, 3) that hold no light at all.

    Tiles, because single pixels of a dark corner may be black by the chance of path tracing.
    """
    rows, columns = (size // BLACK_TILE_PX for size in image.shape[:2])
    lit = image.max(axis=2)[: rows * BLACK_TILE_PX, : columns * BLACK_TILE_PX]
    tiles = lit.reshape(rows, BLACK_TILE_PX, columns, BLACK_TILE_PX).max(axis=(1, 3))
    return float(np.mean(tiles <= 0.0)) if tiles.size else 0.0


def radiance(data: Any, pinhole: Camera) -> NDArray[np.float32]:
    """Return linear RGB (H, W, 3) from the HdrColor annotator's RGBA of float16.

    Raises:
        RenderError: it has another shape or type.
    """
    image = np.asarray(data)
    _check(COLOR, image, (pinhole.height, pinhole.width, 4), "f")
    # Half floats overflow where a lamp fills the view.
    return np.nan_to_num(image[..., :3].astype(np.float32), nan=0.0, posinf=65504.0, neginf=0.0)


def depth(data: Any, pinhole: Camera) -> NDArray[np.float32]:
    """Return metres along the optical axis (H, W), inf where nothing is met.

    Raises:
        RenderError: it has another shape or type.
    """
    image = np.asarray(data)
    _check(DEPTH, image, (pinhole.height, pinhole.width), "f")
    return np.where(np.isfinite(image) & (image > 0.0), image, np.inf).astype(np.float32)


def instance_ids(data: Any, pinhole: Camera) -> NDArray[np.int32]:
    """Return our instance ids (H, W) from the renderer's ids of prims and their paths; 0 for the room.

    Raises:
        RenderError: it has another shape or type, or an id without a path.
    """
    if not isinstance(data, Mapping) or "data" not in data or "idToLabels" not in data.get("info", {}):
        raise RenderError(f"{IDS}: expected data and info.idToLabels, found {type(data).__name__}")
    ids = np.asarray(data["data"])
    _check(IDS, ids, (pinhole.height, pinhole.width), "u")
    paths = {int(key): value for key, value in data["info"]["idToLabels"].items()}
    present, places = np.unique(ids, return_inverse=True)
    ours = np.zeros(len(present), dtype=np.int32)
    for number, value in enumerate(present):
        # 0 is the background, 1 what bears no label, in releases that count such.
        if int(value) not in paths and int(value) > 1:
            raise RenderError(f"{IDS}: id {int(value)}: expected a path in idToLabels, found none")
        found = INSTANCE.match(str(paths.get(int(value), "")))
        ours[number] = int(found.group(1)) if found else 0
    return ours[places.reshape(ids.shape)]


def _check(name: str, image: NDArray[Any], shape: tuple[int, ...], kind: str) -> None:
    if image.shape != shape or image.dtype.kind != kind:
        raise RenderError(
            f"{name}: expected shape {shape} of kind {kind!r}, found {image.shape} of {image.dtype}"
        )
