"""Standing and walking people in work clothes. x is where they face; feet stand on z = 0."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Prop, Vec3
from palletjack_sdg.objects.assembly import Assembly, draw_seed, turn
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams
from palletjack_sdg.objects.limbs import Points, add_loft, smooth_path, two_bone_joint, within_reach
from palletjack_sdg.textures.metal_and_cloth import cloth, hi_vis_vest

Color = tuple[float, float, float]

# Shares of body height, after the proportions of Drillis and Contini (1966).
HIP, KNEE, ANKLE, SHOULDER = 0.53, 0.285, 0.042, 0.795
UPPER_ARM, FOREARM, HAND = 0.186, 0.146, 0.06


class PersonParams(ObjectParams):
    """A person of ``height`` metres.

    ``stride`` (0 standing to 1 long step) spreads the feet; ``lean_deg`` bends the trunk forward.
    ``right_hand`` and ``left_hand`` are points (x, y, z) in the person's frame for the palms to hold,
    such as a tiller's handle; None lets the arm hang. Points out of reach are approached as far as the
    arm goes; the anchors say where the hands are.
    """

    height: float = Field(default=1.76, ge=1.5, le=2.0)
    build: float = Field(default=1.0, ge=0.85, le=1.3)
    stride: float = Field(default=0.0, ge=0.0, le=1.0)
    lean_deg: float = Field(default=2.0, ge=-5.0, le=40.0)
    trousers: Color = (0.13, 0.17, 0.26)
    jacket: Color = (0.1, 0.12, 0.2)
    vest: Literal["none", "orange", "yellow"] = "none"
    headgear: Literal["none", "helmet", "cap"] = "none"
    skin: Color = (0.78, 0.6, 0.5)
    hair: Color = (0.15, 0.1, 0.07)
    right_hand: Vec3 | None = None
    left_hand: Vec3 | None = None


_VEST_COLORS: dict[str, Color] = {
    "orange": (0.95, 0.3, 0.06),
    "yellow": (0.78, 0.9, 0.12),
    "none": (0.5, 0.5, 0.5),
}


def _materials(rng: np.random.Generator, params: PersonParams) -> dict[str, Material]:
    hats: tuple[Color, ...] = ((0.9, 0.9, 0.88), (0.9, 0.7, 0.1), (0.12, 0.25, 0.55), (0.1, 0.1, 0.11))
    return {
        "trousers": Material(texture=cloth(rng, params.trousers), roughness=0.9),
        "jacket": Material(texture=cloth(rng, params.jacket), roughness=0.9),
        "vest": Material(texture=hi_vis_vest(rng, _VEST_COLORS[params.vest]), roughness=0.7),
        "skin": Material(color=params.skin, roughness=0.6),
        "hair": Material(color=params.hair, roughness=0.8),
        "hat": Material(color=hats[int(rng.integers(len(hats)))], roughness=0.45),
        "shoe": Material(color=(0.06, 0.055, 0.05), roughness=0.6),
    }


def _folds(rng: np.random.Generator, rings: int, segments: int, depth: float) -> Points:
    """Creases of cloth as factors (rings, segments) around 1."""
    field = rng.normal(0.0, 1.0, (rings, segments))
    field = (field + np.roll(field, 1, axis=1) + np.roll(field, -1, axis=1)) / 3.0
    return np.asarray(1.0 + depth * field)


def _add_leg(
    assembly: Assembly, rng: np.random.Generator, params: PersonParams, hip: Points, foot: Points
) -> None:
    """Add a trouser leg from ``hip`` to the ankle above ``foot`` (heel's floor point), and a shoe."""
    h, wide = params.height, params.build
    lift = foot[2]
    ankle = foot + np.array([0.02, 0.0, ANKLE * h])
    thigh, shin = (HIP - KNEE) * h, (KNEE - ANKLE) * h
    ankle = within_reach(hip, ankle, (thigh + shin) * 0.999)
    knee = two_bone_joint(hip, ankle, thigh, shin, (1.0, 0.0, 0.1))
    top = hip + np.array([0.0, 0.0, 0.02])
    calf = knee + 0.35 * (ankle - knee)
    points = [top, hip + 0.4 * (knee - hip), knee, calf, ankle + 0.25 * (knee - ankle), ankle]
    base = np.array([0.092, 0.086, 0.068, 0.069, 0.066, 0.07]) * wide * h / 1.76
    path, radii = smooth_path(points, np.stack([base, base * 1.06], axis=1), 16)
    add_loft(assembly, "trousers", path[::-1], radii[::-1], folds=_folds(rng, 16, 14, 0.05))
    _add_shoe(assembly, np.array([ankle[0] - 0.06, ankle[1], 0.0]), lift, h / 1.76)


def _add_shoe(assembly: Assembly, heel: Points, lift: float, scale: float) -> None:
    """Add a shoe, 0.29 m long, whose heel is raised by ``lift`` metres while the toe touches the floor."""
    x = np.array([-0.03, 0.0, 0.07, 0.14, 0.2, 0.24, 0.255]) * scale
    wide = np.array([0.02, 0.036, 0.04, 0.046, 0.048, 0.04, 0.012]) * scale
    tall = np.array([0.03, 0.05, 0.055, 0.042, 0.03, 0.024, 0.01]) * scale
    pitch = float(np.arcsin(np.clip(lift / (0.24 * scale), 0.0, 0.9)))
    path = np.stack([x - 0.2 * scale, np.zeros(7), tall * 0.9], axis=1)
    # The toe cap ends 5.5 cm before the pivot under the ball of the foot: it must not dip into the floor.
    rise = 0.056 * scale * float(np.sin(pitch))
    with assembly.placed(float(heel[0]) + 0.2 * scale, float(heel[1]), rise, turn(pitch=pitch)):
        add_loft(assembly, "shoe", path, np.stack([wide, tall], axis=1), segments=12, floor=True)


def _add_arm(
    assembly: Assembly,
    rng: np.random.Generator,
    params: PersonParams,
    shoulder: Points,
    target: Points,
    side: float,
) -> Vec3:
    """Add a sleeve and a hand; returns where the palm is. ``side`` is +1 on the left."""
    h = params.height
    upper, lower = UPPER_ARM * h, FOREARM * h
    # The hand goes on along the forearm: move the wrist until the palm lies on the target.
    wrist = within_reach(shoulder, target, (upper + lower) * 0.998)
    for _ in range(4):
        elbow = two_bone_joint(shoulder, wrist, upper, lower, (-1.0, 0.45 * side, -0.2))
        forearm = (wrist - elbow) / lower
        wrist = within_reach(shoulder, target - HAND * h * forearm, (upper + lower) * 0.998)
    elbow = two_bone_joint(shoulder, wrist, upper, lower, (-1.0, 0.45 * side, -0.2))
    # The sleeve grows out of the trunk, so that the shoulder is round.
    socket = shoulder + np.array([0.0, -0.03 * side * h, 0.012 * h])
    cap = shoulder + 0.12 * (elbow - shoulder)
    points = [socket, shoulder, cap, shoulder + 0.5 * (elbow - shoulder), elbow, (elbow + wrist) / 2.0, wrist]
    base = np.array([0.046, 0.058, 0.064, 0.057, 0.05, 0.046, 0.041]) * params.build * h / 1.76
    path, radii = smooth_path(points, np.stack([base, base], axis=1), 14)
    axis = int(np.argmin(np.abs(path[-1] - path[0])))
    add_loft(assembly, "jacket", path, radii, np.eye(3)[axis], 12, _folds(rng, 14, 12, 0.05))
    along = (wrist - elbow) / max(float(np.linalg.norm(wrist - elbow)), 1e-9)
    palm = wrist + HAND * h * along
    tip = palm + 0.05 * h * along
    knuckles = np.stack([wrist, 0.5 * (wrist + palm), palm, tip])
    size = np.array([[0.026, 0.024], [0.038, 0.024], [0.042, 0.022], [0.02, 0.014]]) * h / 1.76
    hand_path, hand_radii = smooth_path(knuckles, size, 6)
    add_loft(assembly, "skin", hand_path, hand_radii, np.eye(3)[axis], 8)
    return (float(palm[0]), float(palm[1]), float(palm[2]))


def _trunk_rings(params: PersonParams, hip_z: float) -> tuple[Points, Points]:
    """Return the trunk's path (N, 3) and half-widths (N, 2) from hem to neck, upright."""
    h, wide = params.height, params.build
    shift = hip_z - HIP * h
    shares = np.array([0.475, 0.52, 0.6, 0.7, 0.77, 0.805, 0.83, 0.85])
    across = np.array([0.19, 0.188, 0.17, 0.186, 0.198, 0.185, 0.12, 0.065]) * h / 1.76 * (0.4 + 0.6 * wide)
    deep = np.array([0.146, 0.145, 0.124, 0.128, 0.122, 0.1, 0.075, 0.06]) * h / 1.76 * wide
    path = np.stack([np.zeros(8), np.zeros(8), shares * h + shift], axis=1)
    return smooth_path(path, np.stack([across, deep], axis=1), 16)


def _add_head(assembly: Assembly, params: PersonParams, neck: Points) -> float:
    """Add neck, head, hair and headgear above ``neck``; returns the height of the top."""
    k = params.height / 1.76
    materials = Material()
    center = neck + np.array([0.02, 0.0, 0.145 * k])
    x, y, z = (float(value) for value in center)
    throat = shapes.capsule(neck, center - np.array([0.01, 0.0, 0.06 * k]), 0.056 * k, materials, segments=12)
    assembly.add_part("skin", throat)
    assembly.add_part("skin", shapes.sphere((x, y, z), (0.095 * k, 0.076 * k, 0.118 * k), materials))
    assembly.add_part(
        "skin", shapes.sphere((x + 0.09 * k, y, z - 0.015 * k), (0.02 * k, 0.013 * k, 0.022 * k), materials)
    )
    for side in (-1.0, 1.0):
        ear = (x - 0.005, y + side * 0.076 * k, z - 0.01 * k)
        assembly.add_part("skin", shapes.sphere(ear, (0.018 * k, 0.01 * k, 0.03 * k), materials, segments=8))
    crown = (x - 0.014 * k, y, z + 0.018 * k)
    assembly.add_part("hair", shapes.sphere(crown, (0.094 * k, 0.081 * k, 0.11 * k), materials))
    top = crown[2] + 0.11 * k
    if params.headgear != "none":
        # A dome that ends above the brows.
        lid = (x, y, z + 0.035 * k)
        rise = 0.115 * k if params.headgear == "helmet" else 0.095 * k
        angles = np.linspace(0.0, np.pi / 2.0, 6)
        half = [(0.0, 0.0), *((float(np.cos(a)), float(np.sin(a))) for a in angles[:-1]), (0.0, 1.0)]
        placing = shapes.translation(*lid) @ shapes.scaling(0.118 * k, 0.1 * k, rise)
        assembly.add_part("hat", shapes.lathe(half, materials, transform=placing))
        peak = (x + 0.1 * k, y, z + 0.042 * k)
        assembly.add_part("hat", shapes.sphere(peak, (0.075 * k, 0.075 * k, 0.012 * k), materials))
        top = max(top, lid[2] + rise)
    return top


def _tilted(points: Points, pivot: Points, angle: float) -> Points:
    """Turn ``points`` (N, 3) forward by ``angle`` radians about the hip axis through ``pivot``."""
    return np.asarray((points - pivot) @ turn(pitch=angle).T + pivot)


def build_person(params: PersonParams) -> Prop:
    """Build a person. Anchors: hand_right, hand_left, head_top."""
    rng = np.random.default_rng(params.seed)
    smooth = ("trousers", "jacket", "vest", "skin", "hair", "hat", "shoe")
    assembly = Assembly(_materials(rng, params), smooth=smooth)
    h = params.height
    front, back = 0.36 * params.stride * h / 1.76, 0.4 * params.stride * h / 1.76
    stance = 0.055 * h * (1.0 - 0.45 * params.stride) + 0.01
    lead = 1.0 if rng.random() < 0.5 else -1.0
    heels = {
        lead: np.array([front, lead * stance, 0.0]),
        -lead: np.array([-back, -lead * stance, 0.12 * params.stride]),
    }
    leg = (HIP - ANKLE) * h
    hip_z = min(HIP * h, ANKLE * h + float(np.sqrt(leg**2 - max(front, 0.8 * back) ** 2)))
    for side, heel in heels.items():
        _add_leg(assembly, rng, params, np.array([0.0, side * 0.05 * h, hip_z]), heel)
    pivot = np.array([0.0, 0.0, hip_z])
    lean = float(np.radians(params.lean_deg))
    path, radii = _trunk_rings(params, hip_z)
    trunk = _tilted(path, pivot, lean)
    add_loft(assembly, "jacket", trunk, radii, segments=20, folds=_folds(rng, 16, 20, 0.025))
    if params.vest != "none":
        add_loft(assembly, "vest", trunk[2:14], radii[2:14] + 0.014, segments=20)
    hands = _add_arms(assembly, rng, params, pivot, hip_z, lean)
    top = _add_head(assembly, params, trunk[-1] - np.array([0.0, 0.0, 0.02]))
    return assembly.prop("person", {**hands, "head_top": (float(trunk[-1][0]), 0.0, top)})


def _add_arms(
    assembly: Assembly,
    rng: np.random.Generator,
    params: PersonParams,
    pivot: Points,
    hip_z: float,
    lean: float,
) -> dict[str, Vec3]:
    """Add both arms, hanging with a swing or reaching; returns the palms' anchors."""
    h = params.height
    anchors: dict[str, Vec3] = {}
    swing = float(rng.uniform(-0.12, 0.12)) + 0.18 * params.stride
    for name, side, wish in (("hand_left", 1.0, params.left_hand), ("hand_right", -1.0, params.right_hand)):
        joint = np.array([[0.0, side * 0.1 * h * (0.5 + 0.5 * params.build), SHOULDER * h + hip_z - HIP * h]])
        shoulder = _tilted(joint, pivot, lean)[0]
        if wish is None:
            drop = 0.365 * h
            target = shoulder + np.array([0.05 + side * swing, side * 0.055, -drop])
        else:
            target = np.asarray(wish, dtype=np.float64)
        anchors[name] = _add_arm(assembly, rng, params, shoulder, target, side)
    return anchors


_TROUSERS: tuple[Color, ...] = (
    (0.13, 0.17, 0.27),
    (0.24, 0.3, 0.4),
    (0.09, 0.09, 0.1),
    (0.22, 0.22, 0.23),
    (0.33, 0.29, 0.22),
    (0.1, 0.18, 0.4),
)
_JACKETS: tuple[Color, ...] = (
    (0.08, 0.1, 0.16),
    (0.1, 0.1, 0.1),
    (0.1, 0.2, 0.45),
    (0.5, 0.5, 0.5),
    (0.5, 0.09, 0.08),
    (0.85, 0.3, 0.08),
    (0.2, 0.28, 0.22),
    (0.75, 0.75, 0.73),
)
_SKINS: tuple[Color, ...] = ((0.82, 0.64, 0.54), (0.72, 0.53, 0.42), (0.5, 0.34, 0.25), (0.32, 0.21, 0.16))
_HAIRS: tuple[Color, ...] = ((0.08, 0.06, 0.05), (0.2, 0.13, 0.08), (0.42, 0.3, 0.18), (0.5, 0.5, 0.5))


def sample_person(rng: np.random.Generator) -> PersonParams:
    """Draw a person, standing or walking, arms hanging."""
    vests: tuple[Literal["none", "orange", "yellow"], ...] = ("none", "orange", "yellow")
    headgears: tuple[Literal["none", "helmet", "cap"], ...] = ("none", "helmet", "cap")
    return PersonParams(
        seed=draw_seed(rng),
        height=float(np.clip(rng.normal(1.77, 0.07), 1.58, 1.95)),
        build=float(np.clip(rng.normal(1.03, 0.08), 0.88, 1.25)),
        stride=0.0 if rng.random() < 0.45 else float(rng.uniform(0.2, 1.0)),
        lean_deg=float(rng.uniform(-1.0, 8.0)),
        trousers=_TROUSERS[int(rng.integers(len(_TROUSERS)))],
        jacket=_JACKETS[int(rng.integers(len(_JACKETS)))],
        vest=vests[int(rng.choice(3, p=[0.5, 0.25, 0.25]))],
        headgear=headgears[int(rng.choice(3, p=[0.65, 0.15, 0.2]))],
        skin=_SKINS[int(rng.integers(len(_SKINS)))],
        hair=_HAIRS[int(rng.integers(len(_HAIRS)))],
    )


FAMILIES: tuple[ObjectFamily[Any], ...] = (ObjectFamily("person", PersonParams, sample_person, build_person),)
