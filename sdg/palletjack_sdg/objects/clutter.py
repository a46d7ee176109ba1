"""Small things that stand and lie about: ladders, cones, buckets, rolls, papers, furniture."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Prop, Vec3
from palletjack_sdg.objects.assembly import Assembly, UvRect, draw_seed, turn
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.objects.loads import carton_material, carton_sides
from palletjack_sdg.textures.print import paper_label
from palletjack_sdg.textures.wood import wood_strips

Color = tuple[float, float, float]

_BRIGHT: tuple[Color, ...] = (
    (0.1, 0.22, 0.55),
    (0.65, 0.1, 0.08),
    (0.85, 0.62, 0.05),
    (0.12, 0.4, 0.2),
    (0.08, 0.08, 0.09),
    (0.75, 0.75, 0.73),
)
_ALU = Material(color=(0.68, 0.69, 0.7), metallic=0.8, roughness=0.4)
_BLACK = Material(color=(0.05, 0.05, 0.055), roughness=0.7)
_WHITE = Material(color=(0.8, 0.8, 0.79), roughness=0.6)


class StepLadderParams(ObjectParams):
    """A standing A-shaped ladder; x is across its rungs."""

    steps: int = Field(default=6, ge=2, le=10)
    width: float = Field(default=0.5, ge=0.3, le=0.8)


class HoseReelParams(ObjectParams):
    """A fire hose reel on a wall: origin on the wall plane at the floor, x out of the wall."""

    radius: float = Field(default=0.28, ge=0.15, le=0.4)
    mount_height: float = Field(default=1.3, ge=0.5, le=1.8)


class BroomParams(ObjectParams):
    """A broom leaning by ``lean_deg`` against a wall: origin on the wall plane, x out of the wall."""

    length: float = Field(default=1.4, ge=1.0, le=1.8)
    lean_deg: float = Field(default=10.0, ge=0.0, le=85.0)


class CableDrumParams(ObjectParams):
    """A drum or coil: flanges and a coloured winding, lying on its side or standing on a flange."""

    diameter: float = Field(default=0.7, ge=0.2, le=1.5)
    width: float = Field(default=0.45, ge=0.1, le=0.9)
    color: Color = (0.1, 0.22, 0.55)
    upright: bool = False
    wooden: bool = True


class PapersParams(ObjectParams):
    """Sheets of paper and board scattered on the floor within ``spread`` metres."""

    count: int = Field(default=3, ge=1, le=12)
    spread: float = Field(default=0.6, ge=0.1, le=2.0)


class FilmRollParams(ObjectParams):
    """Rolls of stretch film standing on end or lying."""

    count: int = Field(default=3, ge=1, le=8)


class BucketParams(ObjectParams):
    """A bucket with its bail."""

    diameter: float = Field(default=0.3, ge=0.15, le=0.5)
    height: float = Field(default=0.3, ge=0.15, le=0.5)
    color: Color = (0.1, 0.22, 0.55)


class ConeParams(ObjectParams):
    """A traffic cone with white bands."""

    height: float = Field(default=0.5, ge=0.25, le=1.0)


class ChairParams(ObjectParams):
    """A plain chair, or an office chair on castors; it faces +x."""

    office: bool = False
    color: Color = (0.1, 0.12, 0.2)


class TableParams(ObjectParams):
    """A table or packing bench with things on it."""

    length: float = Field(default=1.4, ge=0.6, le=3.0)
    width: float = Field(default=0.7, ge=0.4, le=1.2)
    height: float = Field(default=0.85, ge=0.5, le=1.1)
    items: int = Field(default=3, ge=0, le=8)
    monitor: bool = False


class LeaningBoardsParams(ObjectParams):
    """Boards or pipes that lean against a wall: origin on the wall plane at the floor, x out of the wall."""

    count: int = Field(default=4, ge=1, le=10)
    length: float = Field(default=2.0, ge=0.8, le=3.5)
    pipes: bool = False


def build_step_ladder(params: StepLadderParams) -> Prop:
    """Build two frames that meet at the top, with treads on the front one."""
    assembly = Assembly({"alu": _ALU, "cap": Material(color=(0.7, 0.1, 0.08), roughness=0.5)})
    top, reach = params.steps * 0.25 + 0.1, 0.17 * params.steps + 0.1
    half = params.width / 2.0
    for side in (-1.0, 1.0):
        foot = half * 1.15
        assembly.beam("alu", (-reach / 2.0, side * foot, 0.02), (0.0, side * half, top), 0.025, 0.06)
        assembly.beam("alu", (reach / 2.0, side * foot, 0.02), (0.02, side * half, top), 0.025, 0.04)
        for x in (-reach / 2.0, reach / 2.0):
            assembly.box("cap", (0.07, 0.04, 0.05), (x, side * foot, 0.025))
    for index in range(params.steps):
        z = (index + 1) * 0.25
        x = -reach / 2.0 * (1.0 - z / top)
        assembly.box("alu", (0.09, params.width, 0.025), (x, 0.0, z))
    assembly.box("cap", (0.16, params.width + 0.04, 0.03), (0.01, 0.0, top))
    return assembly.prop("step_ladder", {"top": (0.0, 0.0, top)})


def build_hose_reel(params: HoseReelParams) -> Prop:
    """Build a red reel with a black winding."""
    red = Material(color=(0.62, 0.05, 0.05), roughness=0.4)
    assembly = Assembly({"red": red, "hose": _BLACK})
    z, r = params.mount_height, params.radius
    for x in (0.05, 0.17):
        assembly.add_part("red", shapes.cylinder((x, 0, z), (x + 0.012, 0, z), r, red))
    assembly.add_part("hose", shapes.cylinder((0.06, 0, z), (0.17, 0, z), 0.8 * r, _BLACK))
    assembly.add_part(
        "hose",
        shapes.pipe([(0.12, 0.7 * r, z), (0.12, 0.8 * r, z - r), (0.1, 0.6 * r, z - 1.5 * r)], 0.015, _BLACK),
    )
    assembly.box("red", (0.06, 0.1, 0.1), (0.03, 0.0, z))
    return assembly.prop("hose_reel")


def build_broom(params: BroomParams) -> Prop:
    """Build a stick with a brush head on the floor."""
    assembly = Assembly(
        {
            "stick": Material(color=(0.6, 0.45, 0.28)),
            "head": Material(color=(0.4, 0.14, 0.08)),
            "bristle": _BLACK,
        }
    )
    lean = float(np.radians(params.lean_deg))
    foot = params.length * float(np.sin(lean)) + 0.03
    assembly.box("bristle", (0.06, 0.4, 0.07), (foot, 0.0, 0.035))
    assembly.box("head", (0.06, 0.42, 0.03), (foot, 0.0, 0.085))
    end = (0.03, 0.0, 0.09 + params.length * float(np.cos(lean)))
    assembly.rods("stick", [(foot, 0.0, 0.09)], [end], 0.013, 6)
    return assembly.prop("broom", {"top": end})


def build_cable_drum(params: CableDrumParams) -> Prop:
    """Build flanges, core and winding."""
    rng = np.random.default_rng(params.seed)
    flange = Material(texture=wood_strips(rng, 128, 8), roughness=0.85) if params.wooden else _BLACK
    winding = Material(color=params.color, roughness=0.45)
    assembly = Assembly({"flange": flange, "winding": winding}, smooth=("winding",))
    r, w = params.diameter / 2.0, params.width
    thick = 0.03 if params.wooden else 0.012
    if params.upright:
        frame, center = turn(), (0.0, 0.0, w / 2.0)
    else:
        frame, center = turn(roll=np.pi / 2.0), (0.0, 0.0, r)
    with assembly.placed(*center, rotation=frame):
        for side in (-1.0, 1.0):
            low, high = sorted((side * w / 2.0, side * (w / 2.0 - thick)))
            disc = shapes.cylinder((0, 0, low), (0, 0, high), r, flange, segments=24)
            assembly.add_part("flange", shapes.box_projected_uvs(disc))
        layers = 7
        inner = w / 2.0 - thick
        full = r * float(rng.uniform(0.6, 0.92))
        pitch = 2.0 * inner / layers
        profile = [(0.0, -inner)]
        for index in range(layers):
            z = -inner + index * pitch
            profile += [(full - 0.12 * pitch, z), (full, z + 0.5 * pitch)]
        profile += [(full - 0.12 * pitch, inner), (0.0, inner)]
        assembly.add_part("winding", shapes.lathe(profile, winding, segments=24))
    return assembly.prop("cable_drum", {"top": (0.0, 0.0, w if params.upright else params.diameter)})


def build_papers(params: PapersParams) -> Prop:
    """Build flat sheets, 1 to 6 mm above the floor, some with a raised corner."""
    rng = np.random.default_rng(params.seed)
    assembly = Assembly(
        {"paper": Material(texture=paper_label(rng, 64, 84), roughness=0.8), "goods": carton_material(rng)}
    )
    for index in range(params.count):
        x, y = rng.uniform(-0.5, 0.5, 2) * params.spread if index else (0.0, 0.0)
        size = (
            (0.21, 0.297, 0.001)
            if rng.random() < 0.6
            else (*(float(v) for v in rng.uniform(0.15, 0.6, 2)), 0.004)
        )
        name = "paper" if size[2] < 0.002 else "goods"
        uv: UvRect | tuple[UvRect, ...] = (0.0, 0.0, 1.0, 1.0) if name == "paper" else carton_sides(rng)
        z = 0.001 + 0.0015 * index
        with assembly.placed(float(x), float(y), z, turn(yaw=float(rng.uniform(0.0, 6.28)))):
            assembly.box(name, (size[0], size[1], size[2]), (0.0, 0.0, size[2] / 2.0), uv)
    return assembly.prop("papers")


def build_film_rolls(params: FilmRollParams) -> Prop:
    """Build rolls with cardboard cores."""
    rng = np.random.default_rng(params.seed)
    shades: tuple[Color, ...] = ((0.75, 0.77, 0.78), (0.08, 0.08, 0.09), (0.6, 0.66, 0.72))
    film = Material(color=shades[int(rng.integers(3))], roughness=0.2)
    core = Material(color=(0.5, 0.38, 0.26), roughness=0.9)
    assembly = Assembly({"film": film, "core": core})
    for index in range(params.count):
        r = float(rng.uniform(0.04, 0.07))
        upright = rng.random() < 0.7
        spot = ((index % 3) * 0.16, (index // 3) * 0.16)
        with assembly.placed(
            spot[0], spot[1], 0.0 if upright else r, turn(pitch=0.0 if upright else np.pi / 2.0)
        ):
            low, high = (0.01, 0.52) if upright else (-0.25, 0.26)
            assembly.add_part("film", shapes.cylinder((0, 0, low), (0, 0, high), r, film, segments=14))
            assembly.add_part(
                "core", shapes.cylinder((0, 0, low - 0.01), (0, 0, high + 0.02), 0.027, core, segments=10)
            )
    return assembly.prop("film_rolls")


def build_bucket(params: BucketParams) -> Prop:
    """Build an open bucket."""
    paint = Material(color=params.color, roughness=0.5)
    assembly = Assembly({"bucket": paint, "bail": _ALU})
    r, h = params.diameter / 2.0, params.height
    profile = [
        (0.0, 0.0),
        (0.75 * r, 0.0),
        (0.97 * r, h - 0.015),
        (r, h),
        (0.94 * r, h),
        (0.72 * r, 0.01),
        (0.0, 0.01),
    ]
    assembly.add_part("bucket", shapes.lathe(profile, paint, segments=18))
    bail = [(0.0, -r, h - 0.03), (0.3 * r, -0.7 * r, h + 0.3 * r), (0.4 * r, 0.0, h + 0.45 * r)]
    bail += [(0.3 * r, 0.7 * r, h + 0.3 * r), (0.0, r, h - 0.03)]
    assembly.add_part("bail", shapes.pipe(bail, 0.004, _ALU, segments=4))
    return assembly.prop("bucket")


def build_cone(params: ConeParams) -> Prop:
    """Build a cone on a square base."""
    orange = Material(color=(0.85, 0.24, 0.05), roughness=0.55)
    assembly = Assembly({"orange": orange, "white": _WHITE, "base": _BLACK})
    h = params.height
    base, tip = 0.23 * h, 0.035 * h
    assembly.box("base", (0.58 * h, 0.58 * h, 0.03), (0.0, 0.0, 0.015))
    cuts = [0.03, 0.35 * h, 0.52 * h, 0.68 * h, 0.8 * h, h]
    for index in range(5):
        low, high = cuts[index], cuts[index + 1]
        wide = [base + (tip - base) * (z - 0.03) / (h - 0.03) for z in (low, high)]
        name = "white" if index % 2 else "orange"
        part = shapes.cylinder((0, 0, low), (0, 0, high), wide[0], orange, end_radius=wide[1], segments=18)
        assembly.add_part(name, part)
    return assembly.prop("cone")


def build_chair(params: ChairParams) -> Prop:
    """Build a chair."""
    cloth = Material(color=params.color, roughness=0.85)
    assembly = Assembly({"seat": cloth, "legs": _BLACK})
    assembly.add_part("seat", shapes.box((0.44, 0.46, 0.06), cloth, center=(0.0, 0.0, 0.47), bevel=0.02))
    back = shapes.box((0.04, 0.42, 0.34), cloth, bevel=0.015)
    with assembly.placed(-0.23, 0.0, 0.76, turn(pitch=-0.15)):
        assembly.add_part("seat", back)
    if params.office:
        assembly.add_part("legs", shapes.cylinder((0, 0, 0.1), (0, 0, 0.45), 0.025, _BLACK, segments=10))
        for index in range(5):
            angle = 2.0 * np.pi * index / 5.0
            tip = (0.29 * float(np.cos(angle)), 0.29 * float(np.sin(angle)), 0.07)
            assembly.beam("legs", (0.0, 0.0, 0.1), tip, 0.04, 0.03)
            assembly.add_part(
                "legs", shapes.sphere((tip[0], tip[1], 0.03), 0.03, _BLACK, segments=8, rings=6)
            )
        assembly.beam("legs", (-0.1, 0.0, 0.44), (-0.25, 0.0, 0.65), 0.06, 0.02)
    else:
        for side in (-1.0, 1.0):
            assembly.beam("legs", (0.2, side * 0.2, 0.45), (0.22, side * 0.22, 0.001), 0.022, 0.022)
            assembly.beam("legs", (-0.25, side * 0.22, 0.003), (-0.2, side * 0.2, 0.45), 0.022, 0.022)
            assembly.beam("legs", (-0.2, side * 0.2, 0.45), (-0.25, side * 0.2, 0.85), 0.022, 0.022)
    return assembly.prop("chair")


def build_table(params: TableParams) -> Prop:
    """Build a table with cartons, papers and perhaps a monitor on it."""
    rng = np.random.default_rng(params.seed)
    materials = {
        "top": Material(texture=wood_strips(rng, 128, 4, 0.2), roughness=0.6)
        if rng.random() < 0.6
        else _WHITE,
        "steel": Material(color=((0.3, 0.32, 0.34), (0.1, 0.2, 0.45))[int(rng.integers(2))], roughness=0.5),
        "goods": carton_material(rng),
        "paper": Material(texture=paper_label(rng, 64, 84), roughness=0.8),
        "dark": _BLACK,
        "screen": Material(color=(0.12, 0.16, 0.22), roughness=0.15),
    }
    assembly = Assembly(materials)
    length, w, h = params.length, params.width, params.height
    assembly.box("top", (length, w, 0.035), (0.0, 0.0, h - 0.0175))
    for sx in (-1.0, 1.0):
        for sy in (-1.0, 1.0):
            leg = (sx * (length / 2.0 - 0.05), sy * (w / 2.0 - 0.05), (h - 0.035) / 2.0)
            assembly.box("steel", (0.045, 0.045, h - 0.035), leg)
    assembly.box("steel", (length - 0.1, 0.03, 0.04), (0.0, -w / 2.0 + 0.05, 0.3))
    for _ in range(params.items):
        size: Vec3 = (
            float(rng.uniform(0.1, 0.35)),
            float(rng.uniform(0.1, 0.3)),
            float(rng.uniform(0.02, 0.3)),
        )
        x, y = rng.uniform(-0.5, 0.5, 2) * (length - size[0] - 0.05, w - size[1] - 0.05)
        name = "paper" if size[2] < 0.06 else "goods"
        uv: UvRect | tuple[UvRect, ...] = (0.0, 0.0, 1.0, 1.0) if name == "paper" else carton_sides(rng)
        assembly.box(name, size, (float(x), float(y), h + size[2] / 2.0), uv)
    if params.monitor:
        with assembly.placed(0.25 * length, 0.0, h, turn(yaw=float(rng.normal(0.0, 0.4)))):
            assembly.box("dark", (0.18, 0.22, 0.012), (0.0, 0.0, 0.006))
            assembly.box("dark", (0.03, 0.05, 0.25), (0.0, 0.0, 0.13))
            assembly.box("dark", (0.03, 0.54, 0.33), (0.03, 0.0, 0.34))
            assembly.box("screen", (0.002, 0.5, 0.29), (0.046, 0.0, 0.345))
    return assembly.prop("table", {"top": (0.0, 0.0, h)})


def build_leaning_boards(params: LeaningBoardsParams) -> Prop:
    """Build boards or pipes side by side along y, their feet on the floor, their heads at the wall."""
    rng = np.random.default_rng(params.seed)
    materials = {
        "wood": Material(texture=wood_strips(rng, 128, 8), roughness=0.85),
        "pipe": Material(color=_BRIGHT[int(rng.integers(len(_BRIGHT)))], roughness=0.4),
    }
    assembly = Assembly(materials)
    thick = 0.05 if params.pipes else 0.024
    widths = [thick if params.pipes else float(rng.uniform(0.05, 0.25)) for _ in range(params.count)]
    y = -0.5 * (sum(widths) + 0.02 * (params.count - 1))
    for width in widths:
        length, lean = params.length * float(rng.uniform(0.6, 1.0)), float(rng.uniform(0.06, 0.2))
        # The lower edge of the tilted end touches the floor.
        low, run = 0.5 * thick * float(np.sin(lean)), length * float(np.sin(lean))
        middle = y + 0.5 * width
        foot, head = (thick + run, middle, low), (thick, middle, low + length * float(np.cos(lean)))
        if params.pipes:
            assembly.rods("pipe", [foot], [head], thick / 2.0, 8)
        else:
            row = int(rng.integers(8))
            assembly.beam("wood", foot, head, width, thick, (0.0, row / 8 + 0.01, 1.0, (row + 1) / 8 - 0.01))
        y += width + 0.02
    return assembly.prop("leaning_boards")


def _bright(rng: np.random.Generator) -> Color:
    return _BRIGHT[int(rng.integers(len(_BRIGHT)))]


def sample_step_ladder(rng: np.random.Generator) -> StepLadderParams:
    """Draw a ladder of 3 to 8 steps."""
    return StepLadderParams(
        seed=draw_seed(rng), steps=int(rng.integers(3, 9)), width=float(rng.uniform(0.4, 0.6))
    )


def sample_hose_reel(rng: np.random.Generator) -> HoseReelParams:
    """Draw a hose reel."""
    return HoseReelParams(
        seed=draw_seed(rng), radius=float(rng.uniform(0.2, 0.35)), mount_height=float(rng.uniform(1.0, 1.6))
    )


def sample_broom(rng: np.random.Generator) -> BroomParams:
    """Draw a broom."""
    return BroomParams(
        seed=draw_seed(rng), length=float(rng.uniform(1.2, 1.6)), lean_deg=float(rng.uniform(5.0, 25.0))
    )


def sample_cable_drum(rng: np.random.Generator) -> CableDrumParams:
    """Draw a drum."""
    return CableDrumParams(
        seed=draw_seed(rng),
        diameter=float(rng.uniform(0.35, 1.1)),
        width=float(rng.uniform(0.2, 0.6)),
        color=_bright(rng),
        upright=bool(rng.random() < 0.5),
        wooden=bool(rng.random() < 0.5),
    )


def sample_papers(rng: np.random.Generator) -> PapersParams:
    """Draw a few scraps."""
    return PapersParams(
        seed=draw_seed(rng), count=int(rng.integers(1, 7)), spread=float(rng.uniform(0.2, 1.2))
    )


def sample_film_rolls(rng: np.random.Generator) -> FilmRollParams:
    """Draw one to six rolls."""
    return FilmRollParams(seed=draw_seed(rng), count=int(rng.integers(1, 7)))


def sample_bucket(rng: np.random.Generator) -> BucketParams:
    """Draw a bucket."""
    size = float(rng.uniform(0.24, 0.38))
    return BucketParams(
        seed=draw_seed(rng), diameter=size, height=size * float(rng.uniform(0.85, 1.1)), color=_bright(rng)
    )


def sample_cone(rng: np.random.Generator) -> ConeParams:
    """Draw a cone."""
    return ConeParams(seed=draw_seed(rng), height=float(rng.uniform(0.3, 0.75)))


def sample_chair(rng: np.random.Generator) -> ChairParams:
    """Draw a chair."""
    return ChairParams(seed=draw_seed(rng), office=bool(rng.random() < 0.5), color=_bright(rng))


def sample_table(rng: np.random.Generator) -> TableParams:
    """Draw a table."""
    return TableParams(
        seed=draw_seed(rng),
        length=float(rng.uniform(0.9, 2.2)),
        width=float(rng.uniform(0.6, 0.9)),
        height=float(rng.uniform(0.72, 0.98)),
        items=int(rng.integers(0, 6)),
        monitor=bool(rng.random() < 0.35),
    )


def sample_leaning_boards(rng: np.random.Generator) -> LeaningBoardsParams:
    """Draw boards or pipes."""
    return LeaningBoardsParams(
        seed=draw_seed(rng),
        count=int(rng.integers(2, 8)),
        length=float(rng.uniform(1.2, 2.8)),
        pipes=bool(rng.random() < 0.4),
    )


FAMILIES: tuple[ObjectFamily[Any], ...] = (
    ObjectFamily("step_ladder", StepLadderParams, sample_step_ladder, build_step_ladder),
    ObjectFamily("hose_reel", HoseReelParams, sample_hose_reel, build_hose_reel),
    ObjectFamily("broom", BroomParams, sample_broom, build_broom),
    ObjectFamily("cable_drum", CableDrumParams, sample_cable_drum, build_cable_drum),
    ObjectFamily("papers", PapersParams, sample_papers, build_papers),
    ObjectFamily("film_rolls", FilmRollParams, sample_film_rolls, build_film_rolls),
    ObjectFamily("bucket", BucketParams, sample_bucket, build_bucket),
    ObjectFamily("cone", ConeParams, sample_cone, build_cone),
    ObjectFamily("chair", ChairParams, sample_chair, build_chair),
    ObjectFamily("table", TableParams, sample_table, build_table),
    ObjectFamily("leaning_boards", LeaningBoardsParams, sample_leaning_boards, build_leaning_boards),
)
