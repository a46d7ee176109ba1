"""Seconds a frame of `palletjack generate`, split by stage, on this machine.

    palletjack benchmark generate -- --frames 20 --workers 1 2 --out benchmarks/results/generate.json
    palletjack benchmark generate -- --variant cuda --workers 1 8 --spp 16

Frames of the default recipe are planned, rendered, labelled, developed and written, once for each number
of workers. The first frame of every worker is reported apart: it compiles the kernels. Run it on a machine
that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from palletjack_cli.repository import commit_id, repository_root
from palletjack_sdg.dataset import read_manifest
from palletjack_sdg.generate import FrameReport, GenerateJob, generate
from palletjack_sdg.render import RenderSettings

STAGES = ("plan", "build", "merge", "scene", "trace", "denoise", "ids", "labels", "sensor", "write")


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
    parser.add_argument("--out", type=Path, help="JSON file; standard output without it")
    options = parser.parse_args()
    settings = RenderSettings(spp=options.spp, denoise=not options.no_denoise, variant=options.variant)
    load = os.getloadavg()[0]
    runs = [measure(options.recipe, options.seed, options.frames, n, settings) for n in options.workers]
    result = {
        "what": "seconds a frame of generate, by stage",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit_id(repository_root()),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load_before": load},
        "recipe": options.recipe,
        "seed": options.seed,
        "runs": runs,
    }
    text = json.dumps(result, indent=2) + "\n"
    if options.out is None:
        sys.stdout.write(text)
    else:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, encoding="utf-8")


def measure(recipe: str, seed: int, frames: int, workers: int, settings: RenderSettings) -> dict[str, Any]:
    """Generate a temporary data set with ``workers`` processes; return the seconds of each stage.

    ``frame_s`` is the time between finished frames, all workers together, from when each of them has made
    its first frame; ``process_s`` is the time that one process spends on one frame.
    """
    ends: list[float] = []
    reports: list[FrameReport] = []

    def note(report: FrameReport) -> None:
        if report.error is not None:
            raise RuntimeError(f"frame {report.index}: {report.error}")
        ends.append(time.perf_counter())
        reports.append(report)

    with tempfile.TemporaryDirectory() as folder:
        job = GenerateJob(recipe, Path(folder), frames + workers, seed, workers=workers, render=settings)
        start = time.perf_counter()
        generate(job, note)
        renderer = read_manifest(Path(folder))["renderer"]
    stages = [report.seconds for report in reports[workers:]]
    return {
        "workers": workers,
        "frames": frames,
        "renderer": renderer,
        "first_frame_s": round(ends[0] - start, 3),
        "frame_s": round((ends[-1] - ends[workers - 1]) / frames, 4),
        "process_s": _spread([sum(stage.values()) for stage in stages]),
        "stages_s": {name: _spread([stage.get(name, 0.0) for stage in stages]) for name in STAGES},
    }


def _spread(values: list[float]) -> dict[str, float]:
    names = ("min", "median", "max")
    found = {
        name: round(float(v), 4) for name, v in zip(names, np.percentile(values, (0, 50, 100)), strict=True)
    }
    return {**found, "mean": round(float(np.mean(values)), 4)}


if __name__ == "__main__":
    main()
