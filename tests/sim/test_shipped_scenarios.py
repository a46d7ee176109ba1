"""Every shipped scenario, in one process with ground truth as the detector."""

from __future__ import annotations

from pathlib import Path

import pytest

from palletjack_sim.direct import run_direct
from palletjack_sim.scenario import Scenario, load_scenario, shipped_scenarios
from tests.sim.driving import blind

QUICK_CAMERA = {"width": 224, "height_px": 126, "rate_hz": 4.0}
# By then the robot has stood for a while.
STANDS_BY_S = {
    "head_on": 9.0,
    "from_the_side": 9.0,
    "half_hidden_by_rack": 9.0,
    "forks_in_pallet": 9.0,
    "wet_floor": 10.0,
    "dark_aisle": 11.0,
    "against_the_light": 11.0,
    "row_of_trucks": 12.0,
    "camera_lost": 7.0,
    "detector_killed": 7.0,
}
# Those whose verdict hangs on a pallet truck in the way.
WITH_A_TRUCK_IN_THE_WAY = ("head_on", "wet_floor", "pulled_across")


def quick(name: str) -> Scenario:
    """The scenario with a small camera and less standing at its end; what is asked of it stays."""
    scenario = load_scenario(name)
    duration = min(scenario.duration, STANDS_BY_S.get(name, scenario.duration))
    camera = scenario.camera.model_copy(update=QUICK_CAMERA)
    return scenario.model_copy(update={"camera": camera, "duration": duration})


def test_fourteen_scenarios_are_shipped() -> None:
    assert len(shipped_scenarios()) >= 14


@pytest.mark.long
@pytest.mark.parametrize("name", shipped_scenarios())
def test_seeing_robot_passes(name: str, tmp_path: Path) -> None:
    result = run_direct(
        quick(name),
        seed=0,
        camera_quality="rasterized",
        perception="ground_truth",
        model=None,
        out=tmp_path,
    )
    assert (result.verdict, result.reasons) == ("pass", [])
    assert result.collisions == 0
    assert result.false_stops == 0


@pytest.mark.long
@pytest.mark.parametrize("name", WITH_A_TRUCK_IN_THE_WAY)
def test_blind_robot_fails(name: str, tmp_path: Path) -> None:
    result = blind(quick(name), tmp_path)
    assert result.verdict == "fail"
    assert result.collisions >= 1
    assert result.recall == 0.0
