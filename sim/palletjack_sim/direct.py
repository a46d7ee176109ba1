"""The closed loop in one process: detector and guard are called, not reached over topics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.detections import Detections
from palletjack_sim.autonomy import Detect, DirectAutonomy
from palletjack_sim.episode import make_episode
from palletjack_sim.model_choice import ModelChoice
from palletjack_sim.run import run_episode
from palletjack_sim.scenario import Scenario
from palletjack_sim.verdict import RunResult
from palletjack_sim.world import Catalog, build_world


def run_direct(
    scenario: Scenario,
    *,
    seed: int,
    camera_quality: str,
    perception: str,
    model: ModelChoice | None,
    out: Path,
    catalog: Catalog | None = None,
) -> RunResult:
    """Run ``scenario`` and write its results into ``out``; ``model`` None: the shipped one.

    Raises what reading the model, building the world and rendering raise; see Detector.load, build_world
    and make_episode.
    """
    detect: Detect | None = None
    if perception == "detector":
        model = (model or ModelChoice()).found()
        detect = _load_detector(model)
    world = build_world(scenario, seed, catalog)
    episode = make_episode(scenario, world, camera_quality, seed)
    autonomy = DirectAutonomy.for_scenario(scenario, detect)
    return run_episode(
        episode,
        autonomy,
        out,
        seed=seed,
        camera_quality=camera_quality,
        perception=perception,
        model=None if model is None else model.label,
        latencies_ms=autonomy.latencies_ms,
        commands_ms=autonomy.commands_ms,
    )


def _load_detector(model: ModelChoice) -> Detect:
    """The detector as its node runs it."""
    from palletjack_detection.detector import Detector
    from palletjack_detection.hysteresis import ScoreHysteresis, keep_threshold

    assert model.folder is not None
    loaded = Detector.load(model.folder, precision=model.precision, score_threshold=model.score_threshold)
    hysteresis = ScoreHysteresis()
    lowest = keep_threshold(loaded.score_threshold, asked=-1.0)

    def detect(rgb: NDArray[np.uint8], stamp: float) -> Detections:
        return hysteresis.choose(loaded.detect(rgb, lowest), stamp, loaded.score_threshold)

    return detect
