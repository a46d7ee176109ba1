"""Decoding and clustering: against NVIDIA's golden vectors, scikit-learn, and by cases."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from palletjack_detection.clustering import (
    _suppress,
    cluster,
    cluster_dbscan,
    cluster_nms,
    dbscan_labels,
    iou_matrix,
)
from palletjack_detection.decode import Candidates, decode_grid, decode_hot_cells
from palletjack_detection.model_folder import ClusteringSpec

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "tao_golden"
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden vectors are not beside the repository")
GRID = {"stride": 16, "box_scale": 35.0, "box_offset": 0.5}


def candidates_around(
    rng: np.random.Generator, centres: list[tuple[float, ...]], cells: int, spread: float = 2.0
) -> Candidates:
    boxes = np.concatenate([np.array(c) + rng.normal(0, spread, (cells, 4)) for c in centres])
    coverage = rng.uniform(0.1, 1.0, len(boxes))
    return Candidates(boxes.astype(np.float32), coverage.astype(np.float32), np.zeros(len(boxes), np.int64))


@golden
def test_decoding_equals_tao() -> None:
    data = np.load(GOLDEN / "targets_losses.npz")
    for predicted, expected in zip(data["pred_bbox"], data["abs_bbox"], strict=True):
        decoded = decode_grid(predicted, **GRID)[0]
        # TAO clips in this path: left and top to the image, right and bottom to left/top .. image.
        left = decoded[..., 0].clip(0, 960)
        top = decoded[..., 1].clip(0, 544)
        right = np.clip(decoded[..., 2], left, 960)
        bottom = np.clip(decoded[..., 3], top, 544)
        np.testing.assert_allclose(np.stack([left, top, right, bottom]), expected, atol=3e-4)


@golden
def test_dbscan_equals_tao() -> None:
    data = np.load(GOLDEN / "targets_losses.npz")
    expected = json.loads((GOLDEN / "frames_detections.json").read_text())["detections"]
    assert len(expected) == 4
    for cov, boxes, wanted in zip(data["cluster_cov"], data["cluster_bbox_abs"], expected, strict=True):
        _, rows, columns = np.nonzero(cov > 0.005)
        hot = Candidates(
            boxes[:, rows, columns].T.copy(), cov[0, rows, columns], np.zeros(len(rows), np.int64)
        )
        found = cluster_dbscan(hot, eps=0.15, min_samples=1, score="sum")
        tall = found.boxes[:, 3] - found.boxes[:, 1] > 20
        np.testing.assert_array_equal(found.cells[tall], [d["n"] for d in wanted])
        np.testing.assert_allclose(found.boxes[tall], [d["bbox"] for d in wanted], atol=5e-4)
        np.testing.assert_allclose(found.scores[tall], [d["confidence"] for d in wanted], rtol=1e-5)
        mean = cluster_dbscan(hot, eps=0.15, min_samples=1, score="mean")
        np.testing.assert_allclose(
            sorted(mean.scores[mean.boxes[:, 3] - mean.boxes[:, 1] > 20]),
            sorted(d["cov"] for d in wanted),
            rtol=1e-5,
        )


@golden
def test_hot_cells_and_clustering_from_raw_tensors_find_taos_boxes() -> None:
    """The whole decoding path of the robot, which clips last, on frames whose boxes lie inside."""
    data = np.load(GOLDEN / "targets_losses.npz")
    expected = json.loads((GOLDEN / "frames_detections.json").read_text())["detections"]
    for index in (0, 3):
        hot = decode_hot_cells(
            data["cluster_cov"][index], data["cluster_bbox_raw"][index], coverage_threshold=0.005, **GRID
        )
        found = cluster_dbscan(hot, eps=0.15, min_samples=1, score="sum")
        np.testing.assert_allclose(found.boxes, [d["bbox"] for d in expected[index]], atol=1e-2)


@pytest.mark.parametrize("seed", range(12))
def test_dbscan_labels_equal_scikit_learn(seed: int) -> None:
    dbscan = pytest.importorskip("sklearn.cluster").DBSCAN
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 10, (120, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    weights = rng.uniform(0, 1, len(points))
    eps, min_samples = rng.uniform(0.3, 0.8), rng.uniform(0.5, 2.0)
    reference = dbscan(eps=eps, min_samples=1, metric="precomputed")
    # scikit-learn accepts whole numbers only; scaling the weights asks for the same.
    reference.fit(distances, sample_weight=weights / min_samples)
    found = dbscan_labels(distances <= eps, weights, min_samples=min_samples)
    assert -1 in reference.labels_
    assert reference.labels_.max() > 2
    np.testing.assert_array_equal(found, reference.labels_)


def test_iou_matrix_by_hand() -> None:
    a = np.array([[0, 0, 10, 10], [0, 0, 0, 0]], np.float32)
    b = np.array([[5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]], np.float32)
    np.testing.assert_allclose(iou_matrix(a, b), [[1 / 3, 0, 1], [0, 0, 0]], atol=1e-6)


def test_class_major_channels_are_decoded_to_their_own_class() -> None:
    coverage = np.zeros((2, 34, 60), np.float32)
    boxes = np.zeros((8, 34, 60), np.float32)
    coverage[0, 3, 5], coverage[1, 10, 20] = 0.6, 0.9
    boxes[0:4, 3, 5] = np.array([10, 20, 30, 40]) / 35
    boxes[4:8, 10, 20] = np.array([1, 2, 3, 4]) / 35
    found = decode_hot_cells(coverage, boxes, coverage_threshold=0.05, **GRID)
    np.testing.assert_array_equal(found.class_ids, [0, 1])
    np.testing.assert_allclose(found.boxes[0], [80.5 - 10, 48.5 - 20, 80.5 + 30, 48.5 + 40], atol=1e-4)
    np.testing.assert_allclose(found.boxes[1], [320.5 - 1, 160.5 - 2, 320.5 + 3, 160.5 + 4], atol=1e-4)
    # decode_grid is the same rule for every cell.
    np.testing.assert_array_equal(decode_grid(boxes, **GRID)[1, 10, 20], found.boxes[1])


def test_cells_without_a_box_are_left_out() -> None:
    coverage = np.full((1, 2, 3), 0.9, np.float32)
    boxes = np.ones((4, 2, 3), np.float32)
    coverage[0, 0, 0] = np.nan
    boxes[2, 0, 1] = np.nan
    boxes[3, 0, 2] = np.inf
    boxes[2, 1, 0] = -5  # right of the box left of its left
    coverage[0, 1, 1] = 0.05  # at the threshold, not above it
    found = decode_hot_cells(coverage, boxes, coverage_threshold=0.05, **GRID)
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes, [[32.5 - 35, 16.5 - 35, 32.5 + 35, 16.5 + 35]])


@pytest.mark.parametrize("method", ["nms", "plain_nms", "dbscan"])
def test_two_objects_become_two_boxes(method: str) -> None:
    rng = np.random.default_rng(1)
    truth = [(100, 100, 200, 300), (400, 100, 480, 260)]
    hot = candidates_around(rng, truth, 40)
    found = cluster(hot, ClusteringSpec(method, 0.05))
    assert len(found) == 2
    assert found.cells.sum() == 80
    order = np.argsort(found.boxes[:, 0])
    # A single cell is as far off as the cells scatter; their average is much closer.
    np.testing.assert_allclose(found.boxes[order], truth, atol=8.0 if method == "plain_nms" else 1.5)
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores.max() == hot.coverage.max()


@pytest.mark.parametrize("method", ["nms", "plain_nms", "dbscan"])
def test_classes_do_not_suppress_each_other(method: str) -> None:
    box = np.array([[10, 10, 90, 90]] * 4, np.float32)
    hot = Candidates(box, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([0, 1, 0, 1]))
    found = cluster(hot, ClusteringSpec(method, 0.05))
    np.testing.assert_array_equal(found.class_ids, [0, 1])
    np.testing.assert_allclose(found.scores, [0.9, 0.8])
    mean = cluster(hot, ClusteringSpec(method, 0.05, score="mean"))
    np.testing.assert_allclose(mean.scores, [0.8, 0.7], rtol=1e-6)


def test_nms_averages_by_coverage_and_never_leaves_two_boxes_on_one_object() -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10]], np.float32)
    hot = Candidates(boxes, np.array([0.9, 0.3], np.float32), np.zeros(2, np.int64))
    found = cluster_nms(hot, iou_threshold=0.5)
    # 0.3 is a third of 0.9, so that the second box counts a third to the fourth.
    shift = 2 / (1 + 3**4)
    np.testing.assert_allclose(found.boxes, [[shift, 0, 10 + shift, 10]], atol=1e-5)
    plain = cluster_nms(hot, iou_threshold=0.5, fuse=False)
    np.testing.assert_array_equal(plain.boxes, [[0, 0, 10, 10]])
    np.testing.assert_array_equal(plain.cells, [2])

    rng = np.random.default_rng(3)
    for _ in range(30):
        hot = candidates_around(rng, [(100, 100, 200, 300), (130, 100, 230, 310)], 60, spread=25.0)
        found = cluster_nms(hot, iou_threshold=0.5)
        overlap = iou_matrix(found.boxes, found.boxes) - np.eye(len(found))
        assert overlap.max() < 0.5
        plain = cluster_nms(hot, iou_threshold=0.5, fuse=False)
        distance = np.abs(plain.boxes[:, None] - hot.boxes[None]).max(axis=2)
        assert distance.min(axis=1).max() < 1e-3  # each is the box of a cell
        assert (iou_matrix(plain.boxes, plain.boxes) - np.eye(len(plain))).max() < 0.5


@pytest.mark.parametrize(("cells", "objects"), [(1, 1), (60, 3), (700, 12), (300, 300)])
def test_suppression_in_blocks_equals_the_whole_matrix_row_by_row(cells: int, objects: int) -> None:
    rng = np.random.default_rng(cells)
    member = rng.integers(0, objects, cells)
    centres = rng.uniform(0, 900, (objects, 2))[member] + rng.normal(0, 8, (cells, 2))
    sides = rng.uniform(30, 250, (objects, 2))[member] * rng.uniform(0.8, 1.2, (cells, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).astype(np.float32)
    overlap = iou_matrix(boxes, boxes) >= 0.5
    expected = np.full(cells, -1)
    for index in range(cells):
        if expected[index] < 0:
            expected[overlap[index] & (expected < 0)] = expected.max() + 1
    np.testing.assert_array_equal(_suppress(boxes, 0.5), expected)
    assert expected.max() + 1 > min(objects, 16) / 2


@pytest.mark.parametrize("method", ["nms", "plain_nms", "dbscan"])
@pytest.mark.parametrize("score", ["max", "mean", "sum"])
def test_leaving_out_what_scores_too_low_changes_nothing_above(method: str, score: str) -> None:
    rng = np.random.default_rng(11)
    for _ in range(20):
        centres = [tuple(np.append(c, c + rng.uniform(40, 200, 2))) for c in rng.uniform(0, 700, (9, 2))]
        hot = candidates_around(rng, centres, 30, spread=12.0)
        strength = np.repeat(rng.uniform(0.1, 1.0, 9), 30).astype(np.float32)
        hot = Candidates(hot.boxes, hot.coverage * strength, rng.integers(0, 2, len(hot)))
        spec = ClusteringSpec(method, 0.05, min_samples=0.5, score=score)
        for lowest in (0.0, 0.3, 0.6, 2.0):
            whole, found = cluster(hot, spec), cluster(hot, spec, lowest_score=lowest)
            above, kept = whole.scores >= lowest, found.scores >= lowest
            np.testing.assert_array_equal(found.boxes[kept], whole.boxes[above])
            np.testing.assert_array_equal(found.scores[kept], whole.scores[above])
            np.testing.assert_array_equal(found.class_ids[kept], whole.class_ids[above])
            np.testing.assert_array_equal(found.cells[kept], whole.cells[above])
            if score == "max" and method == "plain_nms":
                assert kept.all()


def test_dbscan_drops_what_is_too_thin_and_minimum_height_what_is_too_low() -> None:
    boxes = np.array([[0, 0, 10, 10], [50, 50, 90, 90]], np.float32)
    hot = Candidates(boxes, np.array([0.4, 0.9], np.float32), np.zeros(2, np.int64))
    found = cluster(hot, ClusteringSpec("dbscan", 0.05, min_samples=0.5))
    np.testing.assert_allclose(found.boxes, boxes[1:])
    assert len(cluster(hot, ClusteringSpec("nms", 0.05))) == 2
    assert len(cluster(hot, ClusteringSpec("nms", 0.05, minimum_height=10))) == 1


@pytest.mark.parametrize("method", ["nms", "plain_nms", "dbscan"])
def test_no_cell_gives_no_box(method: str) -> None:
    empty = np.zeros((1, 34, 60), np.float32)
    hot = decode_hot_cells(empty, np.zeros((4, 34, 60), np.float32), coverage_threshold=0.05, **GRID)
    found = cluster(hot, ClusteringSpec(method, 0.05))
    assert found.boxes.shape == (0, 4)
    assert len(found) == 0


@pytest.mark.parametrize("method", ["nms", "plain_nms", "dbscan"])
@pytest.mark.parametrize("alike", [True, False])
def test_a_saturated_map_is_bounded(method: str, alike: bool) -> None:
    """Processor time, so that other work on the machine does not count; the bound is 150 ms."""
    rng = np.random.default_rng(0)
    coverage = rng.uniform(0.9, 1.0, (1, 34, 60)).astype(np.float32)
    reach = np.ones(4) * 4 if alike else np.full(4, 0.2)
    boxes = np.broadcast_to(reach[:, None, None], (4, 34, 60)).astype(np.float32)
    spec = ClusteringSpec(method, 0.05, min_samples=0.05)
    spent = []
    for _ in range(3):
        start = time.thread_time()
        hot = decode_hot_cells(coverage, boxes, coverage_threshold=0.05, **GRID)
        found = cluster(hot, spec)
        spent.append(time.thread_time() - start)
    assert len(hot) == 2040
    assert len(found) >= 1
    assert min(spent) < 0.150


def test_a_box_that_overlaps_a_better_one_is_trusted_less() -> None:
    """Three objects: the second overlaps the first by an IoU of 0.4, the third stands alone."""
    boxes = np.array([[0, 0, 100, 100], [0, 0, 100, 40], [300, 0, 400, 100]], np.float32)
    found = Candidates(boxes, np.array([0.8, 0.6, 0.5], np.float32), np.zeros(3, np.int64))
    soft = cluster_nms(found, iou_threshold=0.5)
    np.testing.assert_allclose(soft.scores, [0.8, 0.5, 0.6 * np.exp(-(0.4**2) / 0.5)], rtol=1e-5)
    np.testing.assert_array_equal(soft.boxes, boxes[[0, 2, 1]])
    plain = cluster_nms(found, iou_threshold=0.5, fuse=False)
    np.testing.assert_allclose(plain.scores, [0.8, 0.6, 0.5])
