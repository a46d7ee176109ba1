"""The robot's own detector run over image files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from palletjack_detection.detections import Detections
from palletjack_detection.detector import Detector
from palletjack_detection.image_files import read_images
from palletjack_training.evaluation.predictions import Predictions, to_rows

# Low enough for a whole precision-recall curve, high enough to keep the file small.
SCORE_FLOOR = 0.05


@dataclass
class FolderPredictions:
    """Rows of each image that was read, and the reason for each that was not, by path."""

    predictions: Predictions = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)


def predict_files(
    detector: Detector,
    paths: list[Path],
    *,
    class_id: int = 0,
    on_image: Callable[[Path, NDArray[np.uint8], Detections], None] | None = None,
) -> FolderPredictions:
    """Detect in every file; ``on_image`` sees each image with all its detections.

    A progress bar goes to stderr where that is a terminal.

    Raises:
        EngineError: the network failed.
    """
    result = FolderPredictions()
    console = Console(stderr=True)
    files = track(
        read_images(paths),
        total=len(paths),
        description="Detecting",
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    for file in files:
        if file.rgb is None:
            result.unreadable[file.path] = file.error
            continue
        detections = detector.detect(file.rgb)
        result.predictions[file.path.name] = to_rows(detections, class_id)
        if on_image is not None:
            on_image(file.path, file.rgb, detections)
    return result
