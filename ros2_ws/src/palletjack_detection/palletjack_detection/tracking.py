"""Stable identities for detections over time: ByteTrack, from the package ``cjm-byte-track``.

The tracker only says which detection is which object; boxes and scores stay those of the detector.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.clustering import iou_matrix
from palletjack_detection.detections import Detections

# A track answers for the detection that it was updated with; the filter moves its box a little.
SAME_BOX_IOU = 0.3
KEPT_REMOVED_TRACKS = 100
KEPT_IDENTITIES = 1000
# More than come within the longest memory; stamps that stand still would keep the times of all images.
KEPT_TIMES = 10_000
UNTRACKED = 0


class TrackingError(RuntimeError):
    """Tracking is not possible here; the message says what to install."""


@dataclass(frozen=True)
class TrackerSettings:
    """``start_score``: a detection from this score starts a track; lower ones only continue one.
    ``max_iou_distance``: 1 - IoU up to which a detection continues a track. ``memory_s``: how long an unseen
    object keeps its identity."""

    start_score: float = 0.6
    max_iou_distance: float = 0.8
    memory_s: float = 2.0


class Tracker:
    """One per class and camera stream; feed it every image's detections, also when there are none.

    Raises:
        TrackingError: the package cjm-byte-track is not installed.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._by_class: dict[str, Any] = {}
        self._ids: dict[tuple[str, int], int] = {}
        self._next_id = 1
        self._times: deque[float] = deque(maxlen=KEPT_TIMES)
        self._make = _byte_tracker()

    def update(self, detections: Detections, time_s: float) -> NDArray[np.int64]:
        """Return the identity (N,) of each detection, 1 and up, or UNTRACKED.

        Time that goes back, or a gap longer than ``memory_s``, begins anew; identities are never reused.
        """
        if self._times and not 0.0 <= time_s - self._times[-1] <= self._settings.memory_s:
            self._forget()
        self._times.append(time_s)
        while time_s - self._times[0] > self._settings.memory_s:
            self._times.popleft()
        result = np.full(len(detections), UNTRACKED, np.int64)
        for name in {*self._by_class, *detections.class_names}:
            chosen = np.array(
                [k for k, c in enumerate(detections.class_ids) if detections.class_names[c] == name], np.int64
            )
            result[chosen] = self._update_class(name, detections.boxes[chosen], detections.scores[chosen])
        return result

    def _update_class(
        self, name: str, boxes: NDArray[np.float32], scores: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        if name not in self._by_class:
            self._by_class[name] = self._make(self._settings)
        tracker = self._by_class[name]
        # The library counts images, which come at whatever rate the camera and the detector have.
        tracker.max_time_lost = len(self._times) - 1
        rows = np.column_stack([boxes, scores]).astype(np.float64).reshape(-1, 5)
        tracks = tracker.update(rows, (1, 1), (1, 1))
        # The library keeps every track that ever ended.
        del tracker.removed_stracks[:-KEPT_REMOVED_TRACKS]
        return self._identities(name, boxes, tracks)

    def _identities(self, name: str, boxes: NDArray[np.float32], tracks: Sequence[Any]) -> NDArray[np.int64]:
        result = np.full(len(boxes), UNTRACKED, np.int64)
        if not len(boxes) or not tracks:
            return result
        overlap = iou_matrix(np.array([track.tlbr for track in tracks], np.float32), boxes)
        for flat in np.argsort(-overlap, axis=None):
            row, column = divmod(int(flat), overlap.shape[1])
            if overlap[row, column] < SAME_BOX_IOU:
                break
            identity = self._identity(name, int(tracks[row].track_id))
            if result[column] == UNTRACKED and identity not in result:
                result[column] = identity
        return result

    def _identity(self, name: str, track_id: int) -> int:
        key = (name, track_id)
        if key not in self._ids:
            if len(self._ids) >= KEPT_IDENTITIES:
                # The oldest tracks have ended long ago.
                del self._ids[next(iter(self._ids))]
            self._ids[key] = self._next_id
            self._next_id += 1
        return self._ids[key]

    def _forget(self) -> None:
        self._times.clear()
        self._by_class.clear()
        self._ids.clear()


def _byte_tracker() -> Callable[[TrackerSettings], Any]:
    try:
        from cjm_byte_track.basetrack import BaseTrack
        from cjm_byte_track.core import BYTETracker
    except ImportError as error:
        raise TrackingError(
            f"tracking needs the package cjm-byte-track ({error}): pip install cjm-byte-track"
        ) from error

    def make(settings: TrackerSettings) -> Any:
        # A new tracker starts the count that all share anew, and would give identities twice.
        count = BaseTrack._count
        tracker = BYTETracker(
            # The library starts a track at 0.1 above its threshold.
            track_thresh=settings.start_score - 0.1,
            match_thresh=settings.max_iou_distance,
        )
        BaseTrack._count = count
        return tracker

    return make
