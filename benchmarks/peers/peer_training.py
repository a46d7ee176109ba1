"""Trains a peer of the detector for as many frames as ours sees, and keeps its averaged weights."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from detector_data import TrainingFrames, peer_config
from peer import Peer, build_peer, parameter_groups
from torch import Tensor, nn

from palletjack_cli.repository import commit_id, repository_root
from palletjack_training.memory_layout import use_layout
from palletjack_training.schedule import warmup_cosine

WARMUP = 0.04
FINAL_SHARE = 0.01
LOG_EVERY = 20
RUN_FILE = "training.json"
# A file of weights is cut here, in bytes.
PART_BYTES = 15_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that the training of every peer takes."""
    parser.add_argument("--data", type=Path, required=True, help="KITTI folder to train on")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and training.json")
    parser.add_argument("--steps", type=int, default=1000, help="training steps (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="frames of a step (default: %(default)s)")
    parser.add_argument("--size", default="960x544", help="WIDTHxHEIGHT of the input (default: %(default)s)")
    parser.add_argument("--time-limit", type=float, help="seconds, decoding included, that may end it early")
    parser.add_argument("--learning-rate", type=float, help="highest rate; the peer's own if left out")
    parser.add_argument("--device", default="cuda:0", help="device (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of frames and weights (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="folder for decoded frames; a temporary one if left out")
    parser.add_argument("--tiny", action="store_true", help="try: 2 steps of 2 frames at 256x160 on the CPU")


def run(peer: str, options: argparse.Namespace, **network: Any) -> None:
    """Train ``peer`` with the ``network`` options of its own and leave the result in ``options.out``."""
    if options.tiny:
        options.steps, options.batch, options.size, options.device = 2, 2, "256x160", "cpu"
    width, height = (int(side) for side in options.size.split("x"))
    torch.manual_seed(options.seed)
    built = build_peer({"peer": peer, "width": width, "height": height, **network})
    if options.learning_rate:
        built.learning_rate = options.learning_rate
    summary = train(built, options)
    options.out.mkdir(parents=True, exist_ok=True)
    write_text(options.out / RUN_FILE, json.dumps(summary, indent=2) + "\n")
    print(json.dumps({key: value for key, value in summary.items() if key != "losses"}, indent=2))


def train(peer: Peer, options: argparse.Namespace) -> dict[str, Any]:
    """Run the steps, save the averaged weights, return what there is to know of the run."""
    began = time.monotonic()
    device = torch.device(options.device)
    set_up(device)
    size = peer.options["width"], peer.options["height"]
    config = peer_config(*size, options.batch, options.steps, options.seed)
    cache = options.cache or Path(tempfile.gettempdir()) / "palletjack_peer_frames"
    use_layout(peer.network.to(device), torch.channels_last)
    frames = TrainingFrames(options.data, cache, config, peer.network, device)
    groups = list(parameter_groups(peer))
    optimizer = torch.optim.AdamW(groups, lr=peer.learning_rate)
    peer.network.train()
    losses: list[tuple[int, float]] = []
    started = time.monotonic()
    done = 0
    while done < options.steps:
        along = progress(done / options.steps, began, started, options.time_limit)
        if along >= 1:
            print(f"the time limit ends training after step {done}", flush=True)
            break
        rate = warmup_cosine(along, peer.learning_rate, FINAL_SHARE, WARMUP)
        loss = take_step(peer, frames, optimizer, done, rate)
        done += 1
        if done % LOG_EVERY == 0 or done in (1, options.steps):
            losses.append((done, round(checked(loss, done), 4)))
            seconds = time.monotonic() - started
            print(
                f"step {done}/{options.steps} loss {losses[-1][1]:g} rate {rate:.2g} {seconds:.0f} s",
                flush=True,
            )
    save_weights(options.out, frames.average.state_dict())
    return {
        **peer.options,
        "note": peer.note,
        "augmentation": "as ours, by our code; regions that count neither way are painted grey",
        "frames": len(frames),
        "steps": done,
        "planned_steps": options.steps,
        "batch": options.batch,
        "frames_seen": done * options.batch,
        "learning_rate": peer.learning_rate,
        "parameters": sum(item.numel() for item in peer.network.parameters()),
        "seed": options.seed,
        "training_seconds": round(time.monotonic() - started, 1),
        "losses": losses,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit_id(repository_root()),
    }


def progress(share_of_steps: float, began: float, started: float, time_limit: float | None) -> float:
    """How far the schedule is: by steps or, where that is further, by the time that was left to train.

    A run that its limit cuts short has come to its lowest rate all the same.
    """
    if time_limit is None:
        return share_of_steps
    left = time_limit - (started - began)
    return 1.0 if left <= 0 else max(share_of_steps, (time.monotonic() - started) / left)


def set_up(device: torch.device) -> None:
    """What our own training sets on a GPU as well."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True


def take_step(
    peer: Peer, frames: TrainingFrames, optimizer: torch.optim.Optimizer, step: int, rate: float
) -> Tensor:
    """One step at ``rate``; returns its loss, still on the device."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    images, boxes = frames.batch(step)
    loss = peer.loss(images.contiguous(memory_format=torch.channels_last), boxes)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(peer.network.parameters(), peer.gradient_clip)
    optimizer.step()
    frames.average.update()
    return loss.detach()


def checked(loss: Tensor, step: int) -> float:
    """The loss as a number. Raises SystemExit where it is not finite."""
    value = float(loss)
    if not torch.isfinite(loss):
        raise SystemExit(f"step {step}: the loss is not finite; try a lower --learning-rate")
    return value


def save_weights(folder: Path, state: dict[str, Tensor]) -> None:
    """Write the weights as files of at most PART_BYTES, kernels in float16, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in state.items():
        # Statistics of normalizations can leave the range of float16.
        small = tensor.half() if tensor.ndim > 1 and tensor.is_floating_point() else tensor
        small = small.cpu().contiguous()
        if parts[-1] and filled + small.nbytes > PART_BYTES:
            parts.append({})
            filled = 0
        parts[-1][name] = small
        filled += small.nbytes
    for old in folder.glob("weights_*.pt"):
        old.unlink()
    for number, part in enumerate(parts):
        path = folder / f"weights_{number}.pt"
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        torch.save(part, temporary)
        os.replace(temporary, path)


def load_peer(folder: Path) -> tuple[Peer, dict[str, Any]]:
    """The peer that a training left in ``folder``, in evaluation mode on the CPU, and its training.json."""
    run_file = folder / RUN_FILE
    if not run_file.is_file():
        raise SystemExit(f"{run_file}: expected the result of a training, found none")
    about = json.loads(run_file.read_text())
    peer = build_peer(about, load_weights=False)
    state: dict[str, Tensor] = {}
    for path in sorted(folder.glob("weights_*.pt")):
        state.update(torch.load(path, map_location="cpu", weights_only=True))
    peer.network.load_state_dict(
        {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in state.items()}
    )
    peer.network.eval()
    return peer, about


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
