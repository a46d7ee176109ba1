"""A peer on image files, and its score by the functions that score ours.

An image comes to the network's input exactly as for our detector (letterboxed), and boxes go back the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.image_files import read_images
from palletjack_detection.preprocess import Preprocessor
from palletjack_training.evaluation.bootstrap import bootstrap_intervals
from palletjack_training.evaluation.ground_truth import GroundTruth
from palletjack_training.evaluation.predictions import Predictions, Row
from palletjack_training.evaluation.scoring import match, score
from palletjack_training.model_spec import input_spec

if TYPE_CHECKING:
    from peer import Peer

FloatArray = NDArray[np.float32]
# Image (1, 3, H, W) in 0..1 to boxes (Q, 4) xyxy in network pixels and scores (Q,).
Network = Callable[[FloatArray], tuple[FloatArray, FloatArray]]

# Lower than that of ours (0.05): a curve can only gain by it.
SCORE_FLOOR = 0.005
MOST_BOXES = 300


@dataclass
class PeerDetector:
    """Finds objects in images with ``network``; ``nms_iou`` is None for one that needs no NMS."""

    network: Network
    preprocess: Preprocessor
    nms_iou: float | None

    @classmethod
    def of_peer(cls, peer: Peer, device: str, nms_iou: float) -> PeerDetector:
        """The trained peer on a device of PyTorch."""
        from detector_data import peer_config
        from peer_export import torch_network

        config = peer_config(peer.options["width"], peer.options["height"], 1, 1)
        network = torch_network(peer.deployed(), device)
        return cls(network, Preprocessor(input_spec(config)), nms_iou if peer.needs_nms else None)

    def detect(self, rgb: NDArray[np.uint8]) -> list[Row]:
        """Rows xmin, ymin, xmax, ymax in pixels of the image (H, W, 3), and score, best first."""
        tensor, geometry = self.preprocess(rgb)
        boxes, scores = self.network(tensor)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= SCORE_FLOOR]
        boxes, scores = boxes[order], scores[order]
        kept = slice(None) if self.nms_iou is None else suppress(boxes, self.nms_iou)
        placed = geometry.to_image(boxes[kept][:MOST_BOXES])
        height, width = rgb.shape[:2]
        placed = placed.clip(0, [width, height, width, height])
        return [
            [*(round(float(side), 2) for side in box), round(float(value), 6)]
            for box, value in zip(placed, scores[kept][:MOST_BOXES], strict=True)
            if box[2] > box[0] and box[3] > box[1]
        ]


def suppress(boxes: FloatArray, most_iou: float) -> NDArray[np.int64]:
    """Indices of boxes (N, 4), best first, that overlap no better kept one by more than ``most_iou``."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < MOST_BOXES:
        best, rest = left[0], left[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = (high - low).clip(0).prod(1)
        left = rest[shared <= most_iou * (area[best] + area[rest] - shared)]
    return np.array(kept, np.int64)


def predict_truth(detector: PeerDetector, truth: GroundTruth, most: int | None = None) -> Predictions:
    """Rows of every labelled image. Raises ValueError for an image that cannot be read."""
    names = list(truth.images)[:most]
    predictions: Predictions = {}
    for file in read_images([truth.image_dir / name for name in names]):
        if file.rgb is None:
            raise ValueError(f"{file.path}: {file.error}")
        predictions[file.path.name] = detector.detect(file.rgb)
    return predictions


def score_rows(truth: GroundTruth, predictions: Predictions, seed: int = 0) -> dict[str, Any]:
    """AP50, AP50:95 and the best F1 over the images in ``predictions``, AP50 with its 95 % interval."""
    images = {name: truth.images[name] for name in predictions}
    found = score(images, predictions)
    best = found["at_best_f1"]
    result = {
        "images": found["images"],
        "boxes": found["boxes"],
        "ap50": round(found["ap50"], 4),
        "ap50_95": round(found["ap50_95"], 4),
        "best_f1": round(best["f1"], 4),
        "best_f1_threshold": round(best["threshold"], 4),
    }
    if found["boxes"]:
        intervals = bootstrap_intervals(
            match(images, predictions), best["threshold"], np.random.default_rng(seed)
        )
        result["ap50_interval_95"] = [round(value, 4) for value in intervals["ap50"]]
    return result
