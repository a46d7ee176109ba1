"""Whole runs on the CPU: learning, resuming, and refusing."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from palletjack_detection.detector import Detector  # noqa: E402
from palletjack_training.callbacks import Overlays  # noqa: E402
from palletjack_training.config import ConfigError, TrainingConfig, load_config, shipped_configs  # noqa: E402
from palletjack_training.export import export_model  # noqa: E402
from palletjack_training.frames import FrameOrder, StepBatches  # noqa: E402
from palletjack_training.module import DetectNetModule, TrainingError, TrainingStopped  # noqa: E402
from palletjack_training.network import DetectNet  # noqa: E402
from palletjack_training.trainer import RunRequest, run_training  # noqa: E402
from palletjack_training.weight_average import WeightAverage  # noqa: E402
from palletjack_training.weights_file import WeightsError, load_weights  # noqa: E402

SMALL = [
    "input.width=128",
    "input.height=96",
    "network.norm_momentum=0.2",
    "network.weights=none",
    "network.freeze_norm=false",
    "network.neck_channels=16",
    "network.neck_blocks=1",
    "trainer.batch_size=4",
    "trainer.backbone_lr_factor=1.0",
    "trainer.log_every=10",
    "trainer.decode_workers=1",
    "trainer.validation_share=0",
    "trainer.snapshots=0",
]


def small(*changes: str) -> TrainingConfig:
    return load_config("palletjack_light", [*SMALL, *changes])


def iou(first: np.ndarray, second: tuple[int, int, int, int]) -> float:
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    overlap = sides.clip(0).prod()
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return float(overlap / (sum(areas) - overlap))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_run_learns_and_its_export_finds_the_objects(tmp_path: Path, write_frames: Callable) -> None:
    """Data set to deployed detector: after a short run each object is found, and nothing else."""
    boxes = write_frames(tmp_path / "set", 4, size=(128, 96))
    config = small(
        "trainer.steps=100",
        "augment.enabled=false",
        "schedule.learning_rate=0.004",
        "trainer.ema_decay=0.9",
        "trainer.checkpoint_every=1000",
    )
    summary = run_training(
        config, RunRequest((tmp_path / "set",), tmp_path / "run", validation=(tmp_path / "set",))
    )
    assert summary["steps"] == 100
    assert summary["validation"]["ap50"] > 0.9

    weights = load_weights(tmp_path / "run" / "weights.pt")
    export_model(weights, tmp_path / "model", "tiny")
    detector = Detector.load(tmp_path / "model", score_threshold=0.6)
    for index, box in enumerate(boxes):
        image = cv2.imread(str(tmp_path / "set/images" / f"{index:06d}.png"))
        found = detector.detect(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        assert len(found) == 1
        assert iou(found.boxes[0], box) > 0.7

    with (tmp_path / "run/logs/from_step_000000/metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert losses[-1] < 0.3 * losses[0]
    assert json.loads((tmp_path / "run/summary.json").read_text())["steps"] == 100

    # A run that starts from the model starts from what it can do.
    on = small("trainer.steps=2", "augment.enabled=false", "schedule.learning_rate=0.00001")
    request = RunRequest(
        (tmp_path / "set",), tmp_path / "on", validation=(tmp_path / "set",), initial=tmp_path / "model"
    )
    again = run_training(on, request)
    assert again["initial"] == "model"
    assert again["validation"]["ap50"] > 0.9


@pytest.mark.long
@pytest.mark.parametrize("kind", ["focal_giou", "tao"])
def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path, write_frames: Callable, kind: str) -> None:
    write_frames(tmp_path / "set", 3)
    changes = [f"loss.kind={kind}", "trainer.batch_size=2", "trainer.steps=4"]

    def run(name: str, steps: int, *, resume: bool = False) -> dict[str, torch.Tensor]:
        # Progress is a share of the run, so only the number of steps taken may differ.
        config = small(*changes, "trainer.checkpoint_every=1000", "schedule.kind=tao")
        request = RunRequest((tmp_path / "set",), tmp_path / name, resume=resume, stop_after=steps)
        run_training(config, request)
        content = torch.load(tmp_path / name / "last.ckpt", weights_only=True)
        assert content["global_step"] == steps
        return {**content["state_dict"], **content["palletjack_weights"]["state"]}

    whole = run("whole", 4)
    run("parts", 2)
    resumed = run("parts", 4, resume=True)
    assert whole.keys() == resumed.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_run_that_is_told_to_stop_says_so_and_goes_on(
    tmp_path: Path, write_frames: Callable, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It used to end with exit code 0 and without a checkpoint."""
    write_frames(tmp_path / "set", 3)
    config = small("trainer.steps=6", "trainer.batch_size=2", "trainer.checkpoint_every=1000")
    whole = RunRequest((tmp_path / "set",), tmp_path / "whole")
    run_training(config, whole)

    def stop(self: Overlays, trainer: Any, *_: Any) -> None:
        if trainer.global_step == 3:
            os.kill(os.getpid(), getattr(signal, name))

    request = RunRequest((tmp_path / "set",), tmp_path / "run")
    # Tests that a shell started in the background ignore Ctrl-C; a command at a terminal does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Overlays, "on_train_batch_end", stop)
            with pytest.raises(TrainingStopped, match=r"run: stopped at step 3; .* --resume goes on"):
                run_training(config, request)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "run/weights.pt").exists()
    run_training(config, replace(request, resume=True))
    states = [load_weights(tmp_path / folder / "weights.pt").state for folder in ("whole", "run")]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_frames_on_the_device_or_read_by_workers_train_the_same(
    tmp_path: Path, write_frames: Callable
) -> None:
    write_frames(tmp_path / "set", 3)
    states = []
    for change in (["trainer.frames_on_device=always"], ["trainer.loader_workers=2"]):
        config = small("trainer.steps=2", "trainer.batch_size=2", *change)
        out = tmp_path / f"run{len(states)}"
        run_training(config, RunRequest((tmp_path / "set",), out))
        states.append(load_weights(out / "weights.pt").state)
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_half_precision_trains_frozen_backbone_too(tmp_path: Path, write_frames: Callable) -> None:
    """The path that a GPU takes: bfloat16, frozen normalization folded into the kernels."""
    write_frames(tmp_path / "set", 3)
    torch.manual_seed(0)
    backbone = DetectNet(small()).backbone.state_dict()
    named = {_package_name(name): tensor for name, tensor in backbone.items()}
    torch.save(named, tmp_path / "backbone.pth")
    config = small(
        f"network.weights={tmp_path / 'backbone.pth'}",
        "network.freeze_norm=true",
        "trainer.precision=bf16-mixed",
        "trainer.steps=3",
        "trainer.batch_size=2",
    )
    request = RunRequest((tmp_path / "set",), tmp_path / "run", validation=(tmp_path / "set",))
    assert np.isfinite(run_training(config, request)["validation"]["loss"])
    state = load_weights(tmp_path / "run/weights.pt").state
    kernel, norm = "stages.1.0.expand.conv.weight", "stages.1.0.expand.norm.running_mean"
    assert not torch.allclose(state[f"backbone.{kernel}"], backbone[kernel], atol=1e-4)
    assert torch.equal(state[f"backbone.{norm}"], backbone[norm])


def test_gradients_are_clipped(tmp_path: Path, write_frames: Callable) -> None:
    """Adam divides by the gradient's size plus 1e-8, so gradients clipped far below that move nothing."""
    write_frames(tmp_path / "set", 2)
    states = {}
    for clip in ("0", "1e-14"):
        config = small(
            "trainer.steps=1",
            "trainer.batch_size=2",
            "trainer.weight_decay=0",
            "schedule.warmup=0",
            f"trainer.gradient_clip={clip}",
        )
        run_training(config, RunRequest((tmp_path / "set",), tmp_path / clip))
        content = torch.load(tmp_path / clip / "last.ckpt", weights_only=True)
        states[clip] = content["state_dict"]["network.coverage.weight"]
    torch.manual_seed(0)
    start = DetectNet(small()).coverage.weight
    torch.testing.assert_close(states["1e-14"], start, atol=1e-7, rtol=0)
    assert not torch.allclose(states["0"], start, atol=1e-4)


def _package_name(name: str) -> str:
    """The weight package's name of one of our backbone's tensors."""
    if name.startswith("stem."):
        return name.replace("stem.conv", "_conv_stem").replace("stem.norm", "_bn0")
    _, stage, block, part, layer, tensor = name.split(".")
    before = (0, 1, 3, 5, 8, 11, 15)[int(stage)]
    index = {"expand": 0, "depthwise": 1, "project": 2}[part]
    kind = f"_bn{index}" if layer == "norm" else f"_{part}_conv"
    return f"_blocks.{before + int(block)}.{kind}.{tensor}"


def test_pictures_snapshots_and_config_are_left(tmp_path: Path, write_frames: Callable) -> None:
    write_frames(tmp_path / "set", 4)
    config = small("trainer.steps=4", "trainer.snapshots=2", "trainer.batch_size=2")
    run_training(config, RunRequest((tmp_path / "set",), tmp_path / "run"))
    assert (tmp_path / "run/snapshots/weights_050.pt").is_file()
    sheet = cv2.imread(str(tmp_path / "run/overlays/training_000001.png"))
    assert sheet.shape[1] == 3 * 480
    assert sheet.std() > 5
    assert load_config(tmp_path / "run/config.yaml") == config
    assert list((tmp_path / "run/logs/tensorboard").glob("events*"))

    # The folder is not overwritten by mistake, and another network does not resume it.
    with pytest.raises(FileExistsError, match="--resume"):
        run_training(config, RunRequest((tmp_path / "set",), tmp_path / "run"))
    other = small("network.neck_channels=24")
    with pytest.raises(
        WeightsError, match=r"last\.ckpt: network\.neck_channels: expected 24 as configured, found 16"
    ):
        run_training(other, RunRequest((tmp_path / "set",), tmp_path / "run", resume=True))

    # Weights of a run are a start for another.
    started = run_training(
        small("trainer.steps=1"),
        RunRequest((tmp_path / "set",), tmp_path / "next", initial=tmp_path / "run/weights.pt"),
    )
    assert started["initial"] == "weights.pt"
    before, after = (load_weights(tmp_path / name / "weights.pt").state for name in ("run", "next"))
    assert torch.allclose(before["coverage.weight"], after["coverage.weight"], atol=5e-3)
    with pytest.raises(WeightsError, match="weights of another network"):
        run_training(
            other, RunRequest((tmp_path / "set",), tmp_path / "third", initial=tmp_path / "run/weights.pt")
        )


def test_a_time_limit_ends_the_run_with_the_rate_annealed(tmp_path: Path, write_frames: Callable) -> None:
    write_frames(tmp_path / "set", 4)
    config = small("trainer.log_every=1", "trainer.steps=1000000")
    summary = run_training(config, RunRequest((tmp_path / "set",), tmp_path / "run", time_limit=20.0))
    assert 1 < summary["steps"] < 1000
    assert summary["wall_seconds"] < 40
    with (tmp_path / "run/logs/from_step_000000/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["progress"]]
    progress = [float(row["progress"]) for row in rows]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    assert float(rows[-1]["learning_rate"]) == pytest.approx(0.01 * 2e-3)


def test_a_run_that_is_resumed_at_its_end_leaves_its_result(tmp_path: Path, write_frames: Callable) -> None:
    """Killed after the last checkpoint and before weights.pt, which the next stage of a pipeline needs."""
    write_frames(tmp_path / "set", 4)
    request = RunRequest((tmp_path / "set",), tmp_path / "run")
    run_training(small("trainer.steps=2"), request)
    result = tmp_path / "run/weights.pt"
    wanted = load_weights(result)
    result.unlink()
    run_training(small("trainer.steps=2"), replace(request, resume=True))
    found = load_weights(result)
    for name, tensor in wanted.state.items():
        torch.testing.assert_close(found.state[name], tensor, rtol=0, atol=1e-3, msg=name)
    assert found.provenance["steps"] == 2

    with pytest.raises(TrainingError, match=r"last\.ckpt: has 2 steps: expected trainer\.steps of more"):
        run_training(small("trainer.steps=1"), replace(request, resume=True))


def test_a_diverged_run_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, write_frames: Callable
) -> None:
    write_frames(tmp_path / "set", 4)
    run_training(small("trainer.steps=1"), RunRequest((tmp_path / "set",), tmp_path / "run"))
    config = small(
        "trainer.steps=200",
        "schedule.learning_rate=1e30",
        "schedule.warmup=0",
        "trainer.gradient_clip=0",
        "trainer.checkpoint_every=1",
        "trainer.log_every=1",
    )
    with pytest.raises(TrainingError, match=r"run: step \d+: the loss is not finite .*ckpt is unharmed"):
        run_training(config, RunRequest((tmp_path / "set",), tmp_path / "run", resume=True))
    kept = load_weights(tmp_path / "run/last.ckpt")
    assert all(torch.isfinite(tensor).all() for tensor in kept.state.values())
    content = torch.load(tmp_path / "run/last.ckpt", weights_only=True)
    assert all(torch.isfinite(tensor).all() for tensor in content["state_dict"].values())
    assert content["global_step"] >= 1
    assert not list((tmp_path / "run").glob(".*"))


def test_a_gradient_that_is_not_finite_does_not_reach_the_checkpoint(
    tmp_path: Path, write_frames: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of that step is finite still, and a checkpoint is due before the next one shows it."""
    write_frames(tmp_path / "set", 2)
    config = small("trainer.steps=3", "trainer.batch_size=2", "trainer.checkpoint_every=1")

    def spoil(self: DetectNetModule, *_: Any, **__: Any) -> None:
        if self.global_step == 1:
            gradient = self.network.coverage.weight.grad
            assert gradient is not None
            gradient[0] = torch.nan

    monkeypatch.setattr(DetectNetModule, "configure_gradient_clipping", spoil)
    with pytest.raises(TrainingError, match=r"run: step 2: the weights are not finite.*ckpt is unharmed"):
        run_training(config, RunRequest((tmp_path / "set",), tmp_path / "run"))
    content = torch.load(tmp_path / "run/last.ckpt", weights_only=True)
    assert content["global_step"] == 1
    assert torch.isfinite(content["state_dict"]["network.coverage.weight"]).all()
    assert not (tmp_path / "run/weights.pt").exists()


def test_each_frame_is_taken_once_a_pass_and_by_step_alone() -> None:
    order = FrameOrder(np.array([3, 5, 7, 9, 11]), batch_size=2, seed=1)
    taken = np.concatenate([order.of_step(step) for step in range(5)])
    assert sorted(taken[:5]) == [3, 5, 7, 9, 11]
    assert sorted(taken[5:]) == [3, 5, 7, 9, 11]
    assert not np.array_equal(taken[:5], taken[5:])
    np.testing.assert_array_equal(FrameOrder(order.frames, 2, 1).of_step(3), order.of_step(3))
    assert order.steps_per_epoch == 3


def test_several_readers_keep_the_order_of_the_steps() -> None:
    order = FrameOrder(np.arange(4), batch_size=2, seed=1)
    loader = torch.utils.data.DataLoader(StepBatches(None, order, 3, 9), batch_size=None, num_workers=2)
    assert [step for step, _ in loader] == [3, 4, 5, 6, 7, 8]


def test_weight_average_follows_and_lends() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, 0.5)
    with torch.no_grad():
        network.weight.fill_(1)
    start = float(average.state_dict()["weight"])
    average.update()
    # After one update the decay is (1 + 1) / (10 + 1).
    expected = start * 2 / 11 + 9 / 11
    assert float(average.state_dict()["weight"]) == pytest.approx(expected)
    with average.applied():
        assert network.weight.item() == pytest.approx(expected)
    assert network.weight.item() == 1


def test_the_result_is_the_average_and_the_training_goes_on_from_the_weights(
    tmp_path: Path, write_frames: Callable
) -> None:
    write_frames(tmp_path / "set", 2)
    config = small("trainer.steps=1", "trainer.batch_size=2", "trainer.ema_decay=0.9", "schedule.warmup=0")
    run_training(config, RunRequest((tmp_path / "set",), tmp_path / "run"))
    name = "coverage.weight"
    content = torch.load(tmp_path / "run/last.ckpt", weights_only=True)
    raw = content["state_dict"][f"network.{name}"]
    torch.manual_seed(0)
    start = DetectNet(small()).coverage.weight.detach()
    # After one update the decay is (1 + 1) / (10 + 1).
    expected = start * 2 / 11 + raw * 9 / 11
    assert float((raw - expected).abs().min()) > 2e-4
    torch.testing.assert_close(content["palletjack_weights"]["state"][name], expected, rtol=0, atol=1e-6)
    # In the file kernels have half precision.
    result = load_weights(tmp_path / "run/weights.pt").state[name]
    torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("trainer.batchsize=8", r"trainer\.batchsize: unknown field; did you mean 'batch_size'"),
        ("trainer.batch_size=many", r"trainer\.batch_size: .*integer.*'many'"),
        ("input.width=950", r"input\.width: expected a multiple of 32.*950"),
        ("network.architecture=vgg", r"network\.architecture: .*efficientnet_lite0.*'vgg'"),
        ("classes=[a, a]", "classes: expected one or more different names"),
        ("augment.geometry.zoom=[2, 1]", r"augment\.geometry: zoom: expected 0 < lowest <= highest"),
    ],
)
def test_bad_fields_are_refused_with_their_path(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config("palletjack_light", [override])


def test_bad_config_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="palletjack_lite"):
        load_config("palletjack_heavy")
    path = tmp_path / "mine.yaml"
    path.write_text("- a\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: expected a mapping"):
        load_config(path)
    path.write_text("a: [\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: not valid YAML"):
        load_config(path)


def test_shipped_configurations_build() -> None:
    assert shipped_configs() == [
        "palletjack_light",
        "palletjack_lite",
        "palletjack_lite2",
        "palletjack_resnet18",
        "palletjack_resnet18_aligned",
        "palletjack_resnet34",
        "smoke",
    ]
    for name in shipped_configs():
        config = load_config(name)
        assert config.name == name
        assert config.grid == ((8, 12) if name == "smoke" else (34, 60))
        assert DetectNet(config).classes == 1
