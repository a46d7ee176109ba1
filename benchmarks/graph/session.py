"""Processes of the node benchmark: its ROS environment, camera and listener, and the measured node."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from graph.interruption import uninterrupted

TRAFFIC = Path(__file__).with_name("traffic.py")
STOP_TIMEOUT_S = 20.0
# By chance of its layout, glibc gives an image's memory back after each one and takes it anew: 1 ms of page
# faults, or none, in the camera's process. A camera's driver has buffers that stay.
KEEP_BUFFERS = {"MALLOC_TRIM_THRESHOLD_": "100000000", "MALLOC_MMAP_THRESHOLD_": "33554432"}


class BenchmarkError(RuntimeError):
    """The benchmark cannot go on; the message says what to do."""


def ros_environment(domain: int, rmw: str | None) -> dict[str, str]:
    """The sourced ROS 2 where it knows our package, else the checkout's workspace; DDS kept on this machine.

    Raises:
        BenchmarkError: there is neither.
    """
    environment = dict(os.environ)
    prefixes = environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    if not any((Path(prefix) / "share/palletjack_detection/package.xml").is_file() for prefix in prefixes):
        setup = Path(__file__).resolve().parents[2] / "ros2_ws/install/setup.bash"
        if not setup.is_file():
            raise BenchmarkError("no ROS 2 with palletjack_detection: run bootstrap/ros_workspace.sh")
        # $0 is the setup file, so that no path is pasted into shell text.
        command = ["bash", "-c", 'source "$0" && env -0', str(setup)]
        output = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()
        environment = dict(item.split("=", 1) for item in output.split("\0") if "=" in item)
    environment.update(
        ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST", ROS_LOCALHOST_ONLY="1", ROS_DOMAIN_ID=str(domain)
    )
    if rmw:
        environment["RMW_IMPLEMENTATION"] = rmw
    return environment


def ros_python(environment: dict[str, str]) -> str:
    """A Python that imports rclpy in ``environment``. Raises BenchmarkError where there is none."""
    for candidate in (sys.executable, shutil.which("python3", path=environment.get("PATH")) or "python3"):
        # Whether it does depends on no domain, and each node has its own.
        if _imports_rclpy(candidate, frozenset({**environment, "ROS_DOMAIN_ID": "0"}.items())):
            return candidate
    raise BenchmarkError("no Python here imports rclpy: source ROS 2, or run bootstrap/ros_workspace.sh")


@functools.cache
def _imports_rclpy(python: str, environment: frozenset[tuple[str, str]]) -> bool:
    words = [python, "-c", "import rclpy.node"]
    return subprocess.run(words, env=dict(environment), capture_output=True).returncode == 0


class Traffic:
    """Camera or listener in a process of its own; a context manager."""

    def __init__(self, environment: dict[str, str], *words: str) -> None:
        self._process = subprocess.Popen(
            [ros_python(environment), str(TRAFFIC), *words],
            env={**environment, **KEEP_BUFFERS},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C in a terminal is for the benchmark, which ends its parts itself
        )

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self._end()

    def _end(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, operation: str, **arguments: Any) -> Any:
        """Run one operation there. Raises BenchmarkError where the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"operation": operation, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise BenchmarkError(
                f"the benchmark's own process ended with {self._process.wait()}: {operation}"
            )
        return json.loads(line)


class MeasuredNode:
    """The node under test with all its child processes; a context manager."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        program = shutil.which(command[0], path=environment.get("PATH")) or command[0]
        with log.open("wb") as output:
            try:
                self._process = subprocess.Popen(
                    [program, *command[1:]],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise BenchmarkError(f"cannot start {command[0]!r}: {error}") from error

    def __enter__(self) -> MeasuredNode:
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self._end()

    def _end(self) -> None:
        # The whole session: `ros2 run` and `ros2 launch` are parents of what is measured.
        for signum in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, signum)
                self._process.wait(STOP_TIMEOUT_S)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self._process.poll()

    def check(self) -> None:
        """Raise BenchmarkError with the end of its output where the node has ended."""
        if self._process.poll() is not None:
            tail = self._log.read_text(errors="replace")[-2000:]
            raise BenchmarkError(f"the node ended with {self._process.returncode}:\n{tail}")

    def usage(self) -> tuple[float, float, float]:
        """Wall time (s), CPU time so far (s) and resident memory (MB) of the node and its children."""
        cpu = memory = 0.0
        try:
            parent = psutil.Process(self._process.pid)
            family = [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        for process in family:
            try:
                times = process.cpu_times()
                cpu += times.user + times.system
                memory += process.memory_info().rss / 1e6
            except psutil.NoSuchProcess:
                continue
        return time.perf_counter(), cpu, memory


@contextlib.contextmanager
def own_domain() -> Iterator[int]:
    """A ROS domain that no other benchmark, test or closed loop here uses; a socket is the claim."""
    for offset in range(100):
        domain = 1 + (os.getpid() + offset) % 100
        with socket.socket() as claim:
            try:
                claim.bind(("127.0.0.1", 17000 + domain))
            except OSError:
                continue
            yield domain
            return
    raise BenchmarkError("no free ROS domain id between 1 and 100")


def say(text: str) -> None:
    """Tell people what goes on; the result itself is on the standard output."""
    print(text, file=sys.stderr, flush=True)
