"""The ROS 2 environments that the graph tests run in; skipped, with a reason, where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.detector.tiny_model import write_tiny_model
from tests.ros.environment import (
    PIP_DISTROS,
    REPOSITORY,
    isolated,
    own_domain,
    pip_ros_tree,
    real_ros_distro,
    sourced,
)

DISTROS = (real_ros_distro(),) if real_ros_distro() else PIP_DISTROS


@pytest.fixture(scope="session")
def main_ros_environment() -> dict[str, str]:
    """The environment of a shell that sourced ros2_ws: the real ROS, or the Jazzy of the wheel."""
    setup = REPOSITORY / "ros2_ws" / "install" / "setup.bash"
    if not setup.is_file():
        pytest.skip("ros2_ws is not built: run bootstrap/ros_workspace.sh")
    return sourced(setup)


@pytest.fixture(scope="session", params=DISTROS)
def ros_environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Such an environment for each distro there is here; a workspace is built for the second one."""
    distro: str = request.param
    if distro == DISTROS[0]:
        environment: dict[str, str] = request.getfixturevalue("main_ros_environment")
        return environment
    if not pip_ros_tree(distro).is_dir():
        pytest.skip(f"ROS 2 {distro}: the isaacsim-ros2 wheel is not installed")
    workspace = tmp_path_factory.mktemp(f"{distro}_ws")
    built = subprocess.run(
        ["bash", str(REPOSITORY / "bootstrap" / "ros_workspace.sh"), "--workspace", str(workspace)],
        env={**os.environ, "PIP_ROS_DISTRO": distro, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return sourced(workspace / "install" / "setup.bash")


@pytest.fixture
def graph_environment(ros_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of each distro with a ROS domain of its own, on this machine only."""
    with own_domain() as domain:
        yield isolated(ros_environment, domain)


@pytest.fixture
def main_graph_environment(main_ros_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The same for what need not be tried on every distro."""
    with own_domain() as domain:
        yield isolated(main_ros_environment, domain)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a real ONNX network that finds red rectangles."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny", fades=True)
