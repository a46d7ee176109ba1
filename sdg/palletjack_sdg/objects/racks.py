"""Pallet racks and shelving units, filled with goods.

A rack's origin is the middle of its front face's floor line: x points out into the aisle, the rack
reaches to -x, and bays lie side by side along y.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal

import cv2
import numpy as np
from pydantic import Field

from palletjack_sdg.geometry import ByteArray, Material, Prop, Vec3
from palletjack_sdg.objects.assembly import FULL, Assembly, UvRect, draw_seed, turn
from palletjack_sdg.objects.containers import add_plastic_crate
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.objects.loads import (
    CartonStack,
    carton_material,
    carton_sides,
    fill_with_cartons,
    film_material,
)
from palletjack_sdg.objects.pallets import (
    COLLAR_HEIGHT,
    PALLET_HEIGHT,
    add_pallet,
    add_plank,
    wood_material,
)
from palletjack_sdg.textures.metal_and_cloth import painted_metal, warning_stripes
from palletjack_sdg.textures.print import paper_label

Color = tuple[float, float, float]

UPRIGHT_WIDTH = 0.1
BEAM_HEIGHT = 0.12
UPRIGHT_COLORS: tuple[Color, ...] = (
    (0.07, 0.2, 0.52),
    (0.45, 0.47, 0.48),
    (0.12, 0.3, 0.18),
    (0.1, 0.12, 0.16),
)
BEAM_COLORS: tuple[Color, ...] = ((0.85, 0.3, 0.05), (0.88, 0.6, 0.05), (0.1, 0.22, 0.5), (0.13, 0.3, 0.18))


class RackParams(ObjectParams):
    """A pallet rack. ``level_heights`` are the beams' top edges, rising; goods stand on each.

    ``ground_level``: goods on the floor in all bays, none ("free"), or some ("mixed"). ``fill`` is the
    share of pallet places in use; ``decking`` lays boards on the beams.
    """

    bays: int = Field(default=3, ge=1, le=8)
    bay_width: float = Field(default=2.7, ge=1.8, le=3.7)
    depth: float = Field(default=1.1, ge=0.8, le=1.3)
    level_heights: tuple[float, ...] = (1.8, 3.4)
    height: float = Field(default=4.2, ge=1.5, le=9.0)
    upright_color: Color = UPRIGHT_COLORS[0]
    beam_color: Color = BEAM_COLORS[0]
    ground_level: Literal["goods", "free", "mixed"] = "mixed"
    fill: float = Field(default=0.8, ge=0.0, le=1.0)
    decking: bool = False
    guards: bool = True


class ShelvingParams(ObjectParams):
    """A shelving unit with ``shelves`` boards, against its back at -x; origin as a rack's."""

    width: float = Field(default=1.2, ge=0.6, le=2.5)
    depth: float = Field(default=0.5, ge=0.3, le=0.8)
    height: float = Field(default=2.0, ge=1.0, le=3.0)
    shelves: int = Field(default=4, ge=2, le=8)
    color: Color = (0.45, 0.47, 0.48)
    fill: float = Field(default=0.7, ge=0.0, le=1.0)


def _perforated(paint: ByteArray) -> ByteArray:
    """Paint image (H, W, 3) with two columns of dark slots, as on a rack's upright; v spans 1 m."""
    image = paint.copy()
    height, width = image.shape[:2]
    for row in range(20):
        y = int((row + 0.5) * height / 20)
        for share in (0.3, 0.7):
            x = int(share * width)
            cv2.ellipse(
                image, (x, y), (max(2, width // 16), max(1, height // 60)), 20.0, 0.0, 360.0, (14, 14, 16), -1
            )
    return image


def _add_upright_frame(assembly: Assembly, y: float, depth: float, height: float) -> None:
    """Add two posts, horizontal ties and diagonals in the plane of ``y``."""
    half = 0.035
    pieces = max(1, round(height / 1.0))
    for x in (-half, -depth + half):
        for index in range(pieces):
            z = (index + 0.5) * height / pieces
            assembly.box("upright", (0.07, UPRIGHT_WIDTH, height / pieces), (x, y, z))
        assembly.box("foot", (0.12, 0.14, 0.012), (x, y, 0.006))
    front, back = -0.07, -depth + 0.07
    steps = max(2, round(height / 0.9))
    z_low = 0.15
    pitch = (height - 0.3) / steps
    for index in range(steps):
        low, high = z_low + index * pitch, z_low + (index + 1) * pitch
        ends = (front, back) if index % 2 == 0 else (back, front)
        assembly.beam("brace", (ends[0], y, low), (ends[1], y, high), 0.03, 0.045)
    for z in (z_low, height - 0.15):
        assembly.beam("brace", (front, y, z), (back, y, z), 0.03, 0.045)


def _add_beams(
    assembly: Assembly, rng: np.random.Generator, y: float, params: RackParams, top: float
) -> None:
    """Add the front and back beam of one bay and level, with connectors and a load sticker."""
    span = params.bay_width - UPRIGHT_WIDTH
    z = top - BEAM_HEIGHT / 2.0
    for x in (-0.025, -params.depth + 0.025):
        assembly.box("beam", (0.05, span, BEAM_HEIGHT), (x, y, z))
    for side in (-1.0, 1.0):
        low, high = max(0.005, top - 0.18), top + 0.02
        connector = (-0.024, y + side * (span / 2.0 - 0.025), (low + high) / 2.0)
        assembly.box("beam", (0.056, 0.05, high - low), connector)
    if rng.random() < 0.6:
        offset = rng.uniform(-0.35, 0.35) * span
        assembly.box("label", (0.003, 0.15, 0.1), (0.002, y + offset, z))
    if params.decking:
        boards = max(4, round(span / 0.3))
        for index in range(boards):
            at = y - span / 2.0 + (index + 0.5) * span / boards
            width = span / boards - 0.008
            add_plank(
                assembly, rng, (params.depth - 0.06, width, 0.02), (-params.depth / 2.0, at, top + 0.01)
            )


def _add_goods(assembly: Assembly, rng: np.random.Generator, room: float) -> None:
    """Add one pallet with goods no higher than ``room``, its short side to the aisle, around the origin.

    Few triangles: what stands in a rack is seen from the front only.
    """
    kind = rng.random()
    if kind > 0.9 and room > 1.05:
        _add_simple_mesh_box(assembly, rng)
        return
    add_pallet(assembly, rng, 1.2, 0.8, simple=True)
    free = min(room - PALLET_HEIGHT - 0.08, 1.5)
    if free < 0.15:
        return
    if kind < 0.3:
        collars = int(np.clip(rng.integers(1, 5), 1, max(1, int(free / COLLAR_HEIGHT))))
        tall = collars * COLLAR_HEIGHT
        for index in range(collars):
            strip = _board(rng)
            z = PALLET_HEIGHT + (index + 0.5) * COLLAR_HEIGHT
            assembly.box("wood", (1.2, 0.8, COLLAR_HEIGHT - 0.004), (0.0, 0.0, z), strip)
        assembly.box("dark", (1.14, 0.74, 0.004), (0.0, 0.0, PALLET_HEIGHT + tall))
    else:
        tall = float(rng.uniform(0.4, 1.0) * free)
        size = (1.16, 0.78, tall)
        with assembly.placed(z=PALLET_HEIGHT):
            if kind < 0.6:
                columns, rows = (int(count) for count in rng.integers(1, 4, 2))
                stack = CartonStack(size, columns, rows, max(1, round(tall / 0.35)), 0.03)
                shipper = "goods" if rng.random() < 0.6 else "goods_b"
                fill_with_cartons(assembly, rng, stack, shipper)
            elif kind < 0.85:
                assembly.box(
                    "goods" if rng.random() < 0.5 else "goods_b",
                    size,
                    (0.0, 0.0, tall / 2.0),
                    carton_sides(rng),
                )
            else:
                assembly.box("wrapped", size, (0.0, 0.0, tall / 2.0))
    if rng.random() < 0.7:
        z = PALLET_HEIGHT + 0.5 * tall
        label = min(0.24, 0.8 * tall)
        at = float(rng.uniform(-0.25, 0.25))
        assembly.box("label", (0.003, 0.8 * label, label), (0.602, at, z))


def _add_simple_mesh_box(assembly: Assembly, rng: np.random.Generator) -> None:
    """Add a mesh box with wires 8 cm apart on its front and sides, and something dark in it."""
    length, width, height, floor = 1.24, 0.835, 0.97, 0.13
    for sx in (-1.0, 1.0):
        for sy in (-1.0, 1.0):
            post = (sx * (length / 2.0 - 0.03), sy * (width / 2.0 - 0.03), height / 2.0)
            assembly.box("steel", (0.05, 0.05, height), post)
        assembly.box("steel", (0.03, width, 0.05), (sx * (length / 2.0 - 0.015), 0.0, height - 0.025))
        assembly.box("steel", (length, 0.03, 0.05), (0.0, sx * (width / 2.0 - 0.015), height - 0.025))
    assembly.box("steel", (length, width, 0.05), (0.0, 0.0, floor))
    rise = (0.0, 0.0, height - floor)
    front = (length / 2.0 - 0.01, -width / 2.0, floor)
    assembly.wire_grid("steel", front, (0.0, width, 0.0), rise, 0.08, 0.004)
    for sign in (-1.0, 1.0):
        corner = (-length / 2.0, sign * (width / 2.0 - 0.01), floor)
        assembly.wire_grid("steel", corner, (length, 0.0, 0.0), rise, 0.08, 0.004)
    tall = float(rng.uniform(0.15, 0.75))
    name = "dark" if rng.random() < 0.6 else "goods_b"
    uv = carton_sides(rng) if name == "goods_b" else FULL
    assembly.box(name, (length - 0.12, width - 0.1, tall), (0.0, 0.0, floor + 0.03 + tall / 2.0), uv)


def _board(rng: np.random.Generator) -> UvRect:
    row = int(rng.integers(8))
    return (0.0, row / 8 + 0.01, 1.0, (row + 1) / 8 - 0.01)


def _fill_level(
    assembly: Assembly, rng: np.random.Generator, y: float, params: RackParams, level: float, room: float
) -> None:
    """Put pallets side by side on one level of the bay around ``y``."""
    places = max(1, int((params.bay_width - UPRIGHT_WIDTH - 0.05) / 0.86))
    pitch = (params.bay_width - UPRIGHT_WIDTH) / places
    for place in range(places):
        if rng.random() > params.fill:
            continue
        at = y + (place - (places - 1) / 2.0) * pitch + float(rng.normal(0.0, 0.012))
        x = -params.depth / 2.0 + float(rng.uniform(-0.05, 0.08))
        with assembly.placed(x, at, level, turn(yaw=float(rng.normal(0.0, 0.01)))):
            _add_goods(assembly, rng, room)


def _ground_bays(rng: np.random.Generator, params: RackParams) -> list[bool]:
    """Tell for each bay whether goods stand on its floor."""
    if params.ground_level == "free":
        return [False] * params.bays
    if params.ground_level == "goods":
        return [True] * params.bays
    return [bool(rng.random() < 0.5) for _ in range(params.bays)]


def build_rack(params: RackParams) -> Prop:
    """Build a pallet rack.

    Anchors: ``bay_<i>`` at the floor centre of every ground bay that stays free, and ``clear_<i>`` on
    the underside of the beam above it.

    Raises:
        ValueError: level heights do not rise, or exceed the rack's height.
    """
    levels = params.level_heights
    if any(after - before < 0.4 for before, after in itertools.pairwise(levels)):
        raise ValueError(f"rack: level_heights: expected steps of at least 0.4 m, found {levels}")
    if levels and (levels[0] < BEAM_HEIGHT or levels[-1] > params.height):
        raise ValueError(
            f"rack: level_heights: expected {BEAM_HEIGHT} to the height {params.height} m, found {levels}"
        )
    rng = np.random.default_rng(params.seed)
    upright = _perforated(painted_metal(rng, params.upright_color, 0.35))
    materials = {
        "upright": Material(texture=upright, roughness=0.5),
        "brace": Material(color=params.upright_color, roughness=0.5),
        "foot": Material(color=params.upright_color, roughness=0.6),
        "beam": Material(texture=painted_metal(rng, params.beam_color, 0.25), roughness=0.5),
        "guard": Material(texture=warning_stripes(rng), roughness=0.5),
        "label": Material(texture=paper_label(rng, 80, 64), roughness=0.7),
        "wood": wood_material(rng, float(rng.uniform(0.1, 0.9))),
        "goods": carton_material(rng),
        "goods_b": carton_material(rng),
        "wrapped": film_material(rng, clear=False),
        "dark": Material(color=(0.05, 0.05, 0.05), roughness=0.9),
        "steel": Material(color=(0.42, 0.44, 0.46), roughness=0.5),
    }
    assembly = Assembly(materials)
    left = -params.bays * params.bay_width / 2.0
    for index in range(params.bays + 1):
        y = left + index * params.bay_width
        _add_upright_frame(assembly, y, params.depth, params.height)
        if params.guards and rng.random() < 0.5:
            assembly.box("guard", (0.02, 0.13, 0.4), (0.05, y, 0.2))
            assembly.box("guard", (0.07, 0.01, 0.4), (0.025, y + 0.06, 0.2))
            assembly.box("guard", (0.07, 0.01, 0.4), (0.025, y - 0.06, 0.2))
    anchors: dict[str, Vec3] = {}
    on_floor = levels[0] > 0.5 if levels else True
    stocked = _ground_bays(rng, params)
    for bay in range(params.bays):
        y = left + (bay + 0.5) * params.bay_width
        clear = levels[0] - BEAM_HEIGHT if levels else params.height
        for index, top in enumerate(levels):
            _add_beams(assembly, rng, y, params, top)
            above = levels[index + 1] - BEAM_HEIGHT if index + 1 < len(levels) else params.height + 0.8
            deck = 0.02 if params.decking else 0.0
            _fill_level(assembly, rng, y, params, top + deck, above - top - deck)
        if on_floor and stocked[bay]:
            _fill_level(assembly, rng, y, params, 0.0, clear)
        elif on_floor:
            anchors[f"bay_{bay}"] = (-params.depth / 2.0, y, 0.0)
            anchors[f"clear_{bay}"] = (-params.depth / 2.0, y, clear)
    return assembly.prop("rack", anchors)


def _add_shelf_goods(
    assembly: Assembly, rng: np.random.Generator, params: ShelvingParams, z: float, room: float
) -> None:
    """Stand boxes and crates on the shelf at ``z`` from one side to the other."""
    y = -params.width / 2.0 + 0.05
    while y < params.width / 2.0 - 0.2:
        across = float(rng.uniform(0.15, 0.45))
        across = min(across, params.width / 2.0 - 0.04 - y)
        deep, tall = float(rng.uniform(0.6, 0.92) * params.depth), float(rng.uniform(0.35, 0.9) * room)
        if rng.random() < params.fill:
            with assembly.placed(-params.depth / 2.0, y + across / 2.0, z):
                if rng.random() < 0.3 and across > 0.25:
                    add_plastic_crate(assembly, (deep, across - 0.02, min(tall, 0.3)), "plastic")
                else:
                    size = (deep, across - 0.015, tall)
                    assembly.box("goods", size, (0.0, 0.0, tall / 2.0), carton_sides(rng))
        y += across


def build_shelving(params: ShelvingParams) -> Prop:
    """Build a shelving unit with goods."""
    rng = np.random.default_rng(params.seed)
    materials = {
        "steel": Material(texture=painted_metal(rng, params.color, 0.2, 64), roughness=0.5),
        "goods": carton_material(rng),
        "plastic": Material(color=(0.1, 0.2, 0.48), roughness=0.5),
        "dark": Material(color=(0.04, 0.04, 0.04), roughness=0.9),
    }
    assembly = Assembly(materials)
    half = params.width / 2.0
    for x in (-0.02, -params.depth + 0.02):
        for y in (-half + 0.02, half - 0.02):
            assembly.box("steel", (0.04, 0.04, params.height), (x, y, params.height / 2.0))
    pitch = (params.height - 0.12) / (params.shelves - 1)
    for index in range(params.shelves):
        z = 0.1 + index * pitch
        board = (params.depth - 0.01, params.width - 0.01, 0.035)
        assembly.box("steel", board, (-params.depth / 2.0, 0.0, z - 0.0175))
        if index < params.shelves - 1:
            _add_shelf_goods(assembly, rng, params, z, pitch - 0.05)
    for sign in (-1.0, 1.0):
        y = sign * (half - 0.005)
        assembly.beam("steel", (-0.03, y, 0.2), (-params.depth + 0.03, y, params.height - 0.2), 0.004, 0.03)
    return assembly.prop("shelving", {"top": (-params.depth / 2.0, 0.0, params.height)})


def sample_rack(rng: np.random.Generator) -> RackParams:
    """Draw a rack of one to four bays; the lowest beam lies at 0.15 m or 1.2 to 2.2 m."""
    levels = [0.15] if rng.random() < 0.15 else [float(rng.uniform(1.2, 2.2))]
    step = float(rng.uniform(1.0, 1.9))
    for _ in range(int(rng.integers(1, 4))):
        levels.append(levels[-1] + step)
    kinds: tuple[Literal["goods", "free", "mixed"], ...] = ("goods", "free", "mixed")
    return RackParams(
        seed=draw_seed(rng),
        bays=int(rng.integers(1, 5)),
        bay_width=float(rng.choice([1.85, 2.7, 2.8, 3.3, 3.6], p=[0.1, 0.35, 0.25, 0.15, 0.15])),
        depth=float(rng.uniform(1.0, 1.15)),
        level_heights=tuple(round(level, 3) for level in levels),
        height=round(max(1.5, levels[-1] + float(rng.uniform(0.2, 0.9))), 3),
        upright_color=UPRIGHT_COLORS[int(rng.choice(4, p=[0.5, 0.22, 0.15, 0.13]))],
        beam_color=BEAM_COLORS[int(rng.choice(4, p=[0.55, 0.28, 0.1, 0.07]))],
        ground_level=kinds[int(rng.choice(3, p=[0.35, 0.2, 0.45]))],
        fill=float(rng.uniform(0.5, 1.0)),
        decking=bool(rng.random() < 0.3),
        guards=bool(rng.random() < 0.5),
    )


def sample_shelving(rng: np.random.Generator) -> ShelvingParams:
    """Draw a shelving unit."""
    colors: tuple[Color, ...] = ((0.45, 0.47, 0.48), (0.1, 0.2, 0.45), (0.62, 0.62, 0.6), (0.16, 0.3, 0.22))
    return ShelvingParams(
        seed=draw_seed(rng),
        width=float(rng.uniform(0.8, 2.2)),
        depth=float(rng.uniform(0.35, 0.7)),
        height=float(rng.uniform(1.4, 2.5)),
        shelves=int(rng.integers(3, 7)),
        color=colors[int(rng.integers(len(colors)))],
        fill=float(rng.uniform(0.3, 1.0)),
    )


FAMILIES: tuple[ObjectFamily[Any], ...] = (
    ObjectFamily("rack", RackParams, sample_rack, build_rack),
    ObjectFamily("shelving", ShelvingParams, sample_shelving, build_shelving),
)
