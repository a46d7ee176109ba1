"""A parameter as data: name, default, description and range. Needs no ROS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter. The type is that of ``default``; ``minimum`` and ``maximum`` are inclusive.

    ``choices`` are the only values of a string. ``fixed``: cannot be changed once the node runs.
    """

    name: str
    default: bool | int | float | str | list[str]
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    fixed: bool = False

    def problem(self, value: Any) -> str:
        """Return what is wrong with ``value``, or an empty string. ROS itself checks type and range."""
        if self.choices and value not in self.choices:
            return f"parameter {self.name}: expected one of {', '.join(self.choices)}; found {value!r}"
        return ""
