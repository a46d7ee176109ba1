"""Containers that stand on the floor: mesh boxes, crates, drums, tanks, cartons, cabinets and bins."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Prop, Vec3
from palletjack_sdg.objects.assembly import Assembly, draw_seed, turn
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.objects.loads import (
    CartonStack,
    add_drum,
    carton_material,
    carton_sides,
    fill_with_cartons,
    film_material,
    wrap_in_film,
)
from palletjack_sdg.objects.pallets import add_pallet, add_plank, wood_material
from palletjack_sdg.textures.metal_and_cloth import painted_metal
from palletjack_sdg.textures.print import paper_label

Color = tuple[float, float, float]

MESH_BOX_SIZE = (1.24, 0.835, 0.97)
STEEL_COLORS: tuple[Color, ...] = (
    (0.48, 0.5, 0.51),
    (0.1, 0.24, 0.52),
    (0.55, 0.16, 0.14),
    (0.2, 0.33, 0.24),
)


class MeshBoxParams(ObjectParams):
    """Steel mesh box pallets (1.24 x 0.835 x 0.97 m, x the long side), ``count`` high."""

    count: int = Field(default=1, ge=1, le=5)
    color: Color = STEEL_COLORS[0]
    contents: Literal["empty", "cartons", "parts"] = "cartons"
    fill: float = Field(default=0.6, ge=0.1, le=1.05)
    labelled: bool = True


class PlasticCrateParams(ObjectParams):
    """Stackable plastic crates, ``count`` high; ``size`` is one crate's length, width and height."""

    count: int = Field(default=2, ge=1, le=10)
    size: Vec3 = (0.6, 0.4, 0.28)
    color: Color = (0.1, 0.22, 0.5)


class DrumParams(ObjectParams):
    """An upright steel or plastic drum."""

    diameter: float = Field(default=0.58, ge=0.25, le=0.7)
    height: float = Field(default=0.88, ge=0.3, le=1.1)
    color: Color = (0.1, 0.25, 0.55)


class TankParams(ObjectParams):
    """Intermediate bulk container: a white tank in a steel cage on a pallet (1.2 x 1.0 x 1.16 m)."""

    level: float = Field(default=0.7, ge=0.0, le=1.0)


class CartonParams(ObjectParams):
    """A carton, or a heap of up to six, on the floor; ``size`` is the largest one's."""

    size: Vec3 = (0.6, 0.4, 0.4)
    count: int = Field(default=1, ge=1, le=6)


class WoodenCrateParams(ObjectParams):
    """A closed transport crate of boards on runners."""

    size: Vec3 = (1.6, 0.9, 1.0)
    age: float = Field(default=0.3, ge=0.0, le=1.0)


class CabinetParams(ObjectParams):
    """A machine or cabinet in film or under a tarpaulin, on runners."""

    size: Vec3 = (1.4, 0.9, 1.5)
    tarpaulin: bool = False


class WasteBinParams(ObjectParams):
    """A wheeled bin with a lid, ``height`` metres tall, its wheels at -x."""

    height: float = Field(default=1.07, ge=0.8, le=1.3)
    color: Color = (0.2, 0.22, 0.22)


def _paint(rng: np.random.Generator, color: Color, wear: float, roughness: float = 0.5) -> Material:
    return Material(texture=painted_metal(rng, color, wear), roughness=roughness, metallic=0.0)


def _add_mesh_box(assembly: Assembly, rng: np.random.Generator, params: MeshBoxParams) -> None:
    """Add one mesh box standing on z = 0: feet, floor, posts, rims, wires and contents."""
    length, width, height = MESH_BOX_SIZE
    x, y, floor = length / 2.0, width / 2.0, 0.13
    for sx in (-1.0, 1.0):
        for sy in (-1.0, 1.0):
            assembly.box("steel", (0.1, 0.1, 0.012), (sx * (x - 0.05), sy * (y - 0.05), 0.006))
            assembly.box("steel", (0.06, 0.06, floor), (sx * (x - 0.05), sy * (y - 0.05), floor / 2.0))
            post = (sx * (x - 0.02), sy * (y - 0.02), (height + floor) / 2.0)
            assembly.box("steel", (0.04, 0.04, height - floor), post)
    assembly.box("floor", (length - 0.06, width - 0.06, 0.03), (0.0, 0.0, floor))
    for sign in (-1.0, 1.0):
        for z, tall in ((floor, 0.06), (height - 0.02, 0.04), (0.55 * height, 0.02)):
            assembly.box("steel", (length - 0.08, 0.025, tall), (0.0, sign * (y - 0.0125), z))
            assembly.box("steel", (0.025, width - 0.08, tall), (sign * (x - 0.0125), 0.0, z))
        # Wires in two planes per side, pitch 5 cm.
        rise = (0.0, 0.0, height - floor - 0.04)
        corner = (-x + 0.03, sign * (y - 0.012), floor + 0.02)
        assembly.wire_grid("steel", corner, (length - 0.06, 0.0, 0.0), rise, 0.05, 0.0027)
        corner = (sign * (x - 0.012), -y + 0.03, floor + 0.02)
        assembly.wire_grid("steel", corner, (0.0, width - 0.06, 0.0), rise, 0.05, 0.0027)
    inner = (length - 0.12, width - 0.12, params.fill * (height - floor - 0.04))
    with assembly.placed(z=floor + 0.016):
        if params.contents == "cartons":
            fill_with_cartons(assembly, rng, CartonStack.sample(rng, inner, mixed=True))
        elif params.contents == "parts":
            _add_loose_parts(assembly, rng, inner)
    if params.labelled:
        z = rng.uniform(0.5, 0.8) * height
        for sign in (-1.0, 1.0):
            spot = (rng.uniform(-0.35, 0.35), sign * (y + 0.003), z)
            assembly.box("label", (0.21, 0.003, 0.26), spot)
        assembly.box("label", (0.003, 0.21, 0.26), (x + 0.003, rng.uniform(-0.15, 0.15), z))


def _add_loose_parts(assembly: Assembly, rng: np.random.Generator, size: Vec3) -> None:
    """Heap of blocks at any angle, as castings or offcuts lie in a box."""
    for _ in range(36):
        edges = tuple(float(edge) for edge in rng.uniform(0.08, 0.3, 3))
        spread = [0.5 * (span - 0.24) for span in size[:2]]
        x, y = rng.uniform(-1.0, 1.0, 2) * spread
        z = rng.uniform(0.1, max(0.12, size[2] - 0.15))
        rotation = turn(*(float(angle) for angle in rng.uniform(-0.5, 0.5, 3)))
        assembly.box(
            "parts", (edges[0], edges[1], edges[2]), (float(x), float(y), float(z)), rotation=rotation
        )


def build_mesh_box(params: MeshBoxParams) -> Prop:
    """Build a stack of mesh boxes."""
    rng = np.random.default_rng(params.seed)
    tones = ((0.14, 0.14, 0.15), (0.3, 0.3, 0.31), (0.42, 0.36, 0.28), (0.12, 0.2, 0.36))
    materials = {
        "steel": _paint(rng, params.color, 0.35, 0.45),
        "floor": wood_material(rng, 0.8) if rng.random() < 0.5 else _paint(rng, params.color, 0.7),
        "goods": carton_material(rng) if params.contents == "cartons" else Material(),
        "parts": Material(color=tones[int(rng.integers(len(tones)))], roughness=0.6),
        "label": Material(texture=paper_label(rng, 64, 80), roughness=0.7),
    }
    assembly = Assembly(materials)
    for index in range(params.count):
        shift = rng.uniform(-0.006, 0.006, 2) if index else (0.0, 0.0)
        with assembly.placed(float(shift[0]), float(shift[1]), index * MESH_BOX_SIZE[2]):
            _add_mesh_box(assembly, rng, params)
    return assembly.prop("mesh_box", {"top": (0.0, 0.0, params.count * MESH_BOX_SIZE[2])})


def add_plastic_crate(assembly: Assembly, size: Vec3, material: str = "plastic") -> None:
    """Add an open crate with a rim, ribs and hand holes, standing on z = 0."""
    length, width, height = size
    x, y, wall = length / 2.0, width / 2.0, 0.012
    assembly.box(material, (length - 0.03, width - 0.03, 0.012), (0.0, 0.0, 0.006))
    for sign in (-1.0, 1.0):
        side = (length - 0.02, wall, height - 0.01)
        assembly.box(material, side, (0.0, sign * (y - 0.018), height / 2.0))
        end = (wall, width - 0.02, height - 0.01)
        assembly.box(material, end, (sign * (x - 0.018), 0.0, height / 2.0))
        for z in (0.02, height - 0.015, 0.62 * height):
            assembly.box(material, (length, 0.022, 0.03 if z > 0.03 else 0.04), (0.0, sign * (y - 0.011), z))
            assembly.box(material, (0.022, width, 0.03 if z > 0.03 else 0.04), (sign * (x - 0.011), 0.0, z))
        for along in np.linspace(-0.8, 0.8, 5):
            rib = (0.012, 0.02, height - 0.02)
            assembly.box(material, rib, (float(along) * x, sign * (y - 0.011), height / 2.0))
        assembly.box("dark", (0.004, 0.3 * width, 0.035), (sign * (x + 0.0005 - 0.001), 0.0, 0.8 * height))


def build_plastic_crates(params: PlasticCrateParams) -> Prop:
    """Build a pile of crates."""
    rng = np.random.default_rng(params.seed)
    materials = {
        "plastic": Material(color=params.color, roughness=0.45),
        "dark": Material(color=(0.04, 0.04, 0.04), roughness=0.9),
    }
    assembly = Assembly(materials)
    for index in range(params.count):
        yaw = float(rng.normal(0.0, 0.01)) if index else 0.0
        with assembly.placed(z=index * params.size[2], rotation=turn(yaw=yaw)):
            add_plastic_crate(assembly, params.size)
    return assembly.prop("plastic_crates", {"top": (0.0, 0.0, params.count * params.size[2])})


def build_drum(params: DrumParams) -> Prop:
    """Build a drum with hoops."""
    rng = np.random.default_rng(params.seed)
    assembly = Assembly({"paint": _paint(rng, params.color, rng.uniform(0.1, 0.7), 0.4)}, smooth=("paint",))
    add_drum(assembly, "paint", params.diameter / 2.0, params.height, segments=24)
    return assembly.prop("drum", {"top": (0.0, 0.0, params.height)})


def build_tank(params: TankParams) -> Prop:
    """Build an intermediate bulk container; the filled part is darker."""
    rng = np.random.default_rng(params.seed)
    materials = {
        "wood": wood_material(rng, 0.5),
        "shell": Material(color=(0.86, 0.86, 0.83), roughness=0.35),
        "liquid": Material(color=(0.6, 0.61, 0.58), roughness=0.35),
        "cage": Material(color=(0.66, 0.67, 0.68), metallic=0.7, roughness=0.4),
        "label": Material(texture=paper_label(rng, 64, 64), roughness=0.6),
        "cap": Material(color=(0.7, 0.1, 0.08), roughness=0.5),
    }
    assembly = Assembly(materials)
    add_pallet(assembly, rng, 1.2, 1.0)
    base, tall = 0.144, 1.0
    split = float(np.clip(params.level, 0.02, 0.98)) * tall
    for name, low, high in (("liquid", 0.0, split), ("shell", split, tall)):
        size = (1.12, 0.92, high - low)
        part = shapes.box(size, materials[name], center=(0.0, 0.0, base + (low + high) / 2.0), bevel=0.03)
        assembly.add_part(name, part)
    top = base + tall
    for sign in (-1.0, 1.0):
        rise = (0.0, 0.0, tall - 0.02)
        assembly.wire_grid("cage", (-0.59, sign * 0.49, base), (1.18, 0.0, 0.0), rise, 0.17, 0.009, 4)
        assembly.wire_grid("cage", (sign * 0.59, -0.49, base), (0.0, 0.98, 0.0), rise, 0.17, 0.009, 4)
        assembly.box("cage", (1.2, 0.02, 0.03), (0.0, sign * 0.49, top - 0.015))
        assembly.box("cage", (0.02, 0.98, 0.03), (sign * 0.59, 0.0, top - 0.015))
        assembly.box("label", (0.004, 0.4, 0.4), (sign * 0.601, 0.1, base + 0.55))
    assembly.add_part("cap", shapes.cylinder((0, 0, top), (0, 0, top + 0.04), 0.1, materials["cap"]))
    return assembly.prop("tank", {"top": (0.0, 0.0, top)})


def build_cartons(params: CartonParams) -> Prop:
    """Build a carton on the floor with smaller ones on and beside it; the largest is at the origin."""
    rng = np.random.default_rng(params.seed)
    assembly = Assembly({"goods": carton_material(rng)})
    length, width, height = params.size
    assembly.box("goods", params.size, (0.0, 0.0, height / 2.0), carton_sides(rng))
    spots = [
        (0.0, 0.0, height),
        (length + 0.12, 0.0, 0.0),
        (0.1, width + 0.1, 0.0),
        (0.0, -width - 0.12, 0.0),
    ]
    spots.append((length + 0.12, width + 0.1, 0.0))
    for x, y, z in spots[: params.count - 1]:
        scale = float(rng.uniform(0.5, 0.85))
        size = (length * scale, width * scale, height * float(rng.uniform(0.4, 0.9)))
        with assembly.placed(x, y, z, turn(yaw=float(rng.normal(0.0, 0.12)))):
            assembly.box("goods", size, (0.0, 0.0, size[2] / 2.0), carton_sides(rng))
    return assembly.prop("cartons", {"top": (0.0, 0.0, height)})


def build_wooden_crate(params: WoodenCrateParams) -> Prop:
    """Build a transport crate."""
    rng = np.random.default_rng(params.seed)
    materials = {
        "wood": wood_material(rng, params.age),
        "label": Material(texture=paper_label(rng, 64, 84), roughness=0.7),
    }
    assembly = Assembly(materials)
    length, width, height = params.size
    for y in (-0.42 * width, 0.0, 0.42 * width):
        add_plank(assembly, rng, (length, 0.08, 0.09), (0.0, y, 0.045))
    body = height - 0.09
    rows = max(3, round(body / 0.13))
    for index in range(rows):
        z, tall = 0.09 + (index + 0.5) * body / rows, body / rows - 0.004
        for sign in (-1.0, 1.0):
            add_plank(assembly, rng, (length - 0.04, 0.02, tall), (0.0, sign * (width / 2.0 - 0.03), z))
            add_plank(assembly, rng, (0.02, width - 0.04, tall), (sign * (length / 2.0 - 0.03), 0.0, z))
    add_plank(assembly, rng, (length - 0.04, width - 0.04, 0.02), (0.0, 0.0, height - 0.01))
    for sign in (-1.0, 1.0):
        y = sign * (width / 2.0 - 0.01)
        for x in np.linspace(-1.0, 1.0, max(2, round(length / 0.7))):
            add_plank(
                assembly, rng, (0.09, 0.02, body), (float(x) * (length / 2.0 - 0.045), y, 0.09 + body / 2.0)
            )
        z = 0.09 + rng.uniform(0.4, 0.7) * body
        label = (rng.uniform(-0.25, 0.25) * length, sign * (width / 2.0 + 0.001), z)
        assembly.box("label", (0.2, 0.003, 0.26), label)
    return assembly.prop("wooden_crate", {"top": (0.0, 0.0, height)})


def build_cabinet(params: CabinetParams) -> Prop:
    """Build a wrapped machine; a tarpaulin hangs down to the floor."""
    rng = np.random.default_rng(params.seed)
    shade = float(rng.uniform(0.35, 0.8))
    cover = Material(color=(shade, shade, shade * 1.03), roughness=0.6)
    materials = {
        "wood": wood_material(rng, 0.5),
        "cover": cover if params.tarpaulin else film_material(rng, clear=False),
        "label": Material(texture=paper_label(rng, 64, 84), roughness=0.7),
    }
    assembly = Assembly(materials, smooth=("cover",))
    length, width, height = params.size
    lift = 0.01 if params.tarpaulin else 0.1
    for y in (-0.35 * width, 0.35 * width):
        add_plank(assembly, rng, (length - 0.05, 0.09, 0.1), (0.0, y, 0.05))
    with assembly.placed(z=lift):
        wrap_in_film(assembly, rng, (length, width, height - lift), "cover")
    for sign in (-1.0, 1.0):
        spot = (rng.uniform(-0.2, 0.2) * length, sign * width / 2.0, 0.6 * height)
        assembly.box("label", (0.15, 0.01, 0.2), spot)
    return assembly.prop("cabinet", {"top": (0.0, 0.0, height)})


def build_waste_bin(params: WasteBinParams) -> Prop:
    """Build a tapered bin with a lid, a handle bar and two wheels."""
    rng = np.random.default_rng(params.seed)
    h = params.height
    lids = (params.color, (0.75, 0.6, 0.1), (0.1, 0.25, 0.55), (0.35, 0.2, 0.12))
    materials = {
        "body": Material(color=params.color, roughness=0.5),
        "lid": Material(color=lids[int(rng.integers(len(lids)))], roughness=0.5),
        "tyre": Material(color=(0.05, 0.05, 0.05), roughness=0.8),
    }
    assembly = Assembly(materials)
    low, high = np.array([0.36, 0.38]), np.array([0.54, 0.52])
    base, top = 0.04, 0.9 * h
    ring = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2.0
    bottom = np.column_stack([ring * low, np.full(4, base)])
    rim = np.column_stack([ring * high, np.full(4, top)])
    for i in range(4):
        j = (i + 1) % 4
        assembly.quad("body", np.array([bottom[i], bottom[j], rim[j], rim[i]]))
    assembly.quad("body", bottom[::-1])
    assembly.box("body", (0.56, 0.55, 0.04), (0.0, 0.0, top))
    assembly.box("lid", (0.58, 0.56, 0.03), (0.0, 0.0, top + 0.035))
    dome = shapes.box((0.5, 0.48, h - top - 0.05), materials["lid"], bevel=0.02)
    with assembly.placed(z=(h + top + 0.05) / 2.0):
        assembly.add_part("lid", dome)
    assembly.beam("body", (-0.33, -0.24, top + 0.01), (-0.33, 0.24, top + 0.01), 0.03, 0.03)
    for sign in (-1.0, 1.0):
        assembly.box("body", (0.07, 0.03, 0.03), (-0.3, sign * 0.22, top + 0.01))
        wheel = shapes.cylinder((-0.2, sign * 0.21, 0.1), (-0.2, sign * 0.26, 0.1), 0.1, materials["tyre"])
        assembly.add_part("tyre", wheel)
    assembly.box("body", (0.1, 0.3, base), (0.1, 0.0, base / 2.0))
    return assembly.prop("waste_bin", {"top": (0.0, 0.0, h)})


def sample_mesh_box(rng: np.random.Generator) -> MeshBoxParams:
    """Draw one mesh box, rarely two or three stacked."""
    contents: tuple[Literal["empty", "cartons", "parts"], ...] = ("empty", "cartons", "parts")
    return MeshBoxParams(
        seed=draw_seed(rng),
        count=int(rng.choice([1, 2, 3], p=[0.72, 0.18, 0.1])),
        color=STEEL_COLORS[int(rng.choice(len(STEEL_COLORS), p=[0.5, 0.25, 0.13, 0.12]))],
        contents=contents[int(rng.choice(3, p=[0.25, 0.4, 0.35]))],
        fill=float(rng.uniform(0.2, 1.0)),
        labelled=bool(rng.random() < 0.7),
    )


def sample_plastic_crates(rng: np.random.Generator) -> PlasticCrateParams:
    """Draw a pile of crates of one of the usual sizes."""
    sizes: tuple[Vec3, ...] = ((0.6, 0.4, 0.28), (0.6, 0.4, 0.22), (0.4, 0.3, 0.15), (0.4, 0.3, 0.28))
    colors: tuple[Color, ...] = (
        (0.1, 0.22, 0.5),
        (0.3, 0.32, 0.34),
        (0.6, 0.1, 0.09),
        (0.7, 0.55, 0.08),
        (0.1, 0.1, 0.11),
        (0.12, 0.36, 0.2),
    )
    return PlasticCrateParams(
        seed=draw_seed(rng),
        count=int(rng.integers(1, 7)),
        size=sizes[int(rng.integers(len(sizes)))],
        color=colors[int(rng.choice(len(colors), p=[0.35, 0.25, 0.15, 0.1, 0.08, 0.07]))],
    )


def sample_drum(rng: np.random.Generator) -> DrumParams:
    """Draw a drum of 30 to 220 litres."""
    big = rng.random() < 0.7
    colors: tuple[Color, ...] = ((0.1, 0.25, 0.55), (0.08, 0.08, 0.09), (0.6, 0.1, 0.08), (0.65, 0.64, 0.6))
    return DrumParams(
        seed=draw_seed(rng),
        diameter=0.58 if big else float(rng.uniform(0.3, 0.45)),
        height=0.88 if big else float(rng.uniform(0.4, 0.7)),
        color=colors[int(rng.integers(len(colors)))],
    )


def sample_tank(rng: np.random.Generator) -> TankParams:
    """Draw a tank and its level."""
    return TankParams(seed=draw_seed(rng), level=float(rng.uniform(0.0, 1.0)))


def sample_cartons(rng: np.random.Generator) -> CartonParams:
    """Draw one to four cartons."""
    size = (float(rng.uniform(0.3, 1.1)), float(rng.uniform(0.25, 0.7)), float(rng.uniform(0.2, 0.8)))
    return CartonParams(seed=draw_seed(rng), size=size, count=int(rng.integers(1, 5)))


def sample_wooden_crate(rng: np.random.Generator) -> WoodenCrateParams:
    """Draw a crate of 0.9 to 2.6 m."""
    size = (float(rng.uniform(0.9, 2.6)), float(rng.uniform(0.6, 1.1)), float(rng.uniform(0.5, 1.4)))
    return WoodenCrateParams(seed=draw_seed(rng), size=size, age=float(rng.uniform()))


def sample_cabinet(rng: np.random.Generator) -> CabinetParams:
    """Draw a wrapped machine."""
    size = (float(rng.uniform(0.7, 2.2)), float(rng.uniform(0.6, 1.2)), float(rng.uniform(0.9, 2.0)))
    return CabinetParams(seed=draw_seed(rng), size=size, tarpaulin=bool(rng.random() < 0.3))


def sample_waste_bin(rng: np.random.Generator) -> WasteBinParams:
    """Draw a bin."""
    colors: tuple[Color, ...] = ((0.18, 0.19, 0.2), (0.1, 0.2, 0.4), (0.1, 0.3, 0.16), (0.35, 0.36, 0.37))
    color = colors[int(rng.integers(len(colors)))]
    return WasteBinParams(seed=draw_seed(rng), height=float(rng.uniform(0.95, 1.12)), color=color)


FAMILIES: tuple[ObjectFamily[Any], ...] = (
    ObjectFamily("mesh_box", MeshBoxParams, sample_mesh_box, build_mesh_box),
    ObjectFamily("plastic_crates", PlasticCrateParams, sample_plastic_crates, build_plastic_crates),
    ObjectFamily("drum", DrumParams, sample_drum, build_drum),
    ObjectFamily("tank", TankParams, sample_tank, build_tank),
    ObjectFamily("cartons", CartonParams, sample_cartons, build_cartons),
    ObjectFamily("wooden_crate", WoodenCrateParams, sample_wooden_crate, build_wooden_crate),
    ObjectFamily("cabinet", CabinetParams, sample_cabinet, build_cabinet),
    ObjectFamily("waste_bin", WasteBinParams, sample_waste_bin, build_waste_bin),
)
