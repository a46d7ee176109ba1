"""The rasterizer against NVIDIA's own output and against a cell-by-cell version of the rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from palletjack_training.box_labels import IGNORED, PADDING  # noqa: E402
from palletjack_training.config import TargetConfig  # noqa: E402
from palletjack_training.targets import BoxBatch, GridTargets, compact, decode_boxes, rasterize  # noqa: E402

GOLDEN = Path(__file__).parents[2].parent / "shared" / "tao_golden"
TAO = TargetConfig(cov_radius=1.0, bbox_min_radius=1.0, deadzone=0.4000001549720764)
GRID = (34, 60)


def golden_batch() -> BoxBatch:
    frames = json.loads((GOLDEN / "frames_detections.json").read_text())["frames"]
    most = max(len(frame) for frame in frames)
    boxes = torch.zeros(len(frames), most, 4)
    labels = torch.full((len(frames), most), PADDING)
    for row, frame in enumerate(frames):
        boxes[row, : len(frame)] = torch.tensor(frame)
        labels[row, : len(frame)] = 0
    return BoxBatch(boxes, labels)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden vectors (../shared/tao_golden) are not here")
def test_targets_are_those_of_tao() -> None:
    golden = np.load(GOLDEN / "targets_losses.npz")
    targets = rasterize(golden_batch(), 1, GRID, TAO)
    np.testing.assert_allclose(targets.coverage.numpy(), golden["cov"], atol=1e-5)
    np.testing.assert_allclose(targets.boxes[:, 0].numpy(), golden["bbox"], atol=1e-5)
    np.testing.assert_allclose(targets.box_weight.numpy(), golden["cov_norm"], atol=1e-5)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden vectors (../shared/tao_golden) are not here")
def test_decoding_is_that_of_tao() -> None:
    golden = np.load(GOLDEN / "targets_losses.npz")
    boxes = decode_boxes(torch.from_numpy(golden["pred_bbox"]), TAO).numpy()
    # TAO clips to the image, and the far sides to no less than the near ones.
    boxes[:, 0] = boxes[:, 0].clip(0, 960)
    boxes[:, 1] = boxes[:, 1].clip(0, 544)
    boxes[:, 2] = np.minimum(np.maximum(boxes[:, 2], boxes[:, 0]), 960)
    boxes[:, 3] = np.minimum(np.maximum(boxes[:, 3], boxes[:, 1]), 544)
    np.testing.assert_allclose(boxes, golden["abs_bbox"], atol=0.01)


def naive_targets(
    boxes: np.ndarray, config: TargetConfig, grid: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and owner of one image, painted box by box and cell by cell."""
    coverage, owner = np.zeros(grid), np.full(grid, -1)
    for index in np.argsort(boxes[:, 3], kind="stable"):
        x1, y1, x2, y2 = boxes[index] / config.stride
        centre, half = ((x1 + x2) / 2, (y1 + y2) / 2), ((x2 - x1) / 2, (y2 - y1) / 2)
        radius = [max(config.cov_radius * side, 0.1) for side in half]
        for axis in (0, 1):
            if radius[axis] < config.bbox_min_radius:
                grow = config.bbox_min_radius / radius[axis]
                radius = [side * grow for side in radius]
        outer = [
            max((1 - config.deadzone) * r + config.deadzone * s, r) for r, s in zip(radius, half, strict=True)
        ]
        for row in range(grid[0]):
            for column in range(grid[1]):
                shares = []
                for axes in (radius, outer):
                    inside = 0
                    for i in range(4):
                        for j in range(4):
                            u = (column + (i + 0.5) / 4 - centre[0]) / axes[0]
                            v = (row + (j + 0.5) / 4 - centre[1]) / axes[1]
                            inside += u * u + v * v < 1
                    shares.append(inside / 16)
                if shares[1] > 0 and shares[1] >= coverage[row, column]:
                    coverage[row, column], owner[row, column] = 0, -1
                if shares[0] > 0 and shares[0] >= coverage[row, column]:
                    coverage[row, column], owner[row, column] = shares[0], index
    return coverage, owner


@pytest.mark.parametrize(("cov_radius", "deadzone"), [(1.0, 0.4), (0.6, 0.7), (0.4, 1.0)])
def test_vectorized_equals_cell_by_cell(cov_radius: float, deadzone: float) -> None:
    config = TargetConfig(cov_radius=cov_radius, bbox_min_radius=1.0, deadzone=deadzone)
    rng = np.random.default_rng(3)
    corners = rng.uniform(-30, 200, (6, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(6, 150, (6, 2))), 1)
    grid = (10, 14)
    coverage, owner = naive_targets(boxes, config, grid)
    batch = BoxBatch(torch.from_numpy(boxes).float()[None], torch.zeros(1, 6, dtype=torch.int64))
    targets = rasterize(batch, 1, grid, config)
    assert coverage.max() > 0.5
    np.testing.assert_allclose(targets.coverage[0, 0].numpy(), coverage, atol=1e-6)
    np.testing.assert_array_equal(targets.owner[0, 0].numpy(), owner)


def two_boxes(labels: list[int]) -> GridTargets:
    boxes = torch.tensor([[[100.0, 100.0, 300.0, 260.0], [500.0, 200.0, 700.0, 420.0]]])
    return rasterize(BoxBatch(boxes, torch.tensor([labels])), 2, GRID, TargetConfig())


def test_target_distances_decode_to_the_box() -> None:
    targets = two_boxes([0, 1])
    decoded = decode_boxes(targets.boxes, TargetConfig())
    for label, box in ((0, [100, 100, 300, 260]), (1, [500, 200, 700, 420])):
        hot = targets.coverage[0, label] > 0.5
        assert hot.sum() > 10
        expected = torch.tensor(box, dtype=torch.float32)[:, None].expand(4, int(hot.sum()))
        torch.testing.assert_close(decoded[0, label][:, hot], expected, atol=1e-3, rtol=0)


def test_classes_do_not_mix() -> None:
    targets = two_boxes([1, 1])
    assert targets.coverage[0, 0].max() == 0
    assert targets.coverage[0, 1].max() == 1


def test_cells_of_an_ignored_region_do_not_count() -> None:
    targets = two_boxes([0, IGNORED])
    left_out = ~targets.counted[0, 0]
    rows, columns = left_out.nonzero(as_tuple=True)
    assert (rows.min(), rows.max()) == (200 // 16, 419 // 16)
    assert (columns.min(), columns.max()) == (500 // 16, 699 // 16)
    assert targets.coverage[0, :, left_out].max() == 0


def test_an_object_inside_an_ignored_region_counts() -> None:
    boxes = torch.tensor([[[100.0, 100.0, 300.0, 260.0], [0.0, 0.0, 960.0, 544.0]]])
    targets = rasterize(BoxBatch(boxes, torch.tensor([[0, IGNORED]])), 1, GRID, TargetConfig())
    assert torch.equal(targets.counted, targets.coverage > 0)


def test_no_boxes_give_background() -> None:
    batch = BoxBatch(torch.zeros(2, 1, 4), torch.full((2, 1), PADDING))
    targets = rasterize(batch, 1, GRID, TargetConfig())
    assert targets.coverage.sum() == 0
    assert targets.counted.all()


def test_compact_keeps_the_boxes() -> None:
    boxes = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    labels = torch.tensor([[PADDING, 0, PADDING], [IGNORED, PADDING, 1]])
    kept = compact(BoxBatch(boxes, labels))
    assert kept.labels.tolist() == [[0, PADDING], [IGNORED, 1]]
    assert torch.equal(kept.boxes[0, 0], boxes[0, 1])
    assert torch.equal(kept.boxes[1], boxes[1, [0, 2]])
