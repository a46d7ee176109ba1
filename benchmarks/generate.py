"""Seconds a frame of `palletjack generate`, split by stage, on this machine.

    palletjack benchmark generate -- --frames 20 --workers 1 2 --out benchmarks/results/generate.json
    palletjack benchmark generate -- --variant cuda --workers 1 4 8 --frames 200 --spp 16 --out gpu.json

Frames of the default recipe are planned, rendered, labelled, developed and written, once for each number
of workers. The first frame of every worker compiles its kernels and is left out; time runs from when the
last of them has made its first one. Give at least ten frames a worker. Run it on a machine that does
nothing else.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from machine import describe_machine
from result_file import write_result

from palletjack_sdg.dataset import read_manifest
from palletjack_sdg.generate import FrameReport, GenerateJob, generate
from palletjack_sdg.render import RenderSettings

# The stages as people speak of them, and what the product times.
STAGES = {
    "scene": ("plan", "build", "merge", "scene"),
    "render": ("trace", "ids"),
    "denoise": ("denoise",),
    "labels": ("labels",),
    "sensor": ("sensor",),
    "write": ("write",),
}


class Finished(NamedTuple):
    """A frame, and when it was written."""

    at: float
    report: FrameReport


def main() -> None:
    """Measure and print or write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="warehouse_v1", help="shipped recipe or YAML file")
    parser.add_argument(
        "--frames", type=int, default=20, help="frames measured after the first of each worker"
    )
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers to measure"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the frames")
    parser.add_argument("--spp", type=int, default=RenderSettings.spp, help="paths per pixel")
    parser.add_argument("--no-denoise", action="store_true", help="leave the noise")
    parser.add_argument("--variant", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--out", type=Path, help="JSON file; standard output alone without it")
    options = parser.parse_args()
    if min(options.frames, *options.workers) < 1:
        parser.error(f"expected at least 1, found --frames {options.frames} --workers {options.workers}")
    settings = RenderSettings(spp=options.spp, denoise=not options.no_denoise, variant=options.variant)
    machine = {**describe_machine("mitsuba", "drjit", "mitsuba-oidn", "numpy"), "gpus": gpus()}
    runs = [measure(options.recipe, options.seed, options.frames, n, settings) for n in options.workers]
    result = {
        "what": "seconds a frame of generate, by stage",
        **machine,
        "recipe": options.recipe,
        "seed": options.seed,
        "runs": runs,
    }
    write_result(result, options.out)


def measure(recipe: str, seed: int, frames: int, workers: int, settings: RenderSettings) -> dict[str, Any]:
    """Generate a temporary data set with ``workers`` processes; return the seconds of each stage."""
    finished: list[Finished] = []

    def note(report: FrameReport) -> None:
        if report.error is not None:
            raise RuntimeError(f"frame {report.index}: {report.error}")
        finished.append(Finished(time.perf_counter(), report))

    with tempfile.TemporaryDirectory() as folder:
        job = GenerateJob(recipe, Path(folder), frames + workers, seed, workers=workers, render=settings)
        start = time.perf_counter()
        generate(job, note)
        renderer = read_manifest(Path(folder))["renderer"]
    return {"workers": workers, "renderer": renderer, **summarize(finished, start)}


def summarize(finished: Sequence[Finished], start: float) -> dict[str, Any]:
    """Return the seconds of each stage, without the first frame of each process.

    ``frame_s`` is the time between finished frames, all workers together, from when the last of them has
    made its first; ``process_s`` is the time that one process spends on one frame.

    Raises:
        RuntimeError: a worker was still at its first frame when the last one was done.
    """
    firsts: dict[int, float] = {}
    steady: list[dict[str, float]] = []
    for at, report in finished:
        if report.process in firsts:
            steady.append(report.seconds)
        else:
            firsts[report.process] = at
    begin = max(firsts.values())
    counted = sum(at > begin for at, _ in finished)
    if not counted:
        raise RuntimeError(f"--frames: expected more than {len(finished)} frames for {len(firsts)} workers")
    return {
        "frames": counted,
        "first_frame_s": round(finished[0].at - start, 3),
        "start_s": round(begin - start, 3),
        "frame_s": round((finished[-1].at - begin) / counted, 4),
        "frames_per_s": round(counted / (finished[-1].at - begin), 3),
        "process_s": spread([sum(stage.values()) for stage in steady]),
        "stages_s": {
            name: spread([total(stage, parts) for stage in steady]) for name, parts in STAGES.items()
        },
        "parts_s": {
            part: spread([stage.get(part, 0.0) for stage in steady])
            for parts in STAGES.values()
            if len(parts) > 1
            for part in parts
        },
    }


def total(seconds: dict[str, float], parts: Sequence[str]) -> float:
    """Return the seconds of a stage: the sum of its parts, of which a run may lack some."""
    return sum(seconds.get(part, 0.0) for part in parts)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the least, the median, the greatest and the mean of ``values``."""
    low, middle, high = np.percentile(values, (0, 50, 100))
    numbers = {"min": low, "median": middle, "max": high, "mean": np.mean(values)}
    return {name: round(float(value), 4) for name, value in numbers.items()}


def gpus() -> list[str]:
    """Return the names of the NVIDIA GPUs that the driver knows; none without a driver."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip()]


if __name__ == "__main__":
    main()
