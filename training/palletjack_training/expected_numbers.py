"""Whether a run reached the numbers that its configuration says it must."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from palletjack_training.config import ExpectedNumber, TrainingConfig

_LOWER_IS_BETTER = frozenset({"loss"})


@dataclass(frozen=True)
class Reached:
    """One expected number, what was found (None: it was not measured), and whether that is good enough."""

    name: str
    expected: ExpectedNumber
    found: float | None
    good: bool

    def __str__(self) -> str:
        found = "not measured" if self.found is None else f"{self.found:.4f}"
        bound = "at most" if self.name in _LOWER_IS_BETTER else "at least"
        verdict = "reached" if self.good else "NOT REACHED"
        return f"{verdict}: {self.name}: expected {bound} {_limit(self.name, self.expected):g}, found {found}"


def compare_with_expected(config: TrainingConfig, measured: Mapping[str, float]) -> list[Reached]:
    """Compare the numbers of a validation with the configuration's; one that is missing is not reached."""
    results = []
    for name, expected in config.expected.items():
        found = measured.get(name)
        good = found is not None and _is_good(name, expected, found)
        results.append(Reached(name, expected, found, good))
    return results


def _limit(name: str, expected: ExpectedNumber) -> float:
    sign = 1 if name in _LOWER_IS_BETTER else -1
    return expected.value + sign * expected.tolerance


def _is_good(name: str, expected: ExpectedNumber, found: float) -> bool:
    # Written so that what is not a number is never good.
    limit = _limit(name, expected)
    return found <= limit if name in _LOWER_IS_BETTER else found >= limit
