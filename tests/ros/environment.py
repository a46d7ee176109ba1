"""Finding a ROS 2 environment for the tests, and running real processes in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PIP_DISTROS = ("jazzy", "humble")
STOP_TIMEOUT_S = 30.0


def real_ros_distro() -> str:
    """Return the distro of the ROS 2 that is sourced and not from pip, or an empty string."""
    from_pip = str(REPOSITORY / ".venv" / "ros") in os.environ.get("AMENT_PREFIX_PATH", "")
    distro = os.environ.get("ROS_DISTRO", "")
    return distro if distro and not from_pip and shutil.which("ros2") else ""


def pip_ros_tree(distro: str) -> Path:
    """Return the folder of ``distro`` in the isaacsim-ros2 wheel (it may not be there)."""
    return Path(sysconfig.get_paths()["purelib"]) / "isaacsim/exts/isaacsim.ros2.core" / distro


def sourced(setup: Path) -> dict[str, str]:
    """Return the environment after ``source setup`` in an empty shell (with a real ROS: in this one)."""
    base = dict(os.environ) if real_ros_distro() else {k: os.environ[k] for k in ("HOME",) if k in os.environ}
    base.setdefault("PATH", "/usr/bin:/bin")
    output = subprocess.run(
        ["bash", "-c", f"source '{setup}' && env -0"], env=base, capture_output=True, check=True, timeout=60
    ).stdout.decode()
    return dict(line.split("=", 1) for line in output.split("\0") if "=" in line)


def isolated(environment: dict[str, str], domain: int) -> dict[str, str]:
    """Return ``environment`` with DDS kept on this machine, in its own domain, and messages checked."""
    return {
        **environment,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOCALHOST_ONLY": "1",
        "ROS_DOMAIN_ID": str(domain),
        "ROS_PYTHON_CHECK_FIELDS": "1",
        "OMP_NUM_THREADS": "2",
    }


@contextmanager
def own_domain() -> Iterator[int]:
    """Yield a ROS domain id that no other test on this machine uses now.

    The claim is a listening socket, so that it ends with the process whatever happens to it.
    """
    start = os.getpid()
    for offset in range(100):
        domain = 1 + (start + offset) % 100
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", 17000 + domain))
        except OSError:
            claim.close()
            continue
        try:
            yield domain
        finally:
            claim.close()
        return
    raise RuntimeError("no free ROS domain id between 1 and 100")


@dataclass
class Launch:
    """A running ``ros2 launch`` and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        """Return what the launch has printed so far."""
        return self.log.read_text(errors="replace")

    def children(self) -> list[int]:
        """Return the ids of the processes that the launch started and that still run."""
        listing = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [int(word) for word in listing.stdout.split()]

    def wait_for_children(self, count: int, timeout: float = 30.0) -> list[int]:
        """Return the children once there are ``count`` of them."""
        wait_until(lambda: len(self.children()) >= count, timeout, f"{count} nodes\n{self.text()}")
        return self.children()

    def stop(self, signum: int = signal.SIGINT) -> int:
        """Send ``signum`` to the launch process alone and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.wait()

    def wait(self, timeout: float = STOP_TIMEOUT_S) -> int:
        """Wait for the launch to end and return its exit code; what is left of it is killed."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # its own session: see start_launch
            self.process.wait(10)
            raise AssertionError(f"the launch did not end within {timeout:g} s\n{self.text()}") from None


def start_launch(environment: dict[str, str], log: Path, *words: str) -> Launch:
    """Start ``ros2 launch`` with ``words`` in a session of its own, its output in ``log``."""
    command = ["ros2", "launch", *words]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [shutil.which("ros2", path=environment["PATH"]) or "ros2", *command[1:]],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Launch(process, log)


def start_node(environment: dict[str, str], log: Path, executable: str, *words: str) -> Launch:
    """Start ``ros2 run palletjack_detection executable`` with ``words``, as :func:`start_launch`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [find_executable(environment, executable), *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Launch(process, log)


def find_executable(environment: dict[str, str], name: str) -> str:
    """Return the path of a node of the package in the built workspace."""
    prefixes = environment["AMENT_PREFIX_PATH"].split(":")
    places = [Path(prefix) / "lib" / "palletjack_detection" / name for prefix in prefixes]
    found = [place for place in places if place.exists()]
    assert found, f"{name}: not in {places}"
    return str(found[0])


def runs(pid: int) -> bool:
    """Whether the process ``pid`` exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: object, timeout: float, what: str) -> None:
    """Wait until ``condition()`` is true; AssertionError naming ``what`` when it never is."""
    assert callable(condition)
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(0.05)


def probe_answers(environment: dict[str, str], probe: Path, timeout: float) -> dict[str, Any]:
    """What the script ``probe`` says, in JSON on a line after ANSWERS, when it ran in ``environment``."""
    done = subprocess.run(
        [ros_python(environment), str(probe)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS ")]
    answers: dict[str, Any] = json.loads(line.removeprefix("ANSWERS "))
    return answers


def ros_python(environment: dict[str, str]) -> str:
    """Return a Python that can import rclpy in ``environment``."""
    for candidate in (sys.executable, shutil.which("python3", path=environment["PATH"]) or "python3"):
        probe = subprocess.run([candidate, "-c", "import rclpy.node"], env=environment, capture_output=True)
        if probe.returncode == 0:
            return candidate
    raise AssertionError("no Python here can import rclpy")
