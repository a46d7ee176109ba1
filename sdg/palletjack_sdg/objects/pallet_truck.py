"""Hand pallet trucks ("palletjacks"): the family of objects that the detector learns to see.

Frame: x towards the fork tips, y left, z up; the operator stands at -x. The origin lies on the floor
under the fork heel, the load side of the back plate.
"""

from __future__ import annotations

import numpy as np

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Prop, Vec3
from palletjack_sdg.objects.family import ObjectFamily
from palletjack_sdg.objects.paint import skinned
from palletjack_sdg.objects.pallet_truck_fleet import sample_pallet_truck
from palletjack_sdg.objects.pallet_truck_frame import (
    FrameLayout,
    TruckFinish,
    battery_parts,
    fork_parts,
    frame_parts,
    roller_parts,
    scale_parts,
)
from palletjack_sdg.objects.pallet_truck_params import PalletTruckParams
from palletjack_sdg.objects.pallet_truck_steering import steering

CATEGORY = "palletjack"

__all__ = ["CATEGORY", "FAMILIES", "PalletTruckParams", "build_pallet_truck", "sample_pallet_truck"]


def build_pallet_truck(params: PalletTruckParams) -> Prop:
    """Build a truck from its parameters; wear and prints come from ``params.seed``.

    Anchors (metres, in the truck's frame): ``fork_tip`` and ``load_center`` on the forks' top,
    ``pump_top``, ``steer_axis`` (on the floor), ``handle_top``, ``hand_left`` and ``hand_right``.
    """
    rng = np.random.default_rng(params.seed)
    layout = FrameLayout.of(params)
    finish = TruckFinish.of(params, rng)
    parts = fork_parts(params, layout, finish)
    parts += roller_parts(params, layout, finish)
    parts += frame_parts(params, layout, finish, rng)
    if params.variant == "weigh_scale":
        parts += scale_parts(params, layout, finish)
    if params.variant == "semi_electric":
        parts += battery_parts(layout, finish, rng)
    steer = steering(params, layout, finish, rng)
    turn = shapes.translation(layout.crosshead_x, 0.0, 0.0) @ shapes.rotation("z", params.tiller_yaw_deg)
    parts += shapes.transform_all(steer.parts, turn)

    def turned(point: Vec3) -> Vec3:
        x, y, z = (turn[:3, :3] @ np.asarray(point) + turn[:3, 3]).tolist()
        return x, y, z

    anchors: dict[str, Vec3] = {
        "fork_tip": (params.fork_length, 0.0, layout.fork_top),
        "load_center": (params.fork_length / 2.0, 0.0, layout.fork_top),
        "pump_top": (layout.crosshead_x, 0.0, layout.crosshead_top),
        "steer_axis": (layout.crosshead_x, 0.0, 0.0),
        "handle_top": turned(steer.handle_top),
        "hand_left": turned(steer.hand_left),
        "hand_right": turned(steer.hand_right),
    }
    return Prop(CATEGORY, tuple(shapes.merge(skinned(parts))), anchors)


FAMILIES: tuple[ObjectFamily[PalletTruckParams], ...] = (
    ObjectFamily(CATEGORY, PalletTruckParams, sample_pallet_truck, build_pallet_truck),
)
