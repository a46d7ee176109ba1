"""What the soak makes of its samples: growth, late answers and silence are problems, and it is all drawn."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, which takes a sample every 10 ms."""
    pytest.importorskip("psutil")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("soak")
    monkeypatch.setattr(module, "SAMPLE_S", {"flood": 0.01, "soak": 0.01})
    return module


class Graph:
    """Camera, listener and node in one, whose memory grows by ``growth`` MB a sample."""

    def __init__(self, growth: float = 0.0, latency_ms: float = 20.0, deaf: bool = False) -> None:
        self.growth, self.latency_ms, self.deaf = growth, latency_ms, deaf
        self.memory, self.spoiled = 100.0, 0
        self.stamps: list[int] = []

    def ask(self, operation: str, rate: float = 0.0, seconds: float = 0.0) -> Any:
        if operation == "collect":
            stamps, self.stamps = self.stamps, []
            return [] if self.deaf else [(s, s + round(1e6 * self.latency_ms)) for s in stamps]
        if operation == "spoil":
            self.spoiled += 1
            return None
        time.sleep(seconds)
        self.memory += self.growth
        self.stamps = list(range(10))
        return {"stamps": self.stamps, "seconds": seconds}

    def usage(self) -> tuple[float, float, float]:
        return 0.0, 0.0, self.memory

    def check(self) -> None:
        pass


def run(soak: ModuleType, graph: Graph, name: str) -> dict[str, Any]:
    phase: dict[str, Any] = {"name": name, "seconds": 0.04, "rate_hz": 10.0, "samples": []}
    soak.run_phase(phase, graph, graph, graph, spoil=name == "soak")
    soak.summarize(phase)
    return phase


def document(*phases: dict[str, Any], ended_early: str = "") -> dict[str, Any]:
    about = {"device": "a machine", "cpus": 2, "rmw": "rmw_x", "ended_early": ended_early}
    return {**about, "phases": list(phases)}


def test_a_node_that_keeps_its_memory_has_no_problem_and_is_drawn(soak: ModuleType, tmp_path: Path) -> None:
    graph = Graph()
    phases = [run(soak, graph, "flood"), run(soak, graph, "soak")]
    samples = phases[1]["samples"]
    assert graph.spoiled == len(samples) - 1 > 0
    assert phases[1]["sent"] == phases[1]["answered"] == 10 * (len(samples) - 1)
    assert phases[1]["median_latency_ms"] == {"first_third": 20.0, "last_third": 20.0}
    assert phases[1]["memory_growth_mb"] == 0.0
    found = document(*phases)
    assert soak.problems(found) == []
    soak.draw_soak(json.loads(json.dumps(found)), tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "graph", "problem"),
    [
        ("soak", Graph(growth=6.0), "soak: memory grew by"),
        ("flood", Graph(growth=9.0), "flood: memory grew by"),
        ("soak", Graph(deaf=True), "soak: no image was answered"),
    ],
)
def test_growth_and_silence_are_problems(soak: ModuleType, name: str, graph: Graph, problem: str) -> None:
    (found,) = soak.problems(document(run(soak, graph, name)))
    assert found.startswith(problem)


def test_one_answer_that_comes_late_and_an_early_end_are_problems(soak: ModuleType) -> None:
    phase = run(soak, Graph(), "flood")
    phase["latest_ms"] = 3500.0
    found = soak.problems(document(phase, ended_early="stopped by SIGTERM"))
    assert found == ["stopped by SIGTERM", "flood: an answer came 3500.0 ms late, more than 3000 ms"]
