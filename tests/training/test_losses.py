"""Losses and learning rate against NVIDIA's own numbers, and what each loss must do."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from palletjack_training.box_labels import IGNORED  # noqa: E402
from palletjack_training.config import LossConfig, ScheduleConfig, TargetConfig  # noqa: E402
from palletjack_training.losses import (  # noqa: E402
    ObjectiveWeights,
    focal_giou_loss,
    giou,
    l1_of_convolutions,
    soft_focal_loss,
    tao_box_cost,
    tao_coverage_cost,
    tao_loss,
)
from palletjack_training.schedule import Progress, learning_rate  # noqa: E402
from palletjack_training.targets import BoxBatch, GridTargets, rasterize  # noqa: E402

GOLDEN = Path(__file__).parents[2].parent / "shared" / "tao_golden" / "targets_losses.npz"
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_file(), reason="the golden vectors (../shared/tao_golden) are not here"
)
GRID_CONFIG = TargetConfig()


def golden_targets(golden: np.lib.npyio.NpzFile) -> GridTargets:
    coverage = torch.from_numpy(golden["cov"])
    return GridTargets(
        coverage=coverage,
        boxes=torch.from_numpy(golden["bbox"])[:, None],
        box_weight=torch.from_numpy(golden["cov_norm"]),
        owner=torch.where(coverage > 0, 0, -1),
        counted=torch.ones_like(coverage, dtype=torch.bool),
    )


@needs_golden
def test_costs_and_weights_are_those_of_tao() -> None:
    golden = np.load(GOLDEN)
    targets = golden_targets(golden)
    coverage = tao_coverage_cost(torch.from_numpy(golden["pred_cov"]), targets, 0.05)
    boxes = tao_box_cost(torch.from_numpy(golden["pred_bbox"])[:, None], targets)
    assert float(coverage) == pytest.approx(float(golden["cost_cov"]), abs=1e-5)
    assert float(boxes) == pytest.approx(float(golden["cost_bbox"]), abs=1e-7)

    objective = ObjectiveWeights(LossConfig(kind="tao"))
    assert objective.weights.tolist() == pytest.approx([float(golden["w0_cov"]), float(golden["w0_bbox"])])
    logits = torch.logit(torch.from_numpy(golden["pred_cov"]).double(), eps=1e-9).float()
    terms = tao_loss(
        logits, torch.from_numpy(golden["pred_bbox"])[:, None], targets, LossConfig(kind="tao"), objective
    )
    assert float(terms.total) == pytest.approx(float(golden["total"]), abs=1e-5)

    objective.cost_sums.copy_(torch.tensor([float(golden["cost_sum_cov"]), float(golden["cost_sum_bbox"])]))
    objective.end_epoch()
    assert objective.weights.tolist() == pytest.approx(
        [float(golden["w1_cov"]), float(golden["w1_bbox"])], abs=1e-6
    )
    assert objective.cost_sums.tolist() == [0, 0]


@needs_golden
def test_learning_rate_is_that_of_tao() -> None:
    golden = np.load(GOLDEN)
    config = ScheduleConfig(kind="tao", learning_rate=5e-4, final_share=0.01, soft_start=0.1, annealing=0.7)
    rates = [learning_rate(config, float(progress)) for progress in golden["lr_progress"]]
    np.testing.assert_allclose(rates, golden["lr"], rtol=1e-5)


def targets_of(labels: list[int]) -> GridTargets:
    boxes = torch.tensor([[[100.0, 100.0, 300.0, 260.0], [500.0, 200.0, 700.0, 420.0]]])
    return rasterize(BoxBatch(boxes, torch.tensor([labels])), 1, (34, 60), GRID_CONFIG)


def loss_of(coverage: torch.Tensor, distances: torch.Tensor, targets: GridTargets) -> float:
    logits = torch.logit(coverage, eps=1e-6)
    return float(focal_giou_loss(logits, distances, targets, LossConfig(), GRID_CONFIG).total)


def test_the_perfect_answer_costs_almost_nothing_and_any_other_more() -> None:
    targets = targets_of([0, 0])
    perfect = loss_of(targets.coverage, targets.boxes, targets)
    assert perfect < 1e-3
    assert loss_of(targets.coverage * 0.5, targets.boxes, targets) > perfect + 0.01
    assert loss_of(targets.coverage, targets.boxes + 0.5, targets) > perfect + 0.01
    assert loss_of(targets.coverage.clamp_min(0.3), targets.boxes, targets) > perfect + 0.01


@pytest.mark.parametrize("kind", ["tao", "focal_giou"])
def test_an_ignored_region_has_no_gradient(kind: str) -> None:
    targets = targets_of([0, IGNORED])
    logits = torch.zeros(1, 1, 34, 60, requires_grad=True)
    distances = torch.ones(1, 1, 4, 34, 60, requires_grad=True)
    config = LossConfig(kind=kind)
    if kind == "tao":
        terms = tao_loss(logits, distances, targets, config, ObjectiveWeights(config))
    else:
        terms = focal_giou_loss(logits, distances, targets, config, GRID_CONFIG)
    terms.total.backward()
    assert logits.grad is not None
    assert distances.grad is not None
    assert (logits.grad[~targets.counted] == 0).all()
    assert (logits.grad[targets.counted] != 0).all()
    assert (distances.grad[0, 0, :, ~targets.counted[0, 0]] == 0).all()
    assert (distances.grad != 0).any()


def two_objects() -> GridTargets:
    """A large object and a small one on a grid of 8 x 16 cells."""
    boxes = torch.tensor([[[0.0, 0.0, 120.0, 120.0], [200.0, 40.0, 236.0, 76.0]]])
    return rasterize(BoxBatch(boxes, torch.zeros(1, 2, dtype=torch.int64)), 1, (8, 16), GRID_CONFIG)


def test_balanced_objects_pull_alike_and_cells_do_otherwise() -> None:
    """Gradients of the box loss, over the cells of each object: by area without balance, alike with it."""
    targets = two_objects()

    def pull(balance: float) -> float:
        distances = (targets.boxes * 1.2).requires_grad_()
        config = LossConfig(side_weight=0.0, object_balance=balance)
        logits = torch.zeros_like(targets.coverage)
        focal_giou_loss(logits, distances, targets, config, GRID_CONFIG).boxes.backward()
        assert distances.grad is not None
        large, small = (distances.grad.abs().sum(2)[targets.owner == row].sum() for row in (0, 1))
        # A wrong pixel counts by the size of its object.
        return float(large / small) * 120 / 36

    cells = [(targets.coverage * (targets.coverage >= 0.5))[targets.owner == row].sum() for row in (0, 1)]
    assert pull(0.0) == pytest.approx(float(cells[0] / cells[1]), rel=0.15)
    assert pull(1.0) < 2.0 < pull(0.5) < pull(0.0)


def test_balance_leaves_objects_their_weight_against_the_background() -> None:
    targets = two_objects()
    for balance in (0.0, 0.5, 1.0):
        logits = torch.full_like(targets.coverage, -1.0).requires_grad_()
        config = LossConfig(object_balance=balance, focal_gamma=0.0)
        focal_giou_loss(logits, targets.boxes, targets, config, GRID_CONFIG).coverage.backward()
        assert logits.grad is not None
        objects, background = (
            logits.grad[chosen].sum() for chosen in (targets.coverage == 1, targets.coverage == 0)
        )
        if not balance:
            expected = objects, background
        assert float(background) == pytest.approx(float(expected[1]))
        assert float(objects) == pytest.approx(float(expected[0]), rel=0.35)


def test_with_quality_the_best_coverage_is_that_of_the_best_box() -> None:
    """A cell whose box has an IoU of 0.5 aims at half of its target; without quality at all of it."""
    targets = two_objects()
    left, top, right, bottom = targets.boxes.unbind(2)
    half = torch.stack((left, top, right, (bottom - top) / 2), dim=2)
    config = LossConfig(quality=1.0)
    inside = targets.coverage == 1

    def gradient(coverage: float, loss: LossConfig) -> torch.Tensor:
        logits = torch.full_like(targets.coverage, coverage).logit().requires_grad_()
        focal_giou_loss(logits, half, targets, loss, GRID_CONFIG).coverage.backward()
        assert logits.grad is not None
        return logits.grad[inside]

    assert float(gradient(0.5, config).abs().max()) < 1e-6
    assert float(gradient(0.6, config).min()) > 0
    assert float(gradient(0.6, LossConfig()).max()) < 0


def test_giou_of_known_boxes() -> None:
    box = torch.tensor([0.0, 0.0, 10.0, 10.0])
    assert float(giou(box, box)) == pytest.approx(1)
    # Side by side with a gap of 10: no overlap, union 200 in a hull of 300.
    assert float(giou(box, box + torch.tensor([20.0, 0, 20, 0]))) == pytest.approx(-1 / 3)
    # Half of each overlaps: 50 / 150, and the hull is the union.
    assert float(giou(box, box + torch.tensor([5.0, 0, 5, 0]))) == pytest.approx(1 / 3)


def test_an_inverted_box_is_pulled_open() -> None:
    """GIoU is flat there, since no side bounds the hull; the side error must not be."""
    targets = targets_of([0, 0])
    distances = torch.full_like(targets.boxes, -0.2).requires_grad_()
    focal_giou_loss(
        torch.zeros_like(targets.coverage), distances, targets, LossConfig(), GRID_CONFIG
    ).total.backward()
    assert distances.grad is not None
    hot = targets.coverage[0, 0] >= 0.5
    assert (distances.grad[0, 0][:, hot] < 0).all()


def test_focal_loss_of_a_hard_target_is_the_usual_one() -> None:
    logits = torch.tensor([2.0, -1.0, 0.5])
    share = torch.sigmoid(logits)
    found = soft_focal_loss(logits, torch.ones(3), 2.0, 0.5)
    torch.testing.assert_close(found, -((1 - share) ** 2) * torch.log(share))
    lighter = soft_focal_loss(logits, torch.zeros(3), 2.0, 0.75)
    torch.testing.assert_close(lighter, -0.5 * share**2 * torch.log(1 - share))


def test_regularizer_takes_kernels_and_biases_but_no_normalization() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.BatchNorm2d(1))
    with torch.no_grad():
        network[0].weight.fill_(-2)
        network[0].bias.fill_(3)
    assert l1_of_convolutions(network).item() == pytest.approx(5)


def test_cosine_rises_and_anneals() -> None:
    config = ScheduleConfig(learning_rate=1e-3, final_share=0.01, warmup=0.1)
    rates = [learning_rate(config, progress / 100) for progress in range(101)]
    assert rates[0] < 1e-5
    assert rates[10] == pytest.approx(1e-3)
    assert rates[100] == pytest.approx(1e-5)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))


def test_progress_follows_the_clock_under_a_time_limit() -> None:
    now = 100.0
    progress = Progress(steps=1000, seconds=200.0, spent_before=50.0, clock=lambda: now)
    assert progress.at(999) == pytest.approx(0.25)
    progress.start()
    now = 150.0
    assert progress.at(0) == pytest.approx(0.5)
    now = 1000.0
    assert progress.at(0) == 1
    assert math.isclose(Progress(steps=1000).at(250), 0.25)
