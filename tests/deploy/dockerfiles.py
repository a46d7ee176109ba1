"""Reading our Dockerfiles with a real parser, for the tests."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from dockerfile_parse import DockerfileParser

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = REPOSITORY / "docker"
DOCKERFILES = sorted(DOCKER.glob("Dockerfile*"))
# Isaac ROS builds its layers with the folder of the Dockerfile as context; the others take the repository.
LAYER = DOCKER / "Dockerfile.palletjack"


@dataclass(frozen=True)
class Copy:
    """One COPY: sources relative to the context, and where they go."""

    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: its name in capitals and the rest of it on one line."""

    name: str
    value: str

    def copy(self) -> Copy:
        """Return the sources and the target of a COPY."""
        *sources, target = [word for word in shlex.split(self.value) if not word.startswith("--")]
        return Copy(tuple(sources), target)


def instructions(path: Path) -> list[Instruction]:
    """Return the instructions of ``path``, comments left out."""
    parsed = DockerfileParser(fileobj=BytesIO(path.read_bytes())).structure
    return [Instruction(i["instruction"], i["value"]) for i in parsed if i["instruction"] != "COMMENT"]


def context_of(path: Path) -> Path:
    """Return the folder that the COPY lines of ``path`` are relative to."""
    return DOCKER if path == LAYER else REPOSITORY


def words_of(value: str) -> list[str]:
    """Return the words of an ENTRYPOINT or CMD in its exec form; raises ValueError for the shell form."""
    words = json.loads(value)
    if not isinstance(words, list):
        raise ValueError(f"expected a JSON list, found {value}")
    return [str(word) for word in words]
