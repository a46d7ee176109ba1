"""The Isaac Sim backend. Nothing here imports Isaac Sim or USD before it is used."""

from __future__ import annotations

from pathlib import Path


def contract_folder() -> Path:
    """Folder of the facts about Isaac Sim that this package is written against."""
    return Path(__file__).parent / "contract"
