"""Which names Isaac Sim's functions have in which release; the table is contract/releases.yaml."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import yaml

YEARS = 2000
Semantics = Literal["labels", "semantics_api"]
ROLES = (
    "open_stage",
    "get_stage",
    "is_loading",
    "add_reference",
    "enable_extension",
    "play",
    "assets_root",
)


class ReleaseError(RuntimeError):
    """An Isaac Sim that the table does not know, or that lacks a name of the table."""


@dataclass(frozen=True)
class Release:
    """One release. ``names``: dotted name of each role of ROLES. ``semantics``: how labels are written.
    ``functional``: whether Replicator's functional API sets the plan's numbers, or USD does.
    ``renderers``: name of each render mode in the launch configuration."""

    name: str
    read: str
    python: str
    names: Mapping[str, str]
    semantics: Semantics
    functional: bool
    renderers: Mapping[str, str]

    def function(self, role: str) -> Callable[..., Any]:
        """Import and return the function of ``role``; only after SimulationApp was made.

        Raises:
            ReleaseError: this Isaac Sim does not have it.
        """
        module, _, name = self.names[role].rpartition(".")
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ReleaseError(
                f"Isaac Sim {self.name}: {role}: expected {self.names[role]}, found none: {error}"
            ) from error
        return found


def load_releases() -> list[Release]:
    """Return the releases of contract/releases.yaml, newest first."""
    text = (resources.files(__package__) / "contract" / "releases.yaml").read_text(encoding="utf-8")
    return [
        Release(
            name=entry["release"],
            read=entry["read"],
            python=entry["python"],
            names={role: entry[role] for role in ROLES},
            semantics=entry["semantics"],
            functional=entry["functional"],
            renderers=entry["renderers"],
        )
        for entry in yaml.safe_load(text)
    ]


def find_release(version: str) -> Release:
    """Return the table's row for ``version``, such as 6.2.0 or 4.5.0-rc.36.

    Raises:
        ReleaseError: the version is older than every row, or no version.
    """
    releases = load_releases()
    wanted = _numbers(version)
    for release in releases:
        numbers = _numbers(release.name)
        if wanted[: len(numbers)] == numbers:
            return release
    newest = releases[0]
    # Before 4.0, releases were numbered by years.
    if _numbers(newest.name) < wanted < (YEARS,):
        # Names seldom change between releases, and what is missing is named when it is called.
        return newest
    known = ", ".join(release.name for release in releases)
    raise ReleaseError(f"Isaac Sim: version: expected one of {known} or newer, found {version!r}")


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for word in version.split("-")[0].split("+")[0].split("."):
        if not word.isdecimal():
            break
        numbers.append(int(word))
    return tuple(numbers)
