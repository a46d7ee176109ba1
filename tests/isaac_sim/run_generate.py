"""Runs the generate script in a process of its own against the stand-in.

python -m tests.isaac_sim.run_generate '{"release": "6", "log": "calls.json"}' <script's arguments>

``faults`` in the setting: of each frame in turn "black", "mirrored", "deaf", "full_disk" or "" for none;
``smoke_frames``: how many --smoke makes, if not the product's number.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

from palletjack_sdg.dataset import Dataset, FrameFiles
from palletjack_sdg.isaac_sim import generate, smoke
from tests.isaac_sim.fake_isaac_sim import FakeIsaacSim
from tests.isaac_sim.forked_runs import SERVE, serve
from tests.isaac_sim.stage_picture import StagePicture


def main(words: list[str]) -> int:
    """Install, run, write the calls down."""
    setting = json.loads(words[0])
    faults = setting.get("faults", [])

    def fault() -> str:
        """Of the frame in hand; each has a render product of its own."""
        number = len(fake.products) - 1
        return faults[number] if number < len(faults) else ""

    fake = FakeIsaacSim(setting["release"], StagePicture(fault)).install()
    fake.writers_write = lambda: fault() != "deaf"
    fake.assets = setting.get("assets", fake.assets)
    generate.SMOKE_FRAMES = smoke.SMOKE_FRAMES = setting.get("smoke_frames", smoke.SMOKE_FRAMES)

    write_files = Dataset.write_files

    def write_unless_full(dataset: Dataset, files: FrameFiles) -> None:
        if fault() == "full_disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_files(dataset, files)

    Dataset.write_files = write_unless_full  # type: ignore[method-assign]
    code = generate.main(words[1:])
    Path(setting["log"]).write_text(json.dumps(fake.calls, default=str))
    return code


if __name__ == "__main__":
    raise SystemExit(serve(main) if sys.argv[1:] == [SERVE] else main(sys.argv[1:]))
