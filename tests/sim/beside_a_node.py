"""A node of the package with a probe beside it: what the probe printed is the outcome."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.ros.environment import find_executable, ros_python


def outcome_beside(
    environment: dict[str, str], executable: str, parameters: tuple[str, ...], probe: str, *words: str
) -> dict[str, Any]:
    """Run ``executable`` with ``parameters`` (NAME:=VALUE) until the probe of that file name has ended.

    The node must live through all of it, and end in order when it is interrupted.
    """
    given = [word for value in parameters for word in ("-p", value)]
    node = subprocess.Popen([find_executable(environment, executable), "--ros-args", *given], env=environment)
    try:
        done = subprocess.run(
            [ros_python(environment), str(Path(__file__).with_name(probe)), *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert node.poll() is None, f"{executable} ended"
    finally:
        node.send_signal(signal.SIGINT)
        code = node.wait(20)
    assert code == 0, "an interrupted node ends in order"
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome
