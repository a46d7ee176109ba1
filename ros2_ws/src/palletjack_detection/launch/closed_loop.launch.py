"""Drive a simulated robot by its own detections, and end with a verdict.

Simulator, detector and guard run as separate processes and talk over topics only. The launch ends by itself:
exit code 0 when the scenario passed, not 0 when it failed or could not be run; result.json says which.

Example: ros2 launch palletjack_detection closed_loop.launch.py scenario:=head_on output:=out/head_on
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node, SetRemap

from launch import LaunchContext, LaunchDescription
from palletjack_detection.shipped_model import SHIPPED_MODEL

PACKAGE = "palletjack_detection"
# The processes end with this launch process, however that ends.
ENVIRONMENT = {"PALLETJACK_END_WITH_PARENT": str(os.getpid())}
# Exit code of palletjack_sim.launch_facts for a scenario that cannot be read.
WRONG_SCENARIO = 2
BY_HAND, HALL, RESULT_FILE = "by_hand", "hall", "result.json"
# What Isaac Sim's asset root holds.
ASSET_FOLDERS = ("/Isaac/", "/NVIDIA/")
USD_FILES = (".usd", ".usda", ".usdc", ".usdz")
VERDICTS = {"fail": "the scenario failed", "error": "the scenario could not be run"}


def arguments() -> list[DeclareLaunchArgument]:
    """Return the launch arguments, each with what `ros2 launch ... -s` says about it."""
    return [
        DeclareLaunchArgument(
            "scenario", default_value="head_on", description="Name of a shipped scenario, or a YAML file."
        ),
        DeclareLaunchArgument("seed", default_value="0", description="Seed of what the scenario varies."),
        DeclareLaunchArgument(
            "simulator",
            default_value="embedded",
            choices=["embedded", "isaac_sim"],
            description="What simulates robot and camera; embedded: MuJoCo, in this repository. isaac_sim: "
            "Isaac Sim through its ROS 2 bridge; detector and guard wait for it.",
        ),
        DeclareLaunchArgument(
            "isaac_sim_python",
            default_value="",
            description="With isaac_sim: the python.sh that starts it; by_hand: print the command to do it "
            "and wait.",
        ),
        DeclareLaunchArgument(
            "environment",
            default_value=HALL,
            description="With isaac_sim: where the scenario's objects are put. hall: the scenario's own; "
            "simple_warehouse: NVIDIA's; else a USD file, its address, or its path below the asset root.",
        ),
        DeclareLaunchArgument(
            "environment_origin",
            default_value="",
            description="X,Y,YAW (metres, degrees) of the scenario's origin in the environment; empty: as "
            "shipped with its name, else 0,0,0.",
        ),
        DeclareLaunchArgument(
            "camera_quality",
            default_value="path_traced",
            choices=["path_traced", "rasterized"],
            description="path_traced: frames like those that the network was trained on, about 1 s each on "
            "two cores. rasterized: flat and fast, for ground_truth.",
        ),
        DeclareLaunchArgument(
            "perception",
            default_value="detector",
            choices=["detector", "ground_truth"],
            description="detector: the network. ground_truth: the simulator's own boxes, to test the rest.",
        ),
        DeclareLaunchArgument(
            "model",
            default_value="",
            description="Model folder (model.onnx and model.json); empty: the one that ships here.",
        ),
        DeclareLaunchArgument(
            "precision",
            default_value="auto",
            description="Precision of the network, of those in the model folder; auto: the model's own, "
            "but FP32 on a processor that is slower in INT8.",
        ),
        DeclareLaunchArgument(
            "score_threshold",
            default_value="-1.0",
            description="Detections from this score, 0..1; negative: the model's own threshold.",
        ),
        DeclareLaunchArgument(
            "duration", default_value="", description="Simulated seconds; empty: as the scenario says."
        ),
        DeclareLaunchArgument(
            "output",
            default_value="out/closed_loop",
            description="Folder for result.json, junit.xml, report.html, track.csv, track.png and frames/.",
        ),
        DeclareLaunchArgument(
            "record_to",
            default_value="",
            description="Folder for an MCAP bag of the run; empty: none. It must not be there yet.",
        ),
        DeclareLaunchArgument(
            "guard_params",
            default_value="",
            description="YAML file with parameters of the guard, over those that follow from the robot.",
        ),
        DeclareLaunchArgument(
            "python",
            default_value=sys.executable,
            description="Python that has the palletjack package with its simulator.",
        ),
        DeclareLaunchArgument(
            "answer_timeout",
            default_value="60.0",
            description="Seconds of wall time that the simulator waits for detector and guard.",
        ),
    ]


def set_up(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the processes for the given arguments; raises an error that names the wrong one."""
    given = with_absolute_paths(dict(context.launch_configurations))
    share = Path(get_package_share_directory(PACKAGE))
    topics_file = share / "config" / "topics.yaml"
    topics = {
        role: entry["name"] for role, entry in yaml.safe_load(topics_file.read_text())["topics"].items()
    }
    facts = scenario_facts(given)
    # What an earlier run left must not be taken for this one's.
    Path(given["output"], RESULT_FILE).unlink(missing_ok=True)
    guard = guard_node(given, topics, facts["guard"])
    entities: list[LaunchDescriptionEntity] = [guard, needs(guard)]
    simulator = None
    if given["simulator"] == "isaac_sim":
        simulator = isaac_sim(given, topics_file, kills_detector=facts["detector_is_killed"])
    elif given["environment"] != HALL or given["environment_origin"]:
        raise ValueError(
            f"environment: expected {HALL} with simulator:=embedded, found {given['environment']!r} and "
            f"environment_origin {given['environment_origin']!r}; simulator:=isaac_sim loads USD environments"
        )
    if isinstance(simulator, LogInfo):
        entities.append(simulator)
    else:
        process = simulator or simulator_process(given, topics_file)
        entities += [process, verdict_of(process, Path(given["output"]))]
    if given["perception"] == "detector":
        entities.append(detector(given, share, topics, is_killed=facts["detector_is_killed"]))
    if given["record_to"]:
        bag = recorder(given, topics)
        entities += [bag, needs(bag)]
    return entities


def with_absolute_paths(given: dict[str, str]) -> dict[str, str]:
    """Return the arguments with paths that hold in any folder: Isaac Sim is started in its own."""
    names = ["output"]
    if given["scenario"].endswith((".yaml", ".yml")):
        names.append("scenario")
    environment = given["environment"]
    is_elsewhere = "://" in environment or environment.startswith(ASSET_FOLDERS)
    if environment.lower().endswith(USD_FILES) and not is_elsewhere:
        names.append("environment")
    return {**given, **{name: os.path.abspath(os.path.expanduser(given[name])) for name in names}}


def recorder(given: dict[str, str], topics: dict[str, str]) -> Node:
    """Return the node that writes every topic of the loop into a bag."""
    return Node(
        package=PACKAGE,
        executable="palletjack_recorder",
        name="palletjack_recorder",
        output="screen",
        additional_env=ENVIRONMENT,
        parameters=[
            {
                "output": str(Path(given["record_to"]).expanduser().absolute()),
                "topics": ",".join(topics.values()),
                "use_sim_time": True,
            }
        ],
    )


def model_label(given: dict[str, str]) -> str:
    """Return what the result calls the model: FOLDER[:PRECISION][@THRESHOLD]."""
    name = Path(given["model"]).name or SHIPPED_MODEL
    precision = "" if given["precision"] == "auto" else f":{given['precision']}"
    threshold = float(given["score_threshold"])
    return f"{name}{precision}{'' if threshold < 0.0 else f'@{threshold:g}'}"


def simulator_process(given: dict[str, str], topics_file: Path) -> ExecuteProcess:
    """Return the simulator, which ends with the verdict as its exit code."""
    command = [given["python"], "-m", "palletjack_sim.node", "--scenario", given["scenario"]]
    command += ["--topics", str(topics_file), "--out", given["output"], "--seed", given["seed"]]
    command += ["--camera-quality", given["camera_quality"], "--perception", given["perception"]]
    command += ["--answer-timeout", given["answer_timeout"]]
    if given["perception"] == "detector":
        command += ["--model", model_label(given)]
    if given["duration"]:
        command += ["--duration", given["duration"]]
    if given["record_to"]:
        command.append("--recorded")
    return ExecuteProcess(cmd=command, name="simulator", output="screen", additional_env=ENVIRONMENT)


def isaac_sim(given: dict[str, str], topics_file: Path, *, kills_detector: bool) -> ExecuteProcess | LogInfo:
    """Return Isaac Sim's process, or what says how to start it by hand."""
    if given["perception"] != "detector":
        raise ValueError("perception: expected detector with simulator:=isaac_sim, found ground_truth")
    python, by_hand = given["isaac_sim_python"], given["isaac_sim_python"] == BY_HAND
    if not by_hand and shutil.which(python) is None:
        found = f"no program {python}" if python else "nothing"
        raise ValueError(
            "isaac_sim_python: no Isaac Sim to run: expected its python.sh (Isaac Sim needs an RTX GPU), or "
            f"{BY_HAND} to start it yourself, found {found}; simulator:=embedded needs none"
        )
    if by_hand and kills_detector:
        raise ValueError(
            f"isaac_sim_python: expected python.sh for {given['scenario']}, found {BY_HAND}: only an Isaac "
            "Sim that this launch started knows which detector to kill"
        )
    command = ["./python.sh" if by_hand else python, "-m", "palletjack_sim.isaac_sim.run"]
    command += ["--scenario", given["scenario"], "--topics", str(topics_file), "--out", given["output"]]
    command += ["--seed", given["seed"], "--answer-timeout", given["answer_timeout"]]
    command += ["--model", model_label(given)]
    if given["duration"]:
        command += ["--duration", given["duration"]]
    if given["environment"] != HALL:
        command += ["--environment", given["environment"]]
    if given["environment_origin"]:
        # One word: a value that begins with a minus would be taken for an option.
        command.append(f"--environment-origin={given['environment_origin']}")
    if by_hand:
        words = shlex.join(command)
        return LogInfo(msg=f"waiting for Isaac Sim; start it in its own folder with: {words}")
    return ExecuteProcess(cmd=command, name="isaac_sim", output="screen", additional_env=ENVIRONMENT)


def guard_node(given: dict[str, str], topics: dict[str, str], robot: dict[str, float]) -> Node:
    """Return the guard with the numbers of the scenario's robot."""
    roles = {
        "cmd_vel_raw": "command_raw",
        "cmd_vel": "command",
        "camera_info": "camera_info",
        "odom": "odometry",
        "~/state": "guard_state",
        "detections": "detections" if given["perception"] == "detector" else "ground_truth",
    }
    # Simulated time stands still while the simulator computes or waits.
    clock = {"use_sim_time": True, "clock_timeout": float(given["answer_timeout"])}
    parameters: list[Any] = [robot, clock]
    if given["guard_params"]:
        extra = Path(given["guard_params"]).expanduser().absolute()
        if not extra.is_file():
            raise FileNotFoundError(f"guard_params: expected a YAML file, found {extra}")
        parameters.append(str(extra))
    return Node(
        package=PACKAGE,
        executable="palletjack_guard",
        name="palletjack_guard",
        output="screen",
        additional_env=ENVIRONMENT,
        parameters=parameters,
        remappings=[(name, topics[role]) for name, role in roles.items()],
    )


def scenario_facts(given: dict[str, str]) -> dict[str, Any]:
    """Return the guard's parameters for the scenario's robot, and whether the scenario kills the detector.

    They are computed by the simulator's package, which may live in another Python than this one.
    """
    command = [given["python"], "-m", "palletjack_sim.launch_facts", given["scenario"]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        code, said = done.returncode, done.stderr.strip()
    except OSError as error:
        code, said = 1, str(error)
    if code == WRONG_SCENARIO:
        raise RuntimeError(said)
    if code != 0:
        raise RuntimeError(
            "python: expected one with the palletjack package and its simulator, as a checkout's "
            f".venv/bin/python, found {given['python']}: {said[-300:] or f'it ended with {code}'}"
        )
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def detector(given: dict[str, str], share: Path, topics: dict[str, str], *, is_killed: bool) -> GroupAction:
    """Return the detector as detect.launch.py brings it up, listening to the simulated camera.

    One that the scenario kills comes back, as on a robot; then its death must not end the launch.
    """
    include = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "detect.launch.py")),
        launch_arguments={
            "camera": "topic",
            "image_topic": topics["image"],
            "reliability": "reliable",
            "model": given["model"],
            "precision": given["precision"],
            "score_threshold": given["score_threshold"],
            "use_sim_time": "true",
            # Its death is this run's failure, unless the scenario kills it.
            "respawn": "true" if is_killed else "false",
            "output": "",
        }.items(),
    )
    # Scoped: the arguments of detect.launch.py have the same names as some of ours.
    return GroupAction([SetRemap("detections", topics["detections"]), include], scoped=True)


def verdict_of(simulator: ExecuteProcess, output: Path) -> RegisterEventHandler:
    """End the launch with the simulator, as a failure where its verdict is one."""

    def on_exit(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        problem = failure(output, event.returncode)
        if problem and not context.is_shutdown:
            # An exception is what makes `ros2 launch` exit with 1.
            raise RuntimeError(problem)
        return [Shutdown(reason="the scenario passed")]

    return RegisterEventHandler(OnProcessExit(target_action=simulator, on_exit=on_exit))


def failure(output: Path, code: int) -> str:
    """Return why a run did not pass; empty where it did.

    An exit code alone is no verdict: python.sh makes each a 1, and an interrupted Isaac Sim ends with 0.
    """
    try:
        result = json.loads((output / RESULT_FILE).read_text(encoding="utf-8"))
        if result["verdict"] != "pass":
            return "; ".join([VERDICTS[result["verdict"]], *result["reasons"]])
        return "" if code == 0 else f"the scenario passed, but the simulator ended with exit code {code}"
    except (OSError, ValueError, KeyError):
        return f"the simulator ended with exit code {code} and left no verdict in {output}"


def needs(node: Node) -> RegisterEventHandler:
    """End the launch as a failure when ``node`` ends before the simulator does."""

    def on_exit(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if not context.is_shutdown:
            raise RuntimeError(f"{event.process_name} ended with exit code {event.returncode} during the run")
        return []

    return RegisterEventHandler(OnProcessExit(target_action=node, on_exit=on_exit))


def generate_launch_description() -> LaunchDescription:
    """Return the launch description: arguments, then what they ask for."""
    return LaunchDescription([*arguments(), OpaqueFunction(function=set_up)])
