"""Reading a folder of images without letting one bad file end the work.

Files are decoded by Pillow, not by OpenCV: Pillow raises on a truncated file, where OpenCV returns an
image whose lower part is grey. Pixels are taken as stored: an EXIF orientation is not applied, because
labels and detections are in raw pixels. A JPEG damaged in its middle but complete in length decodes
with wrong pixels in every decoder, and is not noticed here either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True)
class ImageFile:
    """One file of a folder: either ``rgb`` (H, W, 3) uint8, or None and the ``error`` that says why."""

    path: Path
    rgb: NDArray[np.uint8] | None
    error: str = ""


class ImageFileError(ValueError):
    """A file that is no complete image: the message names the file and the reason."""


def list_images(folder: Path) -> list[Path]:
    """Return the jpg, jpeg, png and bmp files directly in ``folder``, sorted by name.

    Raises:
        ImageFileError: ``folder`` is not a folder, or holds no such file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing there"
        raise ImageFileError(f"{folder}: expected a folder of images, found {found}")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    paths = [p for p in paths if p.is_file()]
    if not paths:
        raise ImageFileError(f"{folder}: expected images ({', '.join(SUFFIXES)}), found none")
    return paths


def read_images(paths: list[Path]) -> Iterator[ImageFile]:
    """Yield every file of ``paths`` in order, a bad one with its error in place of its pixels."""
    for path in paths:
        try:
            yield ImageFile(path, read_image(path))
        except ImageFileError as error:
            yield ImageFile(path, None, str(error).removeprefix(f"{path}: "))


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return the image (H, W, 3) uint8 RGB; grey becomes RGB, transparency is dropped.

    Raises:
        ImageFileError: the file is missing, empty, truncated or no image.
    """
    try:
        if path.stat().st_size == 0:
            raise ImageFileError(f"{path}: expected an image, found an empty file")
        with Image.open(path) as image:
            return _to_rgb(image)
    except ImageFileError:
        raise
    # A damaged file reaches Pillow's decoders in many ways: SyntaxError from PNG chunks, ValueError and
    # struct.error from headers, MemoryError and DecompressionBombError from absurd sizes.
    except Exception as error:
        raise ImageFileError(f"{path}: expected a complete image, found: {_reason(error)}") from None


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow clips 16-bit grey to 255 when it converts; keep the upper byte instead.
        grey = np.asarray(image).astype(np.float64)
        grey = (grey / 257.0 if grey.max(initial=0) > 255 else grey).round().clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if type(error).__name__ == "UnidentifiedImageError":
        return "no image that can be identified"
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
