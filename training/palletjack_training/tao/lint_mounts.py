"""Traps in the launcher's mounts file (~/.tao_mounts.json), which stands for the flags of `docker run`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from palletjack_training.tao.findings import Finding

# The launcher, docker_handler.py: it looks each key up, and any other is a KeyError.
_KEYS = {"Mounts", "Envs", "DockerOptions"}
_DOCKER_OPTIONS = {"user", "ports", "shm_size", "ulimits", "privileged", "network", "tty"}


def lint_mounts(path: Path) -> Iterator[Finding]:
    """Findings in a mounts file.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except ValueError as error:
        yield Finding("TAO037", str(path), f"no JSON: {error}")
        return
    if not isinstance(content, dict):
        yield Finding("TAO037", str(path), "expected an object with Mounts")
        return
    for key in sorted(content.keys() - _KEYS):
        yield Finding("TAO037", f"{path}:{key}", f"a key that is none of {', '.join(sorted(_KEYS))}")
    yield from _mounts(content.get("Mounts"), path)
    given = content.get("DockerOptions")
    given = given if isinstance(given, dict) else {}
    for key in sorted(given.keys() - _DOCKER_OPTIONS):
        known = ", ".join(sorted(_DOCKER_OPTIONS))
        yield Finding("TAO037", f"{path}:DockerOptions.{key}", f"a key that is none of {known}")
    if "shm_size" not in given:
        yield Finding("TAO018", f"{path}:DockerOptions", "no shm_size")
    if "user" not in given:
        yield Finding("TAO026", f"{path}:DockerOptions", "no user")


def _mounts(mounts: Any, path: Path) -> Iterator[Finding]:
    if not isinstance(mounts, list) or not mounts:
        yield Finding("TAO037", f"{path}:Mounts", "expected a list of {source, destination}, found none")
        return
    for number, mount in enumerate(mounts):
        place = f"{path}:Mounts[{number}]"
        if not isinstance(mount, dict) or not {"source", "destination"} <= mount.keys():
            yield Finding("TAO037", place, "expected source and destination")
        elif not Path(str(mount["source"])).exists():
            yield Finding("TAO037", f"{place}.source", f"{mount['source']} does not exist")
