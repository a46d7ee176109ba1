"""A whole training run: data, network, loop, and what it leaves in its folder.

A run's folder holds ``config.yaml`` (resolved), ``last.ckpt`` (to go on from), ``weights.pt`` (averaged
weights, the result), ``snapshots/`` (earlier ones), ``logs/`` (CSV, TensorBoard), ``overlays/`` and
``summary.json``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.utils.data import DataLoader

from palletjack_training.callbacks import Checkpoints, Overlays, RunLog, Snapshots, TimeLimit, Validation
from palletjack_training.compression.rebuild import rebuild_network
from palletjack_training.config import TrainingConfig, first_difference, save_config
from palletjack_training.data_origin import describe_data
from palletjack_training.distillation import load_teacher
from palletjack_training.frames import (
    FrameOrder,
    StepBatches,
    draw_frames,
    evaluation_batches,
    fits_on,
    put_on_device,
)
from palletjack_training.kitti_cache import FrameCache
from palletjack_training.lineage import carried_on
from palletjack_training.memory_layout import layout_of, use_fastest_layout, use_layout
from palletjack_training.module import (
    DetectNetModule,
    TrainingError,
    TrainingStopped,
    runs_in_half,
)
from palletjack_training.network import DetectNet, build_network
from palletjack_training.ranks import Ranks
from palletjack_training.run_request import RunRequest, request_from_json, request_to_json
from palletjack_training.schedule import Progress
from palletjack_training.several_devices import ProcessError, device_count, run_processes
from palletjack_training.stopping import ctrl_c_ends_between_steps
from palletjack_training.training_data import TrainingData, open_training_data, other_frames
from palletjack_training.weights_file import Weights, WeightsError, is_quantized, load_weights, save_weights

_FINISH_SECONDS = 10.0
_STREAMING_WORKERS = 8
_CALIBRATION_BATCH = 4
_NORMALIZATION_FRAMES = 24
_LAYOUTS = (torch.channels_last, torch.contiguous_format)
_MUST_MATCH = ("classes", "input", "network", "targets", "quantization")


def run_training(config: TrainingConfig, request: RunRequest) -> dict[str, Any]:
    """Train and return the summary that is also written to ``summary.json``.

    Raises FileExistsError if ``out`` holds a run and ``resume`` is not set, WeightsError for a
    checkpoint that does not fit, DatasetError for bad data, TrainingError if the loss diverges, and
    TrainingStopped after SIGTERM or Ctrl-C, with a checkpoint of the last step.
    """
    began = time.monotonic()
    checkpoint = _checkpoint_to_resume(config, request)
    devices = device_count(config)
    if devices == 1:
        return _train(config, request, checkpoint, began)
    _open(config, request)  # Decoded here, once, before there are several that would.
    left = None if request.time_limit is None else request.time_limit - (time.monotonic() - began)
    print(f"training on {devices} devices", file=sys.stderr, flush=True)
    try:
        run_processes(devices, config, request_to_json(replace(request, time_limit=left)))
    except ProcessError as error:
        raise TrainingError(str(error)) from error
    return dict(json.loads((request.out / "summary.json").read_text()))


def train_rank(config: TrainingConfig, request: dict[str, Any]) -> None:
    """Train as one of the processes of a run on several devices, which has been joined already."""
    own = request_from_json(request)
    _train(config, own, _checkpoint_to_resume(config, own), time.monotonic())


def _train(
    config: TrainingConfig, request: RunRequest, checkpoint: Path | None, began: float
) -> dict[str, Any]:
    ranks = Ranks.current()
    torch.manual_seed(config.trainer.seed)
    source = checkpoint or request.initial
    origin = None if source is None else load_weights(source)
    network = build_network(config) if origin is None else _network_of(origin, config, f"{source}: ")
    teacher = None if request.teacher is None else load_teacher(request.teacher, config)
    data = _open(config, request)
    request.out.mkdir(parents=True, exist_ok=True)
    if ranks.is_first:
        save_config(config, request.out / "config.yaml")

    device = _device(ranks)
    if config.quantization.enabled and (origin is None or not is_quantized(origin.state)):
        _quantize(network, config, data, device)
    elif origin is not None and origin.folded:
        _restore_normalization(network, config, data)
    start, spent = (0, 0.0) if checkpoint is None else _position(checkpoint)
    if request.time_limit is None and start > config.trainer.steps:
        raise TrainingError(
            f"{checkpoint}: has {start} steps: expected trainer.steps of more to go on, found "
            f"{config.trainer.steps}"
        )
    progress = Progress(config.trainer.steps)
    module = _make_module(config, network, data, progress, device, ranks)
    module.teacher = teacher
    module.provenance = {
        **_provenance(config, request, data, ranks),
        **carried_on(origin, with_own=checkpoint is None),
        **({} if teacher is None else {"taught_by": teacher.origin}),
    }
    if checkpoint is not None and origin is not None and ranks.is_first:
        said = other_frames(origin.provenance, module.provenance)
        if said is not None:
            _say(f"{request.out}: {said}")
    validation = Validation(config, data.held_cache, data.held, request.out)
    trainer = _make_trainer(config, request, device, start, validation, ranks)
    if request.time_limit is not None:
        # What is left after decoding, less what the last validation and the saving take.
        left = request.time_limit - (time.monotonic() - began) - _FINISH_SECONDS
        progress.seconds = spent + max(left, 1.0)
    try:
        with ctrl_c_ends_between_steps():
            trainer.fit(module, _loader(module, data.cache, start, device), ckpt_path=checkpoint)
    except SIGTERMException as stop:  # A SystemExit: unnoticed, the command would end as if all were done.
        raise TrainingStopped(
            f"{request.out}: stopped at step {trainer.global_step}; the same command with --resume goes on"
        ) from stop
    except TrainingError as error:
        kept = "unharmed" if (request.out / "last.ckpt").is_file() else "not written yet"
        raise TrainingError(f"{request.out}: {error}; {request.out / 'last.ckpt'} is {kept}") from error
    result = request.out / "weights.pt"
    if ranks.is_first and checkpoint is not None and not result.is_file():
        # Stopped between its last step and its result: there was nothing left to train.
        save_weights(load_weights(checkpoint), result)
    summary = {
        **module.weights().provenance,
        "best_validation": {"ap50": round(module.best.ap50, 4), "step": module.best.step}
        if module.best.ap50 >= 0
        else None,
        "wall_seconds": round(time.monotonic() - began, 1),
        "devices": ranks.count,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }
    if ranks.is_first:
        _write_json(summary, request.out / "summary.json")
    return summary


def _open(config: TrainingConfig, request: RunRequest) -> TrainingData:
    return open_training_data(
        config,
        request.data,
        request.validation,
        request.cache_dir or request.out / "cache",
        without_objects=request.teacher is not None,
    )


def _provenance(
    config: TrainingConfig, request: RunRequest, data: TrainingData, ranks: Ranks
) -> dict[str, Any]:
    held_out = _described(request.validation, data.held_cache, ranks) if request.validation else []
    return {
        "stage": "train",
        "config": config.name,
        "data": _described(request.data, data.cache, ranks),
        **({"validation_data": held_out} if held_out else {}),
        "frames": len(data.taken),
        "seed": config.trainer.seed,
        "initial": None if request.initial is None else request.initial.name,
        **({} if request.teacher is None else {"teacher": request.teacher.name}),
        **({"quantization": "trained"} if config.quantization.enabled else {}),
    }


def _described(folders: Sequence[Path], cache: FrameCache, ranks: Ranks) -> list[dict[str, Any]]:
    """Where the frames of ``cache`` come from, folder by folder."""
    say = _say if ranks.is_first else _say_nothing
    return [describe_data(folder, len(part), say) for folder, part in zip(folders, cache.frames, strict=True)]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _say_nothing(text: str) -> None:
    """Of several processes the first speaks."""


def _device(ranks: Ranks) -> torch.device:
    """This process's GPU, set up for speed, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    return torch.device("cuda", ranks.rank)


def _checkpoint_to_resume(config: TrainingConfig, request: RunRequest) -> Path | None:
    path = request.out / "last.ckpt"
    if not path.is_file():
        return None
    if not request.resume:
        raise FileExistsError(
            f"{path}: --out holds a run already; add --resume to go on, or name another folder"
        )
    _refuse_mismatch(load_weights(path).config, config, path)
    return path


def _refuse_mismatch(found: TrainingConfig, wanted: TrainingConfig, path: Path) -> None:
    for name in _MUST_MATCH:
        ours, theirs = getattr(wanted, name), getattr(found, name)
        if name == "network":  # Where the first weights came from no longer matters.
            theirs = theirs.model_copy(update={"weights": ours.weights})
        if ours != theirs:
            where, mine, other = first_difference(name, ours, theirs)
            raise WeightsError(f"{path}: {where}: expected {mine!r} as configured, found {other!r}")


def _network_of(weights: Weights, config: TrainingConfig, origin: str) -> DetectNet:
    """The network of ``weights``, as narrow as they are. WeightsError if it is not the configured one."""
    for field in ("architecture", "neck", "neck_channels", "neck_blocks"):
        ours, theirs = getattr(config.network, field), getattr(weights.config.network, field)
        if ours != theirs:
            raise WeightsError(
                f"{origin}weights of another network: {field}: expected {ours!r}, found {theirs!r}"
            )
    if is_quantized(weights.state) and not config.quantization.enabled:
        raise WeightsError(f"{origin}expected weights without quantization, or quantization.enabled=true")
    return rebuild_network(config, weights.state, origin)


def _quantize(network: DetectNet, config: TrainingConfig, data: TrainingData, device: torch.device) -> None:
    """Fold and calibrate on training frames, as the robot sees them: without augmentation."""
    from palletjack_training.compression.quantize import quantize_network

    settings = config.quantization
    images = _frames_as_seen(config, data, settings.calibration_frames, _CALIBRATION_BATCH)
    quantize_network(network, settings, images, device, lambda text: print(text, file=sys.stderr, flush=True))


def _restore_normalization(network: DetectNet, config: TrainingConfig, data: TrainingData) -> None:
    from palletjack_training.model_weights import restore_normalization

    (images,) = _frames_as_seen(config, data, _NORMALIZATION_FRAMES, _NORMALIZATION_FRAMES)
    restore_normalization(network, images)


def _frames_as_seen(config: TrainingConfig, data: TrainingData, count: int, batch: int) -> Iterator[Tensor]:
    """Some ``count`` training frames without augmentation, in batches (B, 3, H, W) in 0..1."""
    chosen = data.taken[draw_frames(len(data.taken), count, config.trainer.seed)]
    for _, frames in evaluation_batches(data.cache, chosen, batch):
        yield frames.permute(0, 3, 1, 2).float().div_(255)


def _position(checkpoint: Path) -> tuple[int, float]:
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return int(content["global_step"]), float(content["palletjack_run"]["seconds"])


def _make_module(
    config: TrainingConfig,
    network: DetectNet,
    data: TrainingData,
    progress: Progress,
    device: torch.device,
    ranks: Ranks,
) -> DetectNetModule:
    order = FrameOrder(data.taken, config.trainer.batch_size, config.trainer.seed, ranks)
    wanted = config.trainer.frames_on_device
    resident = None
    if wanted == "always" or (wanted == "auto" and fits_on(device, data.cache)):
        resident = put_on_device(data.cache, device)
    _choose_layout(config, network, device, ranks)
    return DetectNetModule(config, network, data.cache, order, progress, resident)


def _choose_layout(config: TrainingConfig, network: DetectNet, device: torch.device, ranks: Ranks) -> None:
    wanted = config.trainer.memory_layout
    if wanted == "auto" and device.type == "cuda":
        share = config.trainer.batch_size // ranks.count
        shape = (share, 3, config.input.height, config.input.width)
        images = torch.rand(shape, device=device)
        seconds = use_fastest_layout(network.to(device), images, half=runs_in_half(config, device))
        text = ", ".join(f"{layout} {1e3 * taken:.0f} ms" for layout, taken in seconds.items())
        if ranks.is_first:
            print(f"forward and backward pass by memory layout: {text}", file=sys.stderr, flush=True)
        # Gradients are exchanged as they lie in memory, so all must choose the same.
        use_layout(network, _LAYOUTS[round(ranks.agree(_LAYOUTS.index(layout_of(network))))])
    else:
        use_layout(network, torch.contiguous_format if wanted == "contiguous" else torch.channels_last)


def _make_trainer(
    config: TrainingConfig,
    request: RunRequest,
    device: torch.device,
    start: int,
    validation: Validation,
    ranks: Ranks,
) -> lightning.Trainer:
    settings = config.trainer
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # Lightning warns about an iterable data set without a length and about few workers; both are meant.
    warnings.filterwarnings("ignore", module="lightning")
    return lightning.Trainer(
        accelerator=device.type,
        devices=ranks.count,
        # Running statistics are the first rank's, which saves and validates; nothing else reads them.
        strategy="auto" if ranks.count == 1 else DDPStrategy(broadcast_buffers=False),
        precision="bf16-mixed" if runs_in_half(config, device) else "32-true",
        max_epochs=-1,
        max_steps=_last_step(settings.steps, request),
        logger=_loggers(request.out, start),
        callbacks=[
            RunLog(config),
            Overlays(request.out / "overlays"),
            Snapshots(request.out / "snapshots", settings.snapshots),
            validation,
            Checkpoints(request.out, settings.checkpoint_every),
            TimeLimit(),
        ],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=request.out,
    )


def _last_step(steps: int, request: RunRequest) -> int:
    """The step to end at; -1 is Lightning's "none"."""
    if request.stop_after is not None:
        return request.stop_after
    return -1 if request.time_limit is not None else steps


def _loggers(out: Path, start: int) -> list[Logger]:
    # A resumed run writes a new table: Lightning would empty the old one.
    table = CSVLogger(out, name="logs", version=f"from_step_{start:06d}", flush_logs_every_n_steps=1)
    loggers: list[Logger] = [table]
    try:
        loggers.append(TensorBoardLogger(out, name="logs", version="tensorboard"))
    except ModuleNotFoundError:
        print("TensorBoard is not installed; scalars go to the CSV file only.", file=sys.stderr)
    return loggers


def _loader(module: DetectNetModule, cache: FrameCache, start: int, device: torch.device) -> DataLoader:
    if module.has_resident_frames:
        return DataLoader(StepBatches(None, module.order, start), batch_size=None)
    workers = module.config.trainer.loader_workers
    if workers is None:
        workers = min(_STREAMING_WORKERS, len(os.sched_getaffinity(0))) if device.type == "cuda" else 0
    return DataLoader(
        StepBatches(cache, module.order, start),
        batch_size=None,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )


def _write_json(content: dict[str, Any], path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)
