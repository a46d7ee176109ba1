"""Humble's Python is 3.10: no file of the package may need a newer syntax or standard library."""

from __future__ import annotations

import ast

import pytest

from tests.ros.environment import REPOSITORY

vermin = pytest.importorskip("vermin")

PACKAGE = REPOSITORY / "ros2_ws" / "src" / "palletjack_detection"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "build" not in path.parts)
HUMBLE = (3, 10)


def oldest_python(source: str) -> tuple[int, int] | None:
    """The oldest Python 3 that has all that ``source`` uses; None where any has."""
    config = vermin.Config()
    config.set_eval_annotations(False)
    found: tuple[int, int] | None = vermin.visit(source, config).minimum_versions()[1]
    return found


def test_every_source_of_the_package_runs_on_python_3_10() -> None:
    assert len(SOURCES) > 60
    newer = {}
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        ast.parse(text, str(path), feature_version=HUMBLE)
        found = oldest_python(text)
        if found and found > HUMBLE:
            newer[str(path.relative_to(PACKAGE))] = found
    assert not newer


@pytest.mark.parametrize(
    "source",
    [
        "import tomllib",
        "from typing import Self",
        "from enum import StrEnum",
        "import datetime; datetime.UTC",
    ],
)
def test_what_came_with_3_11_is_found(source: str) -> None:
    found = oldest_python(source)
    assert found is not None
    assert found > HUMBLE


@pytest.mark.parametrize("source", ["try:\n    pass\nexcept* ValueError:\n    pass", "type A = int"])
def test_syntax_of_3_11_and_3_12_is_refused(source: str) -> None:
    with pytest.raises(SyntaxError):
        ast.parse(source, feature_version=HUMBLE)
