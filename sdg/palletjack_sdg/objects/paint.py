"""Paint, wear and labels of machines: colours seen in real fleets and small seeded textures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

from palletjack_sdg.geometry import ByteArray, FloatArray, Material, Part, Vec3
from palletjack_sdg.shapes import box_projected_uvs

RUBBER = Material((0.045, 0.045, 0.047), roughness=0.85)
BLACK_PLASTIC = Material((0.06, 0.06, 0.065), roughness=0.45)
BLACK_STEEL = Material((0.075, 0.075, 0.08), roughness=0.5)
CHROME = Material((0.78, 0.78, 0.8), roughness=0.15, metallic=1.0)
ZINC = Material((0.58, 0.59, 0.6), roughness=0.4, metallic=0.8)
DARK_HOLE = Material((0.02, 0.02, 0.02), roughness=0.9)

# Name: (sRGB colour, how often it is drawn). Judged from warehouse photos and makers' catalogues.
FLEET_COLORS: Mapping[str, tuple[Vec3, float]] = {
    "red": ((0.70, 0.09, 0.07), 0.19),
    "orange": ((0.86, 0.30, 0.05), 0.15),
    "yellow": ((0.88, 0.66, 0.08), 0.19),
    "blue": ((0.07, 0.22, 0.58), 0.11),
    "sky_blue": ((0.16, 0.42, 0.68), 0.07),
    "teal": ((0.12, 0.36, 0.40), 0.03),
    "green": ((0.10, 0.38, 0.18), 0.05),
    "lime": ((0.64, 0.76, 0.22), 0.05),
    "grey": ((0.42, 0.43, 0.44), 0.07),
    "white": ((0.83, 0.83, 0.80), 0.05),
    "black": ((0.09, 0.09, 0.10), 0.04),
}

_MAKERS = ("HUBEX", "LIFTRA", "NORDHUB", "VELTA", "TORMEK", "PALO", "KARGO", "STAVO", "RIMEX", "ORVIK")


def sample_fleet_color(
    rng: np.random.Generator, colors: Mapping[str, tuple[Vec3, float]] | None = None
) -> Vec3:
    """Draw an sRGB body colour from the fleet statistics, with a small change of hue and brightness."""
    table = FLEET_COLORS if colors is None else colors
    weights = np.array([weight for _, weight in table.values()])
    base = list(table.values())[int(rng.choice(len(table), p=weights / weights.sum()))][0]
    return jitter_color(base, rng)


def jitter_color(color: Vec3, rng: np.random.Generator, amount: float = 1.0) -> Vec3:
    """Return ``color`` changed a little in hue, saturation and value; ``amount`` scales the change."""
    pixel = np.array([[color]], dtype=np.float32)
    hue, saturation, value = cv2.cvtColor(pixel, cv2.COLOR_RGB2HSV)[0, 0]
    hue = (hue + amount * rng.normal(0.0, 5.0)) % 360.0
    saturation = np.clip(saturation * (1.0 + amount * rng.normal(0.0, 0.07)), 0.0, 1.0)
    value = np.clip(value * (1.0 + amount * rng.normal(0.0, 0.10)), 0.03, 0.95)
    rgb = cv2.cvtColor(np.array([[[hue, saturation, value]]], dtype=np.float32), cv2.COLOR_HSV2RGB)[0, 0]
    return as_color(rgb)


def as_color(rgb: Sequence[float] | np.ndarray) -> Vec3:
    """Return three channels clipped to 0..1 and rounded so that JSON keeps them exactly."""
    red, green, blue = (round(float(np.clip(channel, 0.0, 1.0)), 4) for channel in rgb)
    return red, green, blue


def faded(color: Vec3, wear: float) -> Vec3:
    """Return the colour of old paint: greyer and darker with ``wear`` in 0..1."""
    grey = float(np.dot(color, (0.3, 0.59, 0.11)))
    mixed = [channel + 0.35 * wear * (grey - channel) for channel in color]
    return as_color([channel * (1.0 - 0.25 * wear) for channel in mixed])


def worn_paint(
    color: Vec3,
    wear: float,
    rng: np.random.Generator,
    *,
    roughness: float = 0.45,
    size: int = 192,
    along: bool = False,
) -> Material:
    """Return a painted-steel material with dirt, scratches, chips and rust in its texture.

    Args:
        color: sRGB of the new paint.
        wear: 0 gives clean paint without a texture, 1 a truck that should be scrapped.
        roughness: of clean paint; worn paint is duller.
        size: edge of the square texture in pixels.
        along: scratches run along the image's rows, as on the top of a fork, instead of anywhere.
    """
    base = faded(color, wear)
    dull = min(roughness + 0.35 * wear, 0.95)
    if wear < 0.05:
        return Material(base, roughness=dull)
    image = np.empty((size, size, 3), dtype=np.float32)
    image[:] = base
    grime, steel, rust = (0.09, 0.08, 0.07), (0.33, 0.32, 0.31), (0.19, 0.11, 0.075)
    _blend(image, grime, wear * (0.40 * _blotches(rng, size, 6) ** 2 + 0.2 * _blotches(rng, size, 60) ** 3))
    _blend(image, grime, 0.35 * wear * np.linspace(-0.3, 1.0, size).clip(0.0)[:, None])
    # Chips: where coarse, middle and fine noise agree, so that they come in ragged groups.
    rows = (5, 22, 60)
    columns = (4, 9, 24) if along else rows
    octaves = zip((0.42, 0.33, 0.25), rows, columns, strict=True)
    noise = sum((share * _blotches(rng, size, r, c) for share, r, c in octaves), np.zeros(1, np.float32))
    level = float(np.quantile(noise, 1.0 - (0.12 if along else 0.07) * wear**1.3))
    _blend(image, rust, np.clip((noise - level + 0.015) * 40.0, 0.0, 0.75))
    _blend(image, steel, np.clip((noise - level - 0.01) * 40.0, 0.0, 0.8))
    _blend(image, steel, (0.3 + 0.4 * wear) * _scratches(rng, size, int(6 + 45 * wear), along))
    return Material(base, roughness=dull, texture=to_bytes(image))


def maker_label(rng: np.random.Generator, *, vertical: bool = False) -> Material:
    """Return a sticker with a made-up maker's name or a load figure, 256 x 64 pixels (or 64 x 256)."""
    schemes = (
        ((0.92, 0.92, 0.90), (0.08, 0.08, 0.08)),
        ((0.07, 0.07, 0.07), (0.92, 0.92, 0.90)),
        ((0.85, 0.10, 0.08), (0.95, 0.95, 0.95)),
        ((0.95, 0.80, 0.10), (0.05, 0.05, 0.05)),
    )
    ground, ink = schemes[int(rng.integers(len(schemes)))]
    text = _MAKERS[int(rng.integers(len(_MAKERS)))]
    if rng.random() < 0.4:
        text = f"{int(rng.choice([1500, 2000, 2300, 2500, 3000]))} kg"
    scale = 1.4
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 3)
    place = (max(4, (256 - width) // 2), (64 + height) // 2)
    # Text goes to a byte mask first: OpenCV 5 draws text on 8-bit images only.
    mask = np.zeros((64, 256), dtype=np.uint8)
    cv2.putText(mask, text, place, cv2.FONT_HERSHEY_DUPLEX, scale, 255, 3, cv2.LINE_AA)
    image = np.empty((64, 256, 3), dtype=np.float32)
    image[:] = ground
    _blend(image, ink, mask / 255.0)
    _blend(image, (0.2, 0.18, 0.16), (0.35 * _blotches(rng, 256, 8) ** 2)[:64])
    turned = np.ascontiguousarray(np.rot90(image)) if vertical else image
    return Material(ground, roughness=0.5, texture=to_bytes(turned))


def hazard_stripes(rng: np.random.Generator, *, size: int = 64) -> Material:
    """Return yellow and black diagonal stripes (``size`` x ``size`` pixels), a little dirty."""
    row, column = np.mgrid[:size, :size]
    direction = 1 if rng.random() < 0.5 else -1
    black = ((column + direction * row) // max(size // 5, 1)) % 2 == 0
    image = np.where(black[..., None], (0.06, 0.06, 0.06), (0.86, 0.68, 0.06)).astype(np.float32)
    _blend(image, (0.2, 0.18, 0.16), 0.5 * _blotches(rng, size, 6) ** 2)
    return Material((0.5, 0.4, 0.1), roughness=0.6, texture=to_bytes(image))


def plywood(rng: np.random.Generator, *, size: int = 128) -> Material:
    """Return a used wooden deck: grain along the image's rows, stains and scuffs."""
    base = np.array(jitter_color((0.58, 0.47, 0.33), rng, 0.4), dtype=np.float32)
    grain = 0.8 + 0.3 * _blotches(rng, size, 48, 3) + 0.12 * _blotches(rng, size, 100, 8)
    image = base * grain[..., None].astype(np.float32)
    _blend(image, (0.12, 0.10, 0.08), rng.uniform(0.1, 0.6) * _blotches(rng, size, 5) ** 2)
    _blend(image, (0.70, 0.60, 0.48), 0.4 * _scratches(rng, size, 30, False))
    return Material(as_color(base), roughness=0.75, texture=to_bytes(image))


def skinned(parts: Iterable[Part]) -> list[Part]:
    """Return the parts with box-projected uvs, texels square, where a texture has none yet."""
    return [
        part
        if part.material.texture is None or part.uvs is not None
        else box_projected_uvs(part, stretch=False)
        for part in parts
    ]


def to_bytes(image: FloatArray) -> ByteArray:
    """Return an sRGB image of 0..1 floats as uint8."""
    return np.clip(image * 255.0 + 0.5, 0, 255).astype(np.uint8)


def _blend(image: FloatArray, color: Vec3, amount: np.ndarray) -> None:
    """Mix ``color`` into ``image`` (H, W, 3) in place by ``amount`` (H, W) or (H, 1) in 0..1."""
    weight = np.asarray(amount, dtype=np.float32)
    # One channel at a time: three passes over small planes beat one over a broadcast array.
    for channel, value in enumerate(color):
        image[..., channel] += weight * (np.float32(value) - image[..., channel])


def _blotches(rng: np.random.Generator, size: int, rows: int, columns: int | None = None) -> FloatArray:
    """Smooth noise (size, size) in 0..1 with ``rows`` x ``columns`` features in the image."""
    coarse = rng.random((rows, rows if columns is None else columns), dtype=np.float32)
    return np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0.0, 1.0)


def _scratches(rng: np.random.Generator, size: int, count: int, along: bool) -> FloatArray:
    """Thin bright lines (size, size) in 0..1."""
    canvas = np.zeros((size, size), dtype=np.uint8)
    starts = rng.integers(0, size, (count, 2))
    angles = rng.normal(0.0, 0.06, count) if along else rng.uniform(0.0, np.pi, count)
    lengths = rng.uniform(0.04, 0.5 if along else 0.2, count) * size
    ends = starts + np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None]
    for start, end, strength in zip(starts, ends.astype(int), rng.integers(50, 255, count), strict=True):
        cv2.line(canvas, start.tolist(), end.tolist(), int(strength), 1, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255.0
