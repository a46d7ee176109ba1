"""Whether a data set has the same bytes with one worker, with several, and after kill -9 and a resume.

    palletjack benchmark reproducibility -- --frames 200 --workers 1 2 --out out/reproducibility.json
    palletjack benchmark reproducibility -- --frames 200 --workers 1 8 --spp 16 --variant cuda

The first number of workers makes the set in one go, each further one makes it again; the last of these
runs is killed after a third of the frames and continued. Ends with 1 where a byte differs, and then says
by how much decoded images do.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import yaml
from machine import describe_machine
from result_file import write_result

from palletjack_sdg.dataset import read_manifest
from palletjack_sdg.recipe import load_recipe


def main() -> int:
    """Generate, compare, write JSON; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="warehouse_v1", help="shipped recipe or YAML file")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="at least two numbers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spp", type=int, default=6, help="paths per pixel")
    parser.add_argument("--max-depth", type=int, default=6, help="longest light path, in segments")
    parser.add_argument("--width", type=int, help="width of the widest images; as the recipe without it")
    parser.add_argument("--variant", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--keep", type=Path, help="folder for the data sets; temporary without it")
    parser.add_argument("--out", type=Path, help="JSON file; standard output without it")
    options = parser.parse_args()
    if len(options.workers) < 2:
        parser.error(f"--workers: expected at least two numbers, found {options.workers}")
    root = options.keep or Path(tempfile.mkdtemp(prefix="reproducibility_"))
    name = options.recipe
    if options.width is not None:
        options.recipe = str(narrowed(name, options.width, root))
    start = time.monotonic()
    try:
        digests, killed_at, roots = [], None, []
        for number, workers in enumerate(options.workers):
            out = root / f"workers_{workers}_{number}"
            last = number == len(options.workers) - 1
            if last:
                killed_at = start_and_kill(options, workers, out)
            subprocess.run(command(options, workers, out), check=True)
            digests.append(fingerprint(out))
            roots.append(out)
        different = differing(digests)
        largest = largest_difference(roots, different)
        renderer = read_manifest(roots[0])["renderer"]
    finally:
        if options.keep is None:
            shutil.rmtree(root, ignore_errors=True)
    result = {
        "what": "files that differ between runs of the same data set",
        **describe_machine("mitsuba", "drjit", "mitsuba-oidn", "numpy"),
        "backend": renderer["backend"],
        "recipe": name,
        "width": options.width,
        "spp": options.spp,
        "max_depth": options.max_depth,
        "frames": options.frames,
        "workers": options.workers,
        "killed_after_frames": killed_at,
        "files": len(digests[0]),
        "different": different,
        "different_by_folder": dict(Counter(file.partition("/")[0] for file in different)),
        "largest_difference_of_images": largest,
        "identical": not different,
        "seconds": round(time.monotonic() - start, 1),
    }
    write_result(result, options.out)
    return int(bool(different))


def differing(digests: Sequence[dict[str, str]]) -> list[str]:
    """Return the files that are not the same in all runs, or not there in one."""
    names = set().union(*digests)
    return sorted(name for name in names if len({files.get(name) for files in digests}) > 1)


def largest_difference(roots: Sequence[Path], files: Sequence[str]) -> int:
    """Return the largest difference between grey levels of the images among ``files``; 0 where all agree."""
    largest = 0
    for file in files:
        if not file.startswith("images/"):
            continue
        found = [cv2.imread(str(root / file)) for root in roots]
        first = found[0]
        if any(image is None or first is None or image.shape != first.shape for image in found):
            return 255
        for image in found[1:]:
            largest = max(largest, int(np.abs(image.astype(int) - first.astype(int)).max()))
    return largest


def narrowed(recipe: str, width: int, folder: Path) -> Path:
    """Write the recipe with all images made smaller, the widest to ``width`` pixels; return the file."""
    tree = load_recipe(recipe).model_dump(mode="json")
    sizes = tree["image"]["sizes"]
    factor = width / max(size["width"] for size in sizes)
    for size in sizes:
        size.update(width=round(size["width"] * factor), height=round(size["height"] * factor))
    path = folder / "narrowed.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def command(options: argparse.Namespace, workers: int, out: Path) -> list[str]:
    """Return the command line of one run."""
    return [
        sys.executable, "-m", "palletjack_cli.main", "generate", "--recipe", options.recipe,
        "--frames", str(options.frames), "--seed", str(options.seed), "--spp", str(options.spp),
        "--max-depth", str(options.max_depth),
        "--variant", options.variant, "--workers", str(workers), "--out", str(out),
        "--plans", "--annotations", "--masks",
    ]  # fmt: skip


def start_and_kill(options: argparse.Namespace, workers: int, out: Path) -> int:
    """Start a run, kill its processes after a third of the frames; return how many it made."""
    process = subprocess.Popen(command(options, workers, out), start_new_session=True)
    images = out / "images"
    while process.poll() is None and count(images) < max(options.frames // 3, 1):
        time.sleep(0.1)
    made = count(images)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return made


def count(images: Path) -> int:
    """Return the number of finished images."""
    return sum(1 for path in images.glob("*.jpg") if not path.name.startswith("."))


def fingerprint(root: Path) -> dict[str, str]:
    """Return the digest of every file but the manifest, which tells versions and counts."""
    files = [path for path in root.rglob("*") if path.is_file() and path.name != "dataset.json"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


if __name__ == "__main__":
    sys.exit(main())
