"""Parts of the building; ``fittings`` has what is fixed to it.

Things that stand on the floor have their origin at the centre of their footprint. Wall things have it
on the wall plane, on the floor line, with x pointing out of the wall; they may hang above z = 0.
Ceiling things have z = 0 at their lowest point: the layout lifts them.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from palletjack_sdg.geometry import Material, Prop
from palletjack_sdg.objects import fittings
from palletjack_sdg.objects.assembly import Assembly, draw_seed
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.textures.metal_and_cloth import painted_metal, warning_stripes
from palletjack_sdg.textures.walls import plaster_wall

Color = tuple[float, float, float]


class PillarParams(ObjectParams):
    """A square concrete or steel column; ``guard`` paints or mounts a warning guard around its foot."""

    width: float = Field(default=0.35, ge=0.1, le=0.9)
    height: float = Field(default=4.0, ge=1.5, le=12.0)
    steel: bool = False
    shade: float = Field(default=0.6, ge=0.1, le=1.0)
    guard: bool = True


class WallPostParams(ObjectParams):
    """A pilaster or steel column against a wall."""

    width: float = Field(default=0.3, ge=0.08, le=0.8)
    depth: float = Field(default=0.2, ge=0.05, le=0.6)
    height: float = Field(default=4.0, ge=1.5, le=12.0)
    shade: float = Field(default=0.6, ge=0.1, le=1.0)


class DoorParams(ObjectParams):
    """A closed sectional gate, or a hinged door, on a wall."""

    width: float = Field(default=3.0, ge=0.8, le=5.0)
    height: float = Field(default=3.2, ge=1.9, le=5.0)
    sections: int = Field(default=6, ge=1, le=10)
    color: Color = (0.55, 0.57, 0.58)
    windows: bool = True


class StripCurtainParams(ObjectParams):
    """A curtain of hanging plastic strips in a wall opening."""

    width: float = Field(default=2.4, ge=0.8, le=4.5)
    height: float = Field(default=2.8, ge=1.9, le=4.5)
    color: Color = (0.4, 0.08, 0.06)
    opacity: float = Field(default=1.0, ge=0.2, le=1.0)


class CeilingBeamParams(ObjectParams):
    """A roof beam along x: concrete, steel I-section or timber."""

    length: float = Field(default=12.0, ge=2.0, le=45.0)
    width: float = Field(default=0.3, ge=0.08, le=0.8)
    depth: float = Field(default=0.6, ge=0.1, le=1.6)
    kind: Literal["concrete", "steel", "timber"] = "concrete"


class DockLevellerParams(ObjectParams):
    """A steel dock plate flush with the floor and two rubber buffers; x points out of the wall."""

    width: float = Field(default=2.0, ge=1.2, le=3.0)
    length: float = Field(default=2.2, ge=1.0, le=3.5)


def _concrete(rng: np.random.Generator, shade: float) -> Material:
    image = plaster_wall(rng, 128).texture.astype(np.float32)
    image = np.clip(image / max(float(image.mean()), 1.0) * shade * 255.0, 0.0, 255.0)
    return Material(texture=image.astype(np.uint8), roughness=0.9)


def _striped_column(assembly: Assembly, size: float, height: float) -> None:
    """Add four striped plates around a square of ``size``, tiled so that stripes stay square."""
    tiles = max(1, round(height / size))
    tall = height / tiles
    for index in range(tiles):
        z = (index + 0.5) * tall
        for sign_ in (-1.0, 1.0):
            assembly.box("stripes", (0.008, size, tall), (sign_ * (size / 2.0 - 0.004), 0.0, z))
            assembly.box("stripes", (size - 0.016, 0.008, tall), (0.0, sign_ * (size / 2.0 - 0.004), z))


def build_pillar(params: PillarParams) -> Prop:
    """Build a column from floor to ceiling."""
    rng = np.random.default_rng(params.seed)
    shade = params.shade
    materials = {
        "body": Material(texture=painted_metal(rng, (shade, shade, shade), 0.4), roughness=0.6)
        if params.steel
        else _concrete(rng, shade),
        "stripes": Material(texture=warning_stripes(rng), roughness=0.6),
    }
    assembly = Assembly(materials)
    w, h = params.width, params.height
    if params.steel:
        for sign_ in (-1.0, 1.0):
            assembly.box("body", (0.02, w, h), (sign_ * (w / 2.0 - 0.01), 0.0, h / 2.0))
        assembly.box("body", (w - 0.04, 0.012, h), (0.0, 0.0, h / 2.0))
        assembly.box("body", (w + 0.1, w + 0.1, 0.02), (0.0, 0.0, 0.01))
    else:
        pieces = max(1, round(h / 1.5))
        for index in range(pieces):
            assembly.box("body", (w, w, h / pieces), (0.0, 0.0, (index + 0.5) * h / pieces))
    if params.guard:
        _striped_column(assembly, w + 0.03, float(rng.uniform(0.8, 1.6)))
    return assembly.prop("pillar")


def build_wall_post(params: WallPostParams) -> Prop:
    """Build a pilaster against a wall."""
    rng = np.random.default_rng(params.seed)
    assembly = Assembly({"body": _concrete(rng, params.shade)})
    pieces = max(1, round(params.height / 1.5))
    tall = params.height / pieces
    for index in range(pieces):
        size = (params.depth, params.width, tall)
        assembly.box("body", size, (params.depth / 2.0, 0.0, (index + 0.5) * tall))
    return assembly.prop("wall_post")


def build_door(params: DoorParams) -> Prop:
    """Build a gate or door: panel, joints, frame and perhaps a row of windows."""
    rng = np.random.default_rng(params.seed)
    frame: Color = (0.3, 0.31, 0.33)
    materials = {
        "panel": Material(texture=painted_metal(rng, params.color, 0.25), roughness=0.45),
        "frame": Material(color=frame, roughness=0.5),
        "glass": Material(color=(0.75, 0.8, 0.85), roughness=0.1),
        "stripes": Material(texture=warning_stripes(rng), roughness=0.6),
    }
    assembly = Assembly(materials)
    w, h = params.width, params.height
    tall = h / params.sections
    row = int(rng.integers(params.sections))
    for index in range(params.sections):
        z = (index + 0.5) * tall
        assembly.box("panel", (0.04, w, tall - 0.012), (0.03, 0.0, z))
        if params.windows and params.sections > 1 and index == row:
            panes = max(2, round(w / 0.8))
            for pane in range(panes):
                y = (pane + 0.5) * w / panes - w / 2.0
                assembly.box("glass", (0.01, 0.7 * w / panes, 0.55 * tall), (0.05, y, z))
    for sign_ in (-1.0, 1.0):
        assembly.box("frame", (0.09, 0.1, h), (0.045, sign_ * (w / 2.0 + 0.05), h / 2.0))
        if rng.random() < 0.4:
            for index in range(5):
                z = (index + 0.5) * 0.2
                assembly.box("stripes", (0.006, 0.1, 0.2), (0.094, sign_ * (w / 2.0 + 0.05), z))
    assembly.box("frame", (0.09, w + 0.2, 0.15), (0.045, 0.0, h + 0.075))
    if params.sections == 1:
        assembly.box("frame", (0.06, 0.12, 0.03), (0.08, 0.38 * w, 1.05))
    return assembly.prop("door")


def build_strip_curtain(params: StripCurtainParams) -> Prop:
    """Build overlapping strips, each bent and turned a little."""
    rng = np.random.default_rng(params.seed)
    base = np.array(params.color)
    materials: dict[str, Material] = {"rail": Material(color=(0.5, 0.5, 0.5), metallic=0.6, roughness=0.4)}
    for index in range(3):
        tone = np.clip(base * rng.uniform(0.75, 1.3), 0.0, 1.0)
        color = (float(tone[0]), float(tone[1]), float(tone[2]))
        materials[f"strip{index}"] = Material(color=color, roughness=0.25, opacity=params.opacity)
    assembly = Assembly(materials)
    strips = max(3, round(params.width / 0.18))
    pitch, rows = params.width / strips, 6
    for index in range(strips):
        y = (index + 0.5) * pitch - params.width / 2.0
        bow = rng.normal(0.0, 0.015, rows + 1).cumsum() * np.linspace(1.0, 0.2, rows + 1)
        low, high = float(rng.uniform(0.01, 0.06)), params.height
        x = 0.06 + 0.008 * (index % 2) + bow[::-1]
        z = np.linspace(low, high, rows + 1)
        x = np.maximum(x, 0.01)
        edge = 0.58 * pitch
        twist = float(rng.normal(0.0, 0.02))
        left = np.stack([x - twist * (1 - z / high), np.full(rows + 1, y - edge), z], axis=1)
        right = np.stack([x + twist * (1 - z / high), np.full(rows + 1, y + edge), z], axis=1)
        grid = np.concatenate([left, right])
        grid[:, 0] = np.maximum(grid[:, 0], 0.005)
        step, count = np.arange(rows), rows + 1
        faces = np.concatenate(
            [
                np.stack([step, step + count, step + count + 1], axis=1),
                np.stack([step, step + count + 1, step + 1], axis=1),
            ]
        )
        assembly.mesh(f"strip{int(rng.integers(3))}", grid, faces)
    assembly.box("rail", (0.06, params.width + 0.2, 0.08), (0.05, 0.0, params.height + 0.02))
    return assembly.prop("strip_curtain")


def build_ceiling_beam(params: CeilingBeamParams) -> Prop:
    """Build a beam whose underside is z = 0."""
    rng = np.random.default_rng(params.seed)
    tones: dict[str, Color] = {
        "steel": (0.45, 0.3, 0.24),
        "timber": (0.55, 0.4, 0.25),
        "concrete": (0.6, 0.6, 0.58),
    }
    body = (
        _concrete(rng, 0.65)
        if params.kind == "concrete"
        else Material(color=tones[params.kind], roughness=0.7)
    )
    assembly = Assembly({"body": body})
    length, w, d = params.length, params.width, params.depth
    if params.kind == "steel":
        for z in (0.01, d - 0.01):
            assembly.box("body", (length, w, 0.02), (0.0, 0.0, z))
        assembly.box("body", (length, 0.012, d - 0.04), (0.0, 0.0, d / 2.0))
    else:
        pieces = max(1, round(length / 2.0))
        for index in range(pieces):
            x = (index + 0.5) * length / pieces - length / 2.0
            assembly.box("body", (length / pieces, w, d), (x, 0.0, d / 2.0))
    return assembly.prop("ceiling_beam", {"top": (0.0, 0.0, d)})


def build_dock_leveller(params: DockLevellerParams) -> Prop:
    """Build the plate, its hinge strip and two buffers; the plate lies 4 mm high."""
    rng = np.random.default_rng(params.seed)
    assembly = Assembly(
        {
            "plate": Material(
                texture=painted_metal(rng, (0.27, 0.28, 0.29), 0.8), roughness=0.5, metallic=0.3
            ),
            "stripes": Material(texture=warning_stripes(rng), roughness=0.6),
            "rubber": Material(color=(0.05, 0.05, 0.05), roughness=0.8),
        }
    )
    w, length = params.width, params.length
    assembly.box("plate", (length, w, 0.004), (length / 2.0, 0.0, 0.002))
    tiles = max(1, round(length / 0.1))
    for sign_ in (-1.0, 1.0):
        for index in range(tiles):
            center = ((index + 0.5) * length / tiles, sign_ * (w / 2.0 + 0.05), 0.002)
            assembly.box("stripes", (length / tiles, 0.1, 0.004), center)
        assembly.box("rubber", (0.12, 0.2, 0.45), (0.06, sign_ * (w / 2.0 + 0.25), 0.225))
    return assembly.prop("dock_leveller")


def sample_pillar(rng: np.random.Generator) -> PillarParams:
    """Draw a column."""
    return PillarParams(
        seed=draw_seed(rng),
        width=float(rng.uniform(0.2, 0.55)),
        height=float(rng.uniform(3.0, 7.0)),
        steel=bool(rng.random() < 0.3),
        shade=float(rng.uniform(0.35, 0.9)),
        guard=bool(rng.random() < 0.45),
    )


def sample_wall_post(rng: np.random.Generator) -> WallPostParams:
    """Draw a pilaster."""
    return WallPostParams(
        seed=draw_seed(rng),
        width=float(rng.uniform(0.15, 0.5)),
        depth=float(rng.uniform(0.08, 0.35)),
        height=float(rng.uniform(3.0, 7.0)),
        shade=float(rng.uniform(0.35, 0.9)),
    )


def sample_door(rng: np.random.Generator) -> DoorParams:
    """Draw a sectional gate, or a plain door one time in three."""
    colors: tuple[Color, ...] = (
        (0.55, 0.57, 0.58),
        (0.8, 0.8, 0.78),
        (0.12, 0.25, 0.48),
        (0.5, 0.12, 0.1),
        (0.3, 0.32, 0.34),
    )
    color = colors[int(rng.integers(len(colors)))]
    if rng.random() < 0.33:
        width, height = float(rng.uniform(0.9, 1.2)), float(rng.uniform(2.0, 2.3))
        return DoorParams(
            seed=draw_seed(rng), width=width, height=height, sections=1, color=color, windows=False
        )
    return DoorParams(
        seed=draw_seed(rng),
        width=float(rng.uniform(2.4, 4.2)),
        height=float(rng.uniform(2.6, 4.2)),
        sections=int(rng.integers(4, 8)),
        color=color,
        windows=bool(rng.random() < 0.6),
    )


def sample_strip_curtain(rng: np.random.Generator) -> StripCurtainParams:
    """Draw a curtain, dark red, yellowish or clear."""
    colors: tuple[Color, ...] = ((0.4, 0.07, 0.05), (0.3, 0.2, 0.1), (0.7, 0.65, 0.4), (0.7, 0.75, 0.78))
    index = int(rng.integers(len(colors)))
    return StripCurtainParams(
        seed=draw_seed(rng),
        width=float(rng.uniform(1.6, 3.6)),
        height=float(rng.uniform(2.2, 3.6)),
        color=colors[index],
        opacity=1.0 if index < 2 else float(rng.uniform(0.35, 0.8)),
    )


def sample_ceiling_beam(rng: np.random.Generator) -> CeilingBeamParams:
    """Draw a beam."""
    kinds: tuple[Literal["concrete", "steel", "timber"], ...] = ("concrete", "steel", "timber")
    return CeilingBeamParams(
        seed=draw_seed(rng),
        length=float(rng.uniform(6.0, 24.0)),
        width=float(rng.uniform(0.15, 0.45)),
        depth=float(rng.uniform(0.25, 0.9)),
        kind=kinds[int(rng.integers(3))],
    )


def sample_dock_leveller(rng: np.random.Generator) -> DockLevellerParams:
    """Draw a dock plate."""
    return DockLevellerParams(
        seed=draw_seed(rng), width=float(rng.uniform(1.8, 2.2)), length=float(rng.uniform(1.5, 2.8))
    )


FAMILIES: tuple[ObjectFamily[Any], ...] = (
    *fittings.FAMILIES,
    ObjectFamily("pillar", PillarParams, sample_pillar, build_pillar),
    ObjectFamily("wall_post", WallPostParams, sample_wall_post, build_wall_post),
    ObjectFamily("door", DoorParams, sample_door, build_door),
    ObjectFamily("strip_curtain", StripCurtainParams, sample_strip_curtain, build_strip_curtain),
    ObjectFamily("ceiling_beam", CeilingBeamParams, sample_ceiling_beam, build_ceiling_beam),
    ObjectFamily("dock_leveller", DockLevellerParams, sample_dock_leveller, build_dock_leveller),
)
