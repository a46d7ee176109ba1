"""The simulator as a ROS 2 process: runs one scenario in lock-step with the graph and exits with the verdict.

Example: python -m palletjack_sim.node --scenario head_on --topics topics.yaml --out out/head_on

Exit code 0: passed, 1: failed, 2: the run could not be carried through.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from palletjack_sim.cameras import QUALITIES
from palletjack_sim.outcome import write_outcome_of_one
from palletjack_sim.run import run_episode, write_error
from palletjack_sim.scenario import ScenarioError, load_scenario
from palletjack_sim.verdict import ERROR, EXIT_CODES, RunResult

PERCEPTIONS = ("detector", "ground_truth")


def main(argv: list[str] | None = None) -> int:
    """Run and return the exit code."""
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = _run(arguments)
    except KeyboardInterrupt:
        result = _failed(arguments, "interrupted")
    except (ScenarioError, ValueError, RuntimeError, OSError, ImportError) as error:
        # Known kinds of trouble explain themselves; a traceback helps with the others.
        if not isinstance(error, (ScenarioError, RuntimeError)):
            traceback.print_exc()
        result = _failed(arguments, f"{type(error).__name__}: {error}")
    write_outcome_of_one(arguments.out, result)
    print(f"{result.scenario} seed {result.seed}: {result.verdict}", *result.reasons, sep="; ", flush=True)
    return EXIT_CODES[result.verdict]


def _run(arguments: argparse.Namespace) -> RunResult:
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from palletjack_detection.nodes.lifetime import END_WITH_PARENT, end_with_parent
    from palletjack_sim.episode import make_episode
    from palletjack_sim.ros_autonomy import GraphTimeout, Patience, RosAutonomy
    from palletjack_sim.topics import load_topics
    from palletjack_sim.world import build_world

    if (launch_pid := os.environ.get(END_WITH_PARENT, "")).isdigit():
        end_with_parent(int(launch_pid))
    scenario = load_scenario(arguments.scenario).lasting(arguments.duration)
    names = load_topics(arguments.topics)
    world = build_world(scenario, arguments.seed)
    episode = make_episode(scenario, world, arguments.camera_quality, arguments.seed)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    autonomy = RosAutonomy(
        scenario,
        names,
        with_detector=arguments.perception == "detector",
        truth=episode.truth,
        recorded=arguments.recorded,
        patience=Patience(start=arguments.start_timeout, answer=arguments.answer_timeout),
    )
    try:
        autonomy.wait_for_graph()
        return run_episode(
            episode,
            autonomy,
            arguments.out,
            seed=arguments.seed,
            camera_quality=arguments.camera_quality,
            perception=arguments.perception,
            model=arguments.model or None,
            latencies_ms=autonomy.latencies_ms,
            commands_ms=autonomy.commands_ms,
        )
    except GraphTimeout as error:
        return _failed(arguments, str(error))
    finally:
        autonomy.close()
        rclpy.try_shutdown()


def _failed(arguments: argparse.Namespace, reason: str) -> RunResult:
    name = Path(arguments.scenario).stem
    try:
        return write_error(
            arguments.out,
            reason,
            scenario=name,
            seed=arguments.seed,
            camera_quality=arguments.camera_quality,
            perception=arguments.perception,
        )
    except OSError as error:
        reasons = [reason, f"result not written: {error}"]
        return RunResult(name, arguments.seed, ERROR, reasons, arguments.camera_quality, arguments.perception)


def _interrupt(number: int, frame: object) -> None:
    if threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


def _parse(argv: list[str]) -> argparse.Namespace:
    # The launch system appends --ros-args; nothing of it concerns this process.
    own = argv[: argv.index("--ros-args")] if "--ros-args" in argv else argv
    parser = argparse.ArgumentParser(prog="python -m palletjack_sim.node", description=__doc__)
    parser.add_argument("--scenario", required=True, help="name of a shipped scenario, or a YAML file")
    parser.add_argument("--topics", required=True, type=Path, help="YAML file of topic names")
    parser.add_argument("--out", required=True, type=Path, help="folder for result.json and the rest")
    parser.add_argument("--camera-quality", choices=QUALITIES, default="rasterized")
    parser.add_argument("--perception", choices=PERCEPTIONS, default="detector")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--duration", type=float, default=None, help="simulated seconds instead of the scenario's"
    )
    parser.add_argument("--model", default="", help="what to note in result.json as the detector's model")
    parser.add_argument(
        "--recorded", action="store_true", help="wait for palletjack_recorder before the run begins"
    )
    parser.add_argument(
        "--start-timeout", type=float, default=120.0, help="wall seconds for the graph to come up"
    )
    parser.add_argument(
        "--answer-timeout", type=float, default=60.0, help="wall seconds to wait for an answer"
    )
    return parser.parse_args(own)


if __name__ == "__main__":
    raise SystemExit(main())
