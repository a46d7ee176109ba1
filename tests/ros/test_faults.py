"""What a camera, an operator and a machine do wrong, on a real graph: the detector goes on and says so.

Floods and soaks are short by default; PALLETJACK_FLOOD_S=60 and PALLETJACK_SOAK_S=1800 run them in full.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.detector.tiny_model import write_tiny_model
from tests.ros.environment import Launch, isolated, own_domain, ros_python, start_launch, wait_until
from tests.ros.fault_probe import FaultProbe

pytestmark = [pytest.mark.ros, pytest.mark.long]

NODE = "/palletjack_detector"
DETECT = ("palletjack_detection", "detect.launch.py")
BOX = [200, 70, 330, 160]
FLOOD_S = float(os.environ.get("PALLETJACK_FLOOD_S", "5"))
SOAK_S = float(os.environ.get("PALLETJACK_SOAK_S", "10"))


class Faulty:
    """A detector brought up by the launch file, its model folder, and a camera under the test's control."""

    def __init__(self, launch: Launch, probe: FaultProbe, model: Path) -> None:
        self.launch, self.probe, self.model = launch, probe, model
        self._second = 10

    def answers(self, *, timeout: float = 10.0, stamp: tuple[int, int] | None = None) -> None:
        """One image is answered with its one box."""
        self._second += 1
        stamp = stamp or (self._second, 0)
        self.probe.ask("picture", width=641, height=359, box=BOX, stamp=stamp)
        boxes = self.probe.ask("boxes", stamp=stamp, timeout=timeout)
        assert boxes is not None, f"no answer to {stamp}\n{self.launch.text()}"
        np.testing.assert_allclose(boxes, [BOX], atol=2.0)

    def until_it_answers(self) -> None:
        """Wait for the first answer of a detector that is coming up."""
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            self._second += 1
            stamp = (self._second, 0)
            self.probe.ask("picture", width=64, height=64, box=[0, 0, 1, 1], stamp=stamp)
            if self.probe.ask("boxes", stamp=stamp, timeout=0.5) is not None:
                return
        raise AssertionError(f"no answer within 60 s\n{self.launch.text()}")

    def pid(self) -> int:
        """The detector's process."""
        (pid,) = self.launch.children()
        return pid

    def set(self, name: str, value: Any) -> dict[str, Any]:
        """Change a parameter; ``successful`` and ``reason``."""
        answer: dict[str, Any] = self.probe.ask("set_parameter", node=NODE, name=name, value=value)
        return answer


def resident_mb(pid: int) -> float:
    """Memory of a process that lies in RAM, MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1e3


@contextlib.contextmanager
def bring_up(environment: dict[str, str], folder: Path, model: Path, *words: str) -> Iterator[Faulty]:
    """A detector and its probe in a domain of their own; the launch must end in order."""
    with own_domain() as domain:
        environment = isolated(environment, domain)
        arguments = (f"model:={model}", "reliability:=reliable", *words)
        launch = start_launch(environment, folder / "launch.log", *DETECT, *arguments)
        try:
            with FaultProbe(ros_python(environment), environment) as probe:
                faulty = Faulty(launch, probe, model)
                faulty.until_it_answers()
                yield faulty
        finally:
            code = launch.stop()
        assert code == 0, launch.text()
        assert "Traceback" not in launch.text()


@pytest.fixture(scope="module")
def faulty(
    main_ros_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Faulty]:
    """One detector for all tests that leave it as they found it: it must survive them all."""
    folder = tmp_path_factory.mktemp("faulty")
    model = write_tiny_model(folder / "model")
    with bring_up(main_ros_environment, folder, model, "respawn:=false") as detector:
        yield detector


@pytest.fixture(autouse=True)
def same_process(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does, the node did not die of it."""
    if "faulty" not in request.fixturenames:
        yield
        return
    faulty: Faulty = request.getfixturevalue("faulty")
    before = faulty.pid()
    yield
    assert faulty.pid() == before


def test_a_frame_of_8k_is_answered_in_its_own_pixels(faulty: Faulty) -> None:
    box = [3000, 1000, 4200, 2200]
    faulty.probe.ask("picture", width=7680, height=4320, box=box, stamp=(1, 8))
    boxes = faulty.probe.ask("boxes", stamp=(1, 8), timeout=30.0)
    assert boxes is not None, faulty.launch.text()
    np.testing.assert_allclose(boxes, [box], atol=16.0)  # a pixel of the network is eight of these
    faulty.answers()


def test_stamps_of_zero_and_backwards_are_answered_and_kept(faulty: Faulty) -> None:
    for stamp in ((0, 0), (5000, 1), (4000, 999_999_999), (0, 0), (2_000_000_000, 5)):
        faulty.answers(stamp=stamp)
    status = faulty.probe.status("Detecting")
    assert float(status["values"]["stamp_to_publish_ms_p50"]) >= 0.0


def test_a_camera_that_is_lost_and_comes_back(faulty: Faulty) -> None:
    faulty.answers()
    faulty.probe.ask("lose_camera")
    assert faulty.probe.status("No image for", timeout=15.0)["level"] == 1
    wait_until(lambda: faulty.probe.ask("listeners") > 0, 20.0, "the detector to find the new camera")
    faulty.until_it_answers()
    faulty.answers()
    assert faulty.probe.status("Detecting")["level"] == 0


def test_two_cameras_on_one_topic_each_get_their_own_boxes(faulty: Faulty) -> None:
    wait_for_cameras(faulty, "left", "right")
    seen = faulty.probe.ask("flood", rate=15.0, seconds=2.0, width=320, height=180, cameras=["left", "right"])
    assert seen["cameras"] == ["left", "right"]
    assert seen["unknown"] == 0
    assert set(seen["boxes"]) == {1}
    assert seen["largest_error"] < 2.0
    for name in ("left", "right"):
        faulty.probe.ask("lose_camera", name=name)


def wait_for_cameras(faulty: Faulty, *names: str) -> None:
    for name in names:
        wait_until(lambda name=name: faulty.probe.ask("listeners", name=name) > 0, 20.0, name)


def test_a_flood_of_images_neither_fills_memory_nor_delays_the_newest(faulty: Faulty) -> None:
    wait_for_cameras(faulty, "camera")
    words: dict[str, Any] = {"width": 640, "height": 360, "cameras": ["camera"]}
    faulty.probe.ask("flood", rate=120.0, seconds=2.0, **words)
    before = resident_mb(faulty.pid())
    seen = faulty.probe.ask("flood", rate=120.0, seconds=FLOOD_S, **words)
    grown = resident_mb(faulty.pid()) - before
    assert grown < 8.0, f"{grown:.1f} MB more after {FLOOD_S:g} s"
    assert seen["answered"] >= 3
    assert seen["in_order"]
    assert set(seen["boxes"]) == {1}
    assert seen["largest_error"] < 2.0
    # Not a growing queue: late images are as fresh as early ones, and one waits for one other at most.
    latencies, third = seen["latencies"], max(1, len(seen["latencies"]) // 3)
    assert np.median(latencies[-third:]) < 3 * np.median(latencies[:third]) + 0.3
    assert max(latencies) < 3.0
    values = faulty.probe.status()["values"]
    assert int(values["images_dropped"]) > 0
    faulty.answers()


def broken_models(folder: Path, good: Path) -> dict[str, tuple[Path, str]]:
    """Model folders that cannot be used, and what their refusal must name."""
    names = ("corrupt", "no_network", "half_json", "other_shape", "nan")
    for name in names:
        shutil.copytree(good, folder / name)
    network, description = "model.onnx", "model.json"
    (folder / "corrupt" / network).write_bytes((good / network).read_bytes()[:500])
    (folder / "no_network" / network).unlink()
    text = (good / description).read_text()
    (folder / "half_json" / description).write_text(text[: len(text) // 2])
    (folder / "other_shape" / description).write_text(text.replace('"width": 960', '"width": 640'))
    (folder / "nan" / description).write_text(
        text.replace('"score_threshold": 0.5', '"score_threshold": NaN')
    )
    return {
        "missing": (folder / "missing", "missing"),
        "corrupt": (folder / "corrupt", network),
        "no_network": (folder / "no_network", network),
        "half_json": (folder / "half_json", description),
        "other_shape": (folder / "other_shape", "640"),
        "nan": (folder / "nan", "score_threshold"),
    }


def test_no_broken_model_takes_the_place_of_the_one_that_works(faulty: Faulty, tmp_path: Path) -> None:
    for name, (path, word) in broken_models(tmp_path, faulty.model).items():
        answer = faulty.set("model_dir", str(path))
        assert not answer["successful"], name
        assert "the old model stays" in answer["reason"], name
        assert word in answer["reason"], (name, answer["reason"])
        faulty.answers()


def test_a_model_swapped_under_the_running_node_changes_nothing_until_it_is_set(
    faulty: Faulty, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(faulty.model, kept)
    (faulty.model / "model.onnx").write_bytes(b"no network")
    (faulty.model / "model.json").write_text("{")
    faulty.answers()
    shutil.rmtree(faulty.model)
    faulty.answers()
    assert not faulty.set("model_dir", str(faulty.model))["successful"]
    faulty.answers()
    other = write_tiny_model(tmp_path / "other", width=640, height=352, changes={"name": "other"})
    assert faulty.set("model_dir", str(other))["successful"]
    faulty.answers()
    assert faulty.probe.status(model="other")["values"]["model"] == "other"
    shutil.copytree(kept, faulty.model)
    assert faulty.set("model_dir", str(faulty.model))["successful"]
    faulty.answers()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("score_threshold", 1.5),
        ("score_threshold", float("nan")),
        ("score_threshold", float("inf")),
        ("score_threshold", "high"),
        ("depth", 5),
        ("stale_after_s", -1.0),
        ("backend", "abacus"),
        ("clustering", "kmeans"),
        ("image_topic", "elsewhere"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(faulty: Faulty, name: str, value: Any) -> None:
    answer = faulty.set(name, value)
    assert not answer["successful"], answer
    assert answer["reason"]
    faulty.answers()


def test_a_soak_with_bad_images_among_the_good_leaves_memory_as_it_was(faulty: Faulty) -> None:
    wait_for_cameras(faulty, "camera")
    words: dict[str, Any] = {"rate": 10.0, "width": 640, "height": 360, "cameras": ["camera"]}
    faulty.probe.ask("flood", seconds=3.0, **words)
    before, end, answered = resident_mb(faulty.pid()), time.monotonic() + SOAK_S, 0
    while (left := end - time.monotonic()) > 0:
        answered += faulty.probe.ask("flood", seconds=min(4.0, left), **words)["answered"]
        faulty.probe.ask("nonsense")
        faulty.set("score_threshold", 2.0)
    grown = resident_mb(faulty.pid()) - before
    assert answered > SOAK_S
    assert faulty.probe.status("Images are refused")["level"] in (1, 2)
    assert grown < 5.0, f"{grown:.1f} MB more after {SOAK_S:g} s and {answered} images"
    faulty.answers()


def test_time_that_jumps_under_a_simulated_clock(
    main_ros_environment: dict[str, str], tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "model")
    words = ("use_sim_time:=true", "respawn:=false")
    with bring_up(main_ros_environment, tmp_path, model, *words) as faulty:
        pid = faulty.pid()
        for now in (100.0, 101.0, 3.0, 1e6, 0.0):
            faulty.probe.ask("set_clock", seconds=now)
            faulty.answers()
            faulty.answers(stamp=(int(now), 7))
        # Health is told by the machine's clock, which no simulation stops.
        status = faulty.probe.status("Detecting")
        assert float(status["values"]["rate_hz"]) > 0
        assert float(status["values"]["stamp_to_publish_ms_p99"]) >= 0
        assert faulty.pid() == pid


def test_a_killed_detector_comes_back_and_answers(
    main_ros_environment: dict[str, str], tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "model")
    with bring_up(main_ros_environment, tmp_path, model, "respawn:=true") as faulty:
        first = faulty.pid()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: faulty.launch.children() not in ([first], []), 20.0, faulty.launch.text())
        faulty.until_it_answers()
        faulty.answers()
