"""Holds a stand-in to a recorded API: a name, an argument or an assignment that the real one lacks raises."""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

RECORDS = Path(__file__).parent / "tensorrt_api"
VERSIONS = tuple(sorted((path.stem for path in RECORDS.glob("*.json")), key=lambda v: int(v.split(".")[0])))


def record_of(version: str) -> dict[str, Any]:
    """The recorded API of the same major version; see record_tensorrt_api.py."""
    major = version.split(".")[0]
    path = next(path for path in RECORDS.glob("*.json") if path.stem.split(".")[0] == major)
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def enumerations(record: dict[str, Any]) -> SimpleNamespace:
    """The recorded enumerations; a member that the version lacks is an AttributeError, as in the real one."""
    found = SimpleNamespace()
    for path, members in record["enumerations"].items():
        setattr(found, path.split(".")[-1], enum.IntEnum(path.split(".")[-1], members))
    return found


def hold(stand_in: type, name: str, record: dict[str, Any]) -> type:
    """Change the class ``stand_in`` so that it takes no more than the recorded class ``name`` does.

    Raises AssertionError where it has a public member that the recorded one lacks.
    """
    members = record["classes"][name]
    for member, value in list(vars(stand_in).items()):
        if member.startswith("_") and member != "__init__":
            continue
        assert member in members, f"{name}.{member}: not in the recorded API"
        if isinstance(value, property):
            assert members[member] in ("read", "write"), f"{name}.{member}: a method in the recorded API"
        elif callable(value) and members[member]:
            assert isinstance(members[member], list), f"{name}.{member}: a property in the recorded API"
            setattr(stand_in, member, _checked(value, f"{name}.{member}", members[member]))

    def assign(self: object, attribute: str, value: object) -> None:
        if not attribute.startswith("_") and members.get(attribute) != "write":
            raise AttributeError(f"{name}.{attribute}: cannot be set in the recorded API")
        object.__setattr__(self, attribute, value)

    stand_in.__setattr__ = assign  # type: ignore[assignment, method-assign]
    return stand_in


def _checked(method: Callable[..., Any], where: str, signatures: list[list[list[Any]]]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: object, *arguments: object, **named: object) -> Any:
        if not any(_fits(signature, len(arguments), set(named)) for signature in signatures):
            raise TypeError(
                f"{where}: {len(arguments)} arguments and {sorted(named)} fit none of {signatures}"
            )
        return method(self, *arguments, **named)

    return call


def _fits(signature: list[list[Any]], count: int, named: set[str]) -> bool:
    given = [name for name, _ in signature[:count]]
    required = {name for name, optional in signature if not optional}
    known = {name for name, _ in signature}
    return count <= len(signature) and named <= known - set(given) and required <= named | set(given)
