"""The quirks of KittiWriter v0.0.2 that the reference lists, each in a fixture made by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from palletjack_sdg.dataset import Dataset, DatasetError, read_manifest
from palletjack_sdg.inspect_dataset import inspect_dataset
from palletjack_sdg.isaac_sim.kitti_writer import normalize
from palletjack_sdg.kitti import KittiFormatError, KittiObject, read_labels

ZEROS = "0.00 0.00 0.00 0.00 0.00 0.00 0.00"
TRUCK = f"palletjack 0.00 1 0.00 2.00 3.00 12.00 13.00 {ZEROS}\r\n"
CLASSES = {"palletjack": "palletjack", "pallet truck": "palletjack"}


def write_frame(camera: Path, number: int, label: str, grey: int) -> None:
    (camera / "rgb").mkdir(parents=True, exist_ok=True)
    (camera / "object_detection").mkdir(exist_ok=True)
    rgba = np.full((20, 30, 4), (grey, 10, 200, 255), dtype=np.uint8)
    cv2.imwrite(str(camera / "rgb" / f"{number}.png"), rgba)
    (camera / "object_detection" / f"{number}.txt").write_bytes(label.encode())


def test_crlf_quotes_zeros_and_rgba(tmp_path: Path) -> None:
    quoted = f'"pallet truck" 0.00 0 0.00 4.00 5.00 9.00 15.00 {ZEROS}\r\n'
    write_frame(tmp_path / "in" / "Camera", 0, TRUCK + quoted, 50)
    summary = normalize(tmp_path / "in", tmp_path / "out", CLASSES)
    assert (summary.frames, summary.objects, summary.unmapped) == (1, {"palletjack": 2}, {})
    dataset = Dataset(tmp_path / "out", "png")
    unknown = [KittiObject("palletjack", box) for box in ((2.0, 3.0, 12.0, 13.0), (4.0, 5.0, 9.0, 15.0))]
    assert read_labels(dataset.label(0)) == unknown
    assert b"\r" not in dataset.label(0).read_bytes()
    pixels = cv2.imread(str(dataset.image(0)), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert pixels.shape == (20, 30, 3)
    assert pixels[0, 0].tolist() == [50, 10, 200]


def test_unpadded_names_nested_cameras_and_restarted_numbers(tmp_path: Path) -> None:
    """Ten frames sort by number; a second render product starts at 0 again and follows the first."""
    for number in (0, 2, 10):
        write_frame(tmp_path / "in" / "rp_0" / "Camera", number, TRUCK, 10 * number)
    write_frame(tmp_path / "in" / "rp_1" / "Camera", 0, "", 200)
    normalize(tmp_path / "in", tmp_path / "out", CLASSES)
    dataset = Dataset(tmp_path / "out", "png")
    blues = [int(cv2.imread(str(dataset.image(index)))[0, 0, 0]) for index in range(4)]  # type: ignore
    assert blues == [0, 20, 100, 200]
    assert read_labels(dataset.label(3)) == []
    assert read_manifest(dataset.root)["counts"]["objects"] == {"palletjack": 3}
    assert inspect_dataset(dataset.root).problems == []


def test_unmapped_labels_are_counted_and_a_missing_mapping_is_refused(tmp_path: Path) -> None:
    write_frame(tmp_path / "a" / "Camera", 0, TRUCK + TRUCK.replace("palletjack", "cone"), 1)
    assert normalize(tmp_path / "a", tmp_path / "out", CLASSES).unmapped == {"cone": 1}
    write_frame(tmp_path / "b" / "Camera", 0, TRUCK.replace("palletjack", "cone"), 1)
    with pytest.raises(DatasetError, match=r"found only \['cone'\]"):
        normalize(tmp_path / "b", tmp_path / "other", CLASSES)
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_frame(tmp_path / "a" / "Camera", 3, TRUCK.replace("palletjack", "pallet truck"), 1)
    with pytest.raises(KittiFormatError, match=r"3\.txt:1: columns: expected 15, found 16"):
        normalize(tmp_path / "a", tmp_path / "out", CLASSES)
    (tmp_path / "a" / "Camera" / "object_detection" / "3.txt").unlink()
    with pytest.raises(DatasetError, match=r"3\.txt: expected the label"):
        normalize(tmp_path / "a", tmp_path / "out", CLASSES)
    with pytest.raises(DatasetError, match="found none"):
        normalize(tmp_path / "missing", tmp_path / "out", CLASSES)


def test_the_command_maps_labels_and_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from palletjack_cli.main import app

    write_frame(tmp_path / "in" / "Camera", 0, TRUCK.replace("palletjack", "jack"), 1)
    command = ["normalize-kitti", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--label"]
    refused = CliRunner().invoke(app, [*command, "jack"])
    assert (refused.exit_code, (tmp_path / "out").exists()) == (2, False)
    assert "expected LABEL=CLASS, found 'jack'" in refused.output
    assert CliRunner().invoke(app, [*command, "jack=palletjack"]).exit_code == 0
    assert len(read_labels(tmp_path / "out" / "labels" / "000000.txt")) == 1
