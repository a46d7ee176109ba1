"""Boxes of an Isaac ROS decoder back in camera pixels, against the detector library."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from palletjack_detection.decode import decode_hot_cells
from palletjack_detection.detections import Detections
from palletjack_detection.detector import Detector
from palletjack_detection.mapper_health import MapperHealth
from palletjack_detection.network_boxes import NetworkBoxMapper
from palletjack_detection.preprocess import fit_image
from tests.ros.environment import isolated, own_domain, ros_python, start_node
from tests.ros.graph_probe import Probe
from tests.ros.test_detector_graph import picture

SIZES = ((640, 480), (1280, 720), (1920, 1200), (333, 777))


def stretched(tiny_model: Path, folder: Path) -> Path:
    """Write the tiny model as one that stretches its images."""
    shutil.copytree(tiny_model, folder)
    document = json.loads((folder / "model.json").read_text())
    document["input"]["resize"] = "stretch"
    (folder / "model.json").write_text(json.dumps(document))
    return folder


def raw_boxes(detector: Detector, rgb: NDArray[np.uint8]) -> Detections:
    """Return what NVIDIA's decoder publishes without clustering: one box for each hot cell."""
    spec = detector.spec
    batch, _ = detector.prepare(rgb)
    coverage, boxes = detector.engine.run(batch)
    cells = decode_hot_cells(
        coverage[0],
        boxes[0],
        coverage_threshold=spec.clustering.coverage_threshold,
        stride=spec.stride,
        box_scale=spec.box_scale,
        box_offset=spec.box_offset,
    )
    return Detections(cells.boxes, cells.coverage, cells.class_ids, spec.classes)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_the_mapping_is_that_of_the_detector(
    tiny_model: Path, tmp_path: Path, resize: str, size: tuple[int, int]
) -> None:
    model = tiny_model if resize == "letterbox" else stretched(tiny_model, tmp_path / "model")
    detector = Detector.load(model)
    rgb = picture(width=size[0], height=size[1])
    raw = raw_boxes(detector, rgb)
    assert len(raw) > 1  # so that clustering has something to do
    found = NetworkBoxMapper(detector.spec, detector.spec.score_threshold).map(raw, *size)
    expected = detector.detect(rgb)
    assert len(expected) == 1
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_boxes_that_are_not_finite_inside_out_or_of_another_class_are_left_out(tiny_model: Path) -> None:
    spec = Detector.load(tiny_model).spec
    boxes = np.array([[10, 10, 90, 90], [np.nan, 0, 9, 9], [50, 50, 40, 60], [10, 10, 90, 90]], np.float32)
    given = Detections(boxes, np.full(4, 0.9, np.float32), np.array([0, 0, 0, 1]), ("palletjack", "forklift"))
    found = NetworkBoxMapper(spec, 0.5, clustered=True).map(given, spec.input.width, spec.input.height)
    np.testing.assert_allclose(found.boxes, boxes[:1])
    with pytest.raises(ValueError, match="at least 1x1, found 0x5"):
        NetworkBoxMapper(spec, 0.5).map(given, 0, 5)


def test_the_health_tells_a_silent_camera_from_a_silent_graph() -> None:
    now = [0.0]
    health = MapperHealth(2.0, clock=lambda: now[0])
    assert (health.judge().level, health.judge().message) == (0, "Waiting for the Isaac ROS graph")
    now[0] = 3.0
    assert "No camera_info" in health.judge().message
    health.camera_info_received()
    assert "camera_info arrives and no boxes" in health.judge().message
    assert health.judge().level == 2
    health.boxes_mapped()
    assert health.judge().message == "Detecting"
    health.boxes_refused("another size")
    assert (health.judge().level, health.judge().message) == (2, "another size")


@pytest.fixture(scope="module", params=["letterbox", "stretch"])
def mapper(
    request: pytest.FixtureRequest,
    ros_environment: dict[str, str],
    tiny_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Probe, Detector]]:
    """The mapper on a real graph, and the detector that it must agree with."""
    folder = tmp_path_factory.mktemp("mapper")
    model = tiny_model if request.param == "letterbox" else stretched(tiny_model, folder / "model")
    with own_domain() as domain:
        environment = isolated(ros_environment, domain)
        words = ("--ros-args", "-p", f"model_dir:={model}")
        node = start_node(environment, folder / "log", "detection_mapper", *words)
        try:
            with Probe(ros_python(environment), environment) as probe:
                assert probe.ask("mapper_listens", timeout=40.0), node.text()
                yield probe, Detector.load(model)
        finally:
            code = node.stop()
        assert code == 0, node.text()


@pytest.mark.ros
def test_cells_of_the_decoder_become_the_boxes_of_the_detector(mapper: tuple[Probe, Detector]) -> None:
    probe, detector = mapper
    for number, (width, height) in enumerate(SIZES):
        rgb = picture(width=width, height=height)
        raw = raw_boxes(detector, rgb)
        probe.ask("publish_camera_info", width=width, height=height)
        probe.status("", timeout=5.0)  # camera_info and boxes come by separate topics: let the first arrive
        stamp, frame = (10 + number, 5), "" if number == 0 else "decoder"
        probe.ask(
            "publish_boxes",
            stamp=stamp,
            frame_id=frame,
            boxes=raw.boxes.tolist(),
            scores=raw.scores.tolist(),
            name="palletjack",
        )
        message, expected = probe.detections(stamp), detector.detect(rgb)
        np.testing.assert_allclose(message["boxes"], expected.boxes, atol=1e-3)
        np.testing.assert_allclose(message["scores"], expected.scores, atol=1e-6)
        assert message["classes"] == ["palletjack"]
        assert message["frame_id"] == (frame or "front_optical")
        assert message["headers"] == [list(stamp)]


@pytest.mark.ros
def test_boxes_are_kept_down_to_the_lower_threshold_as_by_the_detector(
    mapper: tuple[Probe, Detector],
) -> None:
    probe, _ = mapper
    probe.ask("publish_camera_info", width=640, height=480)
    probe.status("", timeout=5.0)
    tenth = 100_000_000
    for number, (score, count) in enumerate([(0.4, 0), (0.6, 1), (0.4, 1), (0.2, 0), (0.4, 0)]):
        stamp = (30, number * tenth)
        box = [100.0 + 10 * number, 100.0, 300.0 + 10 * number, 250.0]
        probe.ask("publish_boxes", stamp=stamp, frame_id="c", boxes=[box], scores=[score], name="palletjack")
        assert len(probe.detections(stamp)["boxes"]) == count, (score, count)


@pytest.mark.ros
def test_another_size_than_the_graph_was_set_up_for_is_refused(
    main_graph_environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    words = (
        "--ros-args",
        "-p",
        f"model_dir:={tiny_model}",
        "-p",
        "image_width:=640",
        "-p",
        "image_height:=480",
    )
    node = start_node(main_graph_environment, tmp_path / "log", "detection_mapper", *words)
    try:
        with Probe(ros_python(main_graph_environment), main_graph_environment) as probe:
            assert probe.ask("mapper_listens", timeout=40.0), node.text()
            size = {"stamp": (1, 0), "frame_id": "c", "boxes": [[10.0, 10.0, 90.0, 90.0]], "scores": [0.9]}
            probe.ask("publish_camera_info", width=1280, height=720)
            probe.status("no boxes", timeout=15.0)
            probe.ask("publish_boxes", **size, name="palletjack")
            status = probe.status("expected 640x480, which the graph was set up for, found 1280x720")
            assert status["level"] == 2
            assert probe.ask("detections", stamp=(1, 0), timeout=0.2) is None
            # The full resolution, as camera_info has it, of a sensor whose images are binned to that size.
            probe.ask("publish_camera_info", width=1280, height=960, binning=2)
            probe.status("", timeout=5.0)
            probe.ask("publish_boxes", **{**size, "stamp": (2, 0)}, name="palletjack")
            probe.status("Detecting")
    finally:
        assert node.stop() == 0, node.text()


def test_the_geometry_is_the_same_for_the_graph_and_for_the_way_back(tiny_model: Path) -> None:
    spec = Detector.load(tiny_model).spec
    for width, height in SIZES:
        geometry, content = fit_image(width, height, spec.input)
        corners = np.array([[0, 0, width, height]], np.float64)
        box = geometry.to_network(corners)[0]
        assert (box[2] - box[0], box[3] - box[1]) == pytest.approx(content)
        np.testing.assert_allclose(geometry.to_image(box), corners, atol=1e-9)
