"""What every probe is: a process inside a ROS environment that does what lines of JSON ask it to.

:class:`ProbeProcess` is the handle of a test, whose own process needs no ROS. :func:`serve` and
:class:`GraphOperations` are the other side of the pipe, where rclpy can be imported.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.ros.environment import REPOSITORY


class ProbeProcess:
    """A running probe, started as ``module``; a context manager."""

    module = ""

    def __init__(self, python: str, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [python, "-m", self.module],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    def ask(self, operation: str, **arguments: Any) -> Any:
        """Run one operation of the probe's node there and return its result."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"operation": operation, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the probe ended with {self._process.wait()}"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def status(
        self, message: str = "", *, timeout: float = 10.0, name: str = "", **values: str
    ) -> dict[str, Any]:
        """Return the first new diagnostic status whose name, message and values contain the given ones."""
        result = self.ask("status", message=message, name=name, values=values, timeout=timeout)
        assert result["matched"], f"no status with {message!r} {values}; last: {result['status']}"
        status: dict[str, Any] = result["status"]
        return status


class GraphOperations:
    """Operations that every probe's node has; mixed into an rclpy Node."""

    def listen_to_diagnostics(self: Any) -> None:
        from diagnostic_msgs.msg import DiagnosticArray

        self.statuses = queue.Queue()
        self.create_subscription(DiagnosticArray, "/diagnostics", self.keep_statuses, 50)

    def keep_statuses(self: Any, message: Any) -> None:
        for status in message.status:
            self.statuses.put(status)

    def status(self: Any, message: str, name: str, values: dict[str, str], timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while not self.statuses.empty():
            self.statuses.get()
        last: dict[str, Any] = {}
        while (left := deadline - time.monotonic()) > 0:
            try:
                status = self.statuses.get(timeout=left)
            except queue.Empty:
                break
            if name not in status.name:
                continue
            last = {
                "level": int.from_bytes(status.level, "little"),
                "name": status.name,
                "message": status.message,
                "hardware_id": status.hardware_id,
                "values": {item.key: item.value for item in status.values},
            }
            if message in last["message"] and values.items() <= last["values"].items():
                return {"matched": True, "status": last}
        return {"matched": False, "status": last}

    def call(self: Any, kind: Any, name: str, request: Any, timeout: float = 30.0) -> Any:
        client = self.create_client(kind, name)
        assert client.wait_for_service(timeout), f"no service {name}"
        future = client.call_async(request)
        deadline = time.monotonic() + timeout
        while not future.done() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert future.done(), f"{name} did not answer"
        self.destroy_client(client)
        return future.result()

    def set_parameter(self: Any, node: str, name: str, value: Any) -> dict[str, Any]:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        result = self.call(SetParameters, f"{node}/set_parameters", request).results[0]
        return {"successful": result.successful, "reason": result.reason}


def corners(detection: Any) -> list[float]:
    """The box of a Detection2D: xmin, ymin, xmax, ymax."""
    box = detection.bbox
    centre, half_x, half_y = box.center.position, box.size_x / 2, box.size_y / 2
    return [centre.x - half_x, centre.y - half_y, centre.x + half_x, centre.y + half_y]


def serve(make_node: Callable[[], Any]) -> None:
    """Spin the node that ``make_node`` makes and answer the lines of the input until it ends."""
    import rclpy

    rclpy.init()
    node = make_node()
    spinner = threading.Thread(target=_spin, args=(node,))
    spinner.start()
    for line in sys.stdin:
        call = json.loads(line)
        try:
            answer = {"result": getattr(node, call.pop("operation"))(**call)}
        except Exception as error:  # told to the test, which fails with it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    rclpy.shutdown()
    spinner.join()


def _spin(node: Any) -> None:
    import rclpy
    from rclpy.executors import ExternalShutdownException

    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(node)
