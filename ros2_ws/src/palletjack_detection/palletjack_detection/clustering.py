"""Candidate cells to one box for each object: NVIDIA TAO's weighted DBSCAN, or NMS, with fusion or without.

Both work class by class, on boxes xyxy in network pixels with the cell's coverage as weight, and put
out boxes (N, 4), scores (N,) and class ids (N,) with the best score first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.decode import Candidates
from palletjack_detection.model_folder import ClusteringSpec

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

# A saturated coverage map makes every cell a candidate and distances grow with their square. NMS
# needs only the best; DBSCAN sums over all, so its bound lies above the 2040 cells of one 960 x 544
# class and changes nothing there.
_MOST_FOR_NMS = 1000
# Chosen on 200 held-out frames: AP50:95 of the shipped model 0.46 instead of 0.44 with 1, AP50 alike.
_FUSING_POWER = 4
# Of Gaussian soft suppression, in squared IoU; the value of its paper. Of some 550 trucks found on 400
# held-out frames 2 have two boxes with it, 13 without, and the best F1 is 0.835 instead of 0.832.
_DOUBT_WIDTH = 0.5
_MOST_FOR_DBSCAN = 2048
_SUPPRESS_AT_ONCE = 16


@dataclass(frozen=True)
class Clusters:
    """Boxes (N, 4) xyxy, scores (N,), class ids (N,) and the number of cells (N,) behind each."""

    boxes: FloatArray
    scores: FloatArray
    class_ids: IntArray
    cells: IntArray

    def __len__(self) -> int:
        return len(self.scores)


def cluster(candidates: Candidates, spec: ClusteringSpec, *, lowest_score: float = 0.0) -> Clusters:
    """Cluster as the model's ``spec`` says; scores lie in 0..1 as coverage does.

    Clusters whose score is below ``lowest_score`` may be left out, which saves their time.
    """
    if spec.method == "dbscan":
        found = cluster_dbscan(candidates, eps=spec.eps, min_samples=spec.min_samples, score=spec.score)
    else:
        found = cluster_nms(
            candidates,
            iou_threshold=spec.iou_threshold,
            score=spec.score,
            fuse=spec.method != "plain_nms",
            lowest_score=lowest_score,
        )
    keep = found.boxes[:, 3] - found.boxes[:, 1] > spec.minimum_height
    return Clusters(found.boxes[keep], found.scores[keep], found.class_ids[keep], found.cells[keep])


def cluster_dbscan(candidates: Candidates, *, eps: float, min_samples: float, score: str = "max") -> Clusters:
    """Cluster as TAO's DetectNet_v2 does (5.0: postprocessor/, cv/detectnet_v2).

    The distance of two cells is 1 - IoU of their boxes; a cell is a core when the coverage of the
    cells within ``eps``, itself included, sums to ``min_samples``. A cluster's box is the mean of its
    boxes weighted by coverage. ``score`` is "max", "mean" or "sum" of the coverage; "sum" is TAO's
    aggregate_cov and exceeds 1. TAO 5.x turns ``min_samples`` into a whole number of at least 1, 4.0
    does not; here it is taken as given.
    """
    parts = []
    candidates = _best(candidates, _MOST_FOR_DBSCAN)
    for class_id in np.unique(candidates.class_ids):
        chosen = candidates.class_ids == class_id
        boxes, weights = candidates.boxes[chosen], candidates.coverage[chosen]
        near = _neighbours(boxes, lambda iou: 1.0 - iou <= eps)
        labels = dbscan_labels(near, weights, min_samples=min_samples)
        parts.append(_merge(boxes, weights, labels, int(class_id), score))
    return _concatenate(parts)


def cluster_nms(
    candidates: Candidates,
    *,
    iou_threshold: float,
    score: str = "max",
    fuse: bool = True,
    lowest_score: float = 0.0,
) -> Clusters:
    """Suppress by overlap, each kept box averaged with those it suppressed, weighted by coverage to the 4th.

    The cells of a high coverage have the better boxes: by coverage itself the many others draw the average
    away from them. Without ``fuse`` a kept box is that of its best cell, as in plain NMS. With the score
    "max" the search ends at the first cell below ``lowest_score``: all clusters from there on score less.

    The best cell takes all cells of its class whose IoU with it reaches ``iou_threshold``, and so on
    down. Averages can come closer together than the cells were, so a second pass drops a box that
    overlaps a better one by ``iou_threshold``. One that overlaps a better one by less is another object, or
    the same one again, as a part or with its neighbour: fused boxes lose score by how far they do.
    """
    parts = []
    candidates = _best(candidates, _MOST_FOR_NMS)
    for class_id in np.unique(candidates.class_ids):
        chosen = candidates.class_ids == class_id
        boxes, weights = candidates.boxes[chosen], candidates.coverage[chosen]
        order = np.argsort(-weights, kind="stable")
        boxes, weights = boxes[order], weights[order]
        seeds = int(np.count_nonzero(weights >= lowest_score)) if score == "max" else len(boxes)
        labels = _suppress(boxes, iou_threshold, seeds)
        member = labels >= 0
        boxes, weights, labels = boxes[member], weights[member], labels[member]
        if not fuse:
            # Labels count up with their best cells: all cells of a label take the box of its first.
            boxes = boxes[np.unique(labels, return_index=True)[1]][labels]
        merged = _merge(boxes, weights, labels, int(class_id), score, power=_FUSING_POWER)
        kept = np.unique(_suppress(merged.boxes, iou_threshold), return_index=True)[1]
        boxes, scores = merged.boxes[kept], merged.scores[kept]
        if fuse:
            scores = scores * _trust(boxes)
        parts.append(Clusters(boxes, scores, merged.class_ids[kept], merged.cells[kept]))
    return _concatenate(parts)


def iou_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the IoU (N, M) of boxes ``a`` (N, 4) and ``b`` (M, 4), xyxy.

    The union carries TAO's + 1e-5, so two empty boxes give 0 and not a division by zero.
    """
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    intersection = np.maximum(width, 0, out=width)
    intersection *= np.maximum(height, 0, out=height)
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    union = np.add(area_a[:, None], area_b[None, :], out=height)
    union -= intersection
    union += 1e-5
    return np.divide(intersection, union, out=intersection)


def dbscan_labels(near: NDArray[np.bool_], weights: NDArray[np.floating], *, min_samples: float) -> IntArray:
    """Weighted DBSCAN over the neighbourhood ``near`` (N, N), symmetric; label -1 is noise.

    Labels count up in the order of each cluster's first core sample, and a border sample goes to the
    lowest of the clusters that reach it: the labels of scikit-learn's DBSCAN(metric="precomputed").
    """
    # Row by row in blocks: the matrix product turns its operand into floats, 8 bytes a cell.
    mass = np.concatenate(
        [np.zeros(0), *(near[rows] @ weights.astype(np.float64) for rows in _blocks(len(near)))]
    )
    core = mass >= min_samples
    labels = np.full(len(near), -1, np.int64)
    count = 0
    for seed in np.flatnonzero(core):
        if labels[seed] >= 0:
            continue
        frontier = np.array([seed])
        labels[seed] = count
        while len(frontier):
            reached = near[frontier].any(axis=0) & (labels < 0)
            labels[reached] = count
            frontier = np.flatnonzero(reached & core)
        count += 1
    return labels


def _suppress(boxes: FloatArray, iou_threshold: float, seeds: int | None = None) -> IntArray:
    """Label boxes sorted best first: a kept box and all that it suppresses share the next label.

    Only the first ``seeds`` boxes may be kept, all if None; what they do not suppress gets the label -1.
    """
    seeds = len(boxes) if seeds is None else seeds
    labels = np.full(len(boxes), -1, np.int64)
    count = 0
    free = np.arange(len(boxes))
    # An object has dozens of cells, so a few boxes suppress all others: the whole matrix would be mostly
    # for nothing. Several a time, so that many small clusters do not take a call each.
    while len(next_seeds := free[: min(_SUPPRESS_AT_ONCE, int(np.searchsorted(free, seeds)))]):
        overlap = iou_matrix(boxes[next_seeds], boxes[free]) >= iou_threshold
        unlabelled = np.ones(len(free), bool)
        for place in range(len(overlap)):
            if unlabelled[place]:
                taken = overlap[place] & unlabelled
                taken[place] = True
                labels[free[taken]] = count
                unlabelled &= ~taken
                count += 1
        free = free[unlabelled]
    return labels


def _trust(boxes: FloatArray) -> FloatArray:
    """Share (N,) of its score that each box keeps beside the better ones before it, best first.

    exp(-IoU^2 / 0.5) with the better box that it overlaps most: the Gaussian of Soft-NMS (Bodla et al. 2017),
    of all boxes at once instead of one after the other.
    """
    overlap = np.triu(iou_matrix(boxes, boxes), 1).max(axis=0, initial=0.0)
    return np.exp(-(overlap**2) / _DOUBT_WIDTH).astype(np.float32)


def _neighbours(boxes: FloatArray, rule: Callable[[FloatArray], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return (N, N), true where the IoU of two boxes fulfils ``rule``."""
    near = np.empty((len(boxes), len(boxes)), bool)
    for rows in _blocks(len(boxes)):
        near[rows] = rule(iou_matrix(boxes[rows], boxes))
    return near


def _blocks(count: int) -> list[slice]:
    """Cut 0..count into slices whose matrix rows stay in the processor's cache (a third less time)."""
    return [slice(start, start + 128) for start in range(0, count, 128)]


def _merge(
    boxes: FloatArray, weights: FloatArray, labels: IntArray, class_id: int, score: str, *, power: int = 1
) -> Clusters:
    """Average the boxes of each label by weight to the ``power`` and score them by weight.

    Best score first, label -1 left out.
    """
    member = labels >= 0
    labels, weight = labels[member], weights[member].astype(np.float64)
    count = int(labels.max(initial=-1)) + 1
    cells = np.bincount(labels, minlength=count)
    total = np.bincount(labels, weights=weight, minlength=count)
    counting = weight**power
    weighted = counting[:, None] * boxes[member].astype(np.float64)
    all_counting = np.bincount(labels, weights=counting, minlength=count)
    merged = np.empty((count, 4), np.float64)
    for edge in range(4):
        merged[:, edge] = np.bincount(labels, weights=weighted[:, edge], minlength=count) / all_counting
    if score == "max":
        scores = np.zeros(count)
        np.maximum.at(scores, labels, weight)
    else:
        scores = total if score == "sum" else total / cells
    order = np.argsort(-scores, kind="stable")
    return Clusters(
        merged[order].astype(np.float32),
        scores[order].astype(np.float32),
        np.full(count, class_id, np.int64),
        cells[order].astype(np.int64),
    )


def _best(candidates: Candidates, most: int) -> Candidates:
    """Return the ``most`` candidates of highest coverage, in their order."""
    if len(candidates) <= most:
        return candidates
    keep = np.sort(np.argsort(-candidates.coverage, kind="stable")[:most])
    return Candidates(candidates.boxes[keep], candidates.coverage[keep], candidates.class_ids[keep])


def _concatenate(parts: list[Clusters]) -> Clusters:
    if not parts:
        empty = np.zeros(0, np.int64)
        return Clusters(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), empty, empty)
    scores = np.concatenate([p.scores for p in parts])
    order = np.argsort(-scores, kind="stable")
    return Clusters(
        np.concatenate([p.boxes for p in parts])[order],
        scores[order],
        np.concatenate([p.class_ids for p in parts])[order],
        np.concatenate([p.cells for p in parts])[order],
    )
