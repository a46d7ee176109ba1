"""The speed that the graph's DifferentialController asks of the wheels, by the rule of its source in 6.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palletjack_detection.guard import Velocity


class DifferentialController:
    """Reads its inputs once, as the node does; 0 means no limit. ``attributes``: of the built graph."""

    def __init__(self, attributes: Mapping[str, Any], node: str) -> None:
        names = ("dt", "maxAcceleration", "maxDeceleration", "maxAngularAcceleration")
        self._dt, self._up, self._down, self._turn = (
            float(attributes.get(f"{node}.inputs:{name}") or 0.0) for name in names
        )
        if self._dt <= 0.0 and (self._up or self._down or self._turn):
            raise AssertionError(f"{node}: limits without dt: the node skips every step")
        self._speed = Velocity()

    def step(self, wanted: Velocity) -> Velocity:
        """Return what is driven when ``wanted`` is commanded for one more evaluation."""
        linear, angular, old = wanted.linear, wanted.angular, self._speed
        if self._up and self._down:
            speeds_up = abs(linear) > abs(old.linear) and linear * old.linear >= 0.0
            reach = (self._up if speeds_up else self._down) * self._dt
            linear = min(max(linear, old.linear - reach), old.linear + reach)
        if self._turn:
            reach = self._turn * self._dt
            angular = min(max(angular, old.angular - reach), old.angular + reach)
        self._speed = Velocity(linear, angular)
        return self._speed
