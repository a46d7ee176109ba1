"""The detector's lifecycle, its switch, and what changes while it runs, on a real graph."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ros.environment import Launch, isolated, own_domain, ros_python, start_launch, wait_until
from tests.ros.graph_probe import Probe
from tests.ros.test_detector_graph import DETECT, picture

pytestmark = pytest.mark.ros
NODE = "/palletjack_detector"


@pytest.fixture(scope="module")
def managed(
    ros_environment: dict[str, str], tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Launch, Probe]]:
    """A detector that waits for a manager, and a probe."""
    with own_domain() as domain:
        environment = isolated(ros_environment, domain)
        log = tmp_path_factory.mktemp("managed") / "launch.log"
        words = (f"model:={tiny_model}", "lifecycle:=manual", "reliability:=reliable", "respawn:=false")
        launch = start_launch(environment, log, *DETECT, *words)
        try:
            with Probe(ros_python(environment), environment) as probe:
                yield launch, probe
        finally:
            code = launch.stop()
        assert code == 0, launch.text()


def test_a_manager_takes_it_through_its_whole_life(managed: tuple[Launch, Probe]) -> None:
    _, probe = managed
    wait_until(lambda: probe.ask("state", node=NODE) == "unconfigured", 40.0, "a detector")
    assert "waiting for the transition 'configure'" in probe.status("Not configured")["message"]
    assert probe.status("Not configured", model="none")["hardware_id"] == "none"
    for _ in range(2):
        assert probe.ask("change_state", node=NODE, transition="configure")
        assert probe.status("Not active", model="tiny")["values"]["engine"] == "onnxruntime"
        assert probe.ask("listeners") == 0
        assert probe.ask("change_state", node=NODE, transition="activate")
        assert probe.ask("ready", timeout=20.0)
        assert probe.status("Detecting", model="tiny")["level"] == 0
        assert probe.ask("change_state", node=NODE, transition="deactivate")
        wait_until(lambda: probe.ask("listeners") == 0, 10.0, "the end of the subscription")
        probe.publish(picture(), (9, 9))
        assert probe.ask("detections", stamp=(9, 9), timeout=0.5) is None
        assert probe.ask("change_state", node=NODE, transition="cleanup")
        assert probe.ask("state", node=NODE) == "unconfigured"
        assert probe.status("Not configured", model="none")


def test_a_transition_that_its_state_does_not_have_is_refused_and_kills_nothing(
    managed: tuple[Launch, Probe],
) -> None:
    launch, probe = managed
    before = launch.children()
    assert not probe.ask("change_state", node=NODE, transition="activate")
    assert probe.ask("state", node=NODE) == "unconfigured"
    assert launch.children() == before


def test_a_model_that_cannot_be_loaded_leaves_it_unconfigured_and_says_why(
    managed: tuple[Launch, Probe], tiny_model: Path, tmp_path: Path
) -> None:
    _, probe = managed
    assert probe.ask("set_parameter", node=NODE, name="model_dir", value=str(tmp_path))["successful"]
    assert not probe.ask("change_state", node=NODE, transition="configure")
    status = probe.status("mend this and configure again")
    assert status["level"] == 2
    assert "model.json" in status["message"]
    assert probe.ask("set_parameter", node=NODE, name="model_dir", value=str(tiny_model))["successful"]
    assert probe.ask("change_state", node=NODE, transition="configure")
    assert probe.ask("change_state", node=NODE, transition="activate")
    assert probe.ask("ready", timeout=20.0)


def test_the_switch_stops_and_starts_the_work(managed: tuple[Launch, Probe]) -> None:
    _, probe = managed
    assert probe.ask("set_bool", name=f"{NODE}/enable", value=False) == {
        "success": True,
        "message": "disabled",
    }
    wait_until(lambda: probe.ask("listeners") == 0, 10.0, "the end of the subscription")
    assert probe.status("Disabled")["level"] == 0
    assert probe.ask("set_bool", name=f"{NODE}/enable", value=True)["message"] == "enabled"
    assert probe.ask("ready", timeout=20.0)


def test_the_filter_of_classes_is_checked_and_applied(managed: tuple[Launch, Probe]) -> None:
    _, probe = managed
    refused = probe.ask("set_parameter", node=NODE, name="classes", value=["forklift"])
    assert not refused["successful"]
    assert "expected names among palletjack; found ['forklift']" in refused["reason"]
    for value in (["palletjack"], [""]):
        assert probe.ask("set_parameter", node=NODE, name="classes", value=value)["successful"]
        probe.publish(picture(), (20, len(value[0])))
        assert len(probe.detections((20, len(value[0])))["boxes"]) == 1


def test_the_rate_is_limited_to_the_newest_images(managed: tuple[Launch, Probe]) -> None:
    _, probe = managed
    assert probe.ask("set_parameter", node=NODE, name="max_rate_hz", value=2.0)["successful"]
    probe.publish(picture(), (30, 0))
    probe.detections((30, 0))
    before = int(probe.status()["values"]["images_processed"])
    for number in range(1, 31):
        probe.publish(picture(), (30, number))
    assert probe.detections((30, 30))["boxes"]  # the newest is answered, late as it may be
    values = probe.status("No image for", timeout=15.0)["values"]
    assert 1 <= int(values["images_processed"]) - before <= 6
    assert probe.ask("set_parameter", node=NODE, name="max_rate_hz", value=0.0)["successful"]


@pytest.mark.long
def test_the_launch_file_brings_it_up_by_events_and_again_after_its_death(
    graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    words = (f"model:={tiny_model}", "lifecycle:=events", "namespace:=front", "reliability:=reliable")
    launch = start_launch(graph_environment, tmp_path / "log", *DETECT, *words)
    try:
        with Probe(ros_python(graph_environment), graph_environment) as probe:
            (first,) = launch.wait_for_children(1)
            node = "/front/palletjack_detector"
            wait_until(lambda: probe.ask("state", node=node) == "active", 40.0, launch.text())
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: launch.children() not in ([first], []), 40.0, launch.text())
            wait_until(lambda: probe.ask("state", node=node) == "active", 60.0, launch.text())
    finally:
        assert launch.stop() == 0, launch.text()
