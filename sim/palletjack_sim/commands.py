"""`palletjack simulate`: closed-loop scenarios with a verdict."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from palletjack_sim.scenario import Scenario
    from palletjack_sim.verdict import RunResult

SUMMARY_FILE = "summary.json"


class CameraQuality(str, enum.Enum):
    """Who makes the robot's pictures."""

    PATH_TRACED = "path_traced"
    RASTERIZED = "rasterized"


class Perception(str, enum.Enum):
    """Who finds the pallet trucks."""

    DETECTOR = "detector"
    GROUND_TRUTH = "ground_truth"


class Graph(str, enum.Enum):
    """How the parts talk."""

    ROS = "ros"
    DIRECT = "direct"


def simulate(
    scenario: Annotated[str, typer.Argument(help="Name of a shipped scenario, or a YAML file.")],
    seeds: Annotated[
        int, typer.Option(help="Number of runs; each varies what the scenario lets vary.", min=1)
    ] = 1,
    first_seed: Annotated[int, typer.Option(help="Seed of the first run.", min=0)] = 0,
    camera_quality: Annotated[
        CameraQuality,
        typer.Option(help="path_traced: frames like the network's training data. rasterized: fast and flat."),
    ] = CameraQuality.PATH_TRACED,
    perception: Annotated[
        Perception, typer.Option(help="ground_truth: the simulator's own boxes, to test all but the network.")
    ] = Perception.DETECTOR,
    model: Annotated[Path | None, typer.Option(help="Model folder; the shipped one if left out.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out/simulate"),
    duration: Annotated[
        float | None, typer.Option(help="Simulated seconds; as the scenario says if left out.", min=0.1)
    ] = None,
    graph: Annotated[
        Graph, typer.Option(help="ros: separate processes and topics. direct: one process, no ROS needed.")
    ] = Graph.ROS,
) -> None:
    """Drive a simulated robot by its own detections and judge the run.

    Exit code 0: every run passed, 1: one failed, 2: one could not be carried through. Each run writes
    result.json, track.csv, track.png and frames/; with several seeds into OUT/seed_N, and OUT/summary.json.

    Example: `palletjack simulate head_on --seeds 3 --out out/head_on`
    """
    from palletjack_sim.scenario import ScenarioError, load_scenario
    from palletjack_sim.verdict import EXIT_CODES

    try:
        loaded = load_scenario(scenario)
    except ScenarioError as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from error
    if duration is not None:
        loaded = loaded.model_copy(update={"duration": duration})
    results = []
    for seed in range(first_seed, first_seed + seeds):
        folder = out if seeds == 1 else out / f"seed_{seed}"
        name = scenario if not scenario.endswith((".yaml", ".yml")) else str(Path(scenario).resolve())
        result = _one_run(loaded, name, seed, camera_quality, perception, model, folder, duration, graph)
        typer.secho(_describe(result), fg="green" if result.verdict == "pass" else "red")
        results.append(result)
    if seeds > 1:
        _write_summary(out / SUMMARY_FILE, results)
    raise typer.Exit(max(EXIT_CODES[result.verdict] for result in results))


def _one_run(
    scenario: Scenario,
    name: str,
    seed: int,
    camera_quality: CameraQuality,
    perception: Perception,
    model: Path | None,
    out: Path,
    duration: float | None,
    graph: Graph,
) -> RunResult:
    """Run once; whatever keeps the run from a verdict becomes a result that says so."""
    from palletjack_sim.direct import run_direct
    from palletjack_sim.launcher import LoopRequest, run_in_ros
    from palletjack_sim.run import write_error

    quality, eyes = camera_quality.value, perception.value
    try:
        if perception is Perception.DETECTOR:
            model = _model_folder(model)
        if graph is Graph.DIRECT:
            return run_direct(
                scenario, seed=seed, camera_quality=quality, perception=eyes, model=model, out=out
            )
        request = LoopRequest(name, seed, quality, eyes, "" if model is None else str(model), duration, out)
        return run_in_ros(request)
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        return write_error(
            out, str(error), scenario=scenario.name, seed=seed, camera_quality=quality, perception=eyes
        )


def _model_folder(model: Path | None) -> Path:
    """Return the folder to load; FileNotFoundError before anything was started where it is none."""
    from palletjack_detection.shipped_model import find_shipped_model

    folder = find_shipped_model() if model is None else model
    if not (folder / "model.json").is_file():
        raise FileNotFoundError(f"--model: expected a folder with model.json, found {folder}")
    return folder


def _describe(result: RunResult) -> str:
    parts = [f"{result.scenario} seed {result.seed}: {result.verdict}"]
    if result.verdict != "error":
        clearance = "-" if result.min_clearance_m is None else f"{result.min_clearance_m:.2f} m"
        recall = "-" if result.recall is None else f"{result.recall:.0%}"
        parts.append(
            f"clearance {clearance}, {result.collisions} collisions, {result.distance_m:.1f} m driven, "
            f"recall {recall}, {result.false_detections} false detections, "
            f"real-time factor {result.real_time_factor:.2f}"
        )
    return "; ".join([*parts, *result.reasons])


def _write_summary(path: Path, results: list[RunResult]) -> None:
    from palletjack_sim.files import replace_file

    clearances = [r.min_clearance_m for r in results if r.min_clearance_m is not None]
    summary = {
        "scenario": results[0].scenario,
        "runs": len(results),
        "passed": sum(r.verdict == "pass" for r in results),
        "failed": sum(r.verdict == "fail" for r in results),
        "errors": sum(r.verdict == "error" for r in results),
        "collisions": sum(r.collisions for r in results),
        "min_clearance_m": min(clearances, default=None),
        "results": [{"seed": r.seed, "verdict": r.verdict, "reasons": r.reasons} for r in results],
    }
    replace_file(path, (json.dumps(summary, indent=2) + "\n").encode())
