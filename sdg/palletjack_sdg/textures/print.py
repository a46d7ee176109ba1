"""Things printed on paper: shipping labels, barcodes, signs, and the marks on cartons."""

from __future__ import annotations

import cv2
import numpy as np

from palletjack_sdg.geometry import ByteArray

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)
_SYLLABLES = (
    "NOR",
    "VA",
    "LOG",
    "TEK",
    "MA",
    "RI",
    "DOR",
    "PAX",
    "KO",
    "LUN",
    "SE",
    "TRA",
    "BEL",
    "IX",
    "ONA",
)


def made_up_word(rng: np.random.Generator, syllables: int = 2) -> str:
    """A name of nobody, in capitals."""
    return "".join(_SYLLABLES[int(i)] for i in rng.integers(0, len(_SYLLABLES), syllables))


def write(
    image: ByteArray, text: str, box: tuple[int, int, int, int], color: tuple[int, int, int], font: int = 0
) -> None:
    """Write ``text`` centred and as large as fits into ``box`` (x0, y0, x1, y1), in pixels."""
    x0, y0, x1, y1 = box
    face = _FONTS[font % len(_FONTS)]
    (width, height), _ = cv2.getTextSize(text, face, 1.0, 1)
    scale = min((x1 - x0) / max(width, 1), (y1 - y0) / max(height, 1))
    thickness = max(1, round(scale * 2.5))
    origin = (int((x0 + x1 - scale * width) / 2), int((y0 + y1 + scale * height) / 2))
    cv2.putText(image, text, origin, face, scale, tuple(map(float, color)), thickness, cv2.LINE_AA)


def draw_barcode(rng: np.random.Generator, image: ByteArray, box: tuple[int, int, int, int]) -> None:
    """Fill ``box`` (x0, y0, x1, y1) with vertical black bars of random widths."""
    x0, y0, x1, y1 = box
    x = x0
    while x < x1:
        width = int(rng.integers(1, 4))
        image[y0:y1, x : min(x + width, x1)] = 25
        x += width + int(rng.integers(1, 4))


def paper_label(rng: np.random.Generator, width: int = 96, height: int = 128) -> ByteArray:
    """Shipping label or delivery note (height, width, 3): white, yellow or green, with print."""
    papers = [
        (240, 240, 238),
        (240, 240, 238),
        (228, 226, 216),
        (242, 222, 60),
        (120, 226, 70),
        (236, 90, 60),
    ]
    image = np.empty((height, width, 3), dtype=np.uint8)
    image[:] = papers[int(rng.choice(len(papers), p=[0.4, 0.2, 0.15, 0.08, 0.13, 0.04]))]
    margin = max(3, width // 14)
    y = margin
    while y < height - margin:
        kind = rng.random()
        if kind < 0.2:
            step = height // 5
            draw_barcode(rng, image, (margin, y, width - margin, min(y + step, height - margin)))
        elif kind < 0.4:
            step = height // 7
            right = int(width * rng.uniform(0.5, 0.95))
            write(
                image, str(rng.integers(10**5)), (margin, y, right, min(y + step, height - 2)), (20, 20, 20)
            )
        elif kind < 0.55:
            step = height // 12
            image[y : y + 1, margin : width - margin] = 60
        else:
            step = max(3, height // 28)
            right = margin + int((width - 2 * margin) * rng.uniform(0.3, 1.0))
            image[y : y + max(1, step // 2), margin:right] = 90
        y += step + max(2, height // 40)
    return image


def paste(image: ByteArray, patch: ByteArray, x: int, y: int) -> None:
    """Lay ``patch`` (h, w, 3) on ``image`` with its upper left corner at (x, y), cut at the border."""
    height = min(patch.shape[0], image.shape[0] - y)
    width = min(patch.shape[1], image.shape[1] - x)
    if height > 0 and width > 0:
        image[y : y + height, x : x + width] = patch[:height, :width]


def _arrows_up(image: ByteArray, x: int, y: int, size: int, color: tuple[int, int, int]) -> None:
    ink = tuple(map(float, color))
    for offset in (0, size // 2 + 1):
        center = x + offset + size // 4
        tip = np.array(
            [[center - size // 4, y + size // 3], [center + size // 4, y + size // 3], [center, y]]
        )
        cv2.fillPoly(image, [tip.astype(np.int32)], ink)
        cv2.line(image, (center, y + size // 3), (center, y + size), ink, max(1, size // 8))
    cv2.line(image, (x, y + size + 2), (x + size, y + size + 2), ink, max(1, size // 12))


def _glass(image: ByteArray, x: int, y: int, size: int, color: tuple[int, int, int]) -> None:
    ink = tuple(map(float, color))
    bowl = np.array(
        [[x, y], [x + size // 2, y], [x + size // 3, y + size // 2], [x + size // 6, y + size // 2]]
    )
    cv2.fillPoly(image, [bowl.astype(np.int32)], ink)
    cv2.line(image, (x + size // 4, y + size // 2), (x + size // 4, y + size), ink, max(1, size // 10))
    cv2.line(image, (x + size // 8, y + size), (x + 3 * size // 8, y + size), ink, max(1, size // 10))


def draw_carton_marks(rng: np.random.Generator, image: ByteArray, ink: tuple[int, int, int]) -> None:
    """Print handling symbols, a sender's name and lines of text on a carton face (H, W, 3)."""
    height, width = image.shape[:2]
    if rng.random() < 0.6:
        size = int(height * rng.uniform(0.1, 0.2))
        y = int(height * rng.uniform(0.55, 0.72))
        _arrows_up(image, int(width * rng.uniform(0.05, 0.2)), y, size, ink)
        if rng.random() < 0.6:
            _glass(image, int(width * rng.uniform(0.35, 0.55)), y, size, ink)
    if rng.random() < 0.5:
        x0, y0 = int(width * rng.uniform(0.05, 0.3)), int(height * rng.uniform(0.12, 0.3))
        box = (x0, y0, x0 + int(width * rng.uniform(0.3, 0.6)), y0 + int(height * rng.uniform(0.1, 0.25)))
        write(image, made_up_word(rng, int(rng.integers(1, 4))), box, ink, int(rng.integers(3)))
    for _ in range(int(rng.integers(0, 4))):
        y0, x0 = int(rng.uniform(0.1, 0.9) * height), int(rng.uniform(0.05, 0.5) * width)
        cv2.line(image, (x0, y0), (x0 + int(rng.uniform(0.1, 0.4) * width), y0), tuple(map(float, ink)), 1)
