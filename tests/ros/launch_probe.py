"""The handle on expand_launch.py, and a folder of packages that are not installed here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.ros.environment import REPOSITORY

LAUNCH_FOLDER = REPOSITORY / "ros2_ws" / "src" / "palletjack_detection" / "launch"


class LaunchExpander:
    """A running expand_launch.py; a context manager."""

    def __init__(self, python: str, environment: dict[str, str]) -> None:
        script = Path(__file__).with_name("expand_launch.py")
        self._process = subprocess.Popen(
            [python, str(script)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> LaunchExpander:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def expand(self, file: str, **arguments: str) -> dict[str, Any]:
        """Return what ``file`` starts with the given arguments, or its error."""
        return self._ask({"file": str(LAUNCH_FOLDER / file), "arguments": arguments})

    def fragment(self, file: str, name: str, specs: dict[str, Any]) -> dict[str, Any]:
        """Return what the launch fragment ``name`` of ``file`` gives for ``specs``."""
        return self._ask({"file": str(LAUNCH_FOLDER / file), "fragment": name, "arguments": specs})

    def _ask(self, call: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            if line.startswith("ANSWER "):
                answer: dict[str, Any] = json.loads(line.removeprefix("ANSWER "))
                return answer
        raise AssertionError(f"expand_launch.py ended with {self._process.wait()}")


def with_packages(environment: dict[str, str], prefix: Path, packages: dict[str, str]) -> dict[str, str]:
    """Return ``environment`` in which the ament index also knows ``packages`` (name: version)."""
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True, exist_ok=True)
    for name, version in packages.items():
        (index / name).write_text("")
        share = prefix / "share" / name / "launch"
        share.mkdir(parents=True, exist_ok=True)
        manifest = f'<package format="3"><name>{name}</name><version>{version}</version></package>'
        (share.parent / "package.xml").write_text(manifest)
    return {**environment, "AMENT_PREFIX_PATH": f"{prefix}:{environment['AMENT_PREFIX_PATH']}"}
