"""The parts of the nodes that need no ROS: the slot, the health report, the log, the shipped model."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from palletjack_detection.detections import Detections
from palletjack_detection.health import ERROR, OK, WARN, DetectorHealth
from palletjack_detection.newest_slot import NewestSlot
from palletjack_detection.prediction_log import PredictionLog
from palletjack_detection.shipped_model import find_shipped_model


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_newest_item_replaces_the_one_not_yet_taken() -> None:
    slot: NewestSlot[int] = NewestSlot()
    assert slot.put(1) is False
    assert slot.put(2) is True
    assert slot.take() == 2
    assert slot.put(3) is False


def test_closing_the_slot_wakes_a_waiting_consumer() -> None:
    slot: NewestSlot[int] = NewestSlot()
    taken: list[int | None] = []
    consumer = threading.Thread(target=lambda: taken.append(slot.take()))
    consumer.start()
    slot.close()
    consumer.join(timeout=5.0)
    assert not consumer.is_alive()
    assert taken == [None]


def test_health_goes_from_waiting_to_detecting_to_stale() -> None:
    clock = Clock()
    health = DetectorHealth(stale_after_s=2.0, clock=clock)
    assert health.report().level == OK
    clock.now += 3
    assert health.report().level == WARN
    assert "No image in 3 s" in health.report().message
    for _ in range(20):
        clock.now += 0.1
        health.image_received(replaced_another=False)
        health.image_processed({"inference_ms": 5.0})
    report = health.report()
    assert (report.level, report.message) == (OK, "Detecting")
    assert dict(report.values)["rate_hz"] == "4.00"  # 20 images in the 5 s since the start
    clock.now += 2.5
    assert health.report().level == WARN
    assert "No image for" in health.report().message
    clock.now += 10
    assert dict(health.report().values)["rate_hz"] == "0.00"


def test_refusals_are_counted_by_reason_and_shown_for_a_while() -> None:
    clock = Clock()
    health = DetectorHealth(stale_after_s=60.0, clock=clock)
    health.image_received(replaced_another=False)
    health.image_refused("zero size", "found 0x0")
    assert health.report().level == ERROR  # nothing but refusals: the robot is blind
    health.image_processed({})
    health.image_refused("wrong step", "found 3")
    report = health.report()
    assert report.level == WARN
    assert "found 3" in report.message
    values = dict(report.values)
    assert (values["images_refused"], values["images_refused: zero size"]) == ("2", "1")
    clock.now += 6
    assert health.report().level == OK
    assert dict(health.report().values)["last_refusal"] == "found 3"


def test_a_failing_network_is_an_error() -> None:
    health = DetectorHealth(stale_after_s=60.0, clock=Clock())
    health.detection_failed("out of memory")
    assert health.report().level == ERROR
    assert "out of memory" in health.report().message


def test_latency_percentiles() -> None:
    health = DetectorHealth(stale_after_s=60.0, clock=Clock())
    for value in range(101):
        health.image_processed({"inference_ms": float(value)})
    values = dict(health.report().values)
    assert (values["inference_ms_p50"], values["inference_ms_p99"]) == ("50.00", "99.00")


def test_the_log_keeps_names_boxes_and_what_was_skipped(tmp_path: Path) -> None:
    log = PredictionLog()
    boxes = np.array([[1.5, 2.0, 3.25, 4.0], [5, 6, 7, 8]], np.float32)
    scores = np.array([0.75, 0.5], np.float32)
    log.add("b.png", Detections(boxes, scores, np.zeros(2, np.int64), ("palletjack",)), 12.5)
    empty = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), ())
    log.add("a.png", empty, 7.5)
    log.skip("c.png", "truncated")
    log.write(tmp_path / "new")
    predictions = json.loads((tmp_path / "new" / "predictions.json").read_text())
    assert predictions == {"b.png": [[1.5, 2.0, 3.25, 4.0, 0.75], [5, 6, 7, 8, 0.5]], "a.png": []}
    latency = json.loads((tmp_path / "new" / "latency.json").read_text())
    assert latency["publish_to_detections_ms"]["p50"] == 10.0
    assert latency["skipped"] == {"c.png": "truncated"}
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["latency.json", "predictions.json"]


def test_the_shipped_model_is_found_in_the_repository_first_then_in_share(tmp_path: Path) -> None:
    share, launch_file = tmp_path / "share", tmp_path / "repository" / "a" / "b" / "detect.launch.py"
    with pytest.raises(FileNotFoundError, match="expected the shipped palletjack_lite"):
        find_shipped_model(share, start=launch_file)
    installed = share / "models" / "palletjack_lite"
    installed.mkdir(parents=True)
    (installed / "model.json").write_text("{}")
    assert find_shipped_model(share, start=launch_file) == installed
    in_repository = tmp_path / "repository" / "models" / "palletjack_lite"
    in_repository.mkdir(parents=True)
    (in_repository / "model.json").write_text("{}")
    assert find_shipped_model(share, start=launch_file) == in_repository
