"""Pallets: empty, stacked, loaded, wrapped, or with wooden collars.

x is the axis along which the forks enter (1.2 m for a EUR pallet), y the short side.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from palletjack_sdg.geometry import Material, Prop, Vec3
from palletjack_sdg.objects.assembly import Assembly, UvRect, draw_seed, turn
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.objects.loads import (
    CartonStack,
    carton_material,
    fill_with_cartons,
    fill_with_drums,
    fill_with_sacks,
    film_material,
    wrap_in_film,
)
from palletjack_sdg.textures.metal_and_cloth import painted_metal
from palletjack_sdg.textures.print import paper_label
from palletjack_sdg.textures.wood import wood_strips

LoadKind = Literal["cartons", "mixed_cartons", "sacks", "drums", "crate", "tall_box"]
WrapKind = Literal["none", "film", "clear_film"]

PALLET_HEIGHT = 0.144
BOARD = 0.022
BLOCK_HEIGHT = 0.078
STRIPS = 8
COLLAR_HEIGHT = 0.195
COLLAR_THICKNESS = 0.02


class PalletParams(ObjectParams):
    """An empty wooden pallet; ``length`` along the forks, ``width`` across, ``age`` 0 new to 1 grey."""

    length: float = Field(default=1.2, ge=0.6, le=2.4)
    width: float = Field(default=0.8, ge=0.6, le=1.3)
    age: float = Field(default=0.4, ge=0.0, le=1.0)


class PalletStackParams(PalletParams):
    """``count`` empty pallets on one another, each off by up to ``misalignment`` metres."""

    count: int = Field(default=8, ge=1, le=20)
    misalignment: float = Field(default=0.02, ge=0.0, le=0.08)


class LoadedPalletParams(PalletParams):
    """A pallet with goods; ``load_height`` is measured from the deck.

    ``load_scale`` shrinks (or lets overhang) the load's footprint against the deck's.
    """

    load: LoadKind = "cartons"
    load_height: float = Field(default=0.9, ge=0.1, le=2.4)
    load_scale: float = Field(default=0.98, ge=0.6, le=1.08)
    wrap: WrapKind = "none"
    labelled: bool = True


class CollarPalletParams(PalletParams):
    """A pallet with ``collars`` hinged wooden frames; ``fill`` is how full they are, 0 to 1."""

    collars: int = Field(default=2, ge=1, le=6)
    fill: float = Field(default=0.7, ge=0.0, le=1.0)
    lid: bool = False
    labelled: bool = True


def _strip(rng: np.random.Generator) -> UvRect:
    """UV rectangle of a random board of the wood image; u lies along the grain."""
    row = int(rng.integers(STRIPS))
    start = rng.uniform(0.0, 0.4)
    return (start, row / STRIPS + 0.01, start + 0.6, (row + 1) / STRIPS - 0.01)


def wood_material(rng: np.random.Generator, age: float) -> Material:
    """Material whose image holds ``STRIPS`` boards along u."""
    return Material(texture=wood_strips(rng, 256, STRIPS, age), roughness=0.85)


def add_plank(
    assembly: Assembly, rng: np.random.Generator, size: Vec3, center: Vec3, material: str = "wood"
) -> None:
    """Add a board whose grain follows the longer of its two horizontal edges, or z if that is longest."""
    strip = _strip(rng)
    if size[2] > max(size[0], size[1]):
        assembly.box(material, (size[2], size[1], size[0]), center, strip, turn(pitch=np.pi / 2))
    elif size[1] > size[0]:
        assembly.box(material, (size[1], size[0], size[2]), center, strip, turn(yaw=np.pi / 2))
    else:
        assembly.box(material, size, center, strip)


def add_pallet(
    assembly: Assembly,
    rng: np.random.Generator,
    length: float = 1.2,
    width: float = 0.8,
    simple: bool = False,
) -> None:
    """Add a pallet built after EN 13698-1's EUR pattern, standing on z = 0 around the origin.

    Five deck boards along x on three cross boards, nine blocks, three bottom boards along x. ``simple``
    leaves out what is not seen from a few metres away.
    """
    block_z = BOARD + BLOCK_HEIGHT / 2.0
    wide, narrow = 0.145 * width / 0.8, 0.1 * width / 0.8
    rows = [(-(width - narrow) / 2.0, narrow), (0.0, wide), ((width - narrow) / 2.0, narrow)]
    columns = [-(length - 0.145) / 2.0, 0.0, (length - 0.145) / 2.0]
    for y, across in rows:
        add_plank(assembly, rng, (length, across, BOARD), (0.0, y, BOARD / 2.0))
        for x in columns:
            strip = _strip(rng)
            assembly.box("wood", (0.145, across, BLOCK_HEIGHT), (x, y, block_z), strip)
    cross_z = BOARD + BLOCK_HEIGHT + BOARD / 2.0
    for x in columns:
        add_plank(assembly, rng, (0.145, width, BOARD), (x, 0.0, cross_z))
    deck_z = PALLET_HEIGHT - BOARD / 2.0
    if simple:
        add_plank(assembly, rng, (length, width, BOARD), (0.0, 0.0, deck_z))
        return
    deck = [(-(width - wide) / 2.0, wide), (0.0, wide), ((width - wide) / 2.0, wide)]
    gap_center = (width / 2.0 - wide + wide / 2.0) / 2.0
    deck += [(-gap_center, narrow), (gap_center, narrow)]
    for y, across in deck:
        add_plank(assembly, rng, (length, across, BOARD), (0.0, y, deck_z))


def _faces(length: float, width: float) -> dict[str, Vec3]:
    """Anchors at the floor line of the four entry faces."""
    return {
        "entry_front": (length / 2.0, 0.0, 0.0),
        "entry_back": (-length / 2.0, 0.0, 0.0),
        "entry_left": (0.0, width / 2.0, 0.0),
        "entry_right": (0.0, -width / 2.0, 0.0),
    }


def build_pallet(params: PalletParams) -> Prop:
    """Build one empty pallet."""
    rng = np.random.default_rng(params.seed)
    assembly = Assembly({"wood": wood_material(rng, params.age)})
    add_pallet(assembly, rng, params.length, params.width)
    anchors = {"top": (0.0, 0.0, PALLET_HEIGHT), **_faces(params.length, params.width)}
    return assembly.prop("pallet", anchors)


def build_pallet_stack(params: PalletStackParams) -> Prop:
    """Build a pile of empty pallets; the lowest is aligned with the axes."""
    rng = np.random.default_rng(params.seed)
    assembly = Assembly({"wood": wood_material(rng, params.age)})
    for index in range(params.count):
        off = params.misalignment if index else 0.0
        x, y = rng.uniform(-off, off, 2)
        with assembly.placed(x, y, index * PALLET_HEIGHT, turn(yaw=rng.normal(0.0, 0.3) * off)):
            add_pallet(assembly, rng, params.length, params.width)
    anchors = {"top": (0.0, 0.0, params.count * PALLET_HEIGHT), **_faces(params.length, params.width)}
    return assembly.prop("pallet_stack", anchors)


def _goods_material(rng: np.random.Generator, params: LoadedPalletParams) -> Material:
    if params.load == "drums":
        colors = [
            (0.1, 0.25, 0.55),
            (0.15, 0.15, 0.16),
            (0.6, 0.12, 0.1),
            (0.12, 0.4, 0.25),
            (0.75, 0.75, 0.72),
        ]
        color = colors[int(rng.integers(len(colors)))]
        return Material(texture=painted_metal(rng, color, 0.3), roughness=0.45)
    if params.load == "sacks":
        shades = [(0.78, 0.76, 0.7), (0.62, 0.5, 0.36), (0.85, 0.85, 0.84)]
        return Material(color=shades[int(rng.integers(len(shades)))], roughness=0.8)
    if params.load == "crate":
        return wood_material(rng, params.age)
    return carton_material(rng)


def _add_crate(assembly: Assembly, rng: np.random.Generator, size: Vec3) -> None:
    """Closed wooden crate of upright or lying boards with corner battens."""
    length, width, height = size
    rows = max(2, round(height / 0.14))
    for index in range(rows):
        z = (index + 0.5) * height / rows
        thick = height / rows - 0.006
        for y in (-width / 2.0 + 0.02, width / 2.0 - 0.02):
            add_plank(assembly, rng, (length - 0.03, 0.02, thick), (0.0, y, z), "goods")
        for x in (-length / 2.0 + 0.02, length / 2.0 - 0.02):
            add_plank(assembly, rng, (0.02, width - 0.03, thick), (x, 0.0, z), "goods")
    for x in (-length / 2.0 + 0.05, 0.0, length / 2.0 - 0.05):
        for y in (-width / 2.0 + 0.005, width / 2.0 - 0.005):
            add_plank(assembly, rng, (0.09, 0.018, height), (x, y, height / 2.0), "goods")
    add_plank(assembly, rng, (length - 0.02, width - 0.02, 0.02), (0.0, 0.0, height - 0.012), "goods")


def build_loaded_pallet(params: LoadedPalletParams) -> Prop:
    """Build a pallet with goods on it, wrapped in film or not."""
    rng = np.random.default_rng(params.seed)
    materials = {
        "wood": wood_material(rng, params.age),
        "goods": _goods_material(rng, params),
        "label": Material(texture=paper_label(rng, 64, 84), roughness=0.7),
    }
    if params.wrap != "none":
        materials["film"] = film_material(rng, clear=params.wrap == "clear_film")
    assembly = Assembly(materials, smooth=("film",))
    add_pallet(assembly, rng, params.length, params.width)
    size = (params.length * params.load_scale, params.width * params.load_scale, params.load_height)
    with assembly.placed(z=PALLET_HEIGHT):
        hidden = params.wrap == "film"
        if params.load == "drums":
            fill_with_drums(assembly, rng, size)
        elif params.load == "sacks":
            fill_with_sacks(assembly, rng, size)
        elif params.load == "crate":
            _add_crate(assembly, rng, size)
        elif params.load == "tall_box":
            fill_with_cartons(assembly, rng, CartonStack(size, columns=1, rows=1, layers=1, ragged=0.0))
        elif not hidden:
            mixed = params.load == "mixed_cartons"
            fill_with_cartons(assembly, rng, CartonStack.sample(rng, size, mixed))
        if params.wrap != "none":
            wrap_in_film(assembly, rng, (size[0] + 0.01, size[1] + 0.01, size[2] + 0.006))
        if params.labelled and (params.wrap != "none" or params.load in ("crate", "tall_box")):
            _stick_label(assembly, rng, size)
    top = PALLET_HEIGHT + params.load_height
    return assembly.prop("loaded_pallet", {"top": (0.0, 0.0, top), **_faces(params.length, params.width)})


def _stick_label(assembly: Assembly, rng: np.random.Generator, size: Vec3) -> None:
    """Stick a delivery note on a long and an end face of a block of goods standing at z = 0."""
    length, width, height = size
    tall = min(0.3, 0.6 * height)
    wide = 0.76 * tall
    z = height * rng.uniform(0.45, 0.8) if height > 0.7 else height / 2.0
    z = min(z, height - tall / 2.0)
    for sign in (-1.0, 1.0):
        x = rng.uniform(-0.25, 0.25) * length
        center = (x, sign * (width / 2.0 + 0.011), z)
        assembly.box("label", (wide, 0.003, tall), center)
        center = (sign * (length / 2.0 + 0.011), rng.uniform(-0.2, 0.2) * width, z)
        assembly.box("label", (0.003, wide, tall), center)


def add_collar(assembly: Assembly, rng: np.random.Generator, length: float, width: float) -> None:
    """Add a hinged wooden frame, 195 mm high, standing on z = 0 around the origin."""
    t, h = COLLAR_THICKNESS, COLLAR_HEIGHT
    for side in (-1.0, 1.0):
        y, x = side * (width - t) / 2.0, side * (length - t) / 2.0
        for z, tall in ((0.25 * h, 0.5 * h - 0.003), (0.75 * h, 0.5 * h - 0.003)):
            add_plank(assembly, rng, (length, t, tall), (0.0, y, z))
            add_plank(assembly, rng, (t, width - 2 * t, tall), (x, 0.0, z))
        for end in (-1.0, 1.0):
            assembly.box(
                "hinge", (0.09, 0.004, 0.13), (end * (length / 2.0 - 0.045), y + side * 0.011, 0.42 * h)
            )
            assembly.box(
                "hinge", (0.004, 0.09, 0.13), (x + side * 0.011, end * (width / 2.0 - 0.045), 0.42 * h)
            )


def build_collar_pallet(params: CollarPalletParams) -> Prop:
    """Build a pallet with collars and what is in them."""
    rng = np.random.default_rng(params.seed)
    length, width = params.length, params.width
    contents = (
        Material(color=(0.09, 0.09, 0.1), roughness=0.5) if rng.random() < 0.4 else carton_material(rng)
    )
    materials = {
        "wood": wood_material(rng, params.age),
        "hinge": Material(color=(0.55, 0.56, 0.57), metallic=0.6, roughness=0.5),
        "goods": contents,
        "label": Material(texture=paper_label(rng, 64, 84), roughness=0.7),
    }
    assembly = Assembly(materials)
    add_pallet(assembly, rng, length, width)
    height = params.collars * COLLAR_HEIGHT
    for index in range(params.collars):
        x, y = rng.normal(0.0, 0.003, 2) if index else (0.0, 0.0)
        with assembly.placed(x, y, PALLET_HEIGHT + index * COLLAR_HEIGHT):
            add_collar(assembly, rng, length, width)
    inner = (length - 0.07, width - 0.07, max(0.05, params.fill * height))
    if params.fill > 0.0:
        with assembly.placed(z=PALLET_HEIGHT):
            fill_with_cartons(assembly, rng, CartonStack(inner, 3, 2, 1, ragged=0.06))
    top = PALLET_HEIGHT + height
    if params.lid:
        add_plank(assembly, rng, (length, width, 0.012), (0.0, 0.0, top + 0.006))
        top += 0.012
    if params.labelled:
        for side in (-1.0, 1.0):
            tall, z = min(0.17 * params.collars, 0.3), PALLET_HEIGHT + height / 2.0
            along = (rng.uniform(-0.3, 0.3), side * (width / 2.0 + 0.002), z)
            assembly.box("label", (0.76 * tall, 0.003, tall), along)
            across = (side * (length / 2.0 + 0.002), rng.uniform(-0.15, 0.15), z)
            assembly.box("label", (0.003, 0.76 * tall, tall), across)
    return assembly.prop("collar_pallet", {"top": (0.0, 0.0, top), **_faces(length, width)})


_FOOTPRINTS = ((1.2, 0.8), (1.2, 1.0), (0.8, 0.6), (1.2, 1.2))


def _footprint(rng: np.random.Generator) -> tuple[float, float]:
    return _FOOTPRINTS[int(rng.choice(len(_FOOTPRINTS), p=[0.72, 0.17, 0.06, 0.05]))]


def sample_pallet(rng: np.random.Generator) -> PalletParams:
    """Draw an empty pallet, mostly of the EUR size."""
    length, width = _footprint(rng)
    return PalletParams(seed=draw_seed(rng), length=length, width=width, age=rng.uniform())


def sample_pallet_stack(rng: np.random.Generator) -> PalletStackParams:
    """Draw a pile of 2 to 17 pallets."""
    return PalletStackParams(
        seed=draw_seed(rng),
        age=rng.uniform(),
        count=int(rng.integers(2, 18)),
        misalignment=rng.uniform(0.005, 0.05),
    )


def sample_loaded_pallet(rng: np.random.Generator) -> LoadedPalletParams:
    """Draw a loaded pallet; cartons and wrapped goods are the most common."""
    length, width = _footprint(rng)
    loads: tuple[LoadKind, ...] = ("cartons", "mixed_cartons", "sacks", "drums", "crate", "tall_box")
    wraps: tuple[WrapKind, ...] = ("none", "film", "clear_film")
    return LoadedPalletParams(
        seed=draw_seed(rng),
        length=length,
        width=width,
        age=rng.uniform(),
        load=loads[int(rng.choice(6, p=[0.36, 0.28, 0.08, 0.06, 0.12, 0.1]))],
        load_height=rng.uniform(0.25, 1.7),
        load_scale=rng.uniform(0.85, 1.03),
        wrap=wraps[int(rng.choice(3, p=[0.55, 0.28, 0.17]))],
        labelled=bool(rng.random() < 0.8),
    )


def sample_collar_pallet(rng: np.random.Generator) -> CollarPalletParams:
    """Draw a pallet with 1 to 4 collars."""
    return CollarPalletParams(
        seed=draw_seed(rng),
        age=rng.uniform(0.2, 1.0),
        collars=int(rng.choice([1, 2, 3, 4], p=[0.3, 0.35, 0.25, 0.1])),
        fill=float(rng.choice([0.0, 0.5, 0.8, 0.95])),
        lid=bool(rng.random() < 0.25),
        labelled=bool(rng.random() < 0.75),
    )


FAMILIES: tuple[ObjectFamily[Any], ...] = (
    ObjectFamily("pallet", PalletParams, sample_pallet, build_pallet),
    ObjectFamily("pallet_stack", PalletStackParams, sample_pallet_stack, build_pallet_stack),
    ObjectFamily("loaded_pallet", LoadedPalletParams, sample_loaded_pallet, build_loaded_pallet),
    ObjectFamily("collar_pallet", CollarPalletParams, sample_collar_pallet, build_collar_pallet),
)
