"""The node benchmark runs on a real graph, its search is right; its numbers are for an idle machine."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.detector.tiny_model import write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "node.py"


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    pytest.importorskip("psutil")
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    module = importlib.import_module("node")
    monkeypatch.setattr(importlib.import_module("graph.steps"), "LAST_ANSWER_S", 0.0)
    return module


class Graph:
    """Camera, listener and node in one: answers up to ``most`` images a second, 10 ms late."""

    def __init__(self, most: float, fastest_camera: float = 1e9) -> None:
        self.most, self.fastest_camera = most, fastest_camera
        self.answers: list[tuple[int, int]] = []
        self.clock = 0

    def ask(self, operation: str, rate: float = 0.0, seconds: float = 0.0) -> Any:
        if operation == "collect":
            answers, self.answers = self.answers, []
            return answers
        real = min(rate, self.fastest_camera)
        stamps = [self.clock + round(1e9 * k / real) for k in range(round(rate * seconds))]
        self.clock = stamps[-1] + 1
        kept = stamps[:: math.ceil(rate / self.most)]
        # Two answers to one image are one answer, the first.
        self.answers = [(s, s + 10_000_000) for s in kept] + [(kept[0], kept[0] + 900_000_000)]
        return {"stamps": stamps, "seconds": len(stamps) / real}

    def usage(self) -> tuple[float, float, float]:
        return self.clock / 1e9, 0.5 * self.clock / 1e9, 100.0

    def check(self) -> None:
        pass


def climb(node: ModuleType, graph: Graph, *rates: float, refine: int) -> tuple[list[dict[str, Any]], Any]:
    options = argparse.Namespace(rates=rates, refine=refine, seconds=4.0)
    found: dict[str, Any] = {"highest_rate_hz": None, "steps": []}
    node.climb(graph, graph, graph, options, found)
    return found["steps"], found["highest_rate_hz"]


def test_the_highest_rate_is_found_between_good_and_bad(node: ModuleType) -> None:
    steps, highest = climb(node, Graph(most=27.0), 10, 20, 40, 80, refine=3)
    assert [step["asked_hz"] for step in steps] == [10, 20, 40, 30, 25, 27.5]
    assert highest == 25
    assert steps[0]["latency_ms"] == {"p50": 10.0, "p95": 10.0, "p99": 10.0}
    assert steps[0]["loss"] == 0.0
    assert steps[2]["loss"] == 0.5
    assert steps[0]["memory_mb"] == 100.0


def test_a_node_that_never_keeps_up_has_no_highest_rate(node: ModuleType) -> None:
    steps, highest = climb(node, Graph(most=1.0), 10, 20, refine=2)
    assert highest is None
    assert [step["asked_hz"] for step in steps] == [10]


def test_a_camera_that_cannot_send_so_fast_ends_the_search(node: ModuleType) -> None:
    steps, highest = climb(node, Graph(most=1e9, fastest_camera=25.0), 20, 40, 80, refine=2)
    assert [step["camera_too_slow"] for step in steps] == [False, True]
    assert highest == 25.0  # what was really sent, not what was asked for


def test_images_are_scaled_and_a_wrong_size_is_named(node: ModuleType) -> None:
    frames = node.scaled([np.zeros((30, 40, 3), np.uint8), np.ones((10, 20, 3), np.uint8)], "16x8")
    assert frames.shape == (2, 8, 16, 3)
    with pytest.raises(ValueError, match="expected WIDTHxHEIGHT, found '16'"):
        node.scaled([np.zeros((3, 4, 3), np.uint8)], "16")


def test_the_overhead_is_the_median_of_the_rounds_whatever_the_machine_does_meanwhile(
    node: ModuleType,
) -> None:
    steps, overhead = importlib.import_module("graph.steps"), importlib.import_module("graph.overhead")
    rounds, alone = [], []
    for slow, over in ((0.0, 4.0), (30.0, 3.0), (5.0, 2.0)):
        values = [20.0 + slow, 21.0 + slow, 25.0 + slow]
        alone.append({stage: values if stage == "total" else [1.0] for stage in overhead.STAGES})
        rounds.append(steps.Answers(4, 10.0, [value + over for value in values], 50.0, 100.0))
    silent = [steps.Answers(4, 10.0, [], 0.0, 100.0)] * 3
    echo = [steps.Answers(4, 10.0, [2.0, 2.5, 9.0], 5.0, 50.0)] * 3
    found = overhead.summary(alone, {"node": rounds, "silent": silent, "echo": echo}, ["node", "silent"])
    entry = found["nodes"]["node"]
    assert entry["over_library_ms"] == {"p50": 3.0, "by_round": [4.0, 3.0, 2.0]}
    assert entry["over_inference_ms"]["by_round"] == [24.0, 53.0, 27.0]
    assert (entry["sent"], entry["answered"]) == (12, 9)
    assert found["library_ms"]["total"]["p50"] == 26.0
    assert found["nodes"]["silent"]["over_library_ms"] is None
    assert found["nodes"]["silent"]["latency_ms"] == {}
    assert "over_library_ms" not in found["nodes"]["echo"]


def test_the_result_names_the_profile_of_the_middleware_without_its_folder(node: ModuleType) -> None:
    both = {
        "CYCLONEDDS_URI": "file:///home/a/cyclonedds.xml",
        "FASTRTPS_DEFAULT_PROFILES_FILE": "/b/fast.xml",
    }
    assert node.dds_profile({**both, "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}) == "cyclonedds.xml"
    assert node.dds_profile({**both, "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}) == "fast.xml"
    assert node.dds_profile(both) == "fast.xml"  # what ROS 2 takes by itself
    assert node.dds_profile({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}) == "none"


@pytest.fixture
def run(node: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Runs the script in this process. It takes over the signals, which a fixture gives back."""
    monkeypatch.setattr(importlib.import_module("graph.steps"), "LAST_ANSWER_S", 1.0)

    def run(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
        node.main()

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def test_commands_are_measured_instead_of_the_packages_node_or_beside_it(node: ModuleType) -> None:
    targets = importlib.import_module("graph.targets").targets
    options = {"model": Path("m"), "threads": 2, "precision": "auto", "backend": "auto", "peer": []}
    options |= {"spinning": "never", "reliability": "reliable", "name": None, "type": "other_msgs/msg/Boxes"}
    options |= {"image_topic": "/front", "detections_topic": "/other/boxes"}
    commands = {"command": ["other --flag 'a b'", "third"]}
    alone = targets(argparse.Namespace(**options, **commands, beside=False), {})
    assert [t.name for t in alone] == ["other", "third"]
    assert [t.command for t in alone] == [["other", "--flag", "a b"], ["third"]]
    named = argparse.Namespace(**{**options, "name": ["b", "c"]}, **commands, beside=False)
    assert [t.name for t in targets(named, {})] == ["b", "c"]
    own, *others = targets(argparse.Namespace(**options, **commands, beside=True), {})
    assert others == alone
    assert {(t.image_topic, t.answer_topic, t.answer_type) for t in others} == {
        ("/front", "/other/boxes", "other_msgs/msg/Boxes")
    }
    # The named topics are those of the commands: the package's node keeps its own.
    assert (own.name, own.own_library) == ("palletjack_detector", True)
    assert (own.image_topic, own.answer_topic) == ("/image", "/detections")
    assert own.answer_type == "vision_msgs/msg/Detection2DArray"
    assert "image_topic:=/image" in own.command
    (without,) = targets(argparse.Namespace(**{**options, "name": ["ours"]}, command=None, beside=False), {})
    assert (without.name, without.image_topic) == ("ours", "/front")
    assert "image_topic:=/front" in without.command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--beside",), "--beside: expected --command as well"),
        (("--command", "a", "--command", "b", "--name", "a"), "--name: expected 2, one for each node"),
    ],
)
def test_names_that_do_not_fit_the_commands_are_refused(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.ros
@pytest.mark.long
def test_both_nodes_are_measured_on_a_real_graph(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if not (ROOT / "ros2_ws/install/setup.bash").is_file():
        pytest.skip("ros2_ws is not built: run bootstrap/ros_workspace.sh")
    model = write_tiny_model(tmp_path / "tiny")
    out = tmp_path / "out" / "node.json"
    words = ("--size", "320x180", "--rates", "10", "--seconds", "0.5", "--refine", "0")
    words = (*words, "--overhead-rates", "", "--peer", "naive_node")
    run("--model", str(model), *words, "--out", str(out))
    document = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == document
    assert [entry["name"] for entry in document["nodes"]] == ["palletjack_detector", "naive_node"]
    for entry in document["nodes"]:
        (size,) = entry["sizes"]
        (step,) = size["steps"]
        assert step["sent"] in (4, 5)
        assert step["answered"] > 0
        assert 0 < step["latency_ms"]["p50"] <= step["latency_ms"]["p99"]
        assert step["cpu_percent"] > 0
        assert step["memory_mb"] > 20
    assert document["images_per_second"]["320x180"] > 0
    assert document["overhead"] == []
    assert document["rmw"].startswith("rmw_")
    assert document["device"]
    assert document["commit"]
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.ros
@pytest.mark.long
def test_any_node_is_measured_in_turn_with_ours_by_its_command_and_topics(
    run: Callable[..., None], tmp_path: Path
) -> None:
    if not (ROOT / "ros2_ws/install/setup.bash").is_file():
        pytest.skip("ros2_ws is not built: run bootstrap/ros_workspace.sh")
    model, out = write_tiny_model(tmp_path / "tiny"), tmp_path / "node.json"
    command = "ros2 run palletjack_detection palletjack_detector --ros-args -r __ns:=/other"
    command += f" -p model_dir:={model} -p image_topic:=/front/pixels -r detections:=boxes"
    topics = ("--image-topic", "/front/pixels", "--detections-topic", "/other/boxes")
    words = ("--model", str(model), "--size", "320x180", "--seconds", "0.5", "--overhead-rates", "10")
    once = ("--rounds", "1", "--rates", "", "--name", "other", "--beside", "--out", str(out))
    run(*words, "--command", command, *topics, *once, "--peer", "naive_node", "--peer", "echo_node")
    document = json.loads(out.read_text())
    assert document["nodes"] == []
    (turns_taken,) = document["overhead"]
    (entry,) = turns_taken["rates"]
    names = ["palletjack_detector", "other", "naive_node", "echo_node"]
    assert (turns_taken["size"], entry["rate_hz"], list(entry["nodes"])) == ("320x180", 10.0, names)
    assert entry["library_ms"]["total"]["p50"] >= entry["library_ms"]["inference"]["p50"] > 0
    for found in entry["nodes"].values():
        assert found["sent"] in (4, 5)
        assert found["answered"] > 0
    for name in ("palletjack_detector", "naive_node"):
        found = entry["nodes"][name]
        assert found["over_inference_ms"]["p50"] >= found["over_library_ms"]["p50"]
        assert len(found["over_library_ms"]["by_round"]) == 1
    assert "over_library_ms" not in entry["nodes"]["other"]  # who knows what network it runs
    assert "over_library_ms" not in entry["nodes"]["echo_node"]
    assert not out.with_suffix(".png").exists()  # it shows the highest rates alone


@pytest.mark.ros
@pytest.mark.long
def test_a_node_that_ends_or_does_not_exist_is_an_error_that_says_so(
    run: Callable[..., None], tmp_path: Path
) -> None:
    if not (ROOT / "ros2_ws/install/setup.bash").is_file():
        pytest.skip("ros2_ws is not built: run bootstrap/ros_workspace.sh")
    model = str(write_tiny_model(tmp_path / "tiny"))
    words = ("--model", model, "--size", "64x64", "--rates", "20", "--seconds", "1", "--overhead-rates", "")
    for command, message in [
        ("no_such_program", "cannot start 'no_such_program'"),
        ("sh -c 'echo out of luck; exit 3'", "ended with 3:\nout of luck"),
    ]:
        with pytest.raises(SystemExit, match=f"Error: .*{message}"):
            run(*words, "--command", command)


@pytest.mark.ros
@pytest.mark.long
def test_stopped_while_a_peer_runs_it_writes_what_it_has_and_leaves_no_process(tmp_path: Path) -> None:
    if not (ROOT / "ros2_ws/install/setup.bash").is_file():
        pytest.skip("ros2_ws is not built: run bootstrap/ros_workspace.sh")
    model, out = write_tiny_model(tmp_path / "tiny"), tmp_path / "node.json"
    words = ("--size", "320x180", "--rates", "5", "--seconds", "1", "--refine", "0", "--peer", "naive_node")
    words += ("--overhead-rates", "")
    command = [sys.executable, "-c", "from palletjack_cli.main import app; app()", "benchmark", "node", "--"]
    process = subprocess.Popen(
        [*command, "--model", str(model), *words, "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    while "naive_node" not in said and (line := process.stderr.readline()):
        said += line
    assert "naive_node" in said, said
    deadline = time.monotonic() + 20.0
    while not processes_with(str(model), "naive_node.py") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_with(str(model), "naive_node.py")
    process.send_signal(signal.SIGTERM)  # to the command alone, as a supervisor does
    said = process.stderr.read()
    assert process.wait(30) == 0, said
    assert "ended early: stopped by SIGTERM" in said
    document = json.loads(out.read_text())
    assert document["ended_early"] == "stopped by SIGTERM"
    assert [len(node["sizes"]) for node in document["nodes"]] == [1, 0]
    assert document["nodes"][0]["sizes"][0]["steps"][0]["answered"] > 0
    assert out.with_suffix(".png").is_file()
    assert not processes_with(str(model))


def processes_with(*words: str) -> list[int]:
    """Processes whose command lines hold all ``words``."""
    psutil = pytest.importorskip("psutil")
    lines = ((p.pid, " ".join(p.info["cmdline"] or [])) for p in psutil.process_iter(["cmdline"]))
    return [pid for pid, line in lines if all(word in line for word in words)]


INTERRUPTED_WORK = """
import contextlib, os, signal, sys, time
from graph.interruption import Interrupted, interrupt_on_signals, uninterrupted
interrupt_on_signals(float(sys.argv[1]))
said = []
try:
    with uninterrupted():
        if sys.argv[2]:
            os.kill(os.getpid(), getattr(signal, sys.argv[2]))
        time.sleep(0.1)
        said.append("whole")
    time.sleep(5.0)
    said.append("not interrupted")
except Interrupted as reason:
    os.kill(os.getpid(), signal.SIGTERM)  # the second must not cut the end short
    with uninterrupted():
        said.append(str(reason))
print(*said, sep=", ")
"""


@pytest.mark.parametrize(
    ("limit", "signum", "reason"),
    [("0", "SIGINT", "stopped by SIGINT"), ("0", "SIGHUP", "stopped by SIGHUP"), ("0.05", "", "out of time")],
)
def test_an_interruption_waits_for_what_must_be_whole_and_comes_once(
    limit: str, signum: str, reason: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WORK, limit, signum],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout.strip() == f"whole, {reason}", done.stderr
