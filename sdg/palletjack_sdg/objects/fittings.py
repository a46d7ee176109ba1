"""What is fixed to a building: lamps, trays, extinguishers, cabinets, signs, guards and floor lines.

Frames are those of ``building``: wall things have their origin on the wall plane at the floor line,
ceiling things z = 0 at their lowest point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from palletjack_sdg import shapes
from palletjack_sdg.geometry import ByteArray, Material, Prop
from palletjack_sdg.objects.assembly import Assembly, UvRect, draw_seed
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.textures.metal_and_cloth import painted_metal, sign, warning_stripes

Color = tuple[float, float, float]
YELLOW: Color = (0.85, 0.62, 0.04)


class CableTrayParams(ObjectParams):
    """A cable tray or pipe run along x with hangers of ``drop`` metres."""

    length: float = Field(default=8.0, ge=1.0, le=40.0)
    width: float = Field(default=0.3, ge=0.1, le=0.8)
    drop: float = Field(default=0.5, ge=0.0, le=3.0)
    pipes: int = Field(default=0, ge=0, le=4)


class LightFixtureParams(ObjectParams):
    """The housing of a fluorescent lamp along x; its tubes glow by the layout's own light."""

    length: float = Field(default=1.5, ge=0.4, le=3.0)
    width: float = Field(default=0.16, ge=0.05, le=0.7)
    drop: float = Field(default=0.4, ge=0.0, le=3.0)


class ExtinguisherParams(ObjectParams):
    """A red extinguisher on a wall, with its sign above."""

    mount_height: float = Field(default=0.55, ge=0.1, le=1.2)
    with_sign: bool = True


class SwitchCabinetParams(ObjectParams):
    """An electric cabinet on a wall or standing before it."""

    width: float = Field(default=0.6, ge=0.2, le=1.8)
    height: float = Field(default=0.8, ge=0.2, le=2.2)
    depth: float = Field(default=0.22, ge=0.08, le=0.6)
    mount_height: float = Field(default=1.0, ge=0.0, le=1.6)
    color: Color = (0.68, 0.69, 0.67)


class SignBoardParams(ObjectParams):
    """Signs and notices on a wall, ``count`` side by side."""

    count: int = Field(default=2, ge=1, le=6)
    size: float = Field(default=0.3, ge=0.1, le=1.0)
    mount_height: float = Field(default=1.8, ge=0.5, le=4.0)


class BollardParams(ObjectParams):
    """A protective post."""

    height: float = Field(default=1.0, ge=0.4, le=1.4)
    diameter: float = Field(default=0.14, ge=0.06, le=0.3)
    striped: bool = True


class HandrailParams(ObjectParams):
    """A yellow rail on posts along y."""

    length: float = Field(default=2.4, ge=0.8, le=6.0)
    height: float = Field(default=1.05, ge=0.3, le=1.2)
    color: Color = YELLOW


class BumperParams(ObjectParams):
    """A low guard plate on the floor at a rack's end, along y."""

    length: float = Field(default=1.1, ge=0.3, le=3.0)
    height: float = Field(default=0.4, ge=0.1, le=0.6)
    striped: bool = True


class FloorMarkingParams(ObjectParams):
    """A painted line along x on the floor."""

    length: float = Field(default=6.0, ge=0.5, le=40.0)
    width: float = Field(default=0.08, ge=0.04, le=0.3)
    color: Color = YELLOW
    wear: float = Field(default=0.5, ge=0.0, le=1.0)


def build_light_fixture(params: LightFixtureParams) -> Prop:
    """Build a lamp housing with side reflectors and hangers. Anchor ``tube``: where the light shines down."""
    assembly = Assembly(
        {"body": Material(color=(0.8, 0.8, 0.78), roughness=0.4), "wire": Material(color=(0.4, 0.4, 0.4))}
    )
    length, w = params.length, params.width
    assembly.box("body", (length, w, 0.03), (0.0, 0.0, 0.065))
    for sign_ in (-1.0, 1.0):
        assembly.box("body", (length, 0.006, 0.06), (0.0, sign_ * w / 2.0, 0.03))
        assembly.box("body", (0.01, w, 0.06), (sign_ * length / 2.0, 0.0, 0.03))
        if params.drop > 0.02:
            at = (sign_ * 0.35 * length, 0.0, 0.08)
            assembly.rods("wire", [at], [(at[0], 0.0, 0.08 + params.drop)], 0.004)
    return assembly.prop("light_fixture", {"tube": (0.0, 0.0, 0.045), "top": (0.0, 0.0, 0.08 + params.drop)})


def build_cable_tray(params: CableTrayParams) -> Prop:
    """Build a tray with cables, or pipes side by side."""
    rng = np.random.default_rng(params.seed)
    assembly = Assembly(
        {
            "steel": Material(color=(0.55, 0.56, 0.57), metallic=0.5, roughness=0.5),
            "cable": Material(color=(0.06, 0.06, 0.07), roughness=0.7),
            "pipe": Material(color=((0.6, 0.12, 0.1), (0.6, 0.6, 0.58))[int(rng.integers(2))], roughness=0.5),
        },
        smooth=("pipe",),
    )
    length, w = params.length, params.width
    if params.pipes:
        for index in range(params.pipes):
            y, radius = (index - (params.pipes - 1) / 2.0) * 0.14, float(rng.uniform(0.025, 0.06))
            ends = [(-length / 2.0, y, radius)], [(length / 2.0, y, radius)]
            assembly.rods("pipe", *ends, radius, 10)
    else:
        for sign_ in (-1.0, 1.0):
            assembly.box("steel", (length, 0.004, 0.07), (0.0, sign_ * w / 2.0, 0.035))
        for x in np.arange(-length / 2.0 + 0.15, length / 2.0, 0.5):
            assembly.box("steel", (0.03, w, 0.012), (float(x), 0.0, 0.006))
        for _ in range(5):
            y = float(rng.uniform(-0.4, 0.4)) * w
            assembly.box("cable", (length, 0.025, 0.025), (0.0, y, 0.025))
    if params.drop > 0.0:
        for x in np.arange(-length / 2.0 + 0.5, length / 2.0, 2.0):
            for sign_ in (-1.0, 1.0):
                foot = (float(x), sign_ * w / 2.0, 0.02)
                assembly.rods("steel", [foot], [(foot[0], foot[1], params.drop)], 0.005)
    return assembly.prop("cable_tray", {"top": (0.0, 0.0, max(params.drop, 0.08))})


def build_extinguisher(params: ExtinguisherParams) -> Prop:
    """Build a fire extinguisher and its sign."""
    rng = np.random.default_rng(params.seed)
    red: Color = (0.62, 0.04, 0.04)
    materials = {
        "red": Material(color=red, roughness=0.3),
        "black": Material(color=(0.04, 0.04, 0.04), roughness=0.5),
        "label": Material(color=(0.8, 0.8, 0.76), roughness=0.6),
        "sign": Material(texture=_fire_sign(), roughness=0.5),
    }
    assembly = Assembly(materials)
    r, tall = 0.075, float(rng.uniform(0.4, 0.52))
    profile = [
        (0.0, 0.0),
        (r, 0.0),
        (r, 0.78 * tall),
        (0.75 * r, 0.9 * tall),
        (0.3 * r, 0.96 * tall),
        (0.0, tall),
    ]
    with assembly.placed(0.1, 0.0, params.mount_height):
        assembly.add_part("red", shapes.lathe(profile, materials["red"], segments=16))
        assembly.add_part(
            "label", shapes.cylinder((0, 0, 0.3 * tall), (0, 0, 0.6 * tall), r + 0.001, materials["label"])
        )
        assembly.box("black", (0.13, 0.03, 0.05), (0.02, 0.0, tall + 0.01))
        hose = [(0.06, 0.0, tall), (0.1, 0.05, 0.7 * tall), (0.08, 0.07, 0.25 * tall)]
        assembly.add_part("black", shapes.pipe(hose, 0.011, materials["black"], segments=6))
        assembly.box("black", (0.1, 0.03, 0.03), (-0.05, 0.0, 0.6 * tall))
    if params.with_sign:
        assembly.box("sign", (0.01, 0.22, 0.22), (0.006, 0.0, params.mount_height + tall + 0.9))
    return assembly.prop("extinguisher")


def _fire_sign() -> ByteArray:
    """Red square with a white extinguisher-like figure (32, 32, 3)."""
    image = np.empty((32, 32, 3), dtype=np.uint8)
    image[:] = (176, 20, 26)
    image[10:27, 8:16] = 244
    image[6:10, 10:14] = 244
    image[12:26, 20:24] = (236, 150, 40)
    return image


def build_switch_cabinet(params: SwitchCabinetParams) -> Prop:
    """Build a cabinet with a door gap, a lock and a warning sign."""
    rng = np.random.default_rng(params.seed)
    materials = {
        "body": Material(texture=painted_metal(rng, params.color, 0.15), roughness=0.45),
        "dark": Material(color=(0.08, 0.08, 0.08), roughness=0.6),
        "sign": Material(texture=sign(rng), roughness=0.5),
        "lamp": Material(color=(0.7, 0.08, 0.06), roughness=0.3),
    }
    assembly = Assembly(materials)
    w, h, d, z = params.width, params.height, params.depth, params.mount_height
    assembly.add_part(
        "body",
        shapes.box_projected_uvs(
            shapes.box((d, w, h), materials["body"], center=(d / 2.0, 0.0, z + h / 2.0), bevel=0.006)
        ),
    )
    assembly.box("dark", (0.004, 0.006, 0.96 * h), (d, 0.1 * w, z + h / 2.0))
    assembly.box("dark", (0.02, 0.03, 0.1), (d + 0.005, 0.06 * w, z + 0.5 * h))
    side = min(0.16, 0.35 * min(w, h))
    assembly.box("sign", (0.004, side, side), (d + 0.002, -0.22 * w, z + 0.72 * h))
    for index in range(int(rng.integers(0, 4))):
        assembly.box("lamp", (0.02, 0.03, 0.03), (d + 0.008, 0.2 * w + 0.06 * index * w, z + 0.85 * h))
    if z > 0.6:
        assembly.box("dark", (0.05, 0.08, z + 0.0), (0.03, -0.3 * w, z / 2.0))
    return assembly.prop("switch_cabinet")


def build_sign_board(params: SignBoardParams) -> Prop:
    """Build signs side by side on a wall."""
    rng = np.random.default_rng(params.seed)
    assembly = Assembly({f"sign{i}": Material(texture=sign(rng), roughness=0.5) for i in range(params.count)})
    for index in range(params.count):
        y = (index - (params.count - 1) / 2.0) * params.size * 1.15
        tall = params.size * float(rng.choice([1.0, 1.0, 1.35]))
        assembly.box(f"sign{index}", (0.012, params.size, tall), (0.006, y, params.mount_height + tall / 2.0))
    return assembly.prop("sign_board")


def build_bollard(params: BollardParams) -> Prop:
    """Build a post with a round cap, yellow or with black bands."""
    materials = {
        "yellow": Material(color=YELLOW, roughness=0.5),
        "black": Material(color=(0.05, 0.05, 0.05), roughness=0.5),
    }
    assembly = Assembly(materials, smooth=("yellow", "black"))
    r, h = params.diameter / 2.0, params.height
    bands = 6 if params.striped else 1
    for index in range(bands):
        name = "black" if params.striped and index % 2 else "yellow"
        low, high = index * h / bands, (index + 1) * h / bands
        if index == bands - 1:
            high = h - 0.4 * r
            assembly.add_part(
                name, shapes.sphere((0.0, 0.0, high), (r, r, 0.4 * r), materials[name], segments=14)
            )
        assembly.add_part(name, shapes.cylinder((0, 0, low), (0, 0, high), r, materials[name], segments=14))
    assembly.box("black", (2.6 * r, 2.6 * r, 0.012), (0.0, 0.0, 0.006))
    return assembly.prop("bollard")


def build_handrail(params: HandrailParams) -> Prop:
    """Build posts, a top and a knee rail, and toe boards."""
    material = Material(color=params.color, roughness=0.45)
    assembly = Assembly({"rail": material})
    h, half = params.height, params.length / 2.0
    posts = max(2, round(params.length / 1.2) + 1)
    for y in np.linspace(-half + 0.03, half - 0.03, posts):
        assembly.box("rail", (0.05, 0.05, h), (0.0, float(y), h / 2.0))
        assembly.box("rail", (0.14, 0.12, 0.01), (0.0, float(y), 0.005))
    for z, tall in ((h - 0.025, 0.05), (0.52 * h, 0.04), (0.09, 0.1)):
        assembly.box("rail", (0.03 if z < 0.2 else 0.05, params.length, tall), (0.0, 0.0, z))
    return assembly.prop("handrail")


def build_bumper(params: BumperParams) -> Prop:
    """Build a guard plate with feet."""
    rng = np.random.default_rng(params.seed)
    yellow = painted_metal(rng, YELLOW, 0.6)
    texture = warning_stripes(rng) if params.striped else yellow
    assembly = Assembly({"plate": Material(texture=texture, roughness=0.5)})
    tiles = max(1, round(params.length / params.height)) if params.striped else 1
    wide = params.length / tiles
    for index in range(tiles):
        y = (index + 0.5) * wide - params.length / 2.0
        assembly.box("plate", (0.02, wide, params.height - 0.02), (0.0, y, params.height / 2.0 + 0.01))
    corner: UvRect = (0.1, 0.1, 0.2, 0.2)
    for sign_ in (-1.0, 1.0):
        assembly.box("plate", (0.16, 0.1, 0.012), (0.0, sign_ * (params.length / 2.0 - 0.05), 0.006), corner)
    return assembly.prop("bumper")


def build_floor_marking(params: FloorMarkingParams) -> Prop:
    """Build a line as a slab of 2 mm, in pieces so that wear does not stretch."""
    rng = np.random.default_rng(params.seed)
    assembly = Assembly(
        {"paint": Material(texture=painted_metal(rng, params.color, params.wear), roughness=0.7)}
    )
    pieces = max(1, round(params.length / 1.0))
    step = params.length / pieces
    for index in range(pieces):
        row = float(rng.uniform(0.0, 0.8))
        uv: UvRect = (0.0, row, 1.0, row + 0.1)
        x = (index + 0.5) * step - params.length / 2.0
        assembly.box("paint", (step, params.width, 0.002), (x, 0.0, 0.001), uv)
    return assembly.prop("floor_marking")


def sample_light_fixture(rng: np.random.Generator) -> LightFixtureParams:
    """Draw a lamp housing."""
    length, width = float(rng.choice([0.65, 1.27, 1.57])), float(rng.uniform(0.08, 0.3))
    return LightFixtureParams(
        seed=draw_seed(rng), length=length, width=width, drop=float(rng.uniform(0.0, 1.2))
    )


def sample_cable_tray(rng: np.random.Generator) -> CableTrayParams:
    """Draw a tray or pipes."""
    return CableTrayParams(
        seed=draw_seed(rng),
        length=float(rng.uniform(4.0, 16.0)),
        width=float(rng.uniform(0.15, 0.5)),
        drop=float(rng.uniform(0.1, 1.0)),
        pipes=int(rng.integers(0, 4)),
    )


def sample_extinguisher(rng: np.random.Generator) -> ExtinguisherParams:
    """Draw an extinguisher."""
    return ExtinguisherParams(
        seed=draw_seed(rng), mount_height=float(rng.uniform(0.3, 0.9)), with_sign=bool(rng.random() < 0.7)
    )


def sample_switch_cabinet(rng: np.random.Generator) -> SwitchCabinetParams:
    """Draw a small box on the wall or a tall cabinet on the floor."""
    colors: tuple[Color, ...] = ((0.68, 0.69, 0.67), (0.5, 0.51, 0.52), (0.75, 0.73, 0.65), (0.3, 0.35, 0.45))
    color = colors[int(rng.integers(len(colors)))]
    if rng.random() < 0.3:
        return SwitchCabinetParams(
            seed=draw_seed(rng),
            width=float(rng.uniform(0.6, 1.6)),
            height=float(rng.uniform(1.7, 2.1)),
            depth=float(rng.uniform(0.3, 0.55)),
            mount_height=0.0,
            color=color,
        )
    return SwitchCabinetParams(
        seed=draw_seed(rng),
        width=float(rng.uniform(0.25, 0.8)),
        height=float(rng.uniform(0.3, 0.9)),
        depth=float(rng.uniform(0.1, 0.28)),
        mount_height=float(rng.uniform(0.8, 1.3)),
        color=color,
    )


def sample_sign_board(rng: np.random.Generator) -> SignBoardParams:
    """Draw one to three signs."""
    return SignBoardParams(
        seed=draw_seed(rng),
        count=int(rng.integers(1, 4)),
        size=float(rng.uniform(0.2, 0.5)),
        mount_height=float(rng.uniform(1.4, 2.8)),
    )


def sample_bollard(rng: np.random.Generator) -> BollardParams:
    """Draw a post."""
    return BollardParams(
        seed=draw_seed(rng),
        height=float(rng.uniform(0.5, 1.2)),
        diameter=float(rng.uniform(0.09, 0.2)),
        striped=bool(rng.random() < 0.5),
    )


def sample_handrail(rng: np.random.Generator) -> HandrailParams:
    """Draw a rail, yellow mostly."""
    colors: tuple[Color, ...] = (YELLOW, YELLOW, (0.55, 0.1, 0.08), (0.5, 0.51, 0.52))
    return HandrailParams(
        seed=draw_seed(rng),
        length=float(rng.uniform(1.2, 4.0)),
        height=float(rng.choice([0.45, 1.05])),
        color=colors[int(rng.integers(4))],
    )


def sample_bumper(rng: np.random.Generator) -> BumperParams:
    """Draw a guard plate."""
    return BumperParams(
        seed=draw_seed(rng),
        length=float(rng.uniform(0.5, 2.2)),
        height=float(rng.uniform(0.25, 0.5)),
        striped=bool(rng.random() < 0.6),
    )


def sample_floor_marking(rng: np.random.Generator) -> FloorMarkingParams:
    """Draw a line, yellow or white."""
    color: Color = YELLOW if rng.random() < 0.7 else (0.85, 0.85, 0.83)
    return FloorMarkingParams(
        seed=draw_seed(rng),
        length=float(rng.uniform(2.0, 12.0)),
        width=float(rng.uniform(0.05, 0.15)),
        color=color,
        wear=float(rng.uniform(0.2, 1.0)),
    )


FAMILIES: tuple[ObjectFamily[Any], ...] = (
    ObjectFamily("light_fixture", LightFixtureParams, sample_light_fixture, build_light_fixture),
    ObjectFamily("cable_tray", CableTrayParams, sample_cable_tray, build_cable_tray),
    ObjectFamily("extinguisher", ExtinguisherParams, sample_extinguisher, build_extinguisher),
    ObjectFamily("switch_cabinet", SwitchCabinetParams, sample_switch_cabinet, build_switch_cabinet),
    ObjectFamily("sign_board", SignBoardParams, sample_sign_board, build_sign_board),
    ObjectFamily("bollard", BollardParams, sample_bollard, build_bollard),
    ObjectFamily("handrail", HandrailParams, sample_handrail, build_handrail),
    ObjectFamily("bumper", BumperParams, sample_bumper, build_bumper),
    ObjectFamily("floor_marking", FloorMarkingParams, sample_floor_marking, build_floor_marking),
)
