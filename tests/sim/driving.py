"""Runs of the loop in one process with a detector of the test's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from palletjack_detection.detections import Detections
from palletjack_sim.autonomy import Detect, DirectAutonomy
from palletjack_sim.episode import make_episode
from palletjack_sim.run import run_episode
from palletjack_sim.scenario import Scenario
from palletjack_sim.verdict import RunResult
from palletjack_sim.world import Catalog, build_world

NOTHING = Detections(
    np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ("palletjack",)
)


def drive(scenario: Scenario, detect: Detect, out: Path, catalog: Catalog | None = None) -> RunResult:
    """Run ``scenario`` with seed 0 and the rasterized camera; ``detect`` sees its pictures."""
    autonomy = DirectAutonomy.for_scenario(scenario, detect)
    return run_episode(
        make_episode(scenario, build_world(scenario, 0, catalog), "rasterized", 0),
        autonomy,
        out,
        seed=0,
        camera_quality="rasterized",
        perception="detector",
        model=None,
        latencies_ms=autonomy.latencies_ms,
    )


def blind(scenario: Scenario, out: Path, catalog: Catalog | None = None) -> RunResult:
    """Run with a detector that sees nothing."""
    return drive(scenario, lambda rgb, stamp: NOTHING, out, catalog)
