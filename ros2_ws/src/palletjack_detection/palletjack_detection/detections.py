"""The one type that detections travel in, from the network's decoding to the message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detections:
    """Boxes of one image, best score first.

    ``boxes`` (N, 4) float32: xmin, ymin, xmax, ymax in pixels of the image that was given to the
    detector, origin at the top left corner. ``scores`` (N,) float32 in 0..1. ``class_ids`` (N,)
    int64 index ``class_names``.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.class_ids.shape != (count,):
            raise ValueError(
                f"boxes {self.boxes.shape}, scores {self.scores.shape} and class_ids "
                f"{self.class_ids.shape} do not describe the same number of detections"
            )

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, threshold: float) -> Detections:
        """Return the detections whose score is at least ``threshold``."""
        return self.where(self.scores >= threshold)

    def where(self, keep: NDArray[np.bool_]) -> Detections:
        """Return the detections at which ``keep`` (N,) is true."""
        return Detections(self.boxes[keep], self.scores[keep], self.class_ids[keep], self.class_names)

    def of_classes(self, names: Sequence[str]) -> Detections:
        """Return the detections of the classes ``names``."""
        wanted = [index for index, name in enumerate(self.class_names) if name in names]
        return self.where(np.isin(self.class_ids, wanted))
