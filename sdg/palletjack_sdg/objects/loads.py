"""Goods that stand on pallets, in collars, in mesh boxes and on racks: cartons, drums, sacks, film.

Every ``fill_with_*`` adds to an assembly's material "goods", within a block of ``size`` (length,
width, height) metres that stands on z = 0 of the current frame, centred on its origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Vec3
from palletjack_sdg.objects.assembly import Assembly, UvRect, turn
from palletjack_sdg.textures.cartons import CARTON_SIDES, CARTON_TOP, carton_atlas
from palletjack_sdg.textures.metal_and_cloth import stretch_film

_PLAIN = Material()


def carton_material(rng: np.random.Generator) -> Material:
    """Material of one shipper's cartons; its image is the atlas of ``textures.cartons``."""
    return Material(texture=carton_atlas(rng), roughness=0.85)


def carton_sides(rng: np.random.Generator) -> tuple[UvRect, ...]:
    """UV rectangles of a carton's six sides, drawn from the atlas."""
    ends, longs = rng.choice(3, 2, p=[0.5, 0.25, 0.25]), rng.choice(3, 2, p=[0.3, 0.35, 0.35])
    sides = [CARTON_SIDES[int(index)] for index in (*ends, *longs)]
    return (*sides, CARTON_TOP, CARTON_TOP)


@dataclass(frozen=True)
class CartonStack:
    """Layers of ``columns`` x ``rows`` cartons in a block of ``size`` metres.

    ``ragged`` (0 to about 0.3) makes gaps, sizes, tilts and missing cartons on top vary; at 0 the block is
    filled exactly.
    """

    size: Vec3
    columns: int
    rows: int
    layers: int
    ragged: float

    @staticmethod
    def sample(rng: np.random.Generator, size: Vec3, mixed: bool) -> CartonStack:
        """Draw a carton size that goes into ``size``; ``mixed`` loads are less tidy."""
        edge = rng.uniform(0.24, 0.62)
        columns = max(1, round(size[0] / edge))
        rows = max(1, round(size[1] / (edge * rng.uniform(0.7, 1.0))))
        layers = max(1, round(size[2] / rng.uniform(0.18, 0.45)))
        ragged = rng.uniform(0.12, 0.3) if mixed else rng.uniform(0.0, 0.06)
        return CartonStack(size, columns, rows, layers, float(ragged))


def _split(rng: np.random.Generator, total: float, count: int, ragged: float) -> np.ndarray:
    """Cut ``total`` into ``count`` lengths that differ by ``ragged``; returns the (count + 1,) cuts."""
    weights = 1.0 + ragged * rng.uniform(-1.0, 1.0, count)
    return np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum() * total


def fill_with_cartons(
    assembly: Assembly, rng: np.random.Generator, stack: CartonStack, material: str = "goods"
) -> None:
    """Add a stack of cartons. At least one carton reaches the full height."""
    length, width, height = stack.size
    x_cuts = _split(rng, length, stack.columns, stack.ragged) - length / 2.0
    y_cuts = _split(rng, width, stack.rows, stack.ragged) - width / 2.0
    tallest = (int(rng.integers(stack.columns)), int(rng.integers(stack.rows)))
    gap = 0.004 + 0.05 * stack.ragged
    for column in range(stack.columns):
        for row in range(stack.rows):
            full = stack.ragged == 0.0 or (column, row) == tallest
            reach = height if full else height * (1.0 - stack.ragged * rng.uniform(0.0, 1.6))
            layers = max(1, round(stack.layers * reach / height))
            z_cuts = _split(rng, reach, layers, stack.ragged)
            cell = (x_cuts[column], x_cuts[column + 1], y_cuts[row], y_cuts[row + 1])
            for layer in range(layers):
                _add_carton(
                    assembly, rng, cell, (z_cuts[layer], z_cuts[layer + 1]), gap, stack.ragged, material
                )


def _add_carton(
    assembly: Assembly,
    rng: np.random.Generator,
    cell: tuple[float, float, float, float],
    levels: tuple[float, float],
    gap: float,
    ragged: float,
    material: str,
) -> None:
    """Add one carton inside its cell (x0, x1, y0, y1) and levels (z0, z1)."""
    x0, x1, y0, y1 = cell
    slack = gap * (1.0 + rng.uniform(0.0, 1.0))
    length, width = max(x1 - x0 - slack, 0.05), max(y1 - y0 - slack, 0.05)
    play = 0.35 * slack
    center = (
        float((x0 + x1) / 2.0 + rng.uniform(-play, play)),
        float((y0 + y1) / 2.0 + rng.uniform(-play, play)),
        float((levels[0] + levels[1]) / 2.0),
    )
    size = (float(length), float(width), float(levels[1] - levels[0] - 0.002))
    rotation = turn(yaw=rng.normal(0.0, 0.12 * ragged)) if ragged > 0.1 else None
    assembly.box(material, size, center, carton_sides(rng), rotation)


def fill_with_drums(assembly: Assembly, rng: np.random.Generator, size: Vec3) -> None:
    """Add upright drums with rolling hoops, as many as fit, in layers of at most 0.95 m."""
    length, width, height = size
    layers = max(1, round(height / 0.88))
    tall = height / layers
    diameter = 0.58 if width >= 1.1 else min(width / 2.0, 0.42)
    columns, rows = max(1, int(length / diameter)), max(1, int(width / diameter))
    for layer in range(layers):
        for column in range(columns):
            for row in range(rows):
                x = (column + 0.5) * length / columns - length / 2.0
                y = (row + 0.5) * width / rows - width / 2.0
                with assembly.placed(x, y, layer * tall, turn(yaw=rng.uniform(0.0, 6.28))):
                    add_drum(assembly, "goods", 0.49 * diameter, tall)


def add_drum(assembly: Assembly, material: str, radius: float, height: float, segments: int = 16) -> None:
    """Add a drum with two rolling hoops and a sunk lid, standing on z = 0."""
    r, h, hoop = 0.97 * radius, height, radius
    profile = [(0.0, 0.0), (hoop, 0.0), (r, 0.02)]
    for z in (0.34 * h, 0.66 * h):
        profile += [(r, z - 0.02), (hoop, z), (r, z + 0.02)]
    profile += [
        (r, h - 0.02),
        (hoop, h - 0.008),
        (hoop, h),
        (0.94 * r, h),
        (0.94 * r, h - 0.015),
        (0.0, h - 0.015),
    ]
    part = shapes.lathe(profile, _PLAIN, segments=segments)
    angle = np.arctan2(part.vertices[:, 1], part.vertices[:, 0])
    uvs = np.stack([0.5 + angle / (2.0 * np.pi), 1.0 - part.vertices[:, 2] / h], axis=1)
    # Mirror u at the back so that the seam does not squeeze the whole image into one segment.
    uvs[:, 0] = 1.0 - np.abs(2.0 * uvs[:, 0] - 1.0)
    assembly.mesh(material, part.vertices.astype(np.float64), part.faces.astype(np.int64), uvs)


def fill_with_sacks(assembly: Assembly, rng: np.random.Generator, size: Vec3) -> None:
    """Add layers of filled paper or plastic sacks, crossed from layer to layer."""
    length, width, height = size
    layers = max(1, round(height / 0.14))
    tall = height / layers
    meshes = {}
    for columns, rows in ((3, 2), (2, 3)):
        sack = (length / columns * 0.97, width / rows * 0.97, tall)
        meshes[columns] = shapes.box(sack, _PLAIN, bevel=0.4 * tall)
    for layer in range(layers):
        columns, rows = (3, 2) if layer % 2 else (2, 3)
        for column in range(columns):
            for row in range(rows):
                x = (column + 0.5) * length / columns - length / 2.0 + rng.normal(0.0, 0.006)
                y = (row + 0.5) * width / rows - width / 2.0 + rng.normal(0.0, 0.006)
                with assembly.placed(x, y, (layer + 0.5) * tall):
                    assembly.add_part("goods", meshes[columns])


def film_material(rng: np.random.Generator, clear: bool) -> Material:
    """Stretch film: a clear sheet over visible goods, or the milky or black skin of many layers."""
    if clear:
        return Material(color=(0.88, 0.9, 0.92), roughness=0.12, opacity=float(rng.uniform(0.12, 0.35)))
    shades = [(0.62, 0.5, 0.36), (0.7, 0.7, 0.68), (0.85, 0.85, 0.85), (0.25, 0.3, 0.4), (0.06, 0.06, 0.07)]
    below = shades[int(rng.choice(len(shades), p=[0.3, 0.25, 0.25, 0.1, 0.1]))]
    return Material(texture=stretch_film(rng, below), roughness=float(rng.uniform(0.12, 0.35)))


def wrap_in_film(assembly: Assembly, rng: np.random.Generator, size: Vec3, material: str = "film") -> None:
    """Add a slightly dented skin around a block of ``size`` metres: four sides and a top."""
    length, width, height = size
    rim = _rounded_loop(length, width, 0.05, 40)
    rows = max(4, round(height / 0.14))
    v = np.linspace(0.0, 1.0, rows + 1)
    dents = rng.uniform(-0.016, 0.0, (rows + 1, len(rim)))
    dents[:, -1] = dents[:, 0]
    outward = rim / np.linalg.norm(rim, axis=1, keepdims=True)
    ring = rim[None] + dents[..., None] * outward[None]
    heights = np.broadcast_to((v * height)[:, None, None], (rows + 1, len(rim), 1))
    vertices = np.concatenate([ring, heights], axis=2).reshape(-1, 3)
    u = np.abs(np.linspace(-1.0, 1.0, len(rim)))
    uvs = np.stack(np.broadcast_arrays(u[None, :], 1.0 - v[:, None]), axis=2).reshape(-1, 2)
    count = len(rim)
    here = (np.arange(rows)[:, None] * count + np.arange(count - 1)[None, :]).reshape(-1)
    quads = [(here, here + 1, here + count + 1), (here, here + count + 1, here + count)]
    faces = np.concatenate([np.stack(quad, axis=1) for quad in quads])
    assembly.mesh(material, vertices, faces, uvs)
    _cap(assembly, material, ring[-1], size)


def _cap(assembly: Assembly, material: str, ring: np.ndarray, size: Vec3) -> None:
    """Close a skin at its top with a fan of triangles around the middle."""
    vertices = np.concatenate([ring, [[0.0, 0.0]]])
    vertices = np.column_stack([vertices, np.full(len(vertices), size[2])])
    index = np.arange(len(ring) - 1)
    faces = np.stack([index, index + 1, np.full(len(index), len(ring))], axis=1)
    uvs = vertices[:, :2] / np.array([size[0], size[1]]) * 0.95 + 0.5
    assembly.mesh(material, vertices, faces, np.clip(uvs, 0.0, 1.0))


def _rounded_loop(length: float, width: float, radius: float, count: int) -> np.ndarray:
    """Closed counter-clockwise outline (count + 1, 2) of a rounded rectangle, evenly spaced; last = first."""
    corners = shapes.rounded_rectangle(length, width, radius)
    closed = np.concatenate([corners, corners[:1]])
    run = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    spots = np.linspace(0.0, run[-1], count + 1)
    return np.stack([np.interp(spots, run, closed[:, axis]) for axis in (0, 1)], axis=1)
