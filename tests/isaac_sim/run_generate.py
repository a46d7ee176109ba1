"""Runs the generate script in a process of its own against the stand-in.

python -m tests.isaac_sim.run_generate '{"release": "6", "log": "calls.json"}' <script's arguments>
"""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

from palletjack_sdg.dataset import Dataset
from tests.isaac_sim.fake_isaac_sim import FakeIsaacSim
from tests.isaac_sim.stage_picture import StagePicture


def full_disk(*_: object) -> None:
    """In place of Dataset.write_files."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def main() -> int:
    """Install, run, write the calls down."""
    setting = json.loads(sys.argv[1])
    fake = FakeIsaacSim(setting["release"], StagePicture(setting.get("fault", ""))).install()
    fake.writers_write = setting.get("fault") != "deaf"
    fake.assets = setting.get("assets", fake.assets)
    from palletjack_sdg.isaac_sim.generate import main as generate_main

    if setting.get("fault") == "full_disk":
        Dataset.write_files = full_disk  # type: ignore
    code = generate_main(sys.argv[2:])
    Path(setting["log"]).write_text(json.dumps(fake.calls, default=str))
    return code


if __name__ == "__main__":
    raise SystemExit(main())
