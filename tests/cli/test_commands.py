"""Every verb of the command line explains itself, and what it shows as an example is a command it takes."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from palletjack_cli.main import app

VERBS = (
    *("generate", "inspect", "convert", "train", "average", "evaluate"),
    *("predict", "export", "build-engine", "deepstream-config", "simulate", "pipeline", "benchmark", "demo"),
)
ROOT = typer.main.get_command(app)


def example_of(verb: str) -> list[str]:
    """Return the words of the verb's example, after `palletjack`."""
    text = " ".join((ROOT.commands[verb].help or "").split())  # type: ignore[attr-defined]
    found = re.search(r"Example: `palletjack ([^`]+)`", text)
    assert found, f"{verb}: --help shows no example"
    return shlex.split(found.group(1))


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example_that_parses(verb: str) -> None:
    result = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert "Example" in result.stdout
    words = example_of(verb)
    assert words[0] == verb
    ROOT.commands[verb].make_context(verb, words[1:])  # type: ignore[attr-defined]


def test_an_example_with_a_wrong_option_would_not_parse() -> None:
    words = [*example_of("generate")[1:], "--wokers", "2"]
    with pytest.raises(Exception, match="wokers"):
        ROOT.commands["generate"].make_context("generate", words)  # type: ignore[attr-defined]


def test_the_bare_command_lists_every_verb() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    assert [verb for verb in VERBS if verb not in shown] == []
