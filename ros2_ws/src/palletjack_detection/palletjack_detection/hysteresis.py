"""Two thresholds instead of one: what was found may score less and stays found. No ROS in here.

A detector sees one image at a time. A robot sees many of one thing, and what flickers is worse than what is
weak: a truck that scores 0.36 and 0.34 in turn comes and goes at a threshold of 0.35, and one whose score
falls as the robot comes near is lost when it matters. So a box between the two thresholds is let through
where one was let through in the image before.
"""

from __future__ import annotations

from palletjack_detection.clustering import iou_matrix
from palletjack_detection.detections import Detections

# Of the threshold, where nothing else is asked for.
KEEP_SHARE = 0.6
# The same object in two images has boxes that overlap by this (IoU) ...
SAME_IOU = 0.5
# ... and images further apart (s) show another moment: the camera was lost, or the rate is very low.
LONGEST_GAP = 1.0


def keep_threshold(score_threshold: float, asked: float) -> float:
    """The lower threshold: as ``asked``, or KEEP_SHARE of ``score_threshold`` where that is negative.

    It is never above ``score_threshold``: both the same means that one threshold decides.
    """
    return min(score_threshold, KEEP_SHARE * score_threshold if asked < 0 else asked)


class ScoreHysteresis:
    """What was let through of the image before, and what that lets through of the next one."""

    def __init__(self) -> None:
        self._before: Detections | None = None
        self._stamp = 0.0

    def reset(self) -> None:
        """Forget the image before, as where another model runs from now on."""
        self._before = None

    def choose(self, found: Detections, stamp: float, score_threshold: float) -> Detections:
        """Those of ``found`` that reach ``score_threshold``, or lie where the image before had one.

        A box of the image before lets one box through, the best of those that lie on it: others on it would
        be second boxes of one object.
        ``found`` are the boxes of the image of ``stamp`` (s) down to the lower threshold. An image that is
        not newer than the one before, or newer by more than LONGEST_GAP, stands for itself.
        """
        chosen = found.scores >= score_threshold
        before = self._before
        if before is not None and 0.0 < stamp - self._stamp <= LONGEST_GAP:
            overlap = iou_matrix(found.boxes, before.boxes)
            overlap[(overlap < SAME_IOU) | (found.class_ids[:, None] != before.class_ids[None, :])] = 0.0
            for row in range(len(found)):  # best score first
                if overlap[row].max(initial=0.0) > 0.0:
                    chosen[row] = True
                    overlap[:, overlap[row].argmax()] = 0.0
        self._before, self._stamp = found.where(chosen), stamp
        return self._before
