"""`palletjack simulate`: closed-loop scenarios with a verdict."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from palletjack_sim.model_choice import ModelChoice
    from palletjack_sim.scenario import Scenario
    from palletjack_sim.verdict import RunResult

COMPARISON_FILE, COMPARISON_PAGE = "comparison.json", "comparison.html"


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
    scenarios: Annotated[
        list[str], typer.Argument(help="Names of shipped scenarios, `all` of them, or YAML files.")
    ],
    seeds: Annotated[
        int,
        typer.Option(help="Runs of each scenario; a run's seed varies what the scenario lets vary.", min=1),
    ] = 1,
    first_seed: Annotated[int, typer.Option(help="Seed of the first run.", min=0)] = 0,
    camera_quality: Annotated[
        CameraQuality,
        typer.Option(help="path_traced: frames like the network's training data. rasterized: fast and flat."),
    ] = CameraQuality.PATH_TRACED,
    perception: Annotated[
        Perception, typer.Option(help="ground_truth: the simulator's own boxes, to test all but the network.")
    ] = Perception.DETECTOR,
    model: Annotated[
        str | None,
        typer.Option(help="FOLDER[:PRECISION][@THRESHOLD] of the network; the shipped model if left out."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out/simulate"),
    duration: Annotated[
        float | None, typer.Option(help="Simulated seconds; as the scenario says if left out.", min=0.1)
    ] = None,
    graph: Annotated[
        Graph, typer.Option(help="ros: separate processes and topics. direct: one process, no ROS needed.")
    ] = Graph.ROS,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Two models, written as for --model: the same runs with both, and what differs."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write each run's topics as an MCAP bag (--graph ros only).")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what OUT holds of these runs, and make the others.")
    ] = False,
) -> None:
    """Drive a simulated robot by its own detections and judge the run.

    Exit code 0: every run passed, 1: one failed, 2: one could not be carried through. Each run writes
    result.json, track.csv, track.png and frames/: into OUT, with several seeds or scenarios into
    OUT/SCENARIO/seed_N. OUT gets summary.json, junit.xml and report.html.

    Example: `palletjack simulate head_on wet_floor --seeds 3 --out out/simulate`

    Example: `palletjack simulate all --compare models/palletjack_lite:fp32 models/palletjack_lite:int8`
    """
    from palletjack_sim.comparison import compare_runs, comparison_table, write_comparison_file
    from palletjack_sim.model_choice import ModelChoice
    from palletjack_sim.report import write_comparison
    from palletjack_sim.scenario import ScenarioError, load_scenario, shipped_scenarios
    from palletjack_sim.verdict import EXIT_CODES

    wanted = shipped_scenarios() if scenarios == ["all"] else scenarios
    try:
        plan = Plan(
            scenarios=[(_launch_name(name), load_scenario(name).lasting(duration)) for name in wanted],
            seeds=range(first_seed, first_seed + seeds),
            camera_quality=camera_quality,
            perception=perception,
            duration=duration,
            graph=graph,
            record=record,
            resume=resume,
        )
        plan.check(compare=compare is not None)
        models = [ModelChoice.parse(text) for text in compare or () if text]
        if model is not None:
            models.append(ModelChoice.parse(model))
    except (ScenarioError, ValueError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from error
    if compare is None:
        runs = _run_all(plan, models[0] if models else ModelChoice(), out)
    else:
        first, second = (
            _run_all(plan, choice, out / side) for choice, side in zip(models, "ab", strict=True)
        )
        comparison = compare_runs(*([result for result, _ in side] for side in (first, second)))
        write_comparison_file(out / COMPARISON_FILE, comparison)
        write_comparison(out / COMPARISON_PAGE, first, second, comparison)
        typer.echo(comparison_table(comparison))
        runs = [*first, *second]
    raise typer.Exit(max(EXIT_CODES[result.verdict] for result, _ in runs))


@dataclass(frozen=True)
class Plan:
    """The runs of one call. ``scenarios`` are (name for the launch file, scenario)."""

    scenarios: list[tuple[str, Scenario]]
    seeds: range
    camera_quality: CameraQuality
    perception: Perception
    duration: float | None
    graph: Graph
    record: bool
    resume: bool

    def check(self, *, compare: bool) -> None:
        """Raise ValueError where the options do not go together."""
        names = [scenario.name for _, scenario in self.scenarios]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"scenarios: expected each once, found {', '.join(repeated)} more than once")
        if self.record and self.graph is Graph.DIRECT:
            raise ValueError("--record: expected --graph ros, found direct, which has no topics")
        if compare and self.perception is not Perception.DETECTOR:
            raise ValueError("--compare: expected --perception detector, found ground_truth")

    def folder(self, out: Path, scenario: Scenario, seed: int) -> Path:
        """Where a run's files go."""
        if len(self.scenarios) > 1:
            return out / scenario.name / f"seed_{seed}"
        return out if len(self.seeds) == 1 else out / f"seed_{seed}"


def _launch_name(name: str) -> str:
    """The scenario as another process finds it, whatever its working directory."""
    return str(Path(name).resolve()) if name.endswith((".yaml", ".yml")) else name


def _run_all(plan: Plan, model: ModelChoice, out: Path) -> list[tuple[RunResult, Path]]:
    """Carry out the plan with one model, and write what sums it up after each run."""
    from palletjack_sim.outcome import write_outcome

    runs: list[tuple[RunResult, Path]] = []
    for name, scenario in plan.scenarios:
        for seed in plan.seeds:
            folder = plan.folder(out, scenario, seed)
            result = _one_run(plan, scenario, name, seed, model, folder)
            typer.secho(_describe(result), fg="green" if result.verdict == "pass" else "red")
            runs.append((result, folder))
            write_outcome(out, runs)
    return runs


def _one_run(
    plan: Plan, scenario: Scenario, name: str, seed: int, model: ModelChoice, out: Path
) -> RunResult:
    """Run once; whatever keeps the run from a verdict becomes a result that says so."""
    from palletjack_sim.direct import run_direct
    from palletjack_sim.launcher import LoopRequest, run_in_ros
    from palletjack_sim.resume import Request, forget
    from palletjack_sim.run import write_error

    quality, eyes = plan.camera_quality.value, plan.perception.value
    try:
        found = model.found() if plan.perception is Perception.DETECTOR else None
        asked = Request.of(
            scenario,
            seed=seed,
            camera_quality=quality,
            perception=eyes,
            graph=plan.graph.value,
            record=plan.record,
            model=found,
        )
        if plan.resume and (kept := asked.finished(out)) is not None:
            typer.echo(f"kept, was made before: {out}")
            return kept
        forget(out)
        if plan.graph is Graph.DIRECT:
            result = run_direct(
                scenario, seed=seed, camera_quality=quality, perception=eyes, model=found, out=out
            )
        else:
            result = run_in_ros(
                LoopRequest(name, seed, quality, eyes, found, plan.duration, out, plan.record)
            )
        asked.write(out)
        return result
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        return write_error(
            out, str(error), scenario=scenario.name, seed=seed, camera_quality=quality, perception=eyes
        )


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
