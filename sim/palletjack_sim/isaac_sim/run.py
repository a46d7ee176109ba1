"""Runs one scenario in Isaac Sim, with detector and guard in the ROS graph, and exits with the verdict.

Run with Isaac Sim's Python, while detector and guard run (closed_loop.launch.py simulator:=isaac_sim):

    ./python.sh -m palletjack_sim.isaac_sim.run --scenario head_on --topics topics.yaml --out out/isaac

Exit code 0: passed, 1: failed, 2: the run could not be carried through; result.json says why.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from palletjack_sdg.isaac_sim.app import IsaacSim, IsaacSimError
from palletjack_sdg.isaac_sim.releases import ReleaseError
from palletjack_sdg.isaac_sim.usd_environment import HALL, Environment
from palletjack_sim.autonomy import Autonomy
from palletjack_sim.episode import Episode
from palletjack_sim.isaac_sim.clearance import Clearance
from palletjack_sim.isaac_sim.environment import (
    add_environment,
    choose_hall,
    settle_environment,
    without_hall,
)
from palletjack_sim.isaac_sim.environment_outline import environment_outline
from palletjack_sim.isaac_sim.graph import build, fill, load_graph, load_schemas, switch_camera
from palletjack_sim.isaac_sim.movers import Movers
from palletjack_sim.isaac_sim.robot import (
    RobotPrims,
    RobotSpec,
    choose_camera,
    find_prims,
    load_robots,
    mount_camera,
    set_optics,
    spec_of_camera,
)
from palletjack_sim.isaac_sim.robot_loop import BridgeCamera, BridgePhysics, Odometry
from palletjack_sim.isaac_sim.world_stage import write_world
from palletjack_sim.outcome import write_outcome_of_one
from palletjack_sim.run import run_episode, write_error
from palletjack_sim.scenario import Scenario, load_scenario
from palletjack_sim.topics import TopicNames, load_topics
from palletjack_sim.verdict import EXIT_CODES, RunResult
from palletjack_sim.world import World, build_world, camera_mount_matrix, pose_matrix

ROBOT = "/World/Robot"
MOUNTED = "mounted"
QUALITY = "isaac_sim"


class Link(Autonomy, Odometry, Protocol):
    """What the run needs of the ROS graph."""

    latencies_ms: list[float]
    commands_ms: list[float]

    def wait_for_graph(self) -> None:
        """Wait until guard and detector are there."""
        ...

    def warm_up(self, update: Callable[[], None]) -> None:
        """Call ``update`` until what Isaac Sim publishes gets through."""
        ...

    def close(self) -> None:
        """Take the node apart."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code."""
    arguments = _parse(argv)
    sim: IsaacSim | None = None
    try:
        scenario = load_scenario(arguments.scenario).lasting(arguments.duration)
        names = load_topics(arguments.topics)
        spec = _robot_spec(arguments.robot)
        environment = choose_hall(arguments.environment, arguments.environment_origin)
        world = build_world(scenario, arguments.seed)
        if environment is not None:
            world = without_hall(world, scenario)
        sim = IsaacSim(headless=not arguments.window)
        # SimulationApp's own handler ends the process with 0, which would be taken for a pass.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        result = _run(sim, arguments, scenario, names, spec, world, environment)
    except KeyboardInterrupt:
        result = _failed(arguments, "interrupted")
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        result = _failed(arguments, f"{type(error).__name__}: {error}")
    finally:
        if sim is not None:
            sim.close()
    write_outcome_of_one(arguments.out, result)
    print(f"{result.scenario} seed {result.seed}: {result.verdict}", *result.reasons, sep="; ", flush=True)
    return EXIT_CODES[result.verdict]


def _run(
    sim: IsaacSim,
    arguments: argparse.Namespace,
    scenario: Scenario,
    names: TopicNames,
    spec: RobotSpec,
    world: World,
    environment: Environment | None,
) -> RunResult:
    graph = load_graph()
    if sim.release.name not in graph.extensions:
        raise ReleaseError(f"Isaac Sim {sim.version}: the bridge's graph is for 5.0 and newer")
    for extension in graph.extensions[sim.release.name]:
        sim.enable_extension(extension)
    with tempfile.TemporaryDirectory(prefix="palletjack_isaac_") as folder:
        stage, prims = load_scene(sim, Path(folder), scenario, spec, world, environment)
        outline = None
        if environment is not None:
            outline = environment_outline(stage, scenario.room, scenario.robot.height)
        camera, scenario = place_camera(stage, prims, scenario, arguments.camera)
        product = _render_product(camera, scenario)
        values = graph_values(scenario, names, spec, prims, str(getattr(product, "path", product)))
        build(fill(graph, values), load_schemas(sim.release.name))
        patience = (arguments.start_timeout, arguments.answer_timeout)
        link = make_link(scenario, names, *patience, partial(switch_camera, graph))
        eyes = BridgeCamera(sim, product, scenario.camera)
        try:
            link.wait_for_graph()
            sim.play()
            eyes.wait_for_first_frame()
            link.warm_up(sim.app.update)
            # The updates until here took simulated time, how much depends on the machine.
            began = link.next_pose(-1.0)[0].stamp
            scenario, world = scenario.delayed(began), world.delayed(began)
            clearance = Clearance(world, scenario.robot, outline)
            movers = Movers(stage, world)
            physics = BridgePhysics(sim, link, clearance, movers, scenario.control_rate_hz)
            return run_episode(
                Episode(scenario, world, eyes, physics),
                link,
                arguments.out,
                seed=arguments.seed,
                camera_quality=QUALITY if environment is None else f"{QUALITY}:{Path(environment.name).name}",
                perception="detector",
                model=arguments.model or None,
                latencies_ms=link.latencies_ms,
                commands_ms=link.commands_ms,
            )
        finally:
            eyes.close()
            link.close()
            product.destroy()


def load_scene(
    sim: IsaacSim,
    folder: Path,
    scenario: Scenario,
    spec: RobotSpec,
    world: World,
    environment: Environment | None = None,
) -> tuple[Any, RobotPrims]:
    """Open the scenario's world, in the environment if any, put the robot at its start, and find its parts.

    Raises:
        IsaacSimError: the stage, the environment or the robot's asset does not load.
        RobotError: the robot lacks a part.
    """
    file = folder / "world.usda"
    write_world(world, scenario, file)
    stage = sim.open_stage(file)
    from pxr import Gf, UsdGeom

    robot = UsdGeom.Xform.Define(stage, ROBOT)
    robot.AddTransformOp().Set(Gf.Matrix4d(pose_matrix(scenario.robot.start).T.tolist()))
    # A prim below: the asset's root may carry transforms of its own.
    sim.add_reference(sim.assets_root() + spec.url, f"{ROBOT}/model")
    if environment is not None:
        add_environment(stage, environment, sim.assets_root)
    sim.wait_until_loaded()
    if environment is not None:
        settle_environment(stage, environment)
    return stage, find_prims(stage, ROBOT, spec)


def place_camera(stage: Any, prims: RobotPrims, scenario: Scenario, choice: str) -> tuple[str, Scenario]:
    """Return the camera's path and the scenario with its real place: our own mounted one, or the robot's.

    Raises:
        RobotError: no camera of the robot has ``choice`` in its path, or it does not look ahead.
    """
    base = pose_matrix(scenario.robot.start)
    if choice == MOUNTED:
        camera = mount_camera(stage, prims.chassis, base, camera_mount_matrix(scenario.camera))
    else:
        camera = choose_camera(prims.cameras, choice)
        spec = spec_of_camera(stage, camera, base, scenario.camera)
        scenario = scenario.model_copy(update={"camera": spec})
    set_optics(stage, camera, scenario.camera)
    return camera, scenario


def graph_values(
    scenario: Scenario, names: TopicNames, spec: RobotSpec, prims: RobotPrims, product: str
) -> dict[str, Any]:
    """Return what graph.yaml's $names stand for in this run."""
    dynamics = scenario.robot.dynamics
    # As the embedded drive: a floor without grip takes from driving and braking, not from turning.
    grip = dynamics.grip
    return {
        **{f"topic.{role}": name for role, name in names.topics.items()},
        **{f"frame.{role}": name for role, name in names.frames.items()},
        "path.render_product": product,
        "path.chassis": prims.chassis,
        "path.articulation": prims.articulation,
        "camera.frame_skip": scenario.control_steps_per_frame - 1,
        "robot.wheel_radius": spec.wheel_radius,
        "robot.wheel_distance": spec.wheel_distance,
        "robot.wheel_joints": list(spec.wheel_joints),
        "drive.period": 1.0 / scenario.control_rate_hz,
        "drive.max_acceleration": grip * dynamics.max_acceleration,
        "drive.max_deceleration": grip * dynamics.max_deceleration,
        "drive.max_angular_acceleration": dynamics.max_angular_acceleration,
    }


def make_link(
    scenario: Scenario,
    names: TopicNames,
    start_timeout: float,
    answer_timeout: float,
    switch_camera: Callable[[bool], None],
) -> Link:
    """Return the node that speaks with guard and detector.

    Raises:
        IsaacSimError: this Python has no rclpy, or the messages are missing.
    """
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        from palletjack_detection.nodes.lifetime import END_WITH_PARENT, end_with_parent
        from palletjack_sim.isaac_sim.bridge import BridgeAutonomy
        from palletjack_sim.ros_autonomy import Patience
    except ImportError as error:
        raise IsaacSimError(
            f"this Python cannot speak ROS 2 ({error}): start the script in a shell with ROS sourced, or "
            "with the libraries of isaacsim.ros2.bridge as docs/isaac_sim.md says"
        ) from error
    if (launch_pid := os.environ.get(END_WITH_PARENT, "")).isdigit():
        # The launch ends python.sh only, whose child this is.
        end_with_parent(int(launch_pid))
    if not rclpy.ok():
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    patience = Patience(start=start_timeout, answer=answer_timeout)
    return BridgeAutonomy(scenario, names, scenario.robot.start, patience, switch_camera)


def _render_product(camera: str, scenario: Scenario) -> Any:
    import omni.replicator.core as rep

    size = (scenario.camera.width, scenario.camera.height_px)
    return rep.create.render_product(camera, size, name="palletjack_camera")


def _robot_spec(name: str) -> RobotSpec:
    robots = load_robots()
    if name not in robots:
        raise ValueError(f"--robot: expected one of {', '.join(sorted(robots))}, found {name!r}")
    return robots[name]


def _failed(arguments: argparse.Namespace, reason: str) -> RunResult:
    return write_error(
        arguments.out,
        reason,
        scenario=Path(arguments.scenario).stem,
        seed=arguments.seed,
        camera_quality=QUALITY,
        perception="detector",
    )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    words = list(sys.argv[1:] if argv is None else argv)
    own = words[: words.index("--ros-args")] if "--ros-args" in words else words
    program = "python.sh -m palletjack_sim.isaac_sim.run"
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--scenario", required=True, help="name of a shipped scenario, or a YAML file")
    parser.add_argument("--topics", required=True, type=Path, help="config/topics.yaml")
    parser.add_argument("--out", required=True, type=Path, help="folder for result.json and the rest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--environment",
        default=HALL,
        help="hall: the scenario's own; else a name of environments.yaml, a USD file, or an address",
    )
    parser.add_argument(
        "--environment-origin",
        default="",
        metavar="X,Y,YAW",
        help="where the scenario's origin lies in the environment, metres and degrees",
    )
    parser.add_argument("--robot", default="nova_carter", help="one of robots.yaml")
    parser.add_argument(
        "--camera", default=MOUNTED, help="mounted: the scenario's own; else a part of a camera's path"
    )
    parser.add_argument("--duration", type=float, default=None, help="simulated seconds")
    parser.add_argument("--model", default="", help="what to note in result.json as the detector's model")
    parser.add_argument("--window", action="store_true", help="show Isaac Sim's window")
    parser.add_argument("--start-timeout", type=float, default=120.0, help="seconds for the graph to come up")
    parser.add_argument("--answer-timeout", type=float, default=60.0, help="seconds to wait for an answer")
    return parser.parse_args(own)


if __name__ == "__main__":
    raise SystemExit(main())
