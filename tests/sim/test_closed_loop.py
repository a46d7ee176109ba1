"""The whole loop in one process: it passes when it sees, fails when it is blind, and repeats exactly."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from palletjack_detection.detections import Detections
from palletjack_sim.autonomy import DirectAutonomy
from palletjack_sim.cameras import Frame
from palletjack_sim.direct import run_direct
from palletjack_sim.episode import Tick, make_episode
from palletjack_sim.model_choice import ModelChoice
from palletjack_sim.scenario import Fault, Scenario
from palletjack_sim.verdict import RunResult
from palletjack_sim.world import build_world
from tests.detector.tiny_model import write_tiny_model
from tests.sim.driving import blind, drive
from tests.sim.plain_objects import CATALOG
from tests.sim.scenarios import clear, head_on


def run(
    scenario: Scenario, out: Path, perception: str = "ground_truth", model: Path | None = None
) -> RunResult:
    return run_direct(
        scenario,
        seed=0,
        camera_quality="rasterized",
        perception=perception,
        model=None if model is None else ModelChoice(model),
        out=out,
        catalog=CATALOG,
    )


@pytest.fixture(scope="module")
def seeing_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the head-on scenario with ground truth as the detector."""
    out = tmp_path_factory.mktemp("seeing")
    run(head_on(), out)
    return out


def test_robot_that_sees_stops_before_the_truck(seeing_run: Path) -> None:
    result = RunResult.read(seeing_run / "result.json")
    assert (result.verdict, result.reasons) == ("pass", [])
    assert result.collisions == 0
    assert result.min_clearance_m is not None
    # The guard keeps 1.2 m; what it brakes better than it reckons with comes on top.
    assert 1.1 < result.min_clearance_m < 1.7
    assert result.stops == 1
    assert result.recall == 1.0
    assert result.range_error is not None
    assert result.range_error["mean_absolute_m"] < 0.2
    assert result.distance_m == pytest.approx(6.0 - 0.4 - 0.45 - result.min_clearance_m, abs=0.15)


def test_result_files_say_what_happened(seeing_run: Path) -> None:
    rows = (seeing_run / "track.csv").read_text().splitlines()
    assert len(rows) == 1 + 9 * 20 + 1
    assert rows[0].startswith("t,x,y,yaw,v,w,raw_v")
    plot = cv2.imread(str(seeing_run / "track.png"))
    assert plot.std() > 10
    names = [path.name.split("_", 1)[1] for path in sorted((seeing_run / "frames").iterdir())]
    assert names == ["start.jpg", "first_detection.jpg", "slow.jpg", "stop.jpg", "end.jpg"]
    assert not list(seeing_run.glob(".*tmp")), "no temporary file is left"


def test_blind_detector_fails_the_scenario(tmp_path: Path) -> None:
    result = blind(head_on(), tmp_path, CATALOG)
    assert result.verdict == "fail"
    assert result.collisions == 1
    assert any("1 collisions" in reason for reason in result.reasons)
    assert any("did not stand stopped" in reason for reason in result.reasons)
    assert (tmp_path / "frames").is_dir()
    assert any("collision" in name for name in result.moments)


@pytest.mark.long
def test_real_detector_on_rendered_frames_stops_the_robot(tmp_path: Path) -> None:
    """Pixels to brakes: a real ONNX model finds the red box in what the camera rendered."""
    model = write_tiny_model(tmp_path / "model", width=640, height=352)
    result = run(head_on(), tmp_path / "out", "detector", model)
    assert (result.verdict, result.reasons) == ("pass", [])
    assert result.recall is not None
    assert result.recall > 0.5
    assert result.latency_ms is not None
    assert result.latency_ms["p50"] > 0.1
    assert result.end_to_end_ms is not None
    assert result.end_to_end_ms["p50"] > result.latency_ms["p50"], "the guard comes after the network"


def test_clear_lane_is_driven_to_its_end_without_a_stop(tmp_path: Path) -> None:
    result = run(clear(), tmp_path)
    assert (result.verdict, result.reasons) == ("pass", [])
    assert result.goal_reached
    assert result.stops == 0
    assert result.min_clearance_m is None


def test_false_alarms_in_a_clear_lane_fail_it(tmp_path: Path) -> None:
    # Nearer than the robot's stop distance at half its speed: one farther off would only slow it down.
    ghost = Detections(
        np.array([[140, 60, 180, 165]], np.float32),
        np.ones(1, np.float32),
        np.zeros(1, np.int64),
        ("palletjack",),
    )
    result = drive(clear(), lambda rgb, stamp: ghost, tmp_path, CATALOG)
    assert result.verdict == "fail"
    assert any("did not reach the goal" in reason for reason in result.reasons)
    assert result.false_detections == result.frames


def test_equal_seeds_give_equal_tracks(seeing_run: Path, tmp_path: Path) -> None:
    run(head_on(), tmp_path)
    assert (tmp_path / "track.csv").read_bytes() == (seeing_run / "track.csv").read_bytes()


@pytest.mark.render
@pytest.mark.long
def test_equal_seeds_give_equal_path_traced_runs(tmp_path: Path) -> None:
    """Pixels, detections of a real network and driving: bit for bit."""
    pytest.importorskip("mitsuba", reason="the embedded renderer is not installed")
    scenario = head_on().model_copy(update={"duration": 0.4})
    model = ModelChoice(write_tiny_model(tmp_path / "model"))
    written = []
    for name in ("first", "second"):
        run_direct(
            scenario,
            seed=3,
            camera_quality="path_traced",
            perception="detector",
            model=model,
            out=tmp_path / name,
            catalog=CATALOG,
        )
        files = [tmp_path / name / "track.csv", *sorted((tmp_path / name / "frames").iterdir())]
        written.append({path.name: path.read_bytes() for path in files})
    assert len(written[0]) >= 3
    assert written[0] == written[1]


def test_camera_that_dies_half_way_stops_the_robot(tmp_path: Path) -> None:
    """No images any more: the guard must end the motion by itself and say why."""
    scenario = clear()
    world = build_world(scenario, 0, CATALOG)
    episode = make_episode(scenario, world, "rasterized", 0)
    autonomy = DirectAutonomy.for_scenario(scenario)
    ticks: list = []
    see = autonomy.image

    def image(stamp: float, frame: Frame, truth: Detections) -> Detections:
        return see(stamp, frame, truth) if stamp < 2.0 else truth

    autonomy.image = image  # type: ignore[method-assign]
    episode.run(autonomy, ticks.append)
    final = ticks[-1]
    assert final.decision.action == "stop"
    assert "no detections for" in final.decision.reason
    assert abs(final.pose.speed) < 1e-3
    assert final.pose.x < 3.5


@pytest.mark.parametrize("coming_back", [0.0, 0.5])
def test_a_fault_that_ends_is_told_once_and_frames_are_answered_again(coming_back: float) -> None:
    faults = (
        Fault(kind="camera_lost", at=1.0, until=2.0),
        Fault(kind="camera_lost", at=1.5, until=2.5),
        Fault(kind="camera_lost", at=3.5),
    )
    scenario = clear().model_copy(update={"faults": faults, "duration": 4.0})
    episode = make_episode(scenario, build_world(scenario, 0, CATALOG), "rasterized", 0)
    autonomy = DirectAutonomy.for_scenario(scenario)
    told: list[str] = []
    ticks: list[Tick] = []

    def fault_over() -> float:
        told.append(f"over at {ticks[-1].pose.stamp:.2f}")
        return coming_back

    autonomy.fault = told.append  # type: ignore[method-assign]
    autonomy.fault_over = fault_over  # type: ignore[method-assign]
    episode.run(autonomy, ticks.append)
    # The last step before: of the first that ended, another was left.
    assert told == ["camera_lost", "camera_lost", "over at 2.45", "camera_lost"]
    blind = [round(tick.sight.stamp, 3) for tick in ticks if tick.sight is not None and tick.sight.blind]
    frames = [round(tick.sight.stamp, 3) for tick in ticks if tick.sight is not None]
    expected = [stamp for stamp in frames if 1.0 <= stamp < 2.5 + coming_back or stamp >= 3.5]
    assert blind == expected
    assert len(expected) > 10


def test_result_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"scenario": "x", "surprise": 1}))
    with pytest.raises(ValueError, match=r"result\.json: expected the result of a closed-loop run"):
        RunResult.read(path)
