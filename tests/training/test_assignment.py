"""Which cells learn which object when the cells' own boxes decide."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from palletjack_training.assignment import assign_aligned  # noqa: E402
from palletjack_training.box_labels import IGNORED, PADDING  # noqa: E402
from palletjack_training.config import ConfigError, LossConfig, TargetConfig, parse_config  # noqa: E402
from palletjack_training.losses import focal_giou_loss, iou  # noqa: E402
from palletjack_training.targets import (  # noqa: E402
    BoxBatch,
    GridTargets,
    decode_boxes,
    distances_to_owner,
)

ALIGNED = TargetConfig(assignment="aligned")
GRID = (20, 30)


def batch_of(boxes: list[list[float]], labels: list[int]) -> BoxBatch:
    return BoxBatch(torch.tensor([boxes]), torch.tensor([labels]))


def outputs(classes: int = 1, logit: float = -2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Coverage logits alike everywhere, and boxes of 70 x 70 px around each reference point."""
    return torch.full((1, classes, *GRID), logit), torch.ones(1, classes, 4, *GRID)


def fitting(distances: torch.Tensor, cells: list[tuple[int, int]], box: list[float], cls: int = 0) -> None:
    """Let ``cells`` (row, column) predict ``box`` exactly."""
    owner = torch.zeros(1, 1, *GRID, dtype=torch.int64)
    exact = distances_to_owner(torch.tensor([[box]]), owner, ALIGNED)[0, 0]
    for row, column in cells:
        distances[0, cls, :, row, column] = exact[:, row, column]


def cells_of(targets: GridTargets, row: int, cls: int = 0) -> set[tuple[int, int]]:
    return {(int(r), int(c)) for r, c in (targets.owner[0, cls] == row).nonzero()}


def test_an_object_is_learned_by_the_cells_that_fit_it_best() -> None:
    box = [64.0, 48.0, 240.0, 208.0]
    logits, distances = outputs()
    best = [(6, 8), (7, 9), (8, 10)]
    fitting(distances, best, box)
    few = replace_cells(3)
    targets = assign_aligned(logits, distances, batch_of([box], [0]), few)
    assert cells_of(targets, 0) == set(best)
    assert targets.coverage[targets.owner == 0].tolist() == pytest.approx([1.0] * 3)
    assert float(targets.coverage.sum()) == pytest.approx(3.0)
    # Their targets decode to the object, which is what they predict.
    decoded = decode_boxes(targets.boxes, few)[0, 0]
    for row, column in best:
        assert decoded[:, row, column].tolist() == pytest.approx(box, abs=1e-3)


def replace_cells(count: int) -> TargetConfig:
    return ALIGNED.model_copy(update={"aligned_cells": count})


def test_coverage_aims_at_how_good_the_best_box_is_and_less_elsewhere() -> None:
    box = [64.0, 48.0, 240.0, 208.0]
    logits, distances = outputs()
    fitting(distances, [(7, 9)], [64.0, 48.0, 240.0, 128.0])  # IoU 0.5
    fitting(distances, [(8, 9)], [64.0, 48.0, 240.0, 112.0])  # IoU 0.4
    targets = assign_aligned(logits, distances, batch_of([box], [0]), ALIGNED)
    assert float(targets.coverage[0, 0, 7, 9]) == pytest.approx(0.5, abs=1e-3)
    assert float(targets.coverage[0, 0, 8, 9]) == pytest.approx(0.5 * (0.4 / 0.5) ** 6, abs=1e-3)
    assert float(targets.coverage.max()) == pytest.approx(0.5, abs=1e-3)


def test_of_two_equal_boxes_the_surer_cell_counts_more() -> None:
    box = [64.0, 48.0, 240.0, 208.0]
    logits, distances = outputs()
    fitting(distances, [(7, 9), (8, 9)], box)
    logits[0, 0, 7, 9] = 2.0
    coverage = assign_aligned(logits, distances, batch_of([box], [0]), ALIGNED).coverage[0, 0]
    assert float(coverage[7, 9]) == pytest.approx(1.0)
    share = (torch.sigmoid(torch.tensor(-2.0)) / torch.sigmoid(torch.tensor(2.0))) ** 0.5
    assert float(coverage[8, 9]) == pytest.approx(float(share), abs=1e-3)


def test_a_cell_in_two_objects_goes_to_the_one_that_it_fits_better() -> None:
    """The farther truck keeps the cells that find it, although the nearer one would paint them over."""
    near, far = [60.0, 60.0, 300.0, 300.0], [200.0, 40.0, 360.0, 200.0]
    logits, distances = outputs()
    fitting(distances, [(6, 14)], far)
    fitting(distances, [(12, 8)], near)
    targets = assign_aligned(logits, distances, batch_of([near, far], [0, 0]), ALIGNED)
    assert int(targets.owner[0, 0, 6, 14]) == 1
    assert int(targets.owner[0, 0, 12, 8]) == 0
    assert len(cells_of(targets, 0)) <= 10
    assert len(cells_of(targets, 1)) <= 10


@pytest.mark.parametrize("side", [3.0, 9.0, 15.0])
@pytest.mark.parametrize("shift", [0.0, 5.3, 8.0, 12.9])
def test_the_smallest_object_has_a_cell(side: float, shift: float) -> None:
    x, y = 160.0 + shift, 96.0 + shift / 2
    logits, distances = outputs()
    targets = assign_aligned(logits, distances, batch_of([[x, y, x + side, y + side]], [0]), ALIGNED)
    assert len(cells_of(targets, 0)) >= 1
    assert float(targets.coverage.max()) > 0


def test_a_small_object_may_take_cells_around_its_centre() -> None:
    logits, distances = outputs()
    box = [100.0, 100.0, 106.0, 106.0]
    near = assign_aligned(logits, distances, batch_of([box], [0]), ALIGNED)
    wide = assign_aligned(
        logits, distances, batch_of([box], [0]), ALIGNED.model_copy(update={"least_reach": 1.0})
    )
    assert len(cells_of(near, 0)) == 1
    assert len(cells_of(wide, 0)) == 4
    assert cells_of(near, 0) < cells_of(wide, 0)


def test_a_large_object_takes_a_share_of_its_cells_and_counts_like_a_small_one() -> None:
    large, small = [10.0, 10.0, 330.0, 310.0], [380.0, 40.0, 450.0, 110.0]
    batch = batch_of([large, small], [0, 0])
    logits, distances = outputs()
    fitting(distances, [(r, c) for r in range(GRID[0]) for c in range(22)], large)
    fitting(distances, [(r, c) for r in range(GRID[0]) for c in range(22, GRID[1])], small)
    plain = assign_aligned(logits, distances, batch, ALIGNED)
    assert (len(cells_of(plain, 0)), len(cells_of(plain, 1))) == (10, 10)
    torch.testing.assert_close(plain.box_weight, plain.coverage)

    shared = assign_aligned(logits, distances, batch, ALIGNED.model_copy(update={"aligned_share": 0.1}))
    inside = 20 * 19  # reference points within the large one: 16 px apart, from 0.5 on
    assert len(cells_of(shared, 0)) == round(0.1 * inside)
    assert len(cells_of(shared, 1)) == 10
    masses = [float(shared.box_weight[shared.owner == row].sum()) for row in (0, 1)]
    assert masses == pytest.approx([10.0, 10.0], rel=1e-3)

    # Balanced by it, both pull at the coverage of their cells as much, however many these are.
    config = LossConfig().model_copy(update={"object_balance": 1.0, "positive_coverage": 0.0})
    logits.requires_grad_(True)
    focal_giou_loss(logits, distances, shared, config, ALIGNED).coverage.backward()
    pulls = [float(logits.grad[shared.owner == row].sum()) for row in (0, 1)]
    assert pulls[0] == pytest.approx(pulls[1], rel=1e-3)


def test_a_network_that_starts_with_inverted_boxes_learns_all_objects() -> None:
    boxes = [[10.0, 10.0, 60.0, 90.0], [100.0, 100.0, 400.0, 300.0]]
    logits, _ = outputs()
    distances = torch.full((1, 1, 4, *GRID), -1.0, requires_grad=True)
    targets = assign_aligned(logits, distances, batch_of(boxes, [0, 0]), ALIGNED)
    assert len(cells_of(targets, 0)) == 10
    assert len(cells_of(targets, 1)) == 10
    config = LossConfig(positive_coverage=0.01)
    focal_giou_loss(logits, distances, targets, config, ALIGNED).boxes.backward()
    assert distances.grad is not None
    for row in (0, 1):
        owned = targets.owner[0, 0] == row
        assert (distances.grad[0, 0][:, owned] < 0).all()


def test_cells_of_an_ignored_region_do_not_count_and_padding_takes_none() -> None:
    boxes = [[64.0, 48.0, 160.0, 144.0], [240.0, 160.0, 320.0, 240.0], [0.0, 0.0, 480.0, 320.0]]
    logits, distances = outputs()
    targets = assign_aligned(logits, distances, batch_of(boxes, [0, IGNORED, PADDING]), ALIGNED)
    assert set(targets.owner.unique().tolist()) == {-1, 0}
    assert not targets.counted[0, 0, 12, 16]
    assert targets.counted[0, 0, 2, 2]
    assert targets.counted[0, 0, 6, 6]


def test_classes_do_not_compete() -> None:
    box = [64.0, 48.0, 240.0, 208.0]
    logits, distances = outputs(classes=2)
    fitting(distances, [(7, 9)], box, cls=0)
    fitting(distances, [(7, 9)], box, cls=1)
    fitting(distances, [(8, 8)], box, cls=1)
    targets = assign_aligned(logits, distances, batch_of([box, box], [1, 0]), ALIGNED)
    assert int(targets.owner[0, 0, 7, 9]) == 1
    assert int(targets.owner[0, 1, 7, 9]) == 0
    assert float(targets.coverage[0, 1, 8, 8]) == pytest.approx(1.0)
    assert float(targets.coverage[0, 0, 8, 8]) < 0.1


def test_images_of_a_batch_do_not_mix() -> None:
    generator = torch.Generator().manual_seed(3)
    corners = torch.rand(2, 5, 2, generator=generator) * 300
    boxes = torch.cat((corners, corners + 20 + torch.rand(2, 5, 2, generator=generator) * 150), -1)
    labels = torch.tensor([[0, 0, 0, PADDING, PADDING], [0, 0, IGNORED, 0, 0]])
    logits = torch.randn(2, 1, *GRID, generator=generator)
    distances = torch.rand(2, 1, 4, *GRID, generator=generator) * 4
    together = assign_aligned(logits, distances, BoxBatch(boxes, labels), ALIGNED)
    for index in range(2):
        alone = assign_aligned(
            logits[index : index + 1],
            distances[index : index + 1],
            BoxBatch(boxes[index : index + 1], labels[index : index + 1]),
            ALIGNED,
        )
        assert torch.equal(alone.owner[0], together.owner[index])
        assert torch.allclose(alone.coverage[0], together.coverage[index])


def test_learning_against_aligned_targets_finds_both_of_two_overlapping_objects() -> None:
    """Outputs free to move: after some steps the best cell of each object has its box, and says so."""
    boxes = [[60.0, 60.0, 300.0, 300.0], [200.0, 40.0, 360.0, 200.0]]
    batch = batch_of(boxes, [0, 0])
    logits = torch.full((1, 1, *GRID), -3.0, requires_grad=True)
    distances = torch.ones(1, 1, 4, *GRID, requires_grad=True)
    optimizer = torch.optim.Adam([logits, distances], lr=0.1)
    config = LossConfig(positive_coverage=0.5).model_copy(update={"positive_coverage": 0.0})
    for _ in range(150):
        targets = assign_aligned(logits, distances, batch, ALIGNED)
        optimizer.zero_grad()
        focal_giou_loss(logits, distances, targets, config, ALIGNED).total.backward()
        optimizer.step()
    found = decode_boxes(distances.detach(), ALIGNED)[0, 0].flatten(1).T
    coverage = logits.detach().sigmoid().flatten()
    for box in boxes:
        fit = iou(found, torch.tensor(box))
        sure = coverage > 0.5
        assert float(fit[sure].max()) > 0.9
    # Where no object is, nothing is said.
    assert float(coverage[(targets.owner < 0).flatten()].max()) < 0.3


def test_aligned_takes_no_other_balance() -> None:
    with pytest.raises(ConfigError, match=r"targets\.assignment: aligned is quality and balance itself"):
        parse_config({"targets": {"assignment": "aligned"}, "loss": {"quality": 1.0}}, "a.yaml")
    with pytest.raises(ConfigError, match="found tao"):
        parse_config({"targets": {"assignment": "aligned"}, "loss": {"kind": "tao"}}, "a.yaml")
