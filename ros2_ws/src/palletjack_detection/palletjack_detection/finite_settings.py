"""Numbers that a robot acts on: checked where they come together, whoever set them."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any


def check_finite(settings: Any, who: str, *, above_zero: tuple[str, ...]) -> None:
    """Refuse a dataclass of numbers where one is not finite or negative, or 0 for a name in ``above_zero``.

    Raises:
        ValueError: naming ``who``, the field, what was expected and what was found.
    """
    for item in fields(settings):
        value = getattr(settings, item.name)
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{who} {item.name}: expected a finite number of at least 0, found {value}")
    for name in above_zero:
        if getattr(settings, name) <= 0:
            raise ValueError(f"{who} {name}: expected more than 0, found {getattr(settings, name)}")
