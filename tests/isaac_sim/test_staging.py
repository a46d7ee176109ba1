"""The plan's numbers set by Replicator's functional API, held to stages that are written by USD alone."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from palletjack_sdg.isaac_sim.app import IsaacSimError
from palletjack_sdg.isaac_sim.releases import load_releases
from palletjack_sdg.isaac_sim.staging import choose_staging, euler_degrees
from tests.isaac_sim.show_on_stage import FRAMES, FRAMES_ON_A_STAGE
from tests.isaac_sim.test_surroundings import write_hall

pytest.importorskip("pxr")

ROOT = Path(__file__).parents[2]
FUNCTIONAL = "omni.replicator.core.functional."


def test_functional_frames_are_those_of_stages_of_their_own(tmp_path: Path) -> None:
    hall = write_hall(tmp_path / "hall.usda", light=False)
    words = [sys.executable, "-m", "tests.isaac_sim.show_on_stage", str(tmp_path), hall]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert len(report["frames"]) == FRAMES
    for frame in report["frames"]:
        assert frame["differences"] == []
        assert frame["prims"] > 500
        # Nothing of a frame is left for the next.
        assert frame["left"] == ["/World/Environment"]
    assert report["folders"] == []
    calls = report["calls"]
    opened = math.ceil(FRAMES / FRAMES_ON_A_STAGE)
    assert sum(name.endswith("stage.open_stage") for name in calls) == opened
    assert calls.count(FUNCTIONAL + "create.reference") == FRAMES
    for name in ("position", "rotation", "attribute", "material"):
        assert calls.count(f"{FUNCTIONAL}modify.{name}") > 50
    assert not [name for name in calls if "randomizer" in name or "distribution" in name or "seed" in name]


@pytest.mark.parametrize(
    "angles", [(10.0, -20.0, 130.0), (-170.0, 5.0, 0.0), (30.0, 90.0, 0.0), (30.0, -90.0, 0.0)]
)
def test_turns_about_x_then_y_then_z(angles: tuple[float, float, float]) -> None:
    found = euler_degrees(turned(angles))
    np.testing.assert_allclose(turned(found), turned(angles), atol=1e-9)


def turned(angles: tuple[float, float, float]) -> np.ndarray:
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians(angles)), np.sin(np.radians(angles))
    pose = np.eye(4)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    pose[:3, :3] = about_z @ about_y @ about_x
    return pose


def test_the_release_chooses() -> None:
    releases = {release.name: release for release in load_releases()}
    assert choose_staging(None, releases["6"]) == "functional"
    assert choose_staging("stages", releases["6"]) == "stages"
    for name in ("4.5", "5"):
        assert choose_staging(None, releases[name]) == "stages"
        with pytest.raises(IsaacSimError, match="--staging functional: expected Isaac Sim 6 or newer"):
            choose_staging("functional", releases[name])
