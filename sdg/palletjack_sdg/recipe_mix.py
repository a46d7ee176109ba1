"""A mix of recipes: each frame of the data set is planned by one of several recipes, in fixed shares."""

from __future__ import annotations

from functools import cached_property
from math import gcd
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from palletjack_sdg.label_rules import LabelRules
from palletjack_sdg.recipe import Recipe, RecipeError, load_recipe, read_tree, validated

MIX_FORMAT = "palletjack-mix/1"
LONGEST_PERIOD = 100_000


def _short_period(counts: dict[str, int]) -> dict[str, int]:
    if sum(counts.values()) // gcd(*counts.values()) > LONGEST_PERIOD:
        raise ValueError(f"counts have no common divisor and sum to more than {LONGEST_PERIOD}; round them")
    return counts


class MixFile(BaseModel):
    """What a mix's YAML file holds: how many frames of each recipe; only the shares matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["palletjack-mix/1"]
    name: str
    description: str = ""
    members: Annotated[
        dict[str, Annotated[int, Field(ge=1)]], Field(min_length=1), AfterValidator(_short_period)
    ]


class RecipeMix(MixFile):
    """A mix with its recipes, in the order of ``members``. All follow the same label rules."""

    recipes: tuple[Recipe, ...]

    @property
    def labels(self) -> LabelRules:
        """The label rules of every member."""
        return self.recipes[0].labels

    @cached_property
    def _turns(self) -> tuple[int, ...]:
        """Which member each frame of a period takes: always the one that is furthest behind its share."""
        counts = list(self.members.values())
        common = gcd(*counts)
        shares = [count // common for count in counts]
        period, made = sum(shares), [0] * len(shares)
        turns = []
        for frame in range(1, period + 1):
            behind = [share * frame - period * done for share, done in zip(shares, made, strict=True)]
            turn = behind.index(max(behind))
            made[turn] += 1
            turns.append(turn)
        return tuple(turns)

    def at(self, index: int) -> Recipe:
        """Return the recipe of frame ``index``; it depends on the shares and the index only."""
        return self.recipes[self._turns[index % len(self._turns)]]


def load_recipes(name_or_path: str | Path) -> Recipe | RecipeMix:
    """Read a recipe or a mix of recipes, shipped (by name) or from a YAML file.

    A mix names its members as shipped recipes or as files beside its own. Raises RecipeError where
    anything is missing or does not fit, a mix within a mix and members with other label rules included.
    """
    tree, source = read_tree(name_or_path)
    if not is_mix(tree):
        return load_recipe(name_or_path)
    entry = validated(MixFile, tree, source)
    recipes = tuple(_member(member, Path(name_or_path), source) for member in entry.members)
    for member, recipe in zip(entry.members, recipes, strict=True):
        if recipe.labels != recipes[0].labels:
            raise RecipeError(
                f"{source}: members.{member}: expected the label rules of {next(iter(entry.members))}, "
                f"found others; frames of one data set are labelled alike"
            )
    return RecipeMix.model_validate({**entry.model_dump(), "recipes": recipes})


def is_mix(tree: dict[str, Any]) -> bool:
    """Tell whether a YAML tree is that of a mix rather than of a recipe."""
    return tree.get("format") == MIX_FORMAT or "members" in tree


def _member(name: str, mix: Path, source: str) -> Recipe:
    beside = mix.parent / name
    try:
        return load_recipe(beside if mix.is_file() and beside.is_file() else name)
    except RecipeError as error:
        raise RecipeError(f"{source}: members.{name}: {error}") from error
