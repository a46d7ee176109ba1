"""A network that learns from a larger one, and normalization that keeps only its statistics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from palletjack_training.backbones.conv_norm import ConvNorm  # noqa: E402
from palletjack_training.config import TrainingConfig, load_config  # noqa: E402
from palletjack_training.distillation import Teacher, load_teacher  # noqa: E402
from palletjack_training.losses import focal_giou_loss  # noqa: E402
from palletjack_training.network import build_network  # noqa: E402
from palletjack_training.trainer import RunRequest, run_training  # noqa: E402
from palletjack_training.weights_file import Weights, WeightsError, load_weights, save_weights  # noqa: E402

SMALL = [
    *("input.width=128", "input.height=96", "network.weights=none", "network.freeze_norm=false"),
    *("network.neck_channels=16", "network.neck_blocks=1", "trainer.batch_size=2", "trainer.steps=3"),
    *("trainer.decode_workers=1", "trainer.validation_share=0", "trainer.snapshots=0"),
]


def small(*changes: str) -> TrainingConfig:
    return load_config("palletjack_light", [*SMALL, *changes])


def test_a_network_has_nothing_to_learn_from_itself() -> None:
    config = small()
    network = build_network(config, load_weights=False).eval()
    with torch.no_grad():
        # Boxes of a size, and some cells that are sure.
        network.coverage.bias.fill_(3.0)
        network.boxes.bias.fill_(1.0)
    images = torch.rand(2, 3, 96, 128)
    said = Teacher(network).targets(images)
    logits, distances = network(images)
    boxes = distances.unflatten(1, (1, 4))
    assert said.coverage.min() > 0.5
    same = focal_giou_loss(logits, boxes, said, config.loss, config.targets)
    assert float(same.total) == pytest.approx(0, abs=1e-4)
    wider = focal_giou_loss(logits, boxes + 0.5, said, config.loss, config.targets)
    assert float(wider.boxes) > 0.1
    unsure = focal_giou_loss(logits - 3, boxes, said, config.loss, config.targets)
    assert float(unsure.coverage) > 0.05


@pytest.mark.long
def test_a_run_comes_nearer_to_its_teacher(tmp_path: Path, write_frames: Callable) -> None:
    """On frames whose labels say the opposite, the weight of the teacher decides whom the network follows."""
    write_frames(tmp_path / "set", 2, size=(128, 96))
    for label in (tmp_path / "set/labels").iterdir():
        label.write_text("")
    sure = build_network(small(), load_weights=False)
    with torch.no_grad():
        sure.coverage.bias.fill_(2.0)
    save_weights(Weights(small(), sure.state_dict()), tmp_path / "teacher.pt")
    coverage: list[float] = []
    for weight in (0, 10):
        config = small(
            f"loss.teacher_weight={weight}",
            *("trainer.steps=15", "schedule.learning_rate=0.02", "trainer.ema_decay=0.5"),
        )
        out = tmp_path / f"run{weight}"
        run_training(config, RunRequest((tmp_path / "set",), out, teacher=tmp_path / "teacher.pt"))
        weights = load_weights(out / "weights.pt")
        assert weights.provenance["teacher"] == "teacher.pt"
        network = build_network(config, load_weights=False).eval()
        network.load_state_dict(weights.state)
        with torch.no_grad():
            coverage.append(float(network(torch.rand(1, 3, 96, 128))[0].sigmoid().mean()))
        # The teacher is no part of what is saved.
        content = torch.load(out / "last.ckpt", weights_only=True)
        assert not [name for name in content["state_dict"] if "teacher" in name]
    assert coverage[1] > 1.5 * coverage[0]


def test_a_teacher_of_something_else_is_refused(tmp_path: Path) -> None:
    other = small("classes=[forklift]")
    save_weights(Weights(other, build_network(other, load_weights=False).state_dict()), tmp_path / "t.pt")
    with pytest.raises(WeightsError, match=r"t\.pt: teacher: classes: expected \('palletjack',\)"):
        load_teacher(tmp_path / "t.pt", small())


def test_kept_statistics_leave_scale_and_shift_to_learn() -> None:
    config = small()
    network = build_network(config, load_weights=False)
    network.freeze_backbone_norm(only_statistics=True)
    network.train()
    before = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    sum(out.square().mean() for out in network(torch.rand(2, 3, 96, 128))).backward()
    optimizer.step()
    after = network.backbone.state_dict()
    layers = [name for name, layer in network.backbone.named_modules() if isinstance(layer, ConvNorm)]
    for name in layers:
        for kept in ("running_mean", "running_var"):
            assert torch.equal(before[f"{name}.norm.{kept}"], after[f"{name}.norm.{kept}"]), name
    assert any(not torch.equal(before[f"{n}.norm.weight"], after[f"{n}.norm.weight"]) for n in layers)
    assert network.neck is not None
    assert network.neck.coarse.norm.training, "only the backbone keeps its statistics"
