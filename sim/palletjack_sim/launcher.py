"""Starts closed_loop.launch.py in a ROS 2 environment and reads the verdict that it leaves behind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from palletjack_sim.model_choice import ModelChoice
from palletjack_sim.run import RESULT_FILE
from palletjack_sim.verdict import RunResult

PACKAGE, LAUNCH_FILE = "palletjack_detection", "closed_loop.launch.py"
# DDS ports of higher domains collide with the ports that Linux hands out.
DOMAINS = range(1, 101)
CLAIM_PORT = 17000
STOP_TIMEOUT_S = 20.0
BAG_FOLDER = "bag"


class RosMissing(RuntimeError):
    """No ROS 2 with our package was found; the message says what to run."""


@dataclass(frozen=True)
class LoopRequest:
    """One run. ``model`` None: the shipped one. ``duration`` None: the scenario's."""

    scenario: str
    seed: int
    camera_quality: str
    perception: str
    model: ModelChoice | None
    duration: float | None
    out: Path
    record: bool = False

    def launch_arguments(self) -> list[str]:
        """Arguments of the launch file; paths are absolute."""
        words = {
            "scenario": self.scenario,
            "seed": str(self.seed),
            "camera_quality": self.camera_quality,
            "perception": self.perception,
            "output": str(self.out.resolve()),
            "python": sys.executable,
        }
        if self.model is not None and self.model.folder is not None:
            words["model"] = str(self.model.folder.resolve())
        if self.model is not None and self.model.precision != "auto":
            words["precision"] = self.model.precision
        if self.model is not None and self.model.score_threshold is not None:
            words["score_threshold"] = str(self.model.score_threshold)
        if self.duration is not None:
            words["duration"] = str(self.duration)
        if self.record:
            words["record_to"] = str((self.out / BAG_FOLDER).resolve())
        return [f"{name}:={value}" for name, value in words.items()]


def ros_command(words: list[str]) -> list[str]:
    """Return the command line that runs ``ros2`` with ``words`` where our package is known.

    The sourced environment is used where it has the package, else the checkout's built workspace. Raises
    RosMissing where there is neither.
    """
    if shutil.which("ros2") and _package_is_sourced():
        return ["ros2", *words]
    setup = Path(__file__).resolve().parents[2] / "ros2_ws" / "install" / "setup.bash"
    if not setup.is_file():
        raise RosMissing(
            f"no ROS 2 environment with {PACKAGE}: build it with bootstrap/ros_workspace.sh, or source the "
            "workspace that has it; --graph direct runs without ROS"
        )
    # $0 is the setup file, so that no path is ever pasted into shell text.
    return ["bash", "-c", 'source "$0" && exec ros2 "$@"', str(setup), *words]


def run_in_ros(request: LoopRequest) -> RunResult:
    """Run one closed loop in the ROS graph and return its result.

    Raises:
        RosMissing: no environment.
        RuntimeError: the launch ended without a result.
    """
    result_file = request.out / RESULT_FILE
    # What an earlier run left must not be taken for this one's.
    result_file.unlink(missing_ok=True)
    if request.record:
        shutil.rmtree(request.out / BAG_FOLDER, ignore_errors=True)
    request.out.mkdir(parents=True, exist_ok=True)
    command = ros_command(["launch", PACKAGE, LAUNCH_FILE, *request.launch_arguments()])
    with _own_domain() as domain:
        environment = {
            **os.environ,
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_LOCALHOST_ONLY": "1",
            "ROS_DOMAIN_ID": str(domain),
        }
        process = subprocess.Popen(command, env=environment)
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # The terminal interrupted the launch as well; it ends its nodes.
            process.wait(STOP_TIMEOUT_S)
            raise
    if not result_file.is_file():
        raise RuntimeError(f"the launch ended with exit code {code} and left no {result_file}")
    return RunResult.read(result_file)


def _package_is_sourced() -> bool:
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return any((Path(prefix) / "share" / PACKAGE / "launch" / LAUNCH_FILE).is_file() for prefix in prefixes)


@contextmanager
def _own_domain() -> Iterator[int]:
    """Yield a ROS domain that no other closed loop on this machine uses; ROS_DOMAIN_ID is respected.

    Two loops in one domain would hear each other's clock. The claim is a listening socket: it ends with the
    process.
    """
    if given := os.environ.get("ROS_DOMAIN_ID"):
        yield int(given)
        return
    for offset in range(len(DOMAINS)):
        domain = DOMAINS[(os.getpid() + offset) % len(DOMAINS)]
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", CLAIM_PORT + domain))
        except OSError:
            claim.close()
            continue
        try:
            yield domain
        finally:
            claim.close()
        return
    raise RuntimeError(f"all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are in use on this machine")
