"""The temperature of the computer, where Linux shows it (on a Jetson: CPU, GPU and SoC zones)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ZONES = Path("/sys/class/thermal")
# Sensors that are off or absent report values far outside of what silicon survives.
_PLAUSIBLE_C = (-40.0, 150.0)


@dataclass(frozen=True)
class Temperature:
    """The hottest zone: its name and degrees Celsius."""

    zone: str
    celsius: float


def hottest_zone(folder: Path = ZONES) -> Temperature | None:
    """Return the hottest thermal zone under ``folder``; None where none can be read."""
    found = []
    for zone in sorted(folder.glob("thermal_zone*")):
        try:
            celsius = int((zone / "temp").read_text()) / 1000.0
            name = (zone / "type").read_text().strip()
        except (OSError, ValueError):  # a zone whose sensor sleeps refuses to be read
            continue
        if _PLAUSIBLE_C[0] < celsius < _PLAUSIBLE_C[1]:
            found.append(Temperature(name, celsius))
    return max(found, key=lambda item: item.celsius, default=None)
