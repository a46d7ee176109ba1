"""Seconds a frame of `palletjack generate`, split by stage, on this machine.

    python benchmarks/render.py --frames 5 --spp 6 --out benchmarks/results/render.json

Frames of the default recipe are planned, rendered, labelled, developed and written by one process.
The first frame is reported apart: it compiles the kernels. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from palletjack_sdg.generate import FrameMaker, GenerateJob
from palletjack_sdg.render import RenderSettings

STAGES = ("plan", "build", "merge", "scene", "trace", "denoise", "ids", "labels", "sensor", "write")


def main() -> None:
    """Measure and print or write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="warehouse_v1", help="shipped recipe or YAML file")
    parser.add_argument("--frames", type=int, default=5, help="frames measured after the first")
    parser.add_argument("--seed", type=int, default=0, help="seed of the frames")
    parser.add_argument("--spp", type=int, default=RenderSettings.spp, help="paths per pixel")
    parser.add_argument("--no-denoise", action="store_true", help="leave the noise")
    parser.add_argument("--variant", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--out", type=Path, help="JSON file; standard output without it")
    options = parser.parse_args()
    settings = RenderSettings(spp=options.spp, denoise=not options.no_denoise, variant=options.variant)
    text = json.dumps(measure(options.recipe, options.seed, options.frames, settings), indent=2) + "\n"
    if options.out is None:
        sys.stdout.write(text)
    else:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, encoding="utf-8")


def measure(recipe: str, seed: int, frames: int, settings: RenderSettings) -> dict[str, Any]:
    """Make frames 0 to ``frames`` in a temporary folder and return the seconds of each stage."""
    walls, stages = [], []
    with tempfile.TemporaryDirectory() as folder:
        job = GenerateJob(recipe, Path(folder), frames + 1, seed, render=settings)
        job.dataset.create_folders(plans=False)
        maker = FrameMaker(job)
        for index in range(frames + 1):
            start = time.perf_counter()
            stages.append(maker.make(index))
            walls.append(time.perf_counter() - start)
        renderer = maker.renderer.description
    return {
        "what": "seconds a frame, one process",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load_before": os.getloadavg()[0],
        },
        "renderer": renderer,
        "recipe": recipe,
        "frames": frames,
        "first_frame_s": round(walls[0], 3),
        "frame_s": _spread(walls[1:]),
        "stages_s": {name: _spread([stage.get(name, 0.0) for stage in stages[1:]]) for name in STAGES},
    }


def _spread(values: list[float]) -> dict[str, float]:
    names = ("min", "median", "max")
    return {
        name: round(float(v), 4) for name, v in zip(names, np.percentile(values, (0, 50, 100)), strict=True)
    }


def _commit() -> str:
    result = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
