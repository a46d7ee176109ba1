"""How a node's process ends, with the real rclpy: told to while it starts, refused, or broken."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.ros.environment import ros_python

pytestmark = pytest.mark.ros
SCRIPT = """
import os, signal, sys, time
import rclpy
from rclpy.node import Node
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

def told_twice_while_it_starts():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10.0)
    except BaseException:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        print("what had begun is ended in order")
        raise

def interrupted_in_an_import():
    # What a module of pybind11 makes of an interrupt that comes while it is imported.
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10.0)
    except KeyboardInterrupt as interrupt:
        raise StartupError("initialization failed") from interrupt

class HalfMade:
    # As rclpy's executor.
    def __init__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10.0)
        self.rest = None

    def __del__(self):
        self.rest

class Broken:
    def __del__(self):
        raise RuntimeError("a destructor that fails")

def ends_with_a_broken_destructor():
    Broken()
    raise StartupError("no such model")

class SlowToShutDown:
    # rclpy's handler ends the context on a thread of its own: here between the question and our own call.
    def __init__(self):
        shutdown = rclpy.shutdown
        def later():
            shutdown()
            shutdown()
        rclpy.shutdown = later
        raise KeyboardInterrupt

class Ending(Node):
    def __init__(self):
        super().__init__("ending")
        self.exit_code = 0
        self.create_timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))

    def destroy_node(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        self.exit_code = int(sys.argv[1] == "an end that fails")
        super().destroy_node()
        print("what had begun is ended in order")

class Late:
    # Goes when Python takes its modules apart.
    def __del__(self, kill=os.kill, pid=os.getpid(), signum=signal.SIGINT):
        kill(pid, signum)

late = Late() if sys.argv[1] == "told again when all is over" else None
cases = {
    "told twice while it starts": told_twice_while_it_starts,
    "told to end in an import": interrupted_in_an_import,
    "told to end in a constructor": HalfMade,
    "a destructor that fails": ends_with_a_broken_destructor,
    "shut down twice": SlowToShutDown,
    "told again while it ends": Ending,
    "told again when all is over": Ending,
    "an end that fails": Ending,
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
        ("told twice while it starts", 0, "what had begun is ended in order"),
        ("told to end in an import", 0, ""),
        ("told to end in a constructor", 0, ""),
        ("a destructor that fails", 1, "a destructor that fails"),
        ("shut down twice", 0, ""),
        ("told again while it ends", 0, "what had begun is ended in order"),
        ("told again when all is over", 0, "what had begun is ended in order"),
        ("an end that fails", 1, "what had begun is ended in order"),
        ("a refusal", 1, "no such model"),
        ("a bug", 1, "RuntimeError: a bug"),
    ],
)
def test_what_ends_a_node_decides_its_exit_code(
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
    if not code or case == "an end that fails":
        assert "FATAL" not in text
        assert "Traceback" not in text


INTERRUPT = "os.kill(os.getpid(), signal.SIGINT); time.sleep(10)"


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (INTERRUPT, 0, ""),
        (f"try:\n  {INTERRUPT}\nexcept KeyboardInterrupt:\n  bug", 0, ""),
        ("bug", 1, "NameError"),
    ],
    ids=["an interrupt", "an interrupt that became an error", "a bug"],
)
def test_an_interrupt_while_a_node_is_imported_ends_it_in_order(
    graph_environment: dict[str, str], tmp_path: Path, body: str, code: int, said: str
) -> None:
    (tmp_path / "slow_to_import.py").write_text(f"import os, signal, time\n{body}\n")
    start = "import sys; from palletjack_detection.nodes.entry import start; "
    place = f"sys.path.insert(0, {str(tmp_path)!r}); sys.exit(start('slow_to_import'))"
    done = subprocess.run(
        [ros_python(graph_environment), "-c", start + place],
        env=graph_environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert ("Traceback" in done.stderr) == bool(code)
