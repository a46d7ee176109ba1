"""Conversion there and back: the same boxes and classes, nothing half-written, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_sdg.convert import ConvertError, convert, detect_format
from palletjack_sdg.kitti import DONT_CARE, KittiObject, read_labels, write_labels

TRUCK = KittiObject(
    "palletjack", (10.25, 4.5, 60.75, 90.01), 0.25, 1, 0.5, (1.2, 0.55, 1.6), (0.5, 1.0, 4.0), 0.624
)
NEAR = KittiObject("palletjack", (0.0, 0.0, 120.0, 96.0), 0.4, 0)
LIFT = KittiObject("forklift", (70.0, 20.0, 119.99, 80.0), 0.0, 2)
REGION = KittiObject(DONT_CARE, (30.0, 60.0, 40.5, 70.5))
OBJECTS = {"000000": [TRUCK, LIFT, REGION], "000001": [], "000002": [NEAR]}


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    root = tmp_path / "kitti"
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for stem, objects in OBJECTS.items():
        pixels = np.full((96, 120, 3), 40 + 10 * len(objects), np.uint8)
        cv2.imwrite(str(root / "images" / f"{stem}.png"), pixels)
        write_labels(root / "labels" / f"{stem}.txt", objects)
    return root


def labels(root: Path) -> dict[str, list[KittiObject]]:
    return {path.stem: read_labels(path) for path in sorted((root / "labels").glob("*.txt"))}


def test_kitti_to_coco_and_back_keeps_every_column(kitti: Path, tmp_path: Path) -> None:
    summary = convert(kitti, tmp_path / "coco", "coco")
    assert (summary.images, summary.objects, summary.ignored, summary.lost_ignored) == (3, 3, 1, 0)
    assert detect_format(tmp_path / "coco") == "coco"
    convert(tmp_path / "coco", tmp_path / "back", "kitti")
    assert labels(tmp_path / "back") == labels(kitti)
    for path in (kitti / "images").iterdir():
        assert (tmp_path / "back" / "images" / path.name).read_bytes() == path.read_bytes()


def test_kitti_to_yolo_and_back_keeps_boxes_and_classes(kitti: Path, tmp_path: Path) -> None:
    summary = convert(kitti, tmp_path / "yolo", "yolo")
    assert (summary.ignored, summary.lost_ignored) == (1, 1)
    convert(tmp_path / "yolo", tmp_path / "back", "kitti", source_format="yolo")
    expected = {
        stem: [(item.class_name, item.box) for item in objects if item.class_name != DONT_CARE]
        for stem, objects in labels(kitti).items()
    }
    found = {
        stem: [(item.class_name, item.box) for item in objects]
        for stem, objects in labels(tmp_path / "back").items()
    }
    assert found == expected


def test_coco_says_what_its_readers_expect(kitti: Path, tmp_path: Path) -> None:
    convert(kitti, tmp_path / "coco", "coco")
    document = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert {entry["id"]: entry["name"] for entry in document["categories"]} == {
        1: "forklift",
        2: "palletjack",
    }
    assert [(entry["file_name"], entry["width"], entry["height"]) for entry in document["images"]] == [
        (f"{stem}.png", 120, 96) for stem in OBJECTS
    ]
    first = document["annotations"][0]
    assert (first["image_id"], first["category_id"], first["iscrowd"]) == (1, 2, 0)
    assert first["bbox"] == pytest.approx([10.25, 4.5, 50.5, 85.51])
    assert first["area"] == pytest.approx(50.5 * 85.51, abs=1e-3)
    # An evaluator matches by category: the region is to be ignored in each.
    crowds = [entry for entry in document["annotations"] if entry["iscrowd"]]
    assert [entry["category_id"] for entry in crowds] == [1, 2]
    assert len({entry["id"] for entry in document["annotations"]}) == len(document["annotations"])


def test_yolo_says_what_its_readers_expect(kitti: Path, tmp_path: Path) -> None:
    convert(kitti, tmp_path / "yolo", "yolo")
    content = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())
    assert content["names"] == {0: "forklift", 1: "palletjack"}
    row = (tmp_path / "yolo" / "labels" / "000002.txt").read_text().split()
    assert row[0] == "1"
    assert [float(value) for value in row[1:]] == [0.5, 0.5, 1.0, 1.0]
    assert (tmp_path / "yolo" / "labels" / "000001.txt").read_text() == ""


def test_links_share_the_file(kitti: Path, tmp_path: Path) -> None:
    convert(kitti, tmp_path / "coco", "coco", link=True)
    assert (tmp_path / "coco" / "images" / "000000.png").samefile(kitti / "images" / "000000.png")


def test_what_cannot_be_converted_is_named_and_leaves_nothing(kitti: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (kitti / "labels" / "000001.txt").write_text("palletjack 0 0\n")
    with pytest.raises(ConvertError, match=r"000001\.txt:1: columns: expected 15, found 3"):
        convert(kitti, out, "coco")
    (kitti / "labels" / "000001.txt").unlink()
    with pytest.raises(ConvertError, match=r"000001\.txt: expected the labels of 000001\.png"):
        convert(kitti, out, "coco")
    (kitti / "labels" / "000001.txt").touch()
    (kitti / "images" / "000001.png").write_bytes(b"no image")
    with pytest.raises(ConvertError, match=r"000001\.png: expected an image"):
        convert(kitti, out, "yolo")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kitti"]
    with pytest.raises(ConvertError, match="expected a new or empty folder"):
        convert(kitti, kitti, "yolo")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("annotations.json", "{", "expected COCO annotations, found"),
        ("annotations.json", '{"images": []}', "expected COCO's keys"),
        ("data.yaml", "path: .", "names: expected the classes"),
    ],
)
def test_broken_sources_are_named(tmp_path: Path, file: str, text: str, message: str) -> None:
    (tmp_path / "in" / "images").mkdir(parents=True)
    (tmp_path / "in" / file).write_text(text)
    with pytest.raises(ConvertError, match=message):
        convert(tmp_path / "in", tmp_path / "out", "kitti")


def test_a_yolo_line_that_is_wrong_is_named(kitti: Path, tmp_path: Path) -> None:
    convert(kitti, tmp_path / "yolo", "yolo")
    (tmp_path / "yolo" / "labels" / "000002.txt").write_text("7 0.5 0.5 1 1\n")
    with pytest.raises(ConvertError, match=r"000002\.txt:1: expected .* class of 0\.\.1, found '7 0\.5"):
        convert(tmp_path / "yolo", tmp_path / "back", "kitti")


def test_the_command_converts_and_reports(kitti: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["convert", str(kitti), "--to", "yolo", "--out", str(tmp_path / "y")])
    assert done.exit_code == 0
    assert "3 images, 3 objects, 1 ignored regions" in done.stdout
    assert "1 were left out" in done.output
    again = run(app, ["convert", str(kitti), "--to", "yolo", "--out", str(tmp_path / "y")])
    assert again.exit_code == 2
    assert "expected a new or empty folder" in again.output


def test_the_tao_layout_is_lower_case_shuffled_and_reversible(kitti: Path, tmp_path: Path) -> None:
    speck = KittiObject("PalletJack", (50.2, 10.0, 50.9, 40.0))
    write_labels(kitti / "labels" / "000002.txt", [NEAR, speck])
    for number in range(3, 40):
        (kitti / "labels" / f"{number:06d}.txt").touch()
        (kitti / "images" / f"{number:06d}.png").write_bytes((kitti / "images/000001.png").read_bytes())
    write_labels(kitti / "labels" / "000003.txt", [KittiObject("Forklift_B", (1.0, 2.0, 30.0, 40.0))])
    with pytest.raises(ConvertError, match="TAO lower-cases them"):
        convert(kitti, tmp_path / "tao", "tao")
    write_labels(kitti / "labels" / "000002.txt", [NEAR, KittiObject("palletjack", speck.box)])
    summary = convert(kitti, tmp_path / "tao", "tao")
    assert (summary.images, summary.objects, summary.ignored, summary.lost_tiny) == (40, 4, 1, 1)
    assert not (tmp_path / ".tao").exists()
    names = json.loads((tmp_path / "tao" / "tao_names.json").read_text())["names"]
    old_order = [names[path.name] for path in sorted((tmp_path / "tao" / "images").iterdir())]
    assert sorted(old_order) == [f"{number:06d}.png" for number in range(40)]
    # The first tenth, which TAO would validate on, is not the first tenth of the sequence.
    assert set(old_order[:4]) != {f"{number:06d}.png" for number in range(4)}
    classes = {
        item.class_name for path in (tmp_path / "tao" / "labels").iterdir() for item in read_labels(path)
    }
    assert classes == {"palletjack", "forklift", "forklift_b", "dontcare"}
    assert detect_format(tmp_path / "tao") == "tao"
    convert(tmp_path / "tao", tmp_path / "back", "kitti")
    write_labels(kitti / "labels" / "000002.txt", [NEAR])
    assert labels(tmp_path / "back") == labels(kitti)


def test_the_tao_layout_takes_one_image_extension(kitti: Path, tmp_path: Path) -> None:
    (kitti / "images" / "000001.png").rename(kitti / "images" / "000001.jpg")
    with pytest.raises(ConvertError, match=r"TAO takes one extension.*\.jpg, \.png"):
        convert(kitti, tmp_path / "tao", "tao")
    assert not (tmp_path / "tao").exists()


def test_images_of_one_name_in_several_folders_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / "set" / "images" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "set" / "images" / folder / "0.png"), np.zeros((8, 8, 3), np.uint8))
    images = [
        {"id": n, "file_name": f"{folder}/0.png", "width": 8, "height": 8} for n, folder in enumerate("ab")
    ]
    document = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "palletjack"}]}
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(document))
    with pytest.raises(
        ConvertError, match=r"b/0.png: expected a name that no other image has, found .*a/0.png"
    ):
        convert(tmp_path / "set", tmp_path / "out", "kitti")
    assert not (tmp_path / "out").exists()


def test_pycocotools_reads_and_scores_what_is_written(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    for name in ("images", "labels"):
        (tmp_path / "set" / name).mkdir(parents=True)
    box, ignored = (10.0, 8.0, 60.0, 70.5), (70.0, 10.0, 110.0, 50.0)
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"set/images/{index}.png"), np.zeros((96, 128, 3), np.uint8))
        objects = [KittiObject("palletjack", box), KittiObject("DontCare", ignored)]
        write_labels(tmp_path / f"set/labels/{index}.txt", objects)
    convert(tmp_path / "set", tmp_path / "coco", "coco")
    truth = COCO(str(tmp_path / "coco" / "annotations.json"))
    (category,) = truth.getCatIds(catNms=["palletjack"])
    found = [
        {"image_id": image, "category_id": category, "score": score, "bbox": [x, y, x2 - x, y2 - y]}
        for image in truth.getImgIds()
        # What lies in the ignored region is no false alarm, whatever its score.
        for score, (x, y, x2, y2) in ((0.9, ignored), (0.8, box))
    ]
    evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)
