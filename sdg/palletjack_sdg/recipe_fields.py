"""Types of a recipe's fields: checked ranges, shares and weights."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Annotated, Any

from pydantic import AfterValidator, Field


def ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    """Return ``bounds`` if they go from low to high; ValueError otherwise."""
    if bounds[0] > bounds[1]:
        raise ValueError(f"a range goes from low to high, found [{bounds[0]:g}, {bounds[1]:g}]")
    return bounds


def positive(bounds: tuple[float, float]) -> tuple[float, float]:
    """Return ``bounds`` if they can be drawn on a logarithmic scale; ValueError otherwise."""
    if bounds[0] <= 0:
        raise ValueError(f"a range drawn on a logarithmic scale starts above 0, found {bounds[0]:g}")
    return bounds


def some_weight(weights: dict[Any, float]) -> dict[Any, float]:
    """Return ``weights`` if something can be drawn by them; ValueError otherwise."""
    if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
        raise ValueError("weights are at least 0 and one of them is positive")
    return weights


def nearest(name: str, valid: Collection[str]) -> str:
    """Return "; did you mean ...?" or the list of valid names, to end an error message."""
    close = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; expected one of {', '.join(sorted(valid))}"


class Within:
    """Validator of a range: both ends lie within ``low`` .. ``high``."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] < self.low or bounds[1] > self.high:
            raise ValueError(f"both ends lie in {self.low:g}..{self.high:g}")
        return bounds


Range = Annotated[tuple[float, float], AfterValidator(ordered)]
LogRange = Annotated[tuple[float, float], AfterValidator(ordered), AfterValidator(positive)]
IntRange = Annotated[tuple[int, int], AfterValidator(ordered)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
