"""`ros2 run palletjack_detection setup_model`: build the engine for this robot once, before it is needed.

It needs no ROS graph. The detector node with ``backend:=tensorrt`` then starts at once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from palletjack_detection.engine import EngineError
from palletjack_detection.engines.api import MODULES, TENSORRT, load_tensorrt
from palletjack_detection.engines.build import BuildOptions
from palletjack_detection.engines.store import EngineRequest, ensure_engine
from palletjack_detection.model_folder import ModelFolderError
from palletjack_detection.shipped_model import find_shipped_model, package_share


def main(args: list[str] | None = None) -> int:
    """Parse the options, build or find the engine, print its path; 0 on success."""
    parser = argparse.ArgumentParser(prog="setup_model", description=__doc__)
    parser.add_argument("--model", type=Path, help="model folder; the shipped one if left out")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "fp16", "int8"))
    parser.add_argument("--runtime", default=TENSORRT, choices=tuple(MODULES))
    parser.add_argument("--dla", type=int, default=-1, help="DLA core of a Jetson; -1: the GPU")
    parser.add_argument("--workspace", type=int, default=1024, help="scratch memory for the builder, MiB")
    parser.add_argument("--cache", type=Path, help="folder of the engines; ~/.cache/palletjack/engines")
    options = parser.parse_args(args)
    try:
        library = load_tensorrt(options.runtime)
        folder = options.model or find_shipped_model(package_share())
        request = EngineRequest(
            folder, options.precision, BuildOptions(dla=options.dla, workspace_mib=options.workspace)
        )
        stored = ensure_engine(library, request, cache=options.cache, say=_say)
    except (EngineError, ModelFolderError, OSError) as error:
        _say(f"error: {error}")
        return 1
    _say("built" if stored.built else "there already")
    print(stored.path)
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
