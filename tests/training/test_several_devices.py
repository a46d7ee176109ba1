"""Two processes that train one network over gloo, on this machine's loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from tests.training.forked_ranks import ForkedRank  # noqa: E402
from tests.training.test_train import SMALL  # noqa: E402

from palletjack_training import several_devices  # noqa: E402
from palletjack_training.box_labels import PADDING  # noqa: E402
from palletjack_training.config import (  # noqa: E402
    ConfigError,
    LossConfig,
    TargetConfig,
    TrainingConfig,
    load_config,
)
from palletjack_training.frames import FrameOrder  # noqa: E402
from palletjack_training.kitti_cache import FrameCache  # noqa: E402
from palletjack_training.losses import focal_giou_loss  # noqa: E402
from palletjack_training.module import DetectNetModule, TrainingError  # noqa: E402
from palletjack_training.network import DetectNet  # noqa: E402
from palletjack_training.ranks import Ranks  # noqa: E402
from palletjack_training.schedule import Progress  # noqa: E402
from palletjack_training.targets import BoxBatch, GridTargets, rasterize  # noqa: E402
from palletjack_training.trainer import RunRequest, run_training  # noqa: E402


def small(*changes: str) -> TrainingConfig:
    return load_config("palletjack_light", [*SMALL, "trainer.precision=32-true", *changes])


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    # As in this process: these networks are tiny, and waiting threads slow each other down.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def state_of(run: Path) -> dict[str, torch.Tensor]:
    content = torch.load(run / "last.ckpt", weights_only=True)
    return {**content["state_dict"], **content["palletjack_weights"]["state"]}


def test_shares_of_a_step_are_its_frames() -> None:
    whole = FrameOrder(np.arange(7), batch_size=4, seed=3)
    parts = [FrameOrder(np.arange(7), 4, 3, Ranks(rank, 2)) for rank in range(2)]
    for step in range(5):
        shares = [part.share_of_step(step) for part in parts]
        assert [len(share) for share in shares] == [2, 2]
        assert sorted(np.concatenate(shares)) == sorted(whole.of_step(step))
        np.testing.assert_array_equal(whole.share_of_step(step), whole.of_step(step))


def test_the_mean_of_the_shares_losses_is_the_loss_of_all_frames() -> None:
    """Its gradient then is as well, though the shares have unequal numbers of objects."""
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[[10.0, 20, 110, 90], [60, 10, 120, 60]], [[5, 5, 60, 80], [0, 0, 1, 1]]])
    labels = torch.tensor([[0, 0], [0, PADDING]])
    targets = rasterize(BoxBatch(boxes, labels), 1, (6, 8), TargetConfig())
    logits = torch.randn(2, 1, 6, 8, generator=generator)
    distances = torch.randn(2, 1, 4, 6, 8, generator=generator)

    def loss(rows: slice, mean: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        part = GridTargets(**{field.name: getattr(targets, field.name)[rows] for field in fields(targets)})
        return focal_giou_loss(logits[rows], distances[rows], part, LossConfig(), TargetConfig(), mean).total

    seen: list[torch.Tensor] = []

    def remember(values: torch.Tensor) -> torch.Tensor:
        seen.append(values)
        return values

    whole = loss(slice(0, 2), remember)
    halves = [loss(slice(row, row + 1), lambda _: seen[0] / 2) for row in (0, 1)]
    torch.testing.assert_close(sum(halves) / 2, whole)
    alone = [loss(slice(row, row + 1), lambda values: values) for row in (0, 1)]
    assert not torch.allclose(sum(alone) / 2, whole, atol=1e-3)


@pytest.mark.long
def test_a_resumed_run_on_two_devices_equals_an_unbroken_one(
    tmp_path: Path, write_frames: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(tmp_path / "set", 5)

    def run(name: str, steps: int, *, resume: bool = False) -> dict[str, torch.Tensor]:
        config = small("trainer.devices=2", "trainer.batch_size=2", "trainer.steps=4", "schedule.kind=tao")
        request = RunRequest((tmp_path / "set",), tmp_path / name, resume=resume, stop_after=steps)
        assert run_training(config, request)["devices"] == 2
        return state_of(tmp_path / name)

    whole = run("whole", 4)
    # The unbroken run's processes are those that a user gets.
    forked = SimpleNamespace(**{**vars(subprocess), "Popen": ForkedRank})
    monkeypatch.setattr(several_devices, "subprocess", forked)
    run("parts", 2)
    resumed = run("parts", 4, resume=True)
    assert whole.keys() == resumed.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0, msg=name)


@pytest.mark.long
def test_the_error_of_any_device_ends_the_run(tmp_path: Path, write_frames: Callable) -> None:
    write_frames(tmp_path / "set", 4)
    config = small(
        "trainer.devices=2",
        "trainer.steps=200",
        "schedule.learning_rate=1e30",
        "schedule.warmup=0",
        "trainer.gradient_clip=0",
        "trainer.log_every=1",
    )
    with pytest.raises(TrainingError, match=r"step \d+: the loss is not finite"):
        run_training(config, RunRequest((tmp_path / "set",), tmp_path / "run"))
    assert not (tmp_path / "run/weights.pt").exists()


def test_devices_that_drift_apart_are_noticed() -> None:
    class Elsewhere(Ranks):
        def agree(self, value: float) -> float:
            return value * (1 + 1e-6)

    config = small()
    frames = np.zeros((1, 96, 128, 3), np.uint8)
    cache = FrameCache((frames,), np.zeros((1, 1, 4), np.float32), np.zeros((1, 1), np.int64), ("a",))
    order = FrameOrder(np.arange(1), 4, 0, Elsewhere(1, 2))
    module = DetectNetModule(config, DetectNet(config), cache, order, Progress(1))
    with pytest.raises(TrainingError, match="device 1 has other parameters than device 0"):
        module.check_ranks()


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigError, match="devices: expected auto or a number that divides batch_size 4"):
        small("trainer.devices=3")
