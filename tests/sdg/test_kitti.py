"""KITTI label files: what is written is read back, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from palletjack_sdg.kitti import (
    DONT_CARE,
    KittiFormatError,
    KittiObject,
    format_object,
    parse_object,
    read_labels,
    write_labels,
)

TRUCK = KittiObject(
    class_name="palletjack",
    box=(10.25, 20.5, 110.75, 220.0),
    truncated=0.25,
    occluded=1,
    alpha=-1.25,
    dimensions=(1.2, 0.55, 1.6),
    location=(0.5, 0.75, 4.125),
    rotation_y=1.5,
)
LINE = "palletjack 0.25 1 -1.25 10.25 20.50 110.75 220.00 1.2 0.55 1.6 0.5 0.75 4.125 1.5"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "000000.txt"
    ignored = KittiObject(DONT_CARE, (0.0, 0.0, 5.0, 5.0))
    write_labels(path, [TRUCK, ignored])
    assert read_labels(path) == [TRUCK, ignored]
    assert [len(line.split()) for line in path.read_text().splitlines()] == [15, 15]
    assert (
        path.read_text().splitlines()[1].startswith("DontCare -1.00 -1 -10.0000 0.00 0.00 5.00 5.00 -1.000")
    )


def test_no_object_gives_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "000000.txt"
    write_labels(path, [])
    assert path.read_text() == ""
    assert read_labels(path) == []


def test_columns_are_those_of_kitti() -> None:
    item = parse_object(LINE)
    assert item == TRUCK
    assert (item.width_px, item.height_px) == (100.5, 199.5)


@pytest.mark.parametrize(
    ("line", "field", "found"),
    [
        (LINE.rsplit(" ", 1)[0], "columns", "found 14"),
        ("pallet " + LINE, "columns", "must not contain a space"),
        (LINE.replace("0.25 1 ", "0.25 1.5 "), "occluded", "'1.5'"),
        (LINE.replace("0.25 1 ", "0.25 7 "), "occluded", "found 7"),
        (LINE.replace("0.25 1 ", "1.25 1 "), "truncated", "1.25"),
        (LINE.replace("10.25", "ten"), "xmin", "'ten'"),
        (LINE.replace("4.125", "nan"), "z", "nan"),
        (LINE.replace("110.75", "9.75"), "xmax", "9.75"),
        (LINE.replace("220.00", "20.50"), "ymax", "20.5"),
    ],
)
def test_a_wrong_line_names_file_line_and_field(tmp_path: Path, line: str, field: str, found: str) -> None:
    path = tmp_path / "000007.txt"
    path.write_text(f"{LINE}\n\n{line}\n")
    with pytest.raises(KittiFormatError) as caught:
        read_labels(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:3: {field}:")
    assert found in message


def test_a_class_name_with_a_space_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "000000.txt"
    write_labels(path, [TRUCK])
    wrong = KittiObject("pallet jack", TRUCK.box)
    with pytest.raises(KittiFormatError, match=r"000000.txt:2: class: .*'pallet jack'"):
        write_labels(path, [TRUCK, wrong])
    assert read_labels(path) == [TRUCK]
    assert [entry.name for entry in tmp_path.iterdir()] == ["000000.txt"]


def test_a_box_without_area_is_not_written() -> None:
    with pytest.raises(KittiFormatError, match="xmax: expected more than xmin 3"):
        format_object(KittiObject("palletjack", (3.0, 0.0, 3.0, 4.0)))


def test_a_binary_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "000000.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KittiFormatError, match=r"000000.txt: expected UTF-8"):
        read_labels(path)
