"""The repository in the `src` of somebody's workspace: colcon finds one package and builds it there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ros.environment import REPOSITORY, ros_python

pytestmark = pytest.mark.ros
COLCON = "from colcon_core.command import main; raise SystemExit(main())"


def colcon(environment: dict[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run colcon in ``folder`` as a shell with that ROS would."""
    return subprocess.run(
        [ros_python(environment), "-c", COLCON, "--log-base", str(folder / "log"), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_clone_in_a_workspace_is_one_package_and_builds(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    if subprocess.run([sys.executable, "-c", "import colcon_ros"], capture_output=True).returncode:
        pytest.skip("colcon is not installed")
    clone = tmp_path / "src" / "palletjack"
    clone.parent.mkdir()
    done = subprocess.run(
        ["git", "clone", "--quiet", "--no-hardlinks", str(REPOSITORY), str(clone)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"no git repository to clone: {done.stderr.strip()}")
    built = colcon(ros_environment, tmp_path, "build")
    assert built.returncode == 0, built.stdout + built.stderr
    found = {path.name for path in (tmp_path / "build").iterdir() if path.is_dir()}
    assert found == {"palletjack_detection"}
    share = tmp_path / "install" / "palletjack_detection" / "share" / "palletjack_detection"
    assert (share / "models" / "palletjack_lite" / "model.onnx").is_file()
    assert (share / "launch" / "detect.launch.py").is_file()
    nodes = share.parents[1] / "lib" / "palletjack_detection"
    assert {"palletjack_detector", "detection_mapper", "image_source"} <= set(os.listdir(nodes))
    shutil.rmtree(clone)  # nothing of what is installed may point back to the sources
    shown = subprocess.run(
        ["bash", "-c", "source install/setup.bash && ros2 launch palletjack_detection detect.launch.py -s"],
        cwd=tmp_path,
        env=ros_environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "image_topic" in shown.stdout, shown.stderr
