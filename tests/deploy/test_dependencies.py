"""What package.xml declares: held to the imports, to real keys, and to what the containers install."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.deploy.dockerfiles import DOCKER
from tests.ros.environment import PIP_DISTROS, REPOSITORY, pip_ros_tree

PACKAGE = REPOSITORY / "ros2_ws/src/palletjack_detection"
KEYS = json.loads((Path(__file__).parent / "rosdep_keys.json").read_text())["ubuntu"]
# Python modules whose package has another name.
KEY_OF_MODULE = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "PIL": "python3-pil",
    "yaml": "python3-yaml",
    "tf2_ros": "tf2_ros_py",
}
FROM_PIP = {"onnxruntime": "onnxruntime", "cjm_byte_track": "cjm-byte-track", "rosbags": "rosbags"}
# Taken where the machine has them, asked for by name, and explained where it has not.
OPTIONAL = {"tensorrt", "tensorrt_rtx", "isaac_ros_examples"}


def declared(tag: str = "exec_depend") -> set[str]:
    """Return the keys of one kind of dependency in package.xml."""
    return {str(element.text) for element in ElementTree.parse(PACKAGE / "package.xml").iter(tag)}


def imported() -> set[str]:
    """Return the top names of what the package's Python files import, without Python's and its own."""
    names: set[str] = set()
    for path in [*PACKAGE.glob("palletjack_detection/**/*.py"), *PACKAGE.glob("launch/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(str(node.module).split(".")[0])
    return names - set(sys.stdlib_module_names) - {"palletjack_detection"}


def test_every_import_is_declared() -> None:
    names = imported() - OPTIONAL
    assert {"rclpy", "tf2_ros", "cv2"} <= names
    undeclared = {name for name in names if name not in FROM_PIP} - declared()
    assert {name for name in undeclared if KEY_OF_MODULE.get(name, name) not in declared()} == set()
    listed = (DOCKER / "install" / "python-packages.txt").read_text()
    assert [name for name in names & set(FROM_PIP) if f"\n{FROM_PIP[name]}==" not in listed] == []


@pytest.mark.parametrize("distro", PIP_DISTROS)
def test_rosdep_keys_are_real(distro: str) -> None:
    """ROS keys are packages of the distribution; the others are in rosdep's list, kept as data."""
    packages = pip_ros_tree(distro) / "share/ament_index/resource_index/packages"
    if not packages.is_dir():
        pytest.skip("the isaacsim-ros2 wheel is not installed")
    known = {path.name for path in packages.iterdir()} | set(KEYS)
    assert "no_such_package" not in known
    assert (declared() | declared("test_depend")) - known == set()


@pytest.mark.parametrize("distro", PIP_DISTROS)
def test_the_containers_install_what_package_xml_declares(distro: str) -> None:
    script = DOCKER / "install" / "apt-packages.sh"
    printed = subprocess.run(
        [str(script), distro, "--print"], capture_output=True, text=True, check=True
    ).stdout
    names = set(printed.split())
    wanted = {apt for key in declared() for apt in KEYS.get(key, [f"ros-{distro}-{key.replace('_', '-')}"])}
    assert wanted - names == set()
    tools = {"python3-colcon-common-extensions", "python3-pip", "python3-venv"}
    assert names - wanted == tools


def test_debian_has_the_packages_that_are_not_of_ros() -> None:
    """The names of the system packages exist where an apt is; those of ROS are in other sources."""
    if not shutil.which("apt-cache"):
        pytest.skip("no apt on this machine")
    names = [
        line
        for path in ("apt-packages.txt",)
        for line in (DOCKER / "install" / path).read_text().splitlines()
        if line.startswith("python3-") and "colcon" not in line
    ]
    names += ["libatomic1", "libegl1", "libegl-mesa0", "libgl1", "libllvm19"]
    script = (DOCKER / "install" / "training-packages.sh").read_text()
    assert all(name in script for name in names if name.startswith("lib"))
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", *names], capture_output=True, text=True)
    if not shown.stdout:
        pytest.skip("apt has no package lists on this machine")
    found = {line.split()[1] for line in shown.stdout.splitlines() if line.startswith("Package: ")}
    assert set(names) - found == set()
