"""What a recipe says about the pallet trucks themselves: kinds, measures, tiller, paint and wear."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator

from palletjack_sdg.objects.paint import FLEET_COLORS
from palletjack_sdg.objects.pallet_truck_params import Variant
from palletjack_sdg.recipe_fields import Fraction, Range, Within, nearest, some_weight


class TruckRanges(BaseModel):
    """Ranges of the pallet truck family.

    ``kinds`` weighs its variants. Each kind has its usual fork length and width; ``fork_length_m`` and
    ``fork_width_m`` (over both forks) bound them, a truck outside is brought to the nearer bound.
    ``tiller_lean_deg`` holds for a tiller that does not stand upright, ``steering_deg`` for steer wheels that
    do not stand straight. ``paints`` weighs the colours by name; ``two_tone`` is the share of trucks whose
    forks have another colour than their frame. ``wear`` bounds dirt, scratches and rust, 0 new to 1 scrap.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: Annotated[dict[Variant, float], AfterValidator(some_weight)] = {
        "standard": 0.60,
        "long": 0.06,
        "short": 0.07,
        "low_profile": 0.04,
        "heavy_duty": 0.06,
        "weigh_scale": 0.07,
        "quick_lift": 0.04,
        "semi_electric": 0.06,
    }
    fork_length_m: Annotated[Range, AfterValidator(Within(0.8, 2.0))] = (0.8, 2.0)
    fork_width_m: Annotated[Range, AfterValidator(Within(0.45, 0.69))] = (0.45, 0.69)
    tiller_lean_deg: Annotated[Range, AfterValidator(Within(0.0, 80.0))] = (12.0, 78.0)
    steering_deg: Annotated[Range, AfterValidator(Within(-90.0, 90.0))] = (-90.0, 90.0)
    paints: dict[str, float] = {name: weight for name, (_, weight) in FLEET_COLORS.items()}
    two_tone: Fraction = 0.15
    wear: Annotated[Range, AfterValidator(Within(0.0, 1.0))] = (0.0, 1.0)

    @field_validator("paints")
    @classmethod
    def _known_paints(cls, weights: dict[str, float]) -> dict[str, float]:
        for name in weights:
            if name not in FLEET_COLORS:
                raise ValueError(f"no paint {name!r}{nearest(name, FLEET_COLORS)}")
        return some_weight(weights)
