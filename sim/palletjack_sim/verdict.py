"""From a recording to a verdict: passed or failed, with reasons, and the numbers of the run."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from palletjack_detection.guard import STOP
from palletjack_sdg.whole_file import write_whole
from palletjack_sim.recording import Recording
from palletjack_sim.scenario import Criteria

PASSED, FAILED, ERROR = "pass", "fail", "error"
EXIT_CODES = {PASSED: 0, FAILED: 1, ERROR: 2}

RESTING_SPEED = 0.05
DISTANCE_BANDS_M = (0.0, 2.0, 4.0, 6.0, 8.0, 12.0, math.inf)
_VERSIONED = ("palletjack", "numpy", "opencv-python-headless", "onnxruntime", "mujoco", "mitsuba")


@dataclass
class RunResult:
    """What result.json holds. Metres and simulated seconds; ``latency_ms`` is wall time.

    ``latency_ms`` runs from publishing an image until its detections are there, ``end_to_end_ms`` until the
    guard's first command that takes them into account. ``range_error_m`` compares
    the range of detections with the true one. ``stopping_margin_m`` is what ``min_clearance_m`` leaves of
    the criterion. ``by_distance`` has recall and range error in bands of the true range.
    """

    scenario: str
    seed: int
    verdict: str
    reasons: list[str]
    camera_quality: str
    perception: str
    min_clearance_m: float | None = None
    collisions: int = 0
    distance_m: float = 0.0
    duration_s: float = 0.0
    stop_time_s: float | None = None
    stops: int = 0
    false_stops: int = 0
    stopping_margin_m: float | None = None
    fault_stop_s: float | None = None
    goal_reached: bool = False
    frames: int = 0
    recall: float | None = None
    false_detections: int = 0
    first_detection_delay_s: float | None = None
    range_error: dict[str, float] | None = None
    by_distance: list[dict[str, float | None]] = field(default_factory=list)
    latency_ms: dict[str, float] | None = None
    end_to_end_ms: dict[str, float] | None = None
    real_time_factor: float = 0.0
    model: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    moments: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_whole(path, (json.dumps(asdict(self), indent=2, allow_nan=False) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> RunResult:
        """Read what ``write`` wrote; ValueError names the file where it is something else."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{path}: expected the result of a closed-loop run, found {error}") from error


def judge(recording: Recording, criteria: Criteria, *, goal_reached: bool) -> list[str]:
    """Return why the run failed; empty when it passed."""
    final = recording.final
    reasons = []
    if final.collisions > criteria.max_collisions:
        reasons.append(f"{final.collisions} collisions, allowed are {criteria.max_collisions}")
    if recording.truth.truck_ids and recording.min_clearance < criteria.min_clearance:
        reasons.append(
            f"came within {recording.min_clearance:.2f} m of a pallet truck, "
            f"{criteria.min_clearance:.2f} m must stay free"
        )
    if recording.distance < criteria.min_distance:
        reasons.append(f"drove {recording.distance:.2f} m, expected at least {criteria.min_distance:.2f} m")
    if criteria.must_stop and (final.decision.action != STOP or abs(final.pose.speed) > RESTING_SPEED):
        reasons.append(
            f"did not stand stopped at the end: {final.decision.action} at {final.pose.speed:.2f} m/s"
        )
    if criteria.must_reach_goal and not goal_reached:
        reasons.append(f"did not reach the goal: {final.decision.action}, {final.decision.reason}")
    if criteria.max_stops is not None and len(recording.stops) > criteria.max_stops:
        times = ", ".join(f"{stamp:.1f} s" for stamp in recording.stops)
        reasons.append(f"stopped {len(recording.stops)} times ({times}), allowed are {criteria.max_stops}")
    if len(recording.stops) < criteria.min_stops:
        reasons.append(f"stopped {len(recording.stops)} times, expected at least {criteria.min_stops}")
    if criteria.final_clearance is not None:
        low, high = criteria.final_clearance
        if not low <= final.clearance <= high:
            reasons.append(
                f"ended {final.clearance:.2f} m from a pallet truck, expected {low:.2f} to {high:.2f} m"
            )
    if criteria.max_fault_stop_s is not None:
        stood = recording.fault_stop_s
        if stood is None or stood > criteria.max_fault_stop_s:
            found = "did not stand" if stood is None else f"stood {stood:.2f} s"
            reasons.append(f"{found} after the fault, allowed are {criteria.max_fault_stop_s:.2f} s")
    return reasons


def range_error(pairs: Sequence[tuple[float, float]]) -> dict[str, float] | None:
    """Mean, mean absolute and greatest absolute error in metres of (true range, error) ``pairs``."""
    if not pairs:
        return None
    errors = np.array([error for _, error in pairs])
    return {
        "count": len(errors),
        "mean_m": round(float(errors.mean()), 4),
        "mean_absolute_m": round(float(np.abs(errors).mean()), 4),
        "max_absolute_m": round(float(np.abs(errors).max()), 4),
    }


def by_distance(
    sightings: Sequence[tuple[float, bool]], range_errors: Sequence[tuple[float, float]]
) -> list[dict[str, float | None]]:
    """Visible and detected trucks and the range's error in bands of the true range; empty bands left out.

    ``sightings`` are (true range, detected) of each visible truck and frame, ``range_errors`` (true range,
    error), metres.
    """
    bands: list[dict[str, float | None]] = []
    for low, high in pairwise(DISTANCE_BANDS_M):
        seen = [found for distance, found in sightings if low <= distance < high]
        errors = range_error([pair for pair in range_errors if low <= pair[0] < high])
        if seen:
            band: dict[str, float | None] = {"from_m": low, "to_m": high if math.isfinite(high) else None}
            band.update(visible=len(seen), detected=sum(seen))
            band["range_mean_absolute_m"] = None if errors is None else errors["mean_absolute_m"]
            band["range_count"] = 0 if errors is None else errors["count"]
            bands.append(band)
    return bands


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """p50 and p99 of ``values``."""
    if not values:
        return None
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}


def summarize(
    recording: Recording,
    criteria: Criteria,
    *,
    scenario: str,
    seed: int,
    camera_quality: str,
    perception: str,
    goal_reached: bool,
    wall_seconds: float,
    latencies_ms: Sequence[float],
    commands_ms: Sequence[float] = (),
    model: str | None,
) -> RunResult:
    """Gather everything about a finished run."""
    reasons = judge(recording, criteria, goal_reached=goal_reached)
    final = recording.final
    clearance = recording.min_clearance if recording.truth.truck_ids else math.nan
    delay = None
    if recording.first_detected is not None and recording.first_visible is not None:
        delay = round(recording.first_detected - recording.first_visible, 3)
    return RunResult(
        scenario=scenario,
        seed=seed,
        verdict=FAILED if reasons else PASSED,
        reasons=reasons,
        camera_quality=camera_quality,
        perception=perception,
        min_clearance_m=None if math.isnan(clearance) else round(clearance, 4),
        collisions=final.collisions,
        distance_m=round(recording.distance, 4),
        duration_s=round(final.pose.stamp, 4),
        stop_time_s=round(recording.stops[0], 4) if recording.stops else None,
        stops=len(recording.stops),
        false_stops=recording.false_stops,
        stopping_margin_m=None if math.isnan(clearance) else round(clearance - criteria.min_clearance, 4),
        fault_stop_s=None if recording.fault_stop_s is None else round(recording.fault_stop_s, 4),
        goal_reached=goal_reached,
        frames=recording.frames,
        recall=None if recording.recall is None else round(recording.recall, 4),
        false_detections=recording.false_detections,
        first_detection_delay_s=delay,
        range_error=range_error(recording.range_errors),
        by_distance=by_distance(recording.sightings, recording.range_errors),
        latency_ms=percentiles(latencies_ms),
        end_to_end_ms=percentiles(commands_ms),
        real_time_factor=round(final.pose.stamp / wall_seconds, 3) if wall_seconds > 0 else 0.0,
        model=model,
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Versions of Python, of the libraries that decide a run, and of ROS where it is sourced."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if "ROS_DISTRO" in os.environ:
        found["ros"] = os.environ["ROS_DISTRO"]
        found["rmw"] = os.environ.get("RMW_IMPLEMENTATION", "default")
    return found
