"""The prefix folder that makes a ROS 2 of the wheel, and the verbs that the wheel lacks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ros.environment import (
    PIP_DISTROS,
    REPOSITORY,
    pip_ros_tree,
    real_ros_distro,
    runs,
    start_launch,
    wait_until,
)

MAKE_PREFIX = REPOSITORY / "bootstrap" / "pip_ros" / "make_prefix.py"

LAUNCH_FILE = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration

def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument("seconds", description="how long to sleep"),
        DeclareLaunchArgument("colour", default_value="red", choices=["red", "blue"], description="a colour"),
        ExecuteProcess(cmd=["sleep", LaunchConfiguration("seconds")]),
        ExecuteProcess(cmd=["sleep", LaunchConfiguration("seconds")]),
    ])
"""


def make_prefix(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(MAKE_PREFIX), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("distro", PIP_DISTROS)
def test_a_prefix_gives_an_empty_shell_a_ros_without_its_openssl(distro: str, tmp_path: Path) -> None:
    if not pip_ros_tree(distro).is_dir():
        pytest.skip("the isaacsim-ros2 wheel is not installed")
    prefix = tmp_path / "with space" / distro
    inodes = []
    for damage in (None, "nothing", "lib/librclpy_missing.so", "setup.bash"):
        if damage == "lib/librclpy_missing.so":
            (prefix / damage).symlink_to("/nonexistent")
        elif damage == "setup.bash":
            (prefix / damage).write_text("")
        made = make_prefix("--distro", distro, "--out", str(prefix))
        assert made.returncode == 0, made.stderr
        inodes.append(prefix.stat().st_ino)
    assert inodes[0] == inodes[1]  # a prefix that is right is left alone, a damaged one is made again
    assert not (prefix / "lib/librclpy_missing.so").is_symlink()
    assert [p.name for p in prefix.parent.iterdir()] == [distro]
    script = (
        f"source '{prefix}/setup.bash'; source '{prefix}/local_setup.sh'; "
        "python -c 'import os, rclpy, ssl, launch_ros, vision_msgs.msg;"
        'print(os.environ["ROS_DISTRO"], os.environ["PYTHONPATH"].count("rclpy"), rclpy.__file__);'
        'print([l.split()[-1] for l in open("/proc/self/maps") if "libcrypto" in l][0])\''
    )
    shell = subprocess.run(
        ["bash", "-c", script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert shell.returncode == 0, shell.stderr
    first, openssl = shell.stdout.splitlines()
    assert first.startswith(f"{distro} 1 {prefix}/rclpy")
    assert "isaacsim" not in openssl


def test_a_foreign_folder_is_not_touched(tmp_path: Path) -> None:
    if not pip_ros_tree("jazzy").is_dir():
        pytest.skip("the isaacsim-ros2 wheel is not installed")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    made = make_prefix("--distro", "jazzy", "--out", str(tmp_path / "mine"))
    assert made.returncode == 1
    assert "not a prefix that this script wrote" in made.stderr
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_a_missing_wheel_is_named(tmp_path: Path) -> None:
    python = getattr(sys, "_base_executable", sys.executable)  # the one that .venv was made with
    bare = subprocess.run(
        [python, "-I", str(MAKE_PREFIX), "--out", str(tmp_path / "x")],
        capture_output=True,
        text=True,
    )
    assert bare.returncode == 1
    assert "pip install --no-deps isaacsim-ros2==6.2.0.0" in bare.stderr
    assert not (tmp_path / "x").exists()


@pytest.fixture
def launch_file(tmp_path: Path) -> Path:
    path = tmp_path / "sleep.launch.py"
    path.write_text(LAUNCH_FILE)
    return path


@pytest.mark.ros
@pytest.mark.skipif(bool(real_ros_distro()), reason="a real ROS 2 has its own launch verb")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_launch_verb_ends_every_process_on_a_signal(
    main_graph_environment: dict[str, str], launch_file: Path, tmp_path: Path, signum: signal.Signals
) -> None:
    launch = start_launch(main_graph_environment, tmp_path / "log", str(launch_file), "seconds:=1234")
    children = launch.wait_for_children(2)
    assert launch.stop(signum) == 0
    wait_until(lambda: not any(map(runs, children)), 5.0, "the end of both processes")


@pytest.mark.ros
@pytest.mark.skipif(bool(real_ros_distro()), reason="a real ROS 2 has its own launch verb")
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["seconds:=0"], 0, "process started"),
        (["-s"], 0, "a colour. Valid choices are: ['red', 'blue']"),
        (["seconds:=0", "colour:=green"], 1, "colour"),
        ([], 1, "seconds"),
        (["seconds"], 1, "launch argument 'seconds': expected name:=value"),
    ],
)
def test_the_launch_verb_takes_arguments(
    main_graph_environment: dict[str, str],
    launch_file: Path,
    tmp_path: Path,
    words: list[str],
    code: int,
    message: str,
) -> None:
    launch = start_launch(main_graph_environment, tmp_path / "log", str(launch_file), *words)
    assert launch.wait() == code
    assert message in launch.text()


@pytest.mark.ros
@pytest.mark.skipif(bool(real_ros_distro()), reason="a real ROS 2 has its own launch verb")
def test_the_launch_verb_names_what_it_does_not_find(
    main_graph_environment: dict[str, str], tmp_path: Path
) -> None:
    for words, message in [
        (["no_such_package", "x.launch.py"], "package 'no_such_package'"),
        (["palletjack_detection", "no_such.launch.py"], "no launch file 'no_such.launch.py'"),
        (["./no_such.launch.py"], "expected the path of a launch file"),
    ]:
        launch = start_launch(main_graph_environment, tmp_path / "log", *words)
        assert launch.wait() == 1
        assert message in launch.text()


LIFECYCLE_NODE = """
import rclpy
from rclpy.lifecycle import LifecycleNode
rclpy.init()
rclpy.spin(LifecycleNode("managed"))
"""


@pytest.mark.ros
@pytest.mark.skipif(bool(real_ros_distro()), reason="a real ROS 2 has its own lifecycle verb")
def test_the_lifecycle_verb_reads_and_changes_states(main_graph_environment: dict[str, str]) -> None:
    def lifecycle(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ros2"), "lifecycle", *words],
            env=main_graph_environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr

    node = subprocess.Popen([sys.executable, "-c", LIFECYCLE_NODE], env=main_graph_environment)
    try:
        code, text = lifecycle("set", "/managed", "configure")
        assert (code, "successful" in text) == (0, True), text
        assert "inactive [2]" in lifecycle("get", "/managed")[1]
        assert "activate [3]: to activating" in lifecycle("list", "/managed")[1]
        code, text = lifecycle("set", "/managed", "fly")
        assert code == 1
        assert "expected a transition among" in text
        assert "/managed" in lifecycle("nodes")[1].splitlines()
    finally:
        # Not asked to end: how this bare node tears rclpy down is not what is tested here, and it may hang.
        node.kill()
        node.wait(20)


def test_ros2_without_an_environment_says_what_to_source() -> None:
    ros2 = Path(sys.executable).parent / "ros2"
    if not ros2.exists():
        pytest.skip("the ros2 command of the pip ROS is not installed")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "AMENT_PREFIX_PATH")}
    bare = subprocess.run([str(ros2), "topic", "list"], env=environment, capture_output=True, text=True)
    assert bare.returncode == 1
    assert "source" in bare.stderr
