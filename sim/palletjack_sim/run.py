"""Runs one episode and writes everything about it into a folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from palletjack_sim.autonomy import Autonomy, camera_mount
from palletjack_sim.cameras import camera_model
from palletjack_sim.episode import Episode
from palletjack_sim.recording import Recording
from palletjack_sim.track_plot import plot_track
from palletjack_sim.verdict import ERROR, RunResult, summarize, versions

RESULT_FILE, TRACK_FILE, PLOT_FILE, FRAMES_FOLDER = "result.json", "track.csv", "track.png", "frames"


def run_episode(
    episode: Episode,
    autonomy: Autonomy,
    out: Path,
    *,
    seed: int,
    camera_quality: str,
    perception: str,
    model: str | None,
    latencies_ms: Sequence[float],
    commands_ms: Sequence[float] = (),
) -> RunResult:
    """Run ``episode`` and write result.json, track.csv, track.png and frames/ into ``out``.

    ``latencies_ms`` and ``commands_ms`` are read after the run: the autonomy's own lists. What was recorded
    before an error is written too; the error then passes through.
    """
    scenario = episode.scenario
    out.mkdir(parents=True, exist_ok=True)
    recording = Recording(episode.truth, camera_model(scenario.camera), camera_mount(scenario))
    began = time.perf_counter()
    try:
        episode.run(autonomy, recording.tick)
    finally:
        wall_seconds = time.perf_counter() - began
        if recording.rows:
            recording.write_track(out / TRACK_FILE)
    result = summarize(
        recording,
        scenario.criteria,
        scenario=scenario.name,
        seed=seed,
        camera_quality=camera_quality,
        perception=perception,
        goal_reached=episode.route.reached(recording.final.pose),
        wall_seconds=wall_seconds,
        latencies_ms=latencies_ms,
        commands_ms=commands_ms,
        model=model,
    )
    result.moments = recording.write_moments(out / FRAMES_FOLDER)
    title = f"{scenario.name}, seed {seed}, {camera_quality}, {perception}: {result.verdict}"
    plot_track(episode, recording, title, out / PLOT_FILE)
    result.write(out / RESULT_FILE)
    return result


def write_error(
    out: Path, error: str, *, scenario: str, seed: int, camera_quality: str, perception: str
) -> RunResult:
    """Write a result.json that says that the run could not be carried through."""
    out.mkdir(parents=True, exist_ok=True)
    result = RunResult(scenario, seed, ERROR, [error], camera_quality, perception, versions=versions())
    result.write(out / RESULT_FILE)
    return result
