"""The steps of docker/Dockerfile, executed without a container: its COPY and RUN lines in a folder.

What needs root (apt, the user) is left out. The ROS 2 tree of the wheel, made outside of the repository,
stands for /opt/ros, and this environment's packages for those that apt would install.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import tomllib

from tests.deploy.dockerfiles import DOCKER, REPOSITORY, instructions, words_of
from tests.detector.tiny_model import write_tiny_model
from tests.ros.environment import isolated, own_domain, pip_ros_tree

INSTALL = DOCKER / "install"
NEEDS_ROOT = ("apt-packages.sh", "user.sh")


@functools.cache
def has_index() -> bool:
    """Whether pip can fetch packages here; no answer within a few seconds is none."""
    pip = [sys.executable, "-m", "pip", "--retries", "0", "--timeout", "10"]
    words = ["install", "--dry-run", "--quiet", "--no-deps", "--ignore-installed", "cjm-byte-track==0.0.6"]
    try:
        return subprocess.run([*pip, *words], capture_output=True, timeout=120).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def shell_environment(distro: str, root: Path) -> dict[str, str]:
    """Return the bare environment of a RUN line; the base image's ENV sets ROS_DISTRO."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(root / "home"),
        "ROS_DISTRO": distro,
        "PYTHON": sys.executable,
        # No byte code of modules that nothing imports, which takes pip longest; 0 is how it reads that.
        "PIP_NO_COMPILE": "0",
    }


def execute(dockerfile: Path, root: Path, distro: str) -> None:
    """Do what ``docker build`` does with the COPY and RUN lines of ``dockerfile``, below ``root``."""

    def moved(text: str) -> str:
        return text.replace("/opt/", f"{root}/opt/")

    environment = shell_environment(distro, root)
    (root / "home").mkdir()
    for step in instructions(dockerfile):
        if step.name == "COPY":
            copy = step.copy()
            for source in copy.sources:
                put(REPOSITORY / source, Path(moved(copy.target)))
        elif step.name == "RUN" and not any(name in step.value for name in NEEDS_ROOT):
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", moved(step.value)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=280,
            )
            assert done.returncode == 0, f"RUN {step.value}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
            if "python-packages.sh" in step.value:
                show_system_packages(root / "opt/palletjack/venv")


def put(source: Path, target: Path) -> None:
    """Copy a file or a folder's content, as COPY does."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        left_out = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
        shutil.copytree(source, target, symlinks=True, ignore=left_out, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def show_system_packages(environment: Path) -> None:
    """Append this test's packages to those of ``environment``, in the place of what apt would install."""
    packages = (environment / "packages").resolve()
    (packages / "system.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file system of the image with its default distribution, as far as we can make it."""
    distro = "jazzy"
    if not pip_ros_tree(distro).is_dir():
        pytest.skip(f"ROS 2 {distro}: the isaacsim-ros2 wheel is not installed")
    if not has_index():
        pytest.skip("no package index is reachable, and docker/install/python-packages.sh needs one")
    root = tmp_path_factory.mktemp(f"image_{distro}")
    prefix = root / "opt" / "ros" / distro
    make = [sys.executable, str(REPOSITORY / "bootstrap/pip_ros/make_prefix.py")]
    subprocess.run([*make, "--distro", distro, "--out", str(prefix)], check=True, timeout=60)
    execute(DOCKER / "Dockerfile", root, distro)
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.mark.long
@pytest.mark.ros
def test_the_image_detects_through_its_own_entry_point(image: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    images = tmp_path / "images"
    images.mkdir()
    picture = np.full((544, 960, 3), 90, np.uint8)
    picture[200:360, 300:460] = (0, 0, 255)
    cv2.imwrite(str(images / "one.png"), picture)
    steps = {step.name: step.value for step in instructions(DOCKER / "Dockerfile")}
    entry = [word.replace("/opt/", f"{image}/opt/") for word in words_of(steps["ENTRYPOINT"])]
    arguments = ["camera:=images", f"image_dir:={images}", f"output:={tmp_path / 'out'}", f"model:={model}"]
    with own_domain() as domain:
        environment = isolated(shell_environment("", image), domain)
        environment["PALLETJACK_SETUP"] = f"{image}/opt/palletjack/repository/ros2_ws/install/setup.bash"
        done = subprocess.run(
            [*entry, *words_of(steps["CMD"]), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["one.png"]) == 1
    node = image / "opt/palletjack/repository/ros2_ws/install/palletjack_detection/lib/palletjack_detection"
    first_line = (node / "palletjack_detector").read_text().splitlines()[0]
    # The environment's Python, not the system's, which has no ONNX Runtime.
    assert first_line.startswith(f"#!{image}/opt/palletjack/venv/bin/python")


@pytest.mark.long
def test_the_environment_keeps_to_its_list(image: Path) -> None:
    program = (
        "import numpy, onnxruntime; print(numpy.__version__, onnxruntime.__version__, onnxruntime.__file__)"
    )
    python = image / "opt/palletjack/venv/bin/python"
    shown = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=True).stdout
    numpy_version, onnxruntime_version, place = shown.split()
    assert numpy_version.startswith("1.")
    assert onnxruntime_version == "1.31.1"
    assert place.startswith(str(image))


@pytest.mark.long
def test_the_training_image_holds_the_whole_command(tmp_path: Path) -> None:
    """What Dockerfile.training copies is enough for pip to install all that `palletjack` is made of."""
    if not has_index():
        pytest.skip("no package index is reachable, and pip needs one to build the package")
    root = tmp_path / "image"
    for step in instructions(DOCKER / "Dockerfile.training"):
        if step.name == "COPY":
            for source in step.copy().sources:
                target = Path(f"{root}{step.copy().target}")
                put(REPOSITORY / source, target / source if step.value.endswith("/") else target)
    repository = root / "opt/palletjack/repository"
    packages = tmp_path / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    pip += ["--target", str(packages)]
    subprocess.run([*pip, str(repository)], check=True, timeout=200, capture_output=True)
    for name in ("sdg/palletjack_sdg", "training/palletjack_training", "cli/palletjack_cli"):
        files = {path.relative_to(REPOSITORY / name) for path in (REPOSITORY / name).rglob("*.*")}
        wanted = {path for path in files if "__pycache__" not in path.parts}
        assert {path for path in wanted if not (packages / name.split("/")[1] / path).exists()} == set()
    script = (INSTALL / "training-packages.sh").read_text()
    extras = re.findall(r"\$1\[([\w,]+)\]", script)[0].split(",")
    declared = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) <= set(declared)


def test_the_robot_takes_the_versions_that_are_tested() -> None:
    pins = (INSTALL / "python-packages.txt").read_text().splitlines()
    ours = {line.split(";")[0].strip() for line in pins if "==" in line and "<" not in line}
    tested = (REPOSITORY / "bootstrap/constraints-py312.txt").read_text().splitlines()
    assert len(ours) == 3
    assert ours - set(tested) == set()


def test_the_entry_point_names_a_missing_workspace(tmp_path: Path) -> None:
    missing = tmp_path / "setup.bash"
    done = subprocess.run(
        ["bash", str(DOCKER / "entrypoint.sh"), "true"],
        env={"PATH": "/usr/bin:/bin", "PALLETJACK_SETUP": str(missing)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert f"found no {missing}" in done.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {},
            {
                "FASTRTPS_DEFAULT_PROFILES_FILE": "{}/fastdds.xml",
                "FASTDDS_DEFAULT_PROFILES_FILE": "{}/fastdds.xml",
            },
        ),
        ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, {"CYCLONEDDS_URI": "file://{}/cyclonedds.xml"}),
        (
            {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp", "CYCLONEDDS_URI": "file:///own.xml"},
            {"CYCLONEDDS_URI": "file:///own.xml"},
        ),
        (
            {"FASTDDS_DEFAULT_PROFILES_FILE": "/own.xml"},
            {"FASTRTPS_DEFAULT_PROFILES_FILE": "/own.xml", "FASTDDS_DEFAULT_PROFILES_FILE": "/own.xml"},
        ),
        ({"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}, {}),
    ],
)  # fmt: skip
def test_the_entry_point_gives_the_middleware_its_profile(
    tmp_path: Path, given: dict[str, str], expected: dict[str, str]
) -> None:
    package = tmp_path / "install" / "palletjack_detection"
    config = package / "share" / "palletjack_detection" / "config"
    config.mkdir(parents=True)
    for name in ("fastdds.xml", "cyclonedds.xml"):
        assert (REPOSITORY / "ros2_ws/src/palletjack_detection/config" / name).is_file()
    setup = tmp_path / "setup.bash"
    setup.write_text(f"export AMENT_PREFIX_PATH={tmp_path}/other:{package}:/opt/ros/jazzy\n")
    done = subprocess.run(
        ["bash", str(DOCKER / "entrypoint.sh"), "env"],
        env={"PATH": "/usr/bin:/bin", "PALLETJACK_SETUP": str(setup), **given},
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    told = {
        name: value for name, value in found.items() if "PROFILES_FILE" in name or name == "CYCLONEDDS_URI"
    }
    assert told == {name: value.format(config) for name, value in expected.items()}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["apt-packages.sh", "kilted"], 2, "expected humble or jazzy, found 'kilted'"),
        (["python-packages.sh"], 2, "expected one folder"),
        (["workspace.sh", "a", "b"], 1, "ROS_DISTRO is not set"),
        (["workspace.sh"], 2, "expected REPOSITORY ENVIRONMENT"),
        (["training-packages.sh", "a"], 2, "expected REPOSITORY ENVIRONMENT"),
        (["user.sh", "robot"], 1, "expected NAME UID"),
    ],
)
def test_install_scripts_name_what_is_wrong(words: list[str], code: int, message: str) -> None:
    script, *arguments = words
    done = subprocess.run(
        ["bash", str(INSTALL / script), *arguments],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert message in done.stderr
