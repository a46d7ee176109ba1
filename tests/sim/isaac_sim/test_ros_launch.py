"""closed_loop.launch.py simulator:=isaac_sim in a real ROS graph: real script, node, detector and guard."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.detector.tiny_model import write_tiny_model
from tests.ros.environment import REPOSITORY, Launch, wait_until
from tests.sim.conftest import StartLoop

pytest.importorskip("pxr")
from tests.sim.isaac_sim.test_run import NOVA_CARTER, write_robot

pytestmark = [pytest.mark.ros, pytest.mark.long]

SCENARIO = """
format: palletjack-scenario/1
name: near
description: a pallet truck close ahead
duration: 5.2
route: {goal: [10, 0], speed: 1.0}
camera: {width: 320, height_px: 180, rate_hz: 2.5}
objects:
 - name: truck
   family: palletjack
   pose: {x: 4.1, y: 0.0}
   params:
     tiller_lean_deg: 0
     tiller_yaw_deg: 0
     body_color: [1, 0, 0]
     fork_color: [1, 0, 0]
     wear: 0
     stickers: []
criteria: {min_clearance: 0.5, must_stop: true, min_distance: 0.5}
"""


@pytest.fixture
def scenario_file(tmp_path: Path) -> Path:
    path = tmp_path / "near.yaml"
    path.write_text(SCENARIO)
    return path


def write_python_sh(folder: Path) -> Path:
    """What stands in for Isaac Sim's python.sh; like that, it starts Python as a child of its own."""
    write_robot(folder / "assets" / NOVA_CARTER.url.lstrip("/"))
    script = folder / "python.sh"
    places = (".", "sdg", "sim", "ros2_ws/src/palletjack_detection")
    paths = ":".join(str(REPOSITORY / place) for place in places)
    script.write_text(
        f'#!/bin/sh\ncd "{REPOSITORY}"\nexport PALLETJACK_FAKE_ASSETS="{folder / "assets"}"\n'
        f'export PYTHONPATH="{paths}:$PYTHONPATH"\n'
        f'"{sys.executable}" -m tests.sim.isaac_sim.run_ros_loop "$@" || exit 1\n'
    )
    script.chmod(0o755)
    return script


def drive(start_loop: StartLoop, scenario: Path, folder: Path) -> tuple[Launch, dict[str, Any]]:
    """Launch ``scenario`` with a network that finds red; it must pass. The launch and its result.json."""
    launch = start_loop(
        simulator="isaac_sim",
        scenario=scenario,
        model=write_tiny_model(folder / "red"),
        answer_timeout=20,
        isaac_sim_python=write_python_sh(folder),
    )
    code = launch.wait(200)
    result = json.loads((folder / "out" / "result.json").read_text())
    assert (code, result["verdict"]) == (0, "pass"), launch.text()
    return launch, result


def test_the_bridge_node_drives_detector_and_guard(
    start_loop: StartLoop, scenario_file: Path, tmp_path: Path
) -> None:
    """The red truck is seen by a network that finds red; the robot drives up to it and stands before it."""
    _, result = drive(start_loop, scenario_file, tmp_path)
    assert result["stops"] == 1
    assert 0.5 < result["min_clearance_m"] < 2.0
    assert result["camera_quality"] == "isaac_sim"
    assert result["frames"] >= 10
    assert result["distance_m"] > 0.5


@pytest.mark.parametrize("kind", ["camera_lost", "detector_killed"])
def test_a_fault_stops_the_robot_and_it_drives_on_afterwards(
    start_loop: StartLoop, scenario_file: Path, tmp_path: Path, kind: str
) -> None:
    """The bridge publishes pictures by itself: the fault must silence it, or the robot would drive on.

    Nobody can ask it for a picture while simulated time stands still: after the fault it must come by itself.
    """
    content = yaml.safe_load(SCENARIO)
    content.update(duration=5.4, objects=[], faults=[{"kind": kind, "at": 1.6, "until": 3.2}])
    content["criteria"] = {"min_stops": 1, "min_distance": 1.0, "max_fault_stop_s": 2.0}
    scenario_file.write_text(yaml.safe_dump(content))
    launch, result = drive(start_loop, scenario_file, tmp_path)
    assert result["fault_stop_s"] is not None
    assert result["end_to_end_ms"]["p50"] > result["latency_ms"]["p50"]
    with (tmp_path / "out" / "track.csv").open() as file:
        track = [(float(row["t"]), float(row["v"])) for row in csv.DictReader(file)]
    began = track[0][0]
    assert any(speed == 0.0 for stamp, speed in track if 2.1 < stamp - began < 3.2)
    assert track[-1][1] > 0.5
    assert ("exit code -9" in launch.text()) == (kind == "detector_killed")


@pytest.mark.parametrize("python", ["", "/opt/no/isaac_sim/python.sh"])
def test_without_isaac_sim_the_launch_is_refused(
    start_loop: StartLoop, scenario_file: Path, python: str
) -> None:
    words = {"scenario": scenario_file, "isaac_sim_python": python} if python else {}
    launch = start_loop(simulator="isaac_sim", **words)
    assert launch.wait(60) != 0
    assert "isaac_sim_python: no Isaac Sim to run: expected its python.sh" in launch.text()
    assert (f"found no program {python}" if python else "found nothing") in launch.text()
    assert "palletjack_guard" not in launch.text(), "nothing was started"


def test_an_isaac_sim_that_ends_without_a_verdict_is_no_pass(
    start_loop: StartLoop, scenario_file: Path, tmp_path: Path
) -> None:
    script = tmp_path / "python.sh"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text('{"verdict": "pass", "reasons": []}')
    launch = start_loop(simulator="isaac_sim", scenario=scenario_file, isaac_sim_python=script)
    assert launch.wait(60) != 0
    assert "the simulator ended with exit code 0 and left no verdict" in launch.text()


def test_by_hand_it_says_how_to_start(start_loop: StartLoop, scenario_file: Path) -> None:
    words = {"scenario": os.path.relpath(scenario_file), "output": "out/by_hand"}
    place = {"environment": "places/ours.usd", "environment_origin": "-1,2,90"}
    launch = start_loop(simulator="isaac_sim", isaac_sim_python="by_hand", **words, **place)
    # Absolute: Isaac Sim is started in another folder.
    expected = f"./python.sh -m palletjack_sim.isaac_sim.run --scenario {scenario_file.parent}"
    wait_until(lambda: expected in launch.text(), 60.0, expected)
    assert f"--out {Path.cwd() / 'out/by_hand'}" in launch.text()
    passed_on = f"--environment {Path.cwd() / 'places/ours.usd'} --environment-origin=-1,2,90"
    assert passed_on in launch.text()
    launch.stop()


def test_an_asset_s_path_is_passed_on_as_it_is(start_loop: StartLoop, scenario_file: Path) -> None:
    path = "/Isaac/Environments/Simple_Warehouse/full_warehouse.usd"
    words = {"scenario": scenario_file, "environment": path}
    launch = start_loop(simulator="isaac_sim", isaac_sim_python="by_hand", **words)
    wait_until(lambda: f"--environment {path}" in launch.text(), 60.0, path)
    launch.stop()


def test_the_embedded_simulator_takes_no_environment(start_loop: StartLoop, scenario_file: Path) -> None:
    launch = start_loop(simulator="embedded", scenario=scenario_file, environment="simple_warehouse")
    assert launch.wait(60) != 0
    assert "environment: expected hall with simulator:=embedded, found 'simple_warehouse'" in launch.text()


def test_an_asset_that_is_not_there_ends_the_launch(
    start_loop: StartLoop, scenario_file: Path, tmp_path: Path
) -> None:
    launch = start_loop(
        simulator="isaac_sim",
        scenario=scenario_file,
        model=write_tiny_model(tmp_path / "red"),
        isaac_sim_python=write_python_sh(tmp_path),
        environment="simple_warehouse",
    )
    assert launch.wait(200) != 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["verdict"] == "error"
    assert "Simple_Warehouse/warehouse.usd: environment: expected a USD file" in result["reasons"][0]
    assert "the scenario could not be run" in launch.text()


def test_by_hand_cannot_kill_the_detector(start_loop: StartLoop) -> None:
    launch = start_loop(simulator="isaac_sim", scenario="detector_killed", isaac_sim_python="by_hand")
    assert launch.wait(60) != 0
    assert "isaac_sim_python: expected python.sh for detector_killed, found by_hand" in launch.text()


def test_ground_truth_as_perception_is_refused(
    start_loop: StartLoop, scenario_file: Path, tmp_path: Path
) -> None:
    launch = start_loop(simulator="isaac_sim", scenario=scenario_file, perception="ground_truth")
    assert launch.wait(60) != 0
    assert "perception: expected detector with simulator:=isaac_sim" in launch.text()
