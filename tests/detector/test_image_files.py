"""Folders of images in which some files are damaged, and boxes drawn on images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from palletjack_detection.detections import Detections
from palletjack_detection.drawing import CLASS_COLOURS, draw_detections
from palletjack_detection.image_files import ImageFileError, list_images, read_image, read_images


def picture(width: int = 64, height: int = 48) -> np.ndarray:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x * 4 % 256, y * 5 % 256, (x + y) * 2 % 256], axis=2).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("c.png", "a.jpg", "b.bmp"):
        Image.fromarray(picture()).save(tmp_path / name, quality=95)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def test_images_come_sorted_and_in_rgb(folder: Path) -> None:
    files = list(read_images(list_images(folder)))
    assert [f.path.name for f in files] == ["a.jpg", "b.bmp", "c.png"]
    assert [f.error for f in files] == ["", "", ""]
    for file, tolerance in zip(files, (20, 0, 0), strict=True):
        assert file.rgb is not None
        assert file.rgb.dtype == np.uint8
        assert np.abs(file.rgb.astype(int) - picture()).max() <= tolerance


@pytest.mark.parametrize("name", ["a.jpg", "b.bmp", "c.png"])
@pytest.mark.parametrize("keep", [0, 0.02, 0.6, 0.95])
def test_a_truncated_file_is_reported_and_the_rest_read(folder: Path, name: str, keep: float) -> None:
    # Noise does not compress, so what is cut off is pixels and not an end mark.
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / name, quality=95)
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(len(data) * keep)])
    files = {f.path.name: f for f in read_images(list_images(folder))}
    assert files[name].rgb is None
    assert files[name].error.startswith("expected ")
    assert str(folder) not in files[name].error
    assert all(f.rgb is not None for other, f in files.items() if other != name)


def test_a_file_that_is_no_image_is_reported(folder: Path) -> None:
    (folder / "a.jpg").write_text("hello")
    with pytest.raises(ImageFileError, match=r"a\.jpg: expected a complete image, found: no image that can"):
        read_image(folder / "a.jpg")
    with pytest.raises(ImageFileError, match=r"gone\.jpg: expected a complete image, found: no such file"):
        read_image(folder / "gone.jpg")


def test_pixels_are_taken_as_stored_whatever_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to show
    Image.fromarray(picture(64, 48)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (48, 64, 3)
    # OpenCV applies it by default, which is what the choice of decoder avoids.
    turned = cv2.imread(str(tmp_path / "turned.jpg"))
    assert turned is not None
    assert turned.shape == (64, 48, 3)


def test_grey_transparent_palette_and_16_bit_become_rgb(tmp_path: Path) -> None:
    grey = picture()[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([picture(), grey])).save(tmp_path / "rgba.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(picture()).convert("P").save(tmp_path / "palette.png")
    expected = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), picture())
    assert read_image(tmp_path / "palette.png").shape == (48, 64, 3)


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"expected images \(.jpg, .*\), found none"):
        list_images(tmp_path)
    with pytest.raises(ImageFileError, match="absent: expected a folder of images, found nothing there"):
        list_images(tmp_path / "absent")


def test_a_drawn_box_lies_on_the_boxs_own_pixels() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    found = Detections(
        np.array([[20, 40, 60, 100]], np.float32), np.array([0.9], np.float32), np.array([0]), ("palletjack",)
    )
    drawn = draw_detections(image, found)
    assert not image.any()
    line = (drawn == CLASS_COLOURS[0]).all(axis=2)
    assert line[40:100, 20].all()
    assert line[40:100, 59].all()
    assert line[99, 20:60].all()
    assert not drawn[100:].any()
    assert not drawn[45:95, 25:55].any()
    assert drawn[25:40, 20:50].any()  # the plate with the score


def test_drawing_at_the_border_and_beyond_stays_inside() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    boxes = np.array([[-5, -5, 70, 50], [50, 0, 60, 3]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.1], np.float32), np.array([0, 1]), ("a", "b"))
    assert draw_detections(image, found).shape == image.shape
