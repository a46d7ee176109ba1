"""The rows of an ablation, read from YAML: each is one change against the first row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from palletjack_sdg.recipe import Recipe, load_recipe
from palletjack_training.config import load_config

# Sections of a recipe that a change is laid over; any other mapping is a set of weights, replaced as a whole.
_SECTIONS = (
    *("image", "trucks", "distractors", "place", "light", "camera", "sensor", "labels"),
    "clustering",
)


class Row(BaseModel):
    """One change against the base: in the recipe, the number of frames, the training or the decoding.

    ``needs`` is the command that a row asks for before it can run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    change: str
    set: tuple[str, ...] = ()
    recipe: dict[str, Any] = {}
    model: dict[str, Any] = {}
    frames_times: float = 1.0
    needs: str = ""

    @property
    def has_own_frames(self) -> bool:
        """Whether the base's frames will not do."""
        return bool(self.recipe) or self.frames_times != 1.0


class Plan(BaseModel):
    """The rows and what they share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    held_out: str
    config: str
    frames: int
    seed: int
    rows: tuple[Row, ...]


def load_plan(path: Path) -> Plan:
    """Read the rows. Raises pydantic.ValidationError for a key that does not exist."""
    return Plan.model_validate(yaml.safe_load(path.read_text()))


def choose(plan: Plan, names: list[str] | None) -> list[Row]:
    """The rows of ``names`` in the plan's order, always with the first one, which the others differ from.

    Raises SystemExit for a name that is not there.
    """
    known = [row.name for row in plan.rows]
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise SystemExit(f"--rows: expected some of {', '.join(known)}, found {', '.join(unknown)}")
    return [row for place, row in enumerate(plan.rows) if place == 0 or not names or row.name in names]


def recipe_tree(plan: Plan, row: Row) -> dict[str, Any]:
    """The recipe of a row's frames as a tree."""
    return merged(load_recipe(plan.recipe).model_dump(mode="json"), row.recipe)


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``change`` laid over it; a mapping of weights is replaced as a whole."""
    result = dict(base)
    for key, value in change.items():
        section = isinstance(value, dict) and isinstance(base.get(key), dict) and key in _SECTIONS
        result[key] = merged(base[key], value) if section else value
    return result


def check(plan: Plan, rows: list[Row]) -> None:
    """Raise ValueError for a row whose recipe or configuration the project does not take."""
    for row in rows:
        try:
            Recipe.model_validate(recipe_tree(plan, row))
            load_config(plan.config, row.set)
        except Exception as error:
            hint = f" (it needs: {row.needs})" if row.needs else ""
            raise ValueError(f"row {row.name}: {error}{hint}") from error
