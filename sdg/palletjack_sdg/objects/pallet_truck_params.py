"""Parameters of the hand pallet truck family."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from palletjack_sdg.objects.family import ObjectParams

Variant = Literal[
    "standard", "long", "short", "low_profile", "heavy_duty", "weigh_scale", "quick_lift", "semi_electric"
]
HandleShape = Literal["d_loop", "loop_crossbar", "t_bar"]
WheelKind = Literal["rubber", "nylon", "polyurethane"]
Roller = Literal["single", "tandem"]
BackPlate = Literal["open", "half", "closed"]
Sticker = Literal["tiller_label", "arm_label", "plate_label", "hazard_stripes"]
Channel = Annotated[float, Field(ge=0.0, le=1.0)]
Color = tuple[Channel, Channel, Channel]


class PalletTruckParams(ObjectParams):
    """One hand pallet truck. Lengths in metres, colours sRGB in 0..1.

    ``fork_length`` runs from the back plate to the tips. ``lift`` raises forks and frame above
    ``fork_height``, the lowered height of the forks' top. ``handle_height`` is the handle's top when
    the tiller is upright. ``tiller_lean_deg`` leans it towards the operator (-x at zero yaw) and
    ``tiller_yaw_deg`` turns tiller, pump and steer wheels together about the vertical pump axis.
    ``frame_height`` is the crosshead's top with lowered forks and ``frame_run`` how far the sloping
    arms run back from the fork heel to the crosshead. ``wheel_gap`` is the room between the steer wheels;
    a ``tiller_square`` tiller is a flat box column, ``tiller_radius`` its half depth.
    """

    variant: Variant = "standard"
    fork_length: float = Field(default=1.15, ge=0.8, le=2.0)
    fork_outer_width: float = Field(default=0.54, ge=0.45, le=0.69)
    blade_width: float = Field(default=0.16, ge=0.14, le=0.19)
    fork_height: float = Field(default=0.085, ge=0.055, le=0.09)
    lift: float = Field(default=0.0, ge=0.0, le=0.12)
    frame_height: float = Field(default=0.41, ge=0.36, le=0.50)
    frame_run: float = Field(default=0.18, ge=0.12, le=0.24)
    arm_width: float = Field(default=0.07, ge=0.045, le=0.10)
    back_plate: BackPlate = "half"
    handle_height: float = Field(default=1.2, ge=1.05, le=1.3)
    tiller_lean_deg: float = Field(default=0.0, ge=0.0, le=80.0)
    tiller_yaw_deg: float = Field(default=0.0, ge=-90.0, le=90.0)
    tiller_radius: float = Field(default=0.025, ge=0.016, le=0.036)
    tiller_square: bool = False
    handle_shape: HandleShape = "d_loop"
    handle_width: float = Field(default=0.36, ge=0.26, le=0.44)
    handle_tilt_deg: float = Field(default=14.0, ge=0.0, le=30.0)
    wheel_kind: WheelKind = "rubber"
    wheel_radius: float = Field(default=0.1, ge=0.085, le=0.105)
    wheel_width: float = Field(default=0.05, ge=0.04, le=0.06)
    wheel_gap: float = Field(default=0.08, ge=0.05, le=0.12)
    hub_holes: int = Field(default=5, ge=0, le=8)
    rollers: Roller = "tandem"
    body_color: Color = (0.70, 0.09, 0.07)
    fork_color: Color = (0.70, 0.09, 0.07)
    tiller_color: Color = (0.075, 0.075, 0.08)
    pump_color: Color = (0.075, 0.075, 0.08)
    tyre_color: Color = (0.05, 0.05, 0.05)
    hub_color: Color = (0.6, 0.6, 0.6)
    wear: float = Field(default=0.3, ge=0.0, le=1.0)
    stickers: tuple[Sticker, ...] = ("tiller_label",)
