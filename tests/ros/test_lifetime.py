"""How a node's process ends, with the real rclpy: told to while it starts, refused, or broken."""

from __future__ import annotations

import subprocess

import pytest

from tests.ros.environment import ros_python

pytestmark = pytest.mark.ros
SCRIPT = """
import os, signal, sys, time
import rclpy
from palletjack_detection.nodes.lifetime import StartupError, run_node

def told_to_end(error):
    def make():
        os.kill(os.getpid(), signal.SIGTERM)
        while rclpy.ok():
            time.sleep(0.01)
        raise error
    return make

def raises(error):
    def make():
        raise error
    return make

cases = {
    "sigterm, then a broken call": told_to_end(RuntimeError("context is not valid")),
    "sigterm, then a refusal": told_to_end(StartupError("could not be activated")),
    "a refusal": raises(StartupError("no such model")),
    "a bug": raises(RuntimeError("a bug")),
}
sys.exit(run_node(cases[sys.argv[1]]))
"""


@pytest.mark.parametrize(
    ("case", "code", "said"),
    [
        ("sigterm, then a broken call", 0, ""),
        ("sigterm, then a refusal", 0, ""),
        ("a refusal", 1, "no such model"),
        ("a bug", 1, "RuntimeError: a bug"),
    ],
)
def test_what_ends_a_node_that_starts_decides_its_exit_code(
    graph_environment: dict[str, str], case: str, code: int, said: str
) -> None:
    done = subprocess.run(
        [ros_python(graph_environment), "-c", SCRIPT, case],
        env=graph_environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert said in text
    if not code:
        assert "FATAL" not in text
        assert "Traceback" not in text
