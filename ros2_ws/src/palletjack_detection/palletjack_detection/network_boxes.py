"""Boxes that another decoder left in pixels of the network's input, brought to the camera's pixels.

The same clustering and the same mapping as in :class:`palletjack_detection.detector.Detector`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palletjack_detection.clustering import Clusters, cluster
from palletjack_detection.decode import Candidates
from palletjack_detection.detections import Detections
from palletjack_detection.detector import to_camera
from palletjack_detection.model_folder import ModelSpec
from palletjack_detection.preprocess import fit_image


@dataclass
class NetworkBoxMapper:
    """Maps the boxes of one model. ``clustered``: the decoder has clustered them already.

    ``score_threshold`` may be changed between calls.
    """

    spec: ModelSpec
    score_threshold: float
    clustered: bool = False

    def map(
        self, boxes: Detections, image_width: int, image_height: int, lowest_score: float | None = None
    ) -> Detections:
        """Return ``boxes`` (network pixels) in pixels of an image of the given size, best score first.

        ``lowest_score`` takes the place of the score threshold for this image.
        Boxes of a class that the model does not have, and boxes that are not finite, are left out.

        Raises:
            ValueError: the size is not at least 1 x 1.
        """
        if image_width < 1 or image_height < 1:
            raise ValueError(f"image size: expected at least 1x1, found {image_width}x{image_height}")
        names = [boxes.class_names[index] for index in boxes.class_ids]
        keep = np.array([name in self.spec.classes for name in names], bool)
        keep &= np.isfinite(boxes.boxes).all(axis=1) & np.isfinite(boxes.scores)
        keep &= (boxes.boxes[:, 2] > boxes.boxes[:, 0]) & (boxes.boxes[:, 3] > boxes.boxes[:, 1])
        classes = np.array(
            [self.spec.classes.index(n) for n, k in zip(names, keep, strict=True) if k], np.int64
        )
        kept, scores = boxes.boxes[keep], boxes.scores[keep]
        if self.clustered:
            found = Clusters(kept, scores, classes, np.ones(len(scores), np.int64))
        else:
            found = cluster(Candidates(kept, scores, classes), self.spec.clustering)
        geometry, _ = fit_image(image_width, image_height, self.spec.input)
        threshold = self.score_threshold if lowest_score is None else lowest_score
        return to_camera(found, geometry, self.spec.classes, threshold)
